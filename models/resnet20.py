"""The residual networks for CIFAR: ResNet-20, and with more blocks ResNet-32, 44, 56 and 110."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from bioattack.models.building import (
    augment,
    check_choice,
    check_fraction,
    check_positive,
    check_sizes,
    classify,
    layer_seed,
    standardise,
    subsample,
)
from bioattack.models.layers.padded_shortcut import PaddedShortcut

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {"batch_norm_momentum": 0.9},
    "paper": {},
}
SHORTCUTS = ("projection", "pad")


@dataclasses.dataclass(frozen=True)
class ResNet20Features:
    """Builds the part of a CIFAR ResNet before its head: from images to pooled features.

    Call it once for each branch of a larger network; a ``prefix`` keeps the branches' layer names apart.

    Args:
        width: Filters of the first stage; the others have 2 and 4 times as many.
        num_blocks: Residual blocks of each of the three stages: 3 make ResNet-20, 9 make ResNet-56.
        shortcut: ``"projection"`` or ``"pad"``, see ``resnet20``.
        batch_norm_momentum: Of every batch normalisation, in (0, 1).
        seed: Initial weights are a function of it and of the layers' names; ``None``: of the global state.
        prefix: Put in front of every layer's name.

    Call arguments:
        images: ``(batch, height, width, channels)``.

    Returns:
        Features ``(batch, 4 * width)``.

    Raises:
        ValueError: If an argument is out of its range.

    >>> ResNet20Features(width=22)(keras.Input((15, 15, 3))).shape
    (None, 88)
    """

    width: int = 16
    num_blocks: int = 3
    shortcut: str = "projection"
    batch_norm_momentum: float = 0.99
    seed: int | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        check_positive(width=self.width, num_blocks=self.num_blocks)
        check_choice("shortcut", self.shortcut, choices=SHORTCUTS)
        check_fraction(batch_norm_momentum=self.batch_norm_momentum)

    def __call__(self, images: Any) -> Any:
        """Returns the pooled features of the images."""
        outputs = self._normalise(self._convolve(images, "conv1", filters=self.width), "bn1")
        outputs = keras.layers.ReLU(name=f"{self.prefix}relu1")(outputs)
        for stage in range(1, 4):
            for block in range(self.num_blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                outputs = self._add_block(outputs, f"layer{stage}_{block}", stage=stage, stride=stride)
        return keras.layers.GlobalAveragePooling2D(name=f"{self.prefix}features")(outputs)

    def _add_block(self, inputs: Any, name: str, *, stage: int, stride: int) -> Any:
        """One residual block; its shortcut changes shape where a stage begins, but for the first."""
        filters = self.width * 2 ** (stage - 1)
        shortcut = inputs
        if stride > 1:
            shortcut = self._shorten(inputs, f"{name}_shortcut", filters=filters, stride=stride)
        outputs = self._convolve(inputs, f"{name}_conv1", filters=filters, stride=stride)
        outputs = self._normalise(outputs, f"{name}_bn1")
        outputs = keras.layers.ReLU(name=f"{self.prefix}{name}_relu1")(outputs)
        outputs = self._convolve(outputs, f"{name}_conv2", filters=filters)
        outputs = self._normalise(outputs, f"{name}_bn2")
        outputs = keras.layers.Add(name=f"{self.prefix}{name}_add")([shortcut, outputs])
        return keras.layers.ReLU(name=f"{self.prefix}{name}_relu2")(outputs)

    def _shorten(self, inputs: Any, name: str, *, filters: int, stride: int) -> Any:
        """The shortcut of a block that changes the shape."""
        if self.shortcut == "projection":
            return self._convolve(inputs, name, filters=filters, kernel_size=1, stride=stride)
        return PaddedShortcut(stride=stride, num_channels=filters, name=self.prefix + name)(inputs)

    def _convolve(
        self, inputs: Any, name: str, *, filters: int, kernel_size: int = 3, stride: int = 1
    ) -> Any:
        """A convolution, padded as the form of the network wants it."""
        full_name = self.prefix + name
        is_published = self.shortcut == "pad"
        if kernel_size == 1 and stride > 1:
            inputs, stride = subsample(inputs, stride, name=f"{full_name}_subsample"), 1
        if is_published and stride > 1:
            # "same" would pad one side only where the stride is 2, and shift the published features.
            inputs = keras.layers.ZeroPadding2D(1, name=f"{full_name}_pad")(inputs)
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=stride,
            padding="valid" if is_published and stride > 1 else "same",
            use_bias=not is_published,
            kernel_initializer=keras.initializers.HeNormal(seed=layer_seed(self.seed, full_name)),
            kernel_regularizer=keras.regularizers.L2(1e-4),
            name=full_name,
        )(inputs)

    def _normalise(self, inputs: Any, name: str) -> Any:
        """Batch normalisation with the constant of the form of the network."""
        return keras.layers.BatchNormalization(
            momentum=self.batch_norm_momentum,
            epsilon=1e-5 if self.shortcut == "pad" else 1e-3,
            name=self.prefix + name,
        )(inputs)


def resnet20(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: int = 16,
    num_blocks: int = 3,
    shortcut: str = "projection",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    batch_norm_momentum: float = 0.99,
    augmentation: str = "paper",
    seed: int | None = None,
) -> keras.Model:
    """Builds ResNet-20 for small images, or a deeper one of its family.

    ``shortcut="projection"`` is the published network of the fixation experiments (274,442 parameters with
    ten classes): shortcuts are 1 x 1 convolutions without normalisation, convolutions have biases.
    ``shortcut="pad"`` is the network of the widely used PyTorch weights (269,722 parameters and 1,376 moving
    statistics): shortcuts without weights, no biases, symmetric padding, batch normalisation epsilon 1e-5.

    Args:
        image_shape: ``(height, width, channels)``.
        num_classes: Number of logits, 2 or more.
        width: Filters of the first stage; the others have 2 and 4 times as many.
        num_blocks: Residual blocks of each of the three stages: 3 make ResNet-20, 9 make ResNet-56.
        shortcut: ``"projection"`` or ``"pad"``.
        mean: Subtracted from each channel inside the model; ``None``: nothing.
        std: Each channel is divided by it inside the model; ``None``: nothing.
        batch_norm_momentum: 0.99 as published, 0.9 for runs of a few epochs.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights and augmentation are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits. Its L2 penalty of 1e-4 on every
        convolution kernel is among ``model.losses``.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        He et al. 2016, section 4.2; the projection form as in the reference code of Vuyyuru et al. 2020.

    >>> resnet20((32, 32, 3), 10).count_params()
    274442
    """
    check_sizes(image_shape, num_classes)
    features = ResNet20Features(
        width=width,
        num_blocks=num_blocks,
        shortcut=shortcut,
        batch_norm_momentum=batch_norm_momentum,
        seed=seed,
    )
    images = keras.Input(image_shape, name="images")
    outputs = standardise(augment(images, augmentation, seed=seed), mean=mean, std=std)
    initializer = keras.initializers.HeNormal(seed=layer_seed(seed, "logits"))
    logits = classify(features(outputs), num_classes, initializer=initializer)
    return keras.Model(images, logits, name="resnet20")
