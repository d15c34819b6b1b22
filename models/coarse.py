"""Coarse fixations: one network that looks at crops around several points."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from bioattack.models.backbones import Backbone
from bioattack.models.building import augment, check_sizes, layer_seed
from bioattack.models.layers.coarse_fixation import CoarseFixation
from bioattack.models.layers.fixations import FixationGazes, FoldFixations, MeanOverFixations, five_gazes
from bioattack.models.resnet18 import strides_for

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {"width": 8, "stem_stride": None, "pool_stride": None, "batch_norm_momentum": 0.9},
    "paper": {},
}
LEAST_SIDE = 16


class CoarseGeometry(NamedTuple):
    """What coarse fixations look at in images of one size.

    Args:
        crop: Side of the square in pixels.
        gaze_offset: The five gazes of the test are the centre and four points this many pixels away on both
            axes, where the crop touches the corners; those of training lie between, both ends included.
        upsample: Each pixel of the crop is repeated so many times.
        sigma: Standard deviation of the crop's blur in pixels; ``None``: no blur.
    """

    crop: int
    gaze_offset: int
    upsample: int = 1
    sigma: float | None = None


def coarse_geometry(side: int, *, upsample: bool = False, blur: bool = False) -> CoarseGeometry:
    """Gives the crop for images of this side.

    The crop has 0.7 of the side, rounded to an even number of pixels (224 of 320; of 32 it has 24, as
    published), 0.5 where it is upsampled by 2, and 0.75 where it is blurred, with 3 / 320 of the side.

    Args:
        side: The smaller one of height and width in pixels, 16 or more.
        upsample: Whether a smaller crop is upsampled.
        blur: Whether a larger crop is blurred.

    Raises:
        ValueError: If the images are too small, or upsampling and blur are asked for at once.

    >>> coarse_geometry(320), coarse_geometry(32).crop, coarse_geometry(64).crop
    (CoarseGeometry(crop=224, gaze_offset=48, upsample=1, sigma=None), 24, 44)
    """
    if side < LEAST_SIDE:
        raise ValueError(
            f"image_shape must be {LEAST_SIDE} x {LEAST_SIDE} or larger. Received: a side of {side}"
        )
    if upsample and blur:
        raise ValueError("upsample and blur must not both be True. Received: upsample=True, blur=True")
    share = 0.5 if upsample else 0.75 if blur else 0.7
    crop = 24 if side == 32 and share == 0.7 else 2 * round(share * side / 2)
    return CoarseGeometry(
        crop=crop,
        gaze_offset=(side - crop) // 2,
        upsample=2 if upsample else 1,
        sigma=3 * side / 320 if blur else None,
    )


def coarse(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    backbone: str = "resnet18",
    width: int = 64,
    stem_width: int | None = None,
    stem_stride: int | None = 2,
    pool_stride: int | None = 2,
    batch_norm_momentum: float = 0.99,
    upsample: bool = False,
    blur: bool = False,
    when_tested: str = "fixed",
    augmentation: str = "paper",
    seed: int | None = None,
) -> keras.Model:
    """Builds the network with coarse fixations: five crops of the image, their logits averaged.

    In training one random crop is looked at, the same for the whole batch. The published measurements show
    no gain in robustness over the network without crops, and upsampling makes it worse.

    Args:
        image_shape: ``(height, width, channels)``, height and width 16 or more.
        num_classes: Number of logits, 2 or more.
        backbone: ``"resnet18"``, or ``"resnet20"`` with width 16 for CIFAR-10.
        width: Filters of the first stage.
        stem_width: Of ``resnet18``: filters of the first convolution; ``None``: ``width``.
        stem_stride: Of ``resnet18``: stride of the first convolution; ``None``: by the size of the whole
            image, so that the network is that of the baseline.
        pool_stride: Of ``resnet18``: stride of the maximum pooling; ``None``: likewise.
        batch_norm_momentum: 0.99 as published, 0.9 for runs of a few epochs.
        upsample: The variant that looks at half of the side, upsampled by 2.
        blur: The variant that looks at 0.75 of the side, blurred.
        when_tested: ``"fixed"`` or ``"random"``: where to look in the test, see ``FixationGazes``.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights, augmentation and gazes are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits. Its layer ``gazes`` says where it
        looks, ``views`` gives what it sees there.

    Raises:
        ValueError: If an argument is out of its range, or ``upsample`` and ``blur`` are asked for at once.

    Source:
        Vuyyuru et al. 2020, coarse fixations, and its public code.

    >>> coarse((320, 320, 3), 10).count_params()
    11200458
    """
    check_sizes(image_shape, num_classes)
    geometry = coarse_geometry(min(image_shape[:2]), upsample=upsample, blur=blur)
    network = coarse_backbone(
        image_shape,
        name=backbone,
        width=width,
        stem_width=stem_width,
        stem_stride=stem_stride,
        pool_stride=pool_stride,
        batch_norm_momentum=batch_norm_momentum,
        seed=seed,
    )
    images = keras.Input(image_shape, name="images")
    views, gazes = look_coarsely(
        augment(images, augmentation, seed=seed), geometry, when_tested=when_tested, seed=seed
    )
    logits = classify_fixations(network.features("")(views), gazes, num_classes=num_classes, network=network)
    return keras.Model(images, logits, name="coarse")


def coarse_backbone(
    image_shape: tuple[int, int, int], *, stem_stride: int | None, pool_stride: int | None, **options: Any
) -> Backbone:
    """Describes a network for crops, whose strides follow from the size of the whole image.

    Args:
        image_shape: ``(height, width, channels)`` of the whole images.
        stem_stride: Stride of the first convolution; ``None``: by the image size.
        pool_stride: Stride of the maximum pooling; ``None``: by the image size.
        **options: The other arguments of ``Backbone``.

    Raises:
        ValueError: If an argument is out of its range.
    """
    strides = strides_for(min(image_shape[:2]))
    return Backbone(
        **options,
        stem_stride=strides[0] if stem_stride is None else stem_stride,
        pool_stride=strides[1] if pool_stride is None else pool_stride,
    )


def look_coarsely(
    images: Any, geometry: CoarseGeometry, *, when_tested: str, seed: int | None
) -> tuple[Any, Any]:
    """Looks at crops of the images.

    Args:
        images: ``(batch, height, width, channels)``.
        geometry: What to look at.
        when_tested: See ``FixationGazes``.
        seed: Of the network.

    Returns:
        Views ``(batch * num_gazes, side, side, channels)`` and gazes ``(batch, num_gazes, 2)``.
    """
    gazes = FixationGazes(
        fixed=five_gazes(geometry.gaze_offset),
        lowest=-geometry.gaze_offset,
        highest=geometry.gaze_offset,
        per_batch=True,
        when_tested=when_tested,
        seed=layer_seed(seed, "gazes"),
        name="gazes",
    )(images)
    # float32, because mixed precision would round the gazes.
    folded, gaze = FoldFixations(name="fold")(images, gazes)
    fixation = CoarseFixation(geometry.crop, upsample=geometry.upsample, sigma=geometry.sigma, name="views")
    return fixation(folded, gaze), gazes


def classify_fixations(features: Any, gazes: Any, *, num_classes: int, network: Backbone) -> Any:
    """Ends a network in its logits, averaged over the looks at each image.

    Args:
        features: ``(batch * num_gazes, units)``.
        gazes: ``(batch, num_gazes, 2)``.
        num_classes: Number of logits.
        network: Says how the dense layer begins.

    Returns:
        float32 ``(batch, num_classes)``.
    """
    logits = keras.layers.Dense(
        num_classes,
        kernel_initializer=network.initializer("classifier"),
        dtype="float32",
        name="classifier",
    )(features)
    return MeanOverFixations(dtype="float32", name="logits")(logits, gazes)
