"""The control of cortical fixations: as many networks, all of which see the same."""

from collections.abc import Mapping
from typing import Any

import keras

from bioattack.models.building import augment, check_positive, check_sizes
from bioattack.models.coarse import classify_fixations, coarse_backbone, coarse_geometry, look_coarsely

# In the small preset, four networks of width 5 on a crop cost what one of width 8 does on the whole image:
# 3.6 million multiply-adds at 64 pixels (3.4), 4.0 at 32 (3.4).
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "width": 5,
        "stem_width": None,
        "stem_stride": None,
        "pool_stride": None,
        "batch_norm_momentum": 0.9,
    },
    "paper": {},
}


def branched(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    backbone: str = "resnet18",
    width: int = 27,
    stem_width: int | None = 64,
    stem_stride: int | None = 2,
    pool_stride: int | None = 2,
    batch_norm_momentum: float = 0.99,
    num_branches: int = 4,
    when_tested: str = "fixed",
    augmentation: str = "paper",
    seed: int | None = None,
) -> keras.Model:
    """Builds several narrow networks beside each other that look at the same coarse crop.

    Their pooled features, side by side, go into one dense layer. It tells what the branches of ``cortical``
    do without its scales.

    Args:
        image_shape: ``(height, width, channels)``, height and width 16 or more.
        num_classes: Number of logits, 2 or more.
        backbone: ``"resnet18"`` or ``"resnet20"``.
        width: Filters of the first stage of each branch; 27 makes four branches cost as many multiply-adds as
            one network of width 64.
        stem_width: Of ``resnet18``: filters of the first convolution; ``None``: ``width``.
        stem_stride: Of ``resnet18``: stride of the first convolution; ``None``: by the size of the whole
            image.
        pool_stride: Of ``resnet18``: stride of the maximum pooling; ``None``: likewise.
        batch_norm_momentum: 0.99 as published, 0.9 for runs of a few epochs.
        num_branches: 1 or more.
        when_tested: ``"fixed"`` or ``"random"``: where to look in the test, see ``FixationGazes``.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights, augmentation and gazes are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits, the mean over five crops outside
        training. Its layer ``gazes`` says where it looks, ``views`` gives what it sees there.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        The public code of Vuyyuru et al. 2020.

    >>> branched((320, 320, 3), 10).count_params()
    8074122
    """
    check_sizes(image_shape, num_classes)
    check_positive(num_branches=num_branches)
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
        augment(images, augmentation, seed=seed),
        coarse_geometry(min(image_shape[:2])),
        when_tested=when_tested,
        seed=seed,
    )
    features = [network.features(f"branch_{number}_")(views) for number in range(1, num_branches + 1)]
    merged = keras.layers.Concatenate(name="features")(features) if num_branches > 1 else features[0]
    logits = classify_fixations(merged, gazes, num_classes=num_classes, network=network)
    return keras.Model(images, logits, name="branched")
