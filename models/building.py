"""What the builders of all networks share: checks of their arguments, seeded initial weights, input and head."""

import hashlib
from typing import Any

import keras

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


def classify(features: Any, num_classes: int, *, initializer: keras.initializers.Initializer) -> Any:
    """Ends a network in its logits, which stay float32 under mixed precision."""
    return keras.layers.Dense(num_classes, kernel_initializer=initializer, dtype="float32", name="logits")(
        features
    )
