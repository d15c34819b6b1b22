"""The multi-gaze model: a network chooses where to look, and others classify what is seen there."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras

from bioattack.models.backbones import Backbone
from bioattack.models.branches import MERGES, classify_branches, localise, merge_branches
from bioattack.models.building import augment, check_choice, check_share, check_sizes
from bioattack.models.layers.cortical_fixation import CorticalFixation, cortical_geometry
from bioattack.models.layers.fixations import FoldFixations
from bioattack.models.layers.gaze import (
    FIXATION_COUNTS,
    GAZE_GRADIENTS,
    BoundedGazes,
    GazeGradient,
    gaze_grid,
)
from bioattack.models.layers.retinal_sampling import RetinalSampling

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
EYES = ("retinal", "cortical")

# Half way to the greatest offset: gazes that start alike would stay alike where the classifier is shared.
_FIRST_FRACTION = 0.5


def multi_gaze(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    num_gazes: int = 5,
    shared_weights: bool = False,
    merge: str = "logits",
    gaze_range: float = 0.25,
    gaze_l2: float = 0.0,
    gaze_gradient: str = "full",
    localisation_rate: float = 0.1,
    eye: str = "retinal",
    law: str = "quadratic",
    backbone: str = "resnet18",
    width: int = 64,
    stem_width: int | None = None,
    stem_stride: int | None = 2,
    pool_stride: int | None = 2,
    batch_norm_momentum: float = 0.99,
    augmentation: str = "paper",
    seed: int | None = None,
) -> keras.Model:
    """Builds a gaze network, an eye that looks where it says, and a classifier for each of the looks.

    Parameters with ten classes as published: 67,203,258 with distinct classifiers, 22,401,426 with a shared
    one. The gazes start at the centre and half way to the corners of the box that they cannot leave, and the
    last dense layer as the mean of the logits. Training and test look several times alike. A shared
    classifier sees all looks in one call, so its batch normalisation takes its statistics over all of them
    together.

    Args:
        image_shape: ``(size, size, channels)``, 6 pixels or more (16 with the cortical eye).
        num_classes: Number of logits, 2 or more.
        num_gazes: 1, 3, 5 or 9.
        shared_weights: Whether one classifier serves all gazes, instead of one each.
        merge: ``"logits"`` (those of all gazes, then a dense layer), ``"mean"`` of the logits, or
            ``"features"`` (those of all gazes, then a dense layer).
        gaze_range: Greatest offset of a gaze from the centre, as a fraction of the side, above 0 and at most
            0.5: 0.25 is the box of the retinal fixations, at 0.5 the corners of the image can be reached.
        gaze_l2: Weight of the penalty on gazes away from the centre, see ``BoundedGazes``; 0.01 is the
            regularised model.
        gaze_gradient: ``"full"``, or ``"stop"`` to keep the gradient, outside training, from going through
            the choice of the gazes, see ``GazeGradient``.
        localisation_rate: Learning rate of the gaze network as a fraction of that of the rest, see ``stn``.
        eye: ``"retinal"``, sampled bilinearly, or ``"cortical"``: crops at several scales, each with a
            network of its own, whose stem and pooling have stride 1.
        law: Of the retinal eye: ``"quadratic"`` or ``"log"``, see ``RetinalSampling``.
        backbone: ``"resnet18"`` or ``"resnet20"``, for the gaze network and the classifiers.
        width: Filters of the first stage.
        stem_width: Of ``resnet18``: filters of the first convolution; ``None``: ``width``.
        stem_stride: Of ``resnet18``: stride of the first convolution; ``None``: by the image size.
        pool_stride: Of ``resnet18``: stride of the maximum pooling; ``None``: by the image size.
        batch_norm_momentum: 0.99 as published, 0.9 for runs of a few epochs.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights and augmentation are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits. Its layer ``gazes`` gives the
        gazes ``(batch, num_gazes, 2)`` in pixels from the centre, row first, its layer ``views`` what is seen
        there, the looks at one image next to each other along the batch. It asks for its
        localisation rate in ``learning_rate_factors``.

    Raises:
        ValueError: If an argument is out of its range, or the images are not square.

    Source:
        Burhanpurkar 2021, section 3.3.2. How gazes are bounded, how they start and what is penalised is not
        said there and chosen here.

    >>> model = multi_gaze((64, 64, 3), 10, width=8, shared_weights=True)
    >>> model.get_layer("gazes").output.shape, model.get_layer("views").output.shape
    ((None, 5, 2), (None, 64, 64, 3))
    """
    check_sizes(image_shape, num_classes)
    check_choice("num_gazes", num_gazes, choices=FIXATION_COUNTS)
    check_choice("merge", merge, choices=MERGES)
    check_choice("eye", eye, choices=EYES)
    check_share(localisation_rate=localisation_rate)
    check_choice("gaze_gradient", gaze_gradient, choices=GAZE_GRADIENTS)
    if not 0 < gaze_range <= 0.5:
        raise ValueError(f"gaze_range must be above 0 and at most 0.5. Received: gaze_range={gaze_range!r}")
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
    start = [math.atanh(number) for gaze in gaze_grid(num_gazes, _FIRST_FRACTION) for number in gaze]
    numbers = localise(network, image_shape, start=start)(seen)
    reach = gaze_range * image_shape[0]
    gazes = BoundedGazes(reach, gaze_l2=gaze_l2, dtype="float32", name="gazes")(numbers)
    gazes = GazeGradient(gaze_gradient, name="gaze_gradient")(gazes)
    folded, gaze = FoldFixations(name="fold")(seen, gazes)
    branches = classify_branches(
        _look(folded, gaze, eye=eye, law=law),
        network if eye == "retinal" else dataclasses.replace(network, stem_stride=1, pool_stride=1),
        num_branches=num_gazes,
        is_shared=shared_weights,
        num_outputs=None if merge == "features" else num_classes,
    )
    logits = merge_branches(branches, network, merge=merge, num_classes=num_classes)
    model = keras.Model(images, logits, name="multi_gaze")
    model.learning_rate_factors = {"localisation": localisation_rate}
    return model


def _look(images: Any, gaze: Any, *, eye: str, law: str) -> list[Any]:
    """What the eye sees: one batch of views for each of its scales."""
    if eye == "retinal":
        return [RetinalSampling(law=law, name="views")(images, gaze)]
    geometry = cortical_geometry(min(images.shape[1:3]))
    views = CorticalFixation(geometry.crops, geometry.radii, name="views")(images, gaze)
    return list(views)
