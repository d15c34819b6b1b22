"""The control of retinal fixations: as much detail lost, but everywhere alike, and nothing looked at."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from bioattack.models.backbones import Backbone
from bioattack.models.building import augment, check_sizes
from bioattack.models.layers.fixations import five_gazes
from bioattack.models.layers.gaussian_blur import GaussianBlur
from bioattack.models.layers.retinal_constants import retinal_constants

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {"width": 8, "stem_stride": None, "pool_stride": None, "batch_norm_momentum": 0.9},
    "paper": {},
}


def retinal_sigma(side: int) -> float:
    """Gives the blur that leaves as much of an image as the retinal sampling does.

    The retinal map reads the target pixel at radius ``r`` from radius ``f(r) = a * r**2 + b * r``, so that
    samples lie ``sqrt(f'(r) * f(r) / r)`` pixels apart there: the geometric mean along and across the radius.
    Near the gaze that is less than one pixel, and shows no more than the pixels do. So of the pixels around
    ``f(r)`` the share ``min(1, 1 / spacing**2)`` is left. Its mean over all pixels and the five gazes of the
    test is the mean resolution: 75 % at 320 pixels, as of a regular grid with a spacing of 1.16 pixels. A
    grid goes with a blur of half its spacing, as in the cortical fixations.

    It is a weak blur, of the same number of pixels at every size: 0.58 at 320, 0.60 at 32.

    Args:
        side: The smaller one of height and width in pixels, 6 or more.

    Returns:
        Standard deviation in pixels.

    Raises:
        ValueError: If ``side`` is below 6.

    >>> round(retinal_sigma(320), 3)
    0.578
    """
    constants = retinal_constants(side, side)
    quadratic, linear = constants.quadratic, constants.linear
    pixels = np.arange(side) - (side - 1) / 2
    shares = []
    for row, column in five_gazes(side // 4):
        distance = np.hypot(pixels[:, None] - row, pixels[None, :] - column)
        radius = (np.sqrt(linear**2 + 4 * quadratic * distance) - linear) / (2 * quadratic)
        squared_spacing = (2 * quadratic * radius + linear) * (quadratic * radius + linear)
        shares.append(np.minimum(1.0, 1.0 / squared_spacing).mean())
    return float(np.mean(shares) ** -0.5 / 2)


def blur(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    backbone: str = "resnet18",
    width: int = 64,
    stem_width: int | None = None,
    stem_stride: int | None = 2,
    pool_stride: int | None = 2,
    batch_norm_momentum: float = 0.99,
    sigma_fraction: float | None = None,
    augmentation: str = "paper",
    seed: int | None = None,
) -> keras.Model:
    """Builds the baseline behind a Gaussian blur of the whole image, which is a part of the model.

    What it gains in robustness is due to lost detail alone: there is no gaze, no fovea and no mean of looks.

    Args:
        image_shape: ``(height, width, channels)``, height and width 6 or more.
        num_classes: Number of logits, 2 or more.
        backbone: ``"resnet18"``, or ``"resnet20"`` with width 16 for CIFAR-10.
        width: Filters of the first stage.
        stem_width: Of ``resnet18``: filters of the first convolution; ``None``: ``width``.
        stem_stride: Of ``resnet18``: stride of the first convolution; ``None``: by the image size.
        pool_stride: Of ``resnet18``: stride of the maximum pooling; ``None``: by the image size.
        batch_norm_momentum: 0.99 as the baseline, 0.9 for runs of a few epochs.
        sigma_fraction: Standard deviation of the blur as a fraction of the smaller side, above 0; ``None``:
            that of the same mean resolution as the retinal sampling, see ``retinal_sigma``.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights and augmentation are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits. Its layer ``views`` gives the
        blurred images.

    Raises:
        ValueError: If an argument is out of its range.

    >>> blur((64, 64, 3), 10, width=16).count_params()
    707322
    """
    check_sizes(image_shape, num_classes)
    side = min(image_shape[:2])
    network = Backbone(
        name=backbone,
        width=width,
        stem_width=stem_width,
        stem_stride=stem_stride,
        pool_stride=pool_stride,
        batch_norm_momentum=batch_norm_momentum,
        seed=seed,
    )
    sigma = retinal_sigma(side) if sigma_fraction is None else _check_fraction(sigma_fraction) * side
    images = keras.Input(image_shape, name="images")
    views = GaussianBlur(sigma, name="views")(augment(images, augmentation, seed=seed))
    return keras.Model(images, network.classify(network.features("")(views), num_classes), name="blur")


def _check_fraction(sigma_fraction: float) -> float:
    if isinstance(sigma_fraction, bool) or not 0 < sigma_fraction < math.inf:
        raise ValueError(
            f"sigma_fraction must be a number above 0. Received: sigma_fraction={sigma_fraction!r}"
        )
    return sigma_fraction
