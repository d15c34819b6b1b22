"""What the builders of all networks share: checks of arguments, seeds, preprocessing and the head."""

import hashlib
from collections.abc import Sequence
from typing import Any

import keras

from bioattack.models.layers.padded_shortcut import PaddedShortcut
from bioattack.models.layers.paper_augmentation import PaperAugmentation

AUGMENTATIONS = ("paper", "reference", "crop", "none")


def check_sizes(image_shape: tuple[int, int, int], num_classes: int) -> None:
    """Raises ValueError unless the shape is (height, width, channels) and there are two classes or more."""
    if len(image_shape) != 3:
        raise ValueError(
            f"image_shape must be (height, width, channels). Received: image_shape={image_shape}"
        )
    check_positive(**dict(zip(("height", "width", "channels"), image_shape, strict=True)))
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
        raise ValueError(
            f"num_classes must be an integer of 2 or more. Received: num_classes={num_classes!r}"
        )


def check_positive(**numbers: Any) -> None:
    """Raises ValueError, with the name, for the first argument that is not an integer of 1 or more."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be an integer of 1 or more. Received: {name}={number!r}")


def check_choice(name: str, value: object, *, choices: tuple[object, ...]) -> None:
    """Raises ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}. Received: {name}={value!r}")


def check_fraction(**numbers: Any) -> None:
    """Raises ValueError, with the name, for the first argument that does not lie between 0 and 1."""
    for name, number in numbers.items():
        if not isinstance(number, float) or not 0 < number < 1:
            raise ValueError(f"{name} must be a number between 0 and 1. Received: {name}={number!r}")


def check_share(**numbers: Any) -> None:
    """Raises ValueError, with the name, for the first argument that is not above 0 and at most 1."""
    for name, number in numbers.items():
        if not isinstance(number, float | int) or not 0 < number <= 1:
            raise ValueError(f"{name} must be above 0 and at most 1. Received: {name}={number!r}")


def layer_seed(seed: int | None, layer_name: str) -> int | None:
    """Derives a layer's own seed, so that its weights do not depend on the order of building.

    >>> layer_seed(0, "conv1") == layer_seed(0, "conv1") != layer_seed(0, "conv2")
    True
    """
    if seed is None:
        return None
    digest = hashlib.sha256(f"{seed}/{layer_name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def augment(images: Any, augmentation: str, *, seed: int | None) -> Any:
    """Puts the augmentation in front of a network.

    Args:
        images: ``(batch, height, width, channels)``.
        augmentation: ``"paper"`` (a crop and a flip for each image), ``"reference"`` (one crop for the whole
            batch, as the reference code draws it), ``"crop"`` (no flip: digits, letters) or ``"none"``.
        seed: Of the network.
    """
    check_choice("augmentation", augmentation, choices=AUGMENTATIONS)
    if augmentation == "none":
        return images
    return PaperAugmentation(
        per_batch=augmentation == "reference",
        flip=augmentation != "crop",
        seed=layer_seed(seed, "augmentation"),
        name="augmentation",
    )(images)


def standardise(images: Any, *, mean: Sequence[float] | None, std: Sequence[float] | None) -> Any:
    """Subtracts a mean from each channel and divides by a standard deviation, or does neither.

    Args:
        images: ``(batch, height, width, channels)``.
        mean: One number for each channel; ``None``: 0.
        std: One number above 0 for each channel; ``None``: 1.

    Raises:
        ValueError: If there is not one number for each channel, or a deviation is not above 0.
    """
    num_channels = images.shape[-1]
    for name, numbers in (("mean", mean), ("std", std)):
        if numbers is not None and not _is_one_number_each(numbers, num_channels):
            raise ValueError(
                f"{name} must hold {num_channels} numbers, one a channel. Received: {name}={numbers!r}"
            )
    if std is not None and min(std) <= 0:
        raise ValueError(f"std must be above 0. Received: std={std}")
    if mean is None and std is None:
        return images
    scale = [1.0 / number for number in std or [1.0] * num_channels]
    offset = [-shift * factor for shift, factor in zip(mean or [0.0] * num_channels, scale, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="standardise")(images)


def _is_one_number_each(numbers: Any, num_channels: int) -> bool:
    """Whether there are as many real numbers as channels."""
    is_list = isinstance(numbers, list | tuple) and len(numbers) == num_channels
    return is_list and all(isinstance(number, float | int) for number in numbers)


def subsample(inputs: Any, stride: int, *, name: str) -> Any:
    """Takes every so many-th pixel, in front of a 1 x 1 convolution that would have had this stride.

    It is the same sum of the same numbers. On processors, TensorFlow 2.21 writes beyond its memory in the
    weight gradient of a 1 x 1 convolution with a stride of 2 and fewer than 16 channels.
    """
    return PaddedShortcut(stride=stride, num_channels=inputs.shape[-1], name=name)(inputs)


def classify(features: Any, num_classes: int, *, initializer: keras.initializers.Initializer) -> Any:
    """Ends a network in its logits, which stay float32 under mixed precision."""
    return keras.layers.Dense(num_classes, kernel_initializer=initializer, dtype="float32", name="logits")(
        features
    )
