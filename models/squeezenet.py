"""SqueezeNet 1.0 for ImageNet."""

from collections.abc import Mapping
from typing import Any

import keras

from bioattack.models.building import augment, check_sizes, layer_seed

PRESETS: Mapping[str, Mapping[str, Any]] = {"small": {}, "paper": {}}

# Blue, green, red on the scale 0 to 255, as the published network was trained.
_MEAN_BGR = (104.0, 117.0, 123.0)
_MEAN_GREY = 116.0

# The fire modules: number, channels squeezed to, channels expanded to by each of two convolutions. Maximum
# pooling comes after those whose last entry is true (Iandola et al. 2016, table 1).
_FIRES = (
    (2, 16, 64, False),
    (3, 16, 64, False),
    (4, 32, 128, True),
    (5, 32, 128, False),
    (6, 48, 192, False),
    (7, 48, 192, False),
    (8, 64, 256, True),
    (9, 64, 256, False),
)
_LEAST_SIDE = 7


def squeezenet(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    augmentation: str = "none",
    seed: int | None = None,
) -> keras.Model:
    """Builds SqueezeNet 1.0 (1,248,424 parameters with 1,000 classes, made for 227 x 227 pictures).

    Its last convolution is padded by one pixel and followed by a ReLU before the mean over space, as in the
    published Caffe network: logits are 0 or larger.

    Args:
        image_shape: ``(height, width, channels)``, height and width 7 or more.
        num_classes: Number of logits, 2 or more.
        augmentation: ``"none"``, ``"paper"``, ``"reference"`` or ``"crop"``, see ``building.augment``.
        seed: Initial weights and augmentation are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 RGB images in [0, 1] to float32 logits; inside, they become BGR on the
        scale 0 to 255, less their mean.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        Iandola et al. 2016, SqueezeNet: AlexNet-level accuracy with 50x fewer parameters.

    >>> squeezenet((227, 227, 3), 1000).count_params()
    1248424
    """
    check_sizes(image_shape, num_classes)
    if min(image_shape[:2]) < _LEAST_SIDE:
        raise ValueError(f"image_shape must be 7 x 7 or larger. Received: image_shape={image_shape}")
    images = keras.Input(image_shape, name="images")
    outputs = _to_caffe_pixels(augment(images, augmentation, seed=seed))
    # Pixels are of the order of 100: the first layer brings them down to that of 1.
    first = keras.initializers.VarianceScaling(scale=2e-4, mode="fan_in", seed=layer_seed(seed, "conv1"))
    outputs = _convolve(outputs, "conv1", filters=96, kernel_size=7, stride=2, initializer=first)
    outputs = _pool(outputs, "pool1")
    for number, squeezed, expanded, has_pooling in _FIRES:
        outputs = _fire(outputs, f"fire{number}", squeezed=squeezed, expanded=expanded, seed=seed)
        if has_pooling:
            outputs = _pool(outputs, f"pool{number}")
    outputs = keras.layers.ZeroPadding2D(1, name="conv_final_pad")(outputs)
    outputs = _convolve(
        outputs,
        "conv_final",
        filters=num_classes,
        kernel_size=1,
        initializer=keras.initializers.RandomNormal(stddev=0.01, seed=layer_seed(seed, "conv_final")),
        # With the ReLU behind it, a class that begins below 0 everywhere would never be learned.
        bias_initializer=keras.initializers.Constant(1.0),
    )
    logits = keras.layers.GlobalAveragePooling2D(dtype="float32", name="logits")(outputs)
    return keras.Model(images, logits, name="squeezenet")


def _to_caffe_pixels(images: Any) -> Any:
    """Scales to 0 to 255, turns RGB into BGR, and subtracts the mean; other channels keep their order."""
    num_channels = images.shape[-1]
    if num_channels == 3:
        images = keras.ops.flip(images, axis=-1)
    mean = _MEAN_BGR if num_channels == 3 else (_MEAN_GREY,) * num_channels
    return keras.layers.Rescaling([255.0] * num_channels, [-value for value in mean], name="caffe_pixels")(
        images
    )


def _fire(inputs: Any, name: str, *, squeezed: int, expanded: int, seed: int | None) -> Any:
    """A fire module: few channels, then many by 1 x 1 and by 3 x 3 convolutions side by side."""

    def convolve(inputs: Any, part: str, filters: int, kernel_size: int) -> Any:
        initializer = keras.initializers.HeNormal(seed=layer_seed(seed, f"{name}_{part}"))
        return _convolve(
            inputs, f"{name}_{part}", filters=filters, kernel_size=kernel_size, initializer=initializer
        )

    outputs = convolve(inputs, "conv1x1_1", squeezed, 1)
    branches = [convolve(outputs, "conv1x1_2", expanded, 1), convolve(outputs, "conv3x3_2", expanded, 3)]
    return keras.layers.Concatenate(name=f"{name}_concat")(branches)


def _convolve(
    inputs: Any,
    name: str,
    *,
    filters: int,
    kernel_size: int,
    initializer: keras.initializers.Initializer,
    stride: int = 1,
    bias_initializer: keras.initializers.Initializer | str = "zeros",
) -> Any:
    """A convolution and a ReLU; padded only where it is 3 x 3."""
    outputs = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding="same" if kernel_size == 3 else "valid",
        kernel_initializer=initializer,
        bias_initializer=bias_initializer,
        name=name,
    )(inputs)
    return keras.layers.ReLU(name=f"{name}_relu")(outputs)


def _pool(inputs: Any, name: str) -> Any:
    """3 x 3 maximum pooling with stride 2 that also looks at what is left over at the lower right edge.

    What is pooled has gone through a ReLU, so zeros may stand for what lies outside.
    """
    rows, columns = (max(3 - size, (size - 3) % 2) for size in inputs.shape[1:3])
    if rows or columns:
        inputs = keras.layers.ZeroPadding2D(((0, rows), (0, columns)), name=f"{name}_pad")(inputs)
    return keras.layers.MaxPooling2D(3, strides=2, name=name)(inputs)
