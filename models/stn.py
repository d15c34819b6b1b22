"""The parallel spatial transformer: a network that chooses the windows through which others look."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from bioattack.models.backbones import Backbone
from bioattack.models.branches import MERGES, classify_branches, localise, merge_branches
from bioattack.models.building import augment, check_choice, check_share, check_sizes
from bioattack.models.layers.affine_sampling import AffineSampling
from bioattack.models.layers.fixations import FoldFixations
from bioattack.models.layers.gaze import GazeGradient
from bioattack.models.layers.retinal_sampling import RetinalSampling
from bioattack.models.layers.transforms import Transforms, initial_parameters

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "width": 8,
        "shared_weights": True,
        "stem_stride": None,
        "pool_stride": None,
        "batch_norm_momentum": 0.9,
        "localisation_rate": 1.0,
    },
    "paper": {},
}
EYES = ("none", "retinal")


def stn(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    transform: str = "attention",
    num_branches: int = 5,
    shared_weights: bool = False,
    merge: str = "logits",
    align_corners: bool = True,
    gaze_gradient: str = "full",
    localisation_rate: float = 0.1,
    eye: str = "none",
    backbone: str = "resnet18",
    width: int = 64,
    stem_width: int | None = None,
    stem_stride: int | None = 2,
    pool_stride: int | None = 2,
    batch_norm_momentum: float = 0.99,
    augmentation: str = "paper",
    seed: int | None = None,
) -> keras.Model:
    """Builds a parallel spatial transformer: a localisation network, several windows, a classifier for each.

    Parameters with ten classes as published: 67,208,388 (attention) or 67,213,518 (affine) with distinct
    classifiers; 22,406,556 or 22,411,686 with a shared one. Its layer ``transforms`` gives the matrices
    ``(batch, num_branches, 2, 3)``, its layer ``views`` what the classifiers see, the branches of one image
    next to each other along the batch. A shared classifier sees all of them in one call, so its batch
    normalisation takes its statistics over all branches together.

    Args:
        image_shape: ``(height, width, channels)``.
        num_classes: Number of logits, 2 or more.
        transform: ``"attention"`` (4 numbers: scales and shifts), ``"attention_isotropic"`` (3: one scale) or
            ``"affine"`` (6), see ``Transforms``.
        num_branches: 1, 3, 5 or 9 windows; they start at different places.
        shared_weights: Whether one classifier serves all branches, instead of one each.
        merge: ``"logits"`` (those of all branches, then a dense layer that starts as their mean),
            ``"mean"`` of the logits, or ``"features"`` (those of all branches, then a dense layer).
        align_corners: Where the corners of the image are, see ``AffineSampling``.
        gaze_gradient: ``"full"``, or ``"stop"`` to keep the gradient, outside training, from going through
            the choice of the windows: an attack that does better so had been misled by it.
        localisation_rate: Learning rate of the localisation network as a fraction of that of the rest: a
            tenth for long trainings; in ten epochs that leaves the windows nearly where they start.
        eye: ``"none"``, or ``"retinal"``: each window is seen through ``RetinalSampling`` at its centre, in
            the layer ``retinal_views``.
        backbone: ``"resnet18"`` or ``"resnet20"``, for the localisation network and the classifiers.
        width: Filters of the first stage.
        stem_width: Of resnet18: filters of the first convolution; ``None``: ``width``.
        stem_stride: Of resnet18: stride of the first convolution; ``None``: by the image size.
        pool_stride: Of resnet18: stride of the maximum pooling; ``None``: by the image size.
        batch_norm_momentum: 0.99 as published, 0.9 for runs of a few epochs.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights and augmentation are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits. It asks for its localisation
        rate in ``learning_rate_factors``.

    Raises:
        ValueError: If an argument is out of its range, or the images are not square and the eye is retinal.

    Source:
        Burhanpurkar 2021, sections 2.4 and 3.4; Jaderberg et al. 2015.

    >>> stn((64, 64, 3), 10, width=8, shared_weights=True).get_layer("transforms").output.shape
    (None, 5, 2, 3)
    """
    check_sizes(image_shape, num_classes)
    check_choice("merge", merge, choices=MERGES)
    check_share(localisation_rate=localisation_rate)
    check_choice("eye", eye, choices=EYES)
    network = Backbone(
        name=backbone,
        width=width,
        stem_width=stem_width,
        stem_stride=stem_stride,
        pool_stride=pool_stride,
        batch_norm_momentum=batch_norm_momentum,
        seed=seed,
    )
    images = keras.Input(image_shape, name="images")
    seen = augment(images, augmentation, seed=seed)
    start = initial_parameters(transform, num_branches)
    parameters = localise(network, image_shape, start=start)(seen)
    matrices = Transforms(kind=transform, num_branches=num_branches, name="transforms")(parameters)
    matrices = GazeGradient(gaze_gradient, name="gaze_gradient")(matrices)
    sampling = AffineSampling(
        align_corners=align_corners, is_axis_aligned=transform != "affine", name="views"
    )
    branches = classify_branches(
        [_look(seen, matrices, sampling=sampling, eye=eye)],
        network,
        num_branches=num_branches,
        is_shared=shared_weights,
        num_outputs=None if merge == "features" else num_classes,
    )
    logits = merge_branches(branches, network, merge=merge, num_classes=num_classes)
    model = keras.Model(images, logits, name="stn")
    model.learning_rate_factors = {"localisation": localisation_rate}
    return model


def _look(images: Any, matrices: Any, *, sampling: AffineSampling, eye: str) -> Any:
    """What each window shows, those of one image next to each other along the batch."""
    repeated, folded = FoldFixations(name="fold")(images, matrices)
    views = sampling(repeated, folded)
    if eye == "none":
        return views
    return RetinalSampling(name="retinal_views")(views, ops.zeros_like(folded[:, 0, :2]))
