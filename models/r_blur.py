"""R-Blur, the control without a warp: noise, and blur and loss of colour around several points of gaze."""

from collections.abc import Mapping
from typing import Any

import keras

from bioattack.models.backbones import Backbone
from bioattack.models.building import augment, check_choice, check_sizes, layer_seed
from bioattack.models.coarse import classify_fixations
from bioattack.models.layers.eccentric_blur import NOISES_WHEN_TESTED, EccentricBlur, PixelNoise
from bioattack.models.layers.fixations import FoldFixations
from bioattack.models.retinal import look_around

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {"width": 8, "stem_stride": None, "pool_stride": None, "batch_norm_momentum": 0.9},
    "paper": {"noise_when_tested": "fixed"},
}


def r_blur(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    noise: float = 0.125,
    noise_when_tested: str = "none",
    blur: float = 0.05,
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
    """Builds the network that sees a noisy image sharp and in colour at the gaze only, from five points.

    A control for ``retinal``: the periphery loses detail, but nothing is magnified. One random gaze for each
    image in training, five fixed ones in the test, their logits averaged; the gazes are those of ``retinal``.

    Simplified against the published model: the blur changes smoothly, see ``EccentricBlur``; images are seen
    from one distance, where training varied it; the points of the test are fixed, where a saliency network
    chose them; backbone and augmentation are those of the other models here.

    Args:
        image_shape: ``(height, width, channels)``.
        num_classes: Number of logits, 2 or more.
        noise: Standard deviation of the Gaussian noise of training, 0 or more.
        noise_when_tested: ``"none"``, ``"fixed"`` (as published: the same noise on every image) or
            ``"random"``, see ``PixelNoise``.
        blur: Standard deviation of the strongest blur, as a fraction of the image's larger side.
        num_fixations: Points of the test, 1, 3, 5 or 9, see ``gaze_grid``.
        when_tested: ``"fixed"`` or ``"random"``: where to look in the test, see ``FixationGazes``.
        backbone: ``"resnet18"``, or ``"resnet20"`` with width 16 for CIFAR-10.
        width: Filters of the first stage.
        stem_width: Of ``resnet18``: filters of the first convolution; ``None``: ``width``.
        stem_stride: Of ``resnet18``: stride of the first convolution; ``None``: by the image size.
        pool_stride: Of ``resnet18``: stride of the maximum pooling; ``None``: by the image size.
        batch_norm_momentum: 0.99 as published, 0.9 for runs of a few epochs.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights, augmentation, noise and gazes are a function of it; ``None``: of the global
            state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits. Its layer ``gazes`` says where it
        looks, ``views`` gives what it sees there.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        Shah and Raj 2023, training on foveated images improves robustness to adversarial attacks.

    >>> r_blur((320, 320, 3), 10).count_params()
    11200458
    """
    check_sizes(image_shape, num_classes)
    check_choice("noise_when_tested", noise_when_tested, choices=NOISES_WHEN_TESTED)
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
    noisy = PixelNoise(noise, when_tested=noise_when_tested, seed=layer_seed(seed, "noise"), name="noise")(
        augment(images, augmentation, seed=seed)
    )
    gazes = look_around(
        noisy, min(image_shape[:2]), num_fixations=num_fixations, when_tested=when_tested, seed=seed
    )
    folded, gaze = FoldFixations(name="fold")(noisy, gazes)
    views = EccentricBlur(blur=blur, name="views")(folded, gaze)
    logits = classify_fixations(network.features("")(views), gazes, num_classes=num_classes, network=network)
    return keras.Model(images, logits, name="r_blur")
