"""Retinal fixations: one network that looks at the image as an eye does, from several points."""

from collections.abc import Mapping
from typing import Any

import keras

from bioattack.models.backbones import Backbone
from bioattack.models.building import augment, check_choice, check_sizes, layer_seed
from bioattack.models.coarse import classify_fixations
from bioattack.models.layers.fixations import FixationGazes, FoldFixations
from bioattack.models.layers.gaze import FIXATION_COUNTS, gaze_grid
from bioattack.models.layers.retinal_sampling import RetinalSampling

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {"width": 8, "stem_stride": None, "pool_stride": None, "batch_norm_momentum": 0.9},
    "paper": {"mode": "nearest", "frame": "reference"},
}


def retinal(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    mode: str = "bilinear",
    law: str = "quadratic",
    frame: str = "centered",
    num_fixations: int = 5,
    when_tested: str = "fixed",
    backbone: str = "resnet18",
    width: int = 64,
    stem_width: int | None = None,
    stem_stride: int | None = 2,
    pool_stride: int | None = 2,
    batch_norm_momentum: float = 0.99,
    augmentation: str = "paper",
    seed: int | None = None,
) -> keras.Model:
    """Builds the network with retinal fixations: the image seen from five points, their logits averaged.

    In training each image is seen from one random point, an integer number of pixels from the centre: -80 to
    79 at 320 pixels, a fourth of the side in general. The published network is the preset ``"paper"``; the
    bilinear one of the later work is that with ``mode="bilinear"``.

    Args:
        image_shape: ``(size, size, channels)``, 6 pixels or more.
        num_classes: Number of logits, 2 or more.
        mode: ``"bilinear"``, ``"nearest"`` or ``"floor"``, see ``RetinalSampling``.
        law: ``"quadratic"`` or ``"log"``, see ``RetinalSampling``.
        frame: ``"centered"`` or ``"reference"``, see ``RetinalSampling``.
        num_fixations: Points of the test, 1, 3, 5 or 9, see ``gaze_grid``.
        when_tested: ``"fixed"`` or ``"random"``: where to look in the test, see ``FixationGazes``.
        backbone: ``"resnet18"``, or ``"resnet20"`` with width 16 for CIFAR-10.
        width: Filters of the first stage.
        stem_width: Of ``resnet18``: filters of the first convolution; ``None``: ``width``.
        stem_stride: Of ``resnet18``: stride of the first convolution; ``None``: by the image size.
        pool_stride: Of ``resnet18``: stride of the maximum pooling; ``None``: by the image size.
        batch_norm_momentum: 0.99 as published, 0.9 for runs of a few epochs.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights, augmentation and gazes are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits. Its layer ``gazes`` says where it
        looks, ``views`` gives what it sees there.

    Raises:
        ValueError: If an argument is out of its range, or the images are not square.

    Source:
        Vuyyuru et al. 2020, retinal sampling, and its public code; Burhanpurkar 2021, section 3.2.

    >>> retinal((320, 320, 3), 10).count_params()
    11200458
    """
    check_sizes(image_shape, num_classes)
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
    gazes = look_around(seen, image_shape[0], num_fixations=num_fixations, when_tested=when_tested, seed=seed)
    folded, gaze = FoldFixations(name="fold")(seen, gazes)
    views = RetinalSampling(mode=mode, law=law, frame=frame, name="views")(folded, gaze)
    logits = classify_fixations(network.features("")(views), gazes, num_classes=num_classes, network=network)
    return keras.Model(images, logits, name="retinal")


def look_around(images: Any, side: int, *, num_fixations: int, when_tested: str, seed: int | None) -> Any:
    """Chooses the gazes of retinal fixations: at most a fourth of the side from the centre.

    Args:
        images: ``(batch, height, width, channels)``.
        side: The smaller one of height and width in pixels.
        num_fixations: 1, 3, 5 or 9 in the test; there is one, at random, in training.
        when_tested: See ``FixationGazes``.
        seed: Of the network.

    Returns:
        Gazes ``(batch, num_fixations, 2)``, of the layer ``gazes``.

    Raises:
        ValueError: If an argument is none of those.
    """
    check_choice("num_fixations", num_fixations, choices=FIXATION_COUNTS)
    offset = side // 4
    return FixationGazes(
        fixed=gaze_grid(num_fixations, offset),
        lowest=-offset,
        # The reference code draws with an exclusive upper end.
        highest=max(-offset, offset - 1),
        when_tested=when_tested,
        seed=layer_seed(seed, "gazes"),
        name="gazes",
    )(images)
