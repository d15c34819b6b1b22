"""The network of the fairness experiments on UCI Adult: rows of a table instead of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from bioattack.models.building import check_positive, classify, layer_seed

PRESETS: Mapping[str, Mapping[str, Any]] = {"small": {}, "paper": {}}
HIDDEN_LAYERS = ("dense1", "dense2", "dense3", "dense4")
UNITS = 64


def adult_mlp(
    image_shape: tuple[int, ...],
    num_classes: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Builds a network of four hidden dense layers of 64 units with tanh.

    13,570 parameters for 14 attributes and two classes: every attribute is one input, categories as their
    integer codes. (Published is the count; one input for each category would make it 19,330.) The inputs keep
    their own scales, and are standardised inside.

    Args:
        image_shape: ``(features,)``; the name is that of the other networks.
        num_classes: Number of logits, 2 or more.
        mean: Subtracted from each feature, that of the training rows (``records.table.mean``); ``None``: 0.
        std: By which each feature is divided, above 0 (``records.table.std``); ``None``: 1. Raw attributes of
            Adult reach a million, so that without it tanh says the same for every row.
        seed: Initial weights are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 ``(batch, features)``, any value range, to float32 logits.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        Sooksatra and Rivas, adversarial training against fairness, the Adult network.

    >>> adult_mlp((14,), 2).count_params()
    13570
    """
    _check_shape(image_shape, num_classes)
    features = keras.Input(image_shape, name="features")
    outputs = _standardise(features, mean=mean, std=std)
    for name in HIDDEN_LAYERS:
        outputs = keras.layers.Dense(
            UNITS, activation="tanh", kernel_initializer=_initializer(seed, name), name=name
        )(outputs)
    logits = classify(outputs, num_classes, initializer=_initializer(seed, "logits"))
    return keras.Model(features, logits, name="adult_mlp")


def _check_shape(image_shape: tuple[int, ...], num_classes: int) -> None:
    if len(image_shape) != 1:
        raise ValueError(
            "image_shape must be (features,): adult_mlp takes rows of a table, not images. "
            f"Received: image_shape={image_shape}"
        )
    check_positive(features=image_shape[0])
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
        raise ValueError(
            f"num_classes must be an integer of 2 or more. Received: num_classes={num_classes!r}"
        )


def _standardise(features: Any, *, mean: Sequence[float] | None, std: Sequence[float] | None) -> Any:
    """Subtracts the mean and divides by the deviation, in float32: half precision cannot hold raw values."""
    num_features = features.shape[-1]
    for name, numbers in (("mean", mean), ("std", std)):
        if numbers is not None and not (
            len(numbers) == num_features and all(isinstance(number, float | int) for number in numbers)
        ):
            raise ValueError(
                f"{name} must hold {num_features} numbers, one a feature. Received: {name}={numbers!r}"
            )
    if std is not None and min(std) <= 0:
        raise ValueError(
            f"std must be above 0: leave out a feature that never varies. Received: std={list(std)}"
        )
    if mean is None and std is None:
        return features
    scale = [1.0 / number for number in std or [1.0] * num_features]
    offset = [-shift * factor for shift, factor in zip(mean or [0.0] * num_features, scale, strict=True)]
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="standardise")(features)


def _initializer(seed: int | None, name: str) -> keras.initializers.Initializer:
    """Keras' default, seeded for one layer."""
    return keras.initializers.GlorotUniform(seed=layer_seed(seed, name))
