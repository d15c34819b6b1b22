"""ResNet-18 as the fixation experiments on ImageNet10 use it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from bioattack.models.building import (
    augment,
    check_fraction,
    check_positive,
    check_sizes,
    classify,
    layer_seed,
    subsample,
)

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {"width": 16, "stem_stride": None, "pool_stride": None, "batch_norm_momentum": 0.9},
    "paper": {},
}


@dataclasses.dataclass(frozen=True)
class ResNet18Features:
    """Builds the part of ResNet-18 before its head: from images to pooled features.

    Call it once for each branch of a larger network; a ``prefix`` keeps the branches' layer names apart.
    To share one set of weights between branches, make a ``keras.Model`` of one call and call that.

    Args:
        width: Filters of the first stage; the others have 2, 4 and 8 times as many.
        stem_width: Filters of the first convolution; ``None``: ``width``. The published variants of width 45
            and 27 keep 64.
        stem_stride: Stride of the first convolution; ``None``: by the image size.
        pool_stride: Stride of the maximum pooling; ``None``: by the image size.
        batch_norm_momentum: Of every batch normalisation, in (0, 1).
        seed: Initial weights are a function of it and of the layers' names; ``None``: of the global state.
        prefix: Put in front of every layer's name.

    Call arguments:
        images: ``(batch, height, width, channels)``, values in [0, 1].

    Returns:
        Features ``(batch, 8 * width)``.

    Raises:
        ValueError: If a number is out of its range.

    Source:
        He et al. 2016, with the details of the reference code of Vuyyuru et al. 2020: biases in the
        convolutions, projection shortcuts in the first block of every stage.

    >>> images = keras.Input((40, 40, 3))
    >>> ResNet18Features(width=45, stem_width=64, stem_stride=1, pool_stride=1)(images).shape
    (None, 360)
    """

    width: int = 64
    stem_width: int | None = None
    stem_stride: int | None = 2
    pool_stride: int | None = 2
    batch_norm_momentum: float = 0.99
    seed: int | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("width", "stem_width", "stem_stride", "pool_stride")}
        check_positive(**{name: number for name, number in given.items() if number is not None})
        check_fraction(batch_norm_momentum=self.batch_norm_momentum)

    def __call__(self, images: Any) -> Any:
        """Returns the pooled features of the images."""
        stem_stride, pool_stride = strides_for(min(images.shape[1:3]))
        outputs = keras.layers.ZeroPadding2D(3, name=f"{self.prefix}pad1")(images)
        outputs = self._convolve(
            outputs,
            "conv1",
            filters=self.stem_width or self.width,
            kernel_size=7,
            stride=self.stem_stride or stem_stride,
        )
        outputs = keras.layers.ReLU(name=f"{self.prefix}relu1")(outputs)
        outputs = keras.layers.ZeroPadding2D(1, name=f"{self.prefix}pool_pad")(outputs)
        outputs = keras.layers.MaxPooling2D(3, self.pool_stride or pool_stride, name=f"{self.prefix}pool")(
            outputs
        )
        for stage in range(1, 5):
            for block in range(2):
                stride = 2 if stage > 1 and block == 0 else 1
                outputs = self._add_block(outputs, f"layer{stage}_{block}", stage=stage, stride=stride)
        return keras.layers.GlobalAveragePooling2D(name=f"{self.prefix}features")(outputs)

    def _add_block(self, inputs: Any, name: str, *, stage: int, stride: int) -> Any:
        """One residual block: two convolutions beside a shortcut, which the first of a stage projects."""
        filters = self.width * 2 ** (stage - 1)
        shortcut = inputs
        if name.endswith("_0"):
            shortcut = self._convolve(
                inputs, f"{name}_shortcut_conv", filters=filters, kernel_size=1, stride=stride
            )
        outputs = self._convolve(inputs, f"{name}_conv1", filters=filters, kernel_size=3, stride=stride)
        outputs = keras.layers.ReLU(name=f"{self.prefix}{name}_relu1")(outputs)
        outputs = self._convolve(outputs, f"{name}_conv2", filters=filters, kernel_size=3, stride=1)
        outputs = keras.layers.Add(name=f"{self.prefix}{name}_add")([shortcut, outputs])
        return keras.layers.ReLU(name=f"{self.prefix}{name}_relu2")(outputs)

    def _convolve(self, inputs: Any, name: str, *, filters: int, kernel_size: int, stride: int) -> Any:
        """A convolution with bias and the batch normalisation that follows it."""
        full_name = f"{self.prefix}{name}"
        if kernel_size == 1 and stride > 1:
            inputs, stride = subsample(inputs, stride, name=f"{full_name}_subsample"), 1
        outputs = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=stride,
            padding="valid" if name == "conv1" else "same",
            kernel_initializer=keras.initializers.GlorotUniform(seed=layer_seed(self.seed, full_name)),
            name=full_name,
        )(inputs)
        return keras.layers.BatchNormalization(
            momentum=self.batch_norm_momentum, epsilon=1.001e-5, name=self.prefix + name.replace("conv", "bn")
        )(outputs)


def strides_for(side: int) -> tuple[int, int]:
    """Gives the strides of stem and pooling for images of this side, chosen for what a processor can afford.

    Wider maps learn more in an epoch, but no more in the same time, and an attack on them costs 3.4 times as
    much. Test accuracy at width 16, one run each, in seconds of processor time: at 64 pixels, ten classes of
    Tiny ImageNet, strides (2, 2) 51.0 % in 196 s, (2, 1) 50.2 % in 207 s; 2,000 synthetic pictures, 33.6 % in
    136 s, 34.0 % in 125 s. At 32 pixels, 5,000 pictures of CIFAR-10, (1, 2) 51.6 % in 295 s, (1, 1) 49.8 % in
    233 s.
    """
    return (2, 2) if side >= 48 else (1, 2)


def resnet18(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: int = 64,
    stem_width: int | None = None,
    stem_stride: int | None = 2,
    pool_stride: int | None = 2,
    batch_norm_momentum: float = 0.99,
    augmentation: str = "paper",
    seed: int | None = None,
) -> keras.Model:
    """Builds ResNet-18 (11,200,458 parameters with ten classes as published).

    Args:
        image_shape: ``(height, width, channels)``.
        num_classes: Number of logits, 2 or more.
        width: Filters of the first stage; the others have 2, 4 and 8 times as many.
        stem_width: Filters of the first convolution; ``None``: ``width``.
        stem_stride: Stride of the first convolution; ``None``: by the image size.
        pool_stride: Stride of the maximum pooling; ``None``: by the image size.
        batch_norm_momentum: 0.99 as published; a run of a few epochs needs 0.9, because its moving averages
            do not come near the statistics of the data otherwise.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights and augmentation are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        The baseline of Vuyyuru et al. 2020: no weight decay, no dropout, Glorot-uniform initial weights.

    >>> resnet18((64, 64, 3), 10, width=16).count_params()
    707322
    """
    check_sizes(image_shape, num_classes)
    features = ResNet18Features(
        width=width,
        stem_width=stem_width,
        stem_stride=stem_stride,
        pool_stride=pool_stride,
        batch_norm_momentum=batch_norm_momentum,
        seed=seed,
    )
    images = keras.Input(image_shape, name="images")
    pooled = features(augment(images, augmentation, seed=seed))
    initializer = keras.initializers.GlorotUniform(seed=layer_seed(seed, "logits"))
    return keras.Model(images, classify(pooled, num_classes, initializer=initializer), name="resnet18")
