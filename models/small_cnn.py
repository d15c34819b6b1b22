"""The small network of the fairness experiments on CIFAR-10."""

from collections.abc import Mapping
from typing import Any

import keras

from bioattack.models.building import augment, check_sizes, classify, layer_seed

PRESETS: Mapping[str, Mapping[str, Any]] = {"small": {}, "paper": {}}


def small_cnn(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    augmentation: str = "none",
    seed: int | None = None,
) -> keras.Model:
    """Builds a network of two convolutions and two hidden dense layers.

    Convolutions of 32 and 64 filters, each followed by 2 x 2 maximum pooling and then ReLU; dense layers of
    128 and 64. 552,714 parameters at 32 x 32 x 3 with ten classes.

    Args:
        image_shape: ``(height, width, channels)``, height and width 4 or more.
        num_classes: Number of logits, 2 or more.
        augmentation: ``"none"`` as published, ``"paper"``, ``"reference"`` or ``"crop"``, see
            ``building.augment``.
        seed: Initial weights and augmentation are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        Sooksatra and Rivas, adversarial training against fairness, the CIFAR-10 network.

    >>> small_cnn((32, 32, 3), 10).count_params()
    552714
    """
    check_sizes(image_shape, num_classes)
    if min(image_shape[:2]) < 4:
        raise ValueError(f"image_shape must be 4 x 4 or larger. Received: image_shape={image_shape}")
    images = keras.Input(image_shape, name="images")
    outputs = augment(images, augmentation, seed=seed)
    for name, filters in (("conv1", 32), ("conv2", 64)):
        outputs = keras.layers.Conv2D(
            filters, 3, padding="same", kernel_initializer=_initializer(seed, name), name=name
        )(outputs)
        outputs = keras.layers.MaxPooling2D(2, name=name.replace("conv", "pool"))(outputs)
        outputs = keras.layers.ReLU(name=name.replace("conv", "relu"))(outputs)
    outputs = keras.layers.Flatten(name="flatten")(outputs)
    for name, units in (("dense1", 128), ("dense2", 64)):
        outputs = keras.layers.Dense(
            units, activation="relu", kernel_initializer=_initializer(seed, name), name=name
        )(outputs)
    logits = classify(outputs, num_classes, initializer=_initializer(seed, "logits"))
    return keras.Model(images, logits, name="small_cnn")


def _initializer(seed: int | None, name: str) -> keras.initializers.Initializer:
    """Keras' default, seeded for one layer."""
    return keras.initializers.GlorotUniform(seed=layer_seed(seed, name))
