"""MobileNetV2 for ImageNet, its batch normalisation folded into the convolutions."""

from collections.abc import Mapping
from typing import Any

import keras

from bioattack.models.building import augment, check_sizes, classify, layer_seed

PRESETS: Mapping[str, Mapping[str, Any]] = {"small": {}, "paper": {}}

# Filters, number of blocks and first stride of each stage (Sandler et al. 2018, table 2).
_STAGES = ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
_EXPANSION = 6


def mobilenet_v2(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    augmentation: str = "none",
    seed: int | None = None,
) -> keras.Model:
    """Builds MobileNetV2 1.0 as it is once trained: convolutions with biases and no batch normalisation.

    It is there for published weights (3,487,816 parameters with 1,000 classes, made for 224 x 224 pictures);
    from random weights a network with batch normalisation trains better. Layers are named as in
    ``keras.applications``, but for ``predictions``, which is ``logits`` here.

    Args:
        image_shape: ``(height, width, channels)``.
        num_classes: Number of logits, 2 or more.
        augmentation: ``"none"``, ``"paper"``, ``"reference"`` or ``"crop"``, see ``building.augment``.
        seed: Initial weights and augmentation are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 RGB images in [0, 1], scaled to [-1, 1] inside, to float32 logits.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        Sandler et al. 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks.

    >>> mobilenet_v2((224, 224, 3), 1000).count_params()
    3487816
    """
    check_sizes(image_shape, num_classes)
    images = keras.Input(image_shape, name="images")
    outputs = keras.layers.Rescaling(2.0, -1.0, name="scale")(augment(images, augmentation, seed=seed))
    outputs = _convolve(outputs, "Conv1", filters=32, kernel_size=3, stride=2, seed=seed)
    outputs = _add_block(outputs, "expanded_conv", filters=16, stride=1, expansion=1, seed=seed)
    number = 0
    for filters, num_blocks, first_stride in _STAGES:
        for place in range(num_blocks):
            number += 1
            outputs = _add_block(
                outputs,
                f"block_{number}",
                filters=filters,
                stride=first_stride if place == 0 else 1,
                expansion=_EXPANSION,
                seed=seed,
            )
    outputs = _convolve(outputs, "Conv_1", filters=1280, kernel_size=1, seed=seed)
    outputs = keras.layers.GlobalAveragePooling2D(name="features")(outputs)
    logits = classify(outputs, num_classes, initializer=_initializer(seed, "logits"))
    return keras.Model(images, logits, name="mobilenet_v2")


def _add_block(inputs: Any, name: str, *, filters: int, stride: int, expansion: int, seed: int | None) -> Any:
    """One inverted residual: wide, depthwise, narrow without a ReLU; added to its input where they agree."""
    num_channels = inputs.shape[-1]
    outputs = inputs
    if expansion > 1:
        outputs = _convolve(
            outputs, f"{name}_expand", filters=expansion * num_channels, kernel_size=1, seed=seed
        )
    outputs = keras.layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="same",
        depthwise_initializer=_initializer(seed, f"{name}_depthwise"),
        name=f"{name}_depthwise",
    )(outputs)
    outputs = keras.layers.ReLU(max_value=6.0, name=f"{name}_depthwise_relu")(outputs)
    outputs = _convolve(outputs, f"{name}_project", filters=filters, kernel_size=1, seed=seed, has_relu=False)
    if stride == 1 and num_channels == filters:
        outputs = keras.layers.Add(name=f"{name}_add")([inputs, outputs])
    return outputs


def _convolve(
    inputs: Any,
    name: str,
    *,
    filters: int,
    kernel_size: int,
    seed: int | None,
    stride: int = 1,
    has_relu: bool = True,
) -> Any:
    """A convolution with a bias, and ReLU6 after it unless told otherwise."""
    outputs = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding="same",
        kernel_initializer=_initializer(seed, name),
        name=name,
    )(inputs)
    return keras.layers.ReLU(max_value=6.0, name=f"{name}_relu")(outputs) if has_relu else outputs


def _initializer(seed: int | None, name: str) -> keras.initializers.Initializer:
    return keras.initializers.HeNormal(seed=layer_seed(seed, name))
