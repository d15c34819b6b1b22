"""The networks whose features learned distances compare: VGG16, AlexNet and SqueezeNet as in torchvision."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

Pooling: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a trunk.

    Args:
        kind: ``"convolution"`` with ReLU, ``"fire"`` (SqueezeNet's module), ``"pool"`` or ``"tap"``.
        name: What torchvision calls the layer.
        channels: That come out; of a fire module those of each of its two expanding convolutions.
        size: Of the kernel; of a fire module the channels it squeezes to.
        stride: Of the convolution.
        padding: Pixels of 0 on every side of a convolution's input.
    """

    kind: str
    name: str = ""
    channels: int = 0
    size: int = 3
    stride: int = 1
    padding: int = 0


@dataclasses.dataclass(frozen=True)
class TrunkDesign:
    """The steps of a trunk.

    Args:
        steps: In order.
        pool_size: Side of the maximum pooling's windows, which are two pixels apart.
        pools_rim: Whether windows that reach beyond the rim count (torchvision's ceiling mode).
        least_size: Least height and width of images.
    """

    steps: tuple[Step, ...]
    pool_size: int
    pools_rim: bool
    least_size: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all kernels, HWIO; each has a bias beside it."""
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = 3
        for step in self.steps:
            if step.kind == "convolution":
                shapes[step.name] = (step.size, step.size, inputs, step.channels)
                inputs = step.channels
            elif step.kind == "fire":
                shapes[f"{step.name}.squeeze"] = (1, 1, inputs, step.size)
                shapes[f"{step.name}.expand1x1"] = (1, 1, step.size, step.channels)
                shapes[f"{step.name}.expand3x3"] = (3, 3, step.size, step.channels)
                inputs = 2 * step.channels
        return shapes


def _plain(widths: Sequence[Sequence[int]]) -> tuple[Step, ...]:
    """Convolutions 3 x 3 in blocks, a tap after each, pooling between them."""
    steps: list[Step] = []
    place = 0
    for block in widths:
        for width in block:
            steps.append(Step("convolution", f"features.{place}", width, padding=1))
            place += 2
        steps += [Step("tap"), Step("pool")]
        place += 1
    return tuple(steps[:-1])


def _fires(first: Step, rest: str, widths: Sequence[int]) -> tuple[Step, ...]:
    """A convolution and fire modules: ``f`` in ``rest`` is a module, ``p`` a pooling, ``t`` a tap."""
    steps, place, left = [first, Step("tap")], 2, list(widths)
    for letter in rest:
        if letter == "f":
            width = left.pop(0)
            steps.append(Step("fire", f"features.{place}", width, width // 4))
        else:
            steps.append(Step("pool" if letter == "p" else "tap"))
        place += letter in "fp"
    return tuple(steps)


_ALEX_STEPS = (
    Step("convolution", "features.0", 64, size=11, stride=4, padding=2),
    Step("tap"),
    Step("pool"),
    Step("convolution", "features.3", 192, size=5, padding=2),
    Step("tap"),
    Step("pool"),
    Step("convolution", "features.6", 384, padding=1),
    Step("tap"),
    Step("convolution", "features.8", 256, padding=1),
    Step("tap"),
    Step("convolution", "features.10", 256, padding=1),
    Step("tap"),
)
_VGG_WIDTHS = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
_FIRE_WIDTHS = (64, 64, 128, 128, 192, 192, 256, 256)

# Layers are numbered as in torchvision.
TRUNKS: Mapping[str, TrunkDesign] = {
    "vgg16": TrunkDesign(_plain(_VGG_WIDTHS), 2, pools_rim=False, least_size=16),
    "alexnet": TrunkDesign(_ALEX_STEPS, 3, pools_rim=False, least_size=31),
    "squeezenet-1.0": TrunkDesign(
        _fires(Step("convolution", "features.0", 96, size=7, stride=2), "pfftfpftftftftpft", _FIRE_WIDTHS),
        3,
        pools_rim=True,
        least_size=29,
    ),
    "squeezenet-1.1": TrunkDesign(
        _fires(Step("convolution", "features.0", 64, size=3, stride=2), "pfftpfftpftftftft", _FIRE_WIDTHS),
        3,
        pools_rim=True,
        least_size=25,
    ),
}


@dataclasses.dataclass(frozen=True)
class Colours:
    """What a trunk's weights want of an RGB image in [0, 1]: ``(image * scale - mean) / spread``.

    Args:
        scale: 1 or 255.
        mean: Of each channel, in the order in which the network sees them.
        spread: The same.
        is_reversed: Whether the network sees blue first.
    """

    scale: float
    mean: tuple[float, float, float]
    spread: tuple[float, float, float]
    is_reversed: bool

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Returns what the network sees; grey images are repeated in three channels."""
        if images.shape[-1] not in (1, 3):
            raise ValueError(f"images must have 1 or 3 channels. Received: shape {images.shape}")
        images = images if images.shape[-1] == 3 else tf.repeat(images, 3, -1)
        images = tf.reverse(images, [-1]) if self.is_reversed else images
        kind = images.dtype.as_numpy_dtype
        return (images * kind(self.scale) - np.array(self.mean, kind)) / np.array(self.spread, kind)


TORCHVISION_COLOURS = Colours(1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), is_reversed=False)


class Trunk:
    """A network that turns images into feature maps.

    Args:
        name: How tables call it.
        least_size: Least height and width of images.
    """

    name: str = ""
    least_size: int = 1

    def taps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Returns feature maps ``(batch, height, width, channels)``, in the dtype of the images."""
        raise NotImplementedError


class ConvolutionTrunk(Trunk):
    """A trunk whose weights are at hand.

    Args:
        name: How tables call it.
        design: Its steps.
        arrays: ``<layer>/kernel`` (HWIO) and ``<layer>/bias`` for each of ``design.shapes()``.
        colours: What the weights want of images.
        pooling: In place of the design's maximum pooling.

    Raises:
        ValueError: If an array is missing or of another shape.
    """

    def __init__(
        self,
        name: str,
        design: TrunkDesign,
        *,
        arrays: Mapping[str, np.ndarray],
        colours: Colours = TORCHVISION_COLOURS,
        pooling: Pooling | None = None,
    ) -> None:
        self.name, self.least_size = name, design.least_size
        self._design, self._colours, self._pooling = design, colours, pooling
        self._weights = {}
        for layer, shape in design.shapes().items():
            for part, wanted in ((f"{layer}/kernel", shape), (f"{layer}/bias", shape[-1:])):
                if part not in arrays:
                    raise ValueError(f"weights of {name} lack {part}")
                if arrays[part].shape != wanted:
                    raise ValueError(
                        f"{part} of {name} must have the shape {wanted}. Received: shape {arrays[part].shape}"
                    )
                self._weights[part] = tf.Variable(arrays[part], trainable=False, dtype=tf.float32)

    def taps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Returns the feature maps at the taps."""
        values, found = self._colours(images), []
        for step in self._design.steps:
            if step.kind == "tap":
                found.append(values)
            elif step.kind == "pool":
                values = (self._pooling or self._pool)(values)
            elif step.kind == "fire":
                values = self._convolve(values, f"{step.name}.squeeze")
                values = tf.concat(
                    [
                        self._convolve(values, f"{step.name}.expand1x1"),
                        self._convolve(values, f"{step.name}.expand3x3", padding=1),
                    ],
                    -1,
                )
            else:
                values = self._convolve(values, step.name, stride=step.stride, padding=step.padding)
        return found

    def _convolve(self, values: tf.Tensor, name: str, *, stride: int = 1, padding: int = 0) -> tf.Tensor:
        kernel, bias = (tf.cast(self._weights[f"{name}/{part}"], values.dtype) for part in ("kernel", "bias"))
        rim = [[0, 0], [padding] * 2, [padding] * 2, [0, 0]]
        return tf.nn.relu(tf.nn.conv2d(values, kernel, stride, rim) + bias)

    def _pool(self, values: tf.Tensor) -> tf.Tensor:
        size = self._design.pool_size
        if self._design.pools_rim:
            # After a ReLU, zeros at the rim are never above what a window holds.
            over = [(2 - (length - size) % 2) % 2 for length in values.shape[1:3]]
            values = tf.pad(values, [[0, 0], [0, over[0]], [0, over[1]], [0, 0]])
        return tf.nn.max_pool2d(values, size, 2, "VALID")
