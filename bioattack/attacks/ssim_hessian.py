"""Products with the Hessian of structural similarity, laid out for speed, and a preconditioner for it."""

import dataclasses
from typing import Any, Final

import numpy as np
import tensorflow as tf

# Sides of the preconditioner's blocks, each in units of the blocks before: 8, 32, 128, ... pixels.
_FIRST_BLOCK: Final = 8
_NEXT_BLOCK: Final = 4


@dataclasses.dataclass(frozen=True)
class RowLayout:
    """Images as ``(height, width * batch * channels)``: the columns of all images and channels side by side.

    Then neighbours in both directions of a picture lie a constant distance apart in memory, and long runs of
    numbers are treated alike, be it many small images or one large one. Everything below is written in slices
    and sums, which XLA turns into a few passes over memory.

    Args:
        num_images: How many.
        height: Of an image.
        width: Of an image.
        num_channels: Of an image.
    """

    num_images: int
    height: int
    width: int
    num_channels: int

    @property
    def stride(self) -> int:
        """From one column of an image to the next."""
        return self.num_images * self.num_channels

    def rows(self, images: tf.Tensor) -> tf.Tensor:
        """Lays out images ``(batch, height, width, channels)``."""
        return tf.reshape(tf.transpose(images, (1, 2, 0, 3)), (self.height, self.width * self.stride))

    def images(self, rows: tf.Tensor) -> tf.Tensor:
        """The inverse of ``rows``."""
        shape = (self.height, self.width, self.num_images, self.num_channels)
        return tf.transpose(tf.reshape(rows, shape), (2, 0, 1, 3))

    def sum_of_products(self, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        """Gives each image's inner product ``(batch,)`` of two tensors in this layout."""
        # In two steps: the first runs along the rows, and neither adds up a long line one by one.
        columns = tf.reduce_sum(one * other, axis=0)
        shape = (self.width, self.num_images, self.num_channels)
        return tf.reduce_sum(tf.reshape(columns, shape), axis=(0, 2))

    def spread(self, of_images: tf.Tensor) -> tf.Tensor:
        """Repeats one number for each image ``(batch,)`` along a row ``(width * batch * channels,)``."""
        shape = (self.width, self.num_images, self.num_channels)
        return tf.reshape(tf.broadcast_to(of_images[None, :, None], shape), (-1,))


class RowBlur:
    """Means under a window, and their transpose, of tensors in the row layout.

    Args:
        layout: The layout of the pixels.
        window: ``(size,)``, the weights along one axis.
        padding: ``"symmetric"`` or ``"valid"``; see ``bioattack.distances.windows.blur``.
    """

    def __init__(self, layout: RowLayout, window: np.ndarray[Any, Any], *, padding: str) -> None:
        self.layout = layout
        self.window = window
        self.padding = padding

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """Takes the means: pixels to windows."""
        return self._along_rows(self._along_columns(rows, "forward"), "forward")

    def transposed(self, rows: tf.Tensor) -> tf.Tensor:
        """Windows to pixels."""
        # The mirrored blur is its own transpose; see `blur_transposed`.
        direction = "forward" if self.padding == "symmetric" else "back"
        return self._along_rows(self._along_columns(rows, direction), direction)

    def _along_columns(self, rows: tf.Tensor, direction: str) -> tf.Tensor:
        return _weigh(self._padded(rows, direction, axis=0), self.window, stride=1, axis=0)

    def _along_rows(self, rows: tf.Tensor, direction: str) -> tf.Tensor:
        pixels = tf.reshape(rows, (rows.shape[0], -1, self.layout.stride))
        padded = tf.reshape(self._padded(pixels, direction, axis=1), (rows.shape[0], -1))
        return _weigh(padded, self.window, stride=self.layout.stride, axis=1)

    def _padded(self, values: tf.Tensor, direction: str, *, axis: int) -> tf.Tensor:
        if self.padding == "valid" and direction == "forward":
            return values
        reach = len(self.window) // 2 if self.padding == "symmetric" else len(self.window) - 1
        paddings = [[0, 0] for _ in values.shape]
        paddings[axis] = [reach, reach]
        return tf.pad(values, paddings, "SYMMETRIC" if self.padding == "symmetric" else "CONSTANT")


def _weigh(values: tf.Tensor, window: np.ndarray[Any, Any], *, stride: int, axis: int) -> tf.Tensor:
    """Weighted sums of ``size`` values that lie ``stride`` apart along an axis."""
    reach = len(window) // 2
    number = values.shape[axis] - 2 * reach * stride

    def shifted(offset: int) -> tf.Tensor:
        return values[offset : offset + number] if axis == 0 else values[:, offset : offset + number]

    total = float(window[reach]) * shifted(reach * stride)
    for place in range(reach):
        both = shifted(place * stride) + shifted((2 * reach - place) * stride)
        total += float(window[place]) * both
    return total


class StructuralHessian:
    """The Hessian of n/2 times 1 - SSIM(image, .) at the image, n its number of windows and channels.

    ``H d = G'((a - b) G d) + (G'b) d`` with the blur G, means mu and variances s2 under its windows,
    ``a = 1 / (2 mu^2 + C1)`` and ``b = 1 / (2 s2 + C2)``.

    Args:
        rows: The images in the row layout.
        blur: Its windows.
        constants: C1 and C2.
    """

    def __init__(self, rows: tf.Tensor, blur: RowBlur, constants: tuple[float, float]) -> None:
        self.layout, self.blur = blur.layout, blur
        means = blur(rows)
        variances = tf.maximum(blur(tf.square(rows)) - tf.square(means), 0.0)
        luminance = 1.0 / (2.0 * tf.square(means) + constants[0])
        contrast = 1.0 / (2.0 * variances + constants[1])
        self.of_means = luminance - contrast
        self.of_pixels = blur.transposed(contrast)
        self.of_plains = blur.transposed(luminance)

    def product(self, rows: tf.Tensor) -> tf.Tensor:
        """Multiplies with the Hessian."""
        return self.blur.transposed(self.of_means * self.blur(rows)) + self.of_pixels * rows

    def diagonal(self) -> tf.Tensor:
        """Its diagonal, but for products of two mirrored weights at the rim."""
        squared = RowBlur(self.layout, self.blur.window**2, padding=self.blur.padding)
        return squared.transposed(self.of_means) + self.of_pixels


class BlockPreconditioner:
    """Approximates the inverse of the Hessian by its diagonal and by means over blocks of growing size.

    Where a picture is bright and plain, a change costs 500 times less if it is smooth than if it is not, and
    the diagonal knows only of the latter. A block of s x s pixels as a direction ``1_B`` meets
    ``1_B' H 1_B``, about ``sum over B of k a + (1 - k) b``, where ``k`` is what is left of the block's square
    after the blur. Adding ``sum over blocks of (sum of r over B) / (1_B' H 1_B)`` halves the number of
    iterations on photographs at almost no cost.

    Args:
        hessian: The Hessian.

    Source:
        The additive multilevel preconditioners of Bramble, Pasciak and Xu 1990, with blocks as functions.
    """

    def __init__(self, hessian: StructuralHessian) -> None:
        self.layout = hessian.layout
        self.inverse_diagonal = 1.0 / hessian.diagonal()
        self.sides = _block_sides(self.layout)
        plain, rough = hessian.of_plains, hessian.of_pixels
        self.inverses = []
        for place in range(len(self.sides)):
            plain, rough = self._sums(plain, place), self._sums(rough, place)
            kept = _kept_square(hessian.blur.window, int(np.prod(self.sides[: place + 1])))
            self.inverses.append(1.0 / (kept * plain + (1.0 - kept) * rough))

    def apply(self, rows: tf.Tensor) -> tf.Tensor:
        """Multiplies with the approximate inverse."""
        sums = [rows]
        for place in range(len(self.sides)):
            sums.append(self._sums(sums[-1], place))
        found = tf.zeros_like(sums[-1])
        for place in reversed(range(len(self.sides))):
            found = self._repeated(found + sums[place + 1] * self.inverses[place], place, sums[place].shape)
        return found + rows * self.inverse_diagonal

    def _sums(self, rows: tf.Tensor, place: int) -> tf.Tensor:
        """Sums over the blocks of a level; those at the lower and right rim are cut off by it."""
        side, stride = self.sides[place], self.layout.stride
        height, width = rows.shape[0], rows.shape[1] // stride
        down = tf.pad(rows, ((0, -height % side), (0, 0)))
        down = tf.reduce_sum(tf.reshape(down, (-1, side, width * stride)), axis=1)
        across = tf.pad(down, ((0, 0), (0, (-width % side) * stride)))
        across = tf.reduce_sum(tf.reshape(across, (down.shape[0], -1, side, stride)), axis=2)
        return tf.reshape(across, (down.shape[0], -1))

    def _repeated(self, sums: tf.Tensor, place: int, shape: Any) -> tf.Tensor:
        """Repeats each block's value over its pixels."""
        side, stride = self.sides[place], self.layout.stride
        across = tf.reshape(sums, (sums.shape[0], -1, 1, stride))
        across = tf.broadcast_to(across, (*across.shape[:2], side, stride))
        across = tf.reshape(across, (sums.shape[0], 1, -1))[:, :, : shape[1]]
        down = tf.broadcast_to(across, (sums.shape[0], side, shape[1]))
        return tf.reshape(down, (-1, shape[1]))[: shape[0]]


def _block_sides(layout: RowLayout) -> tuple[int, ...]:
    """Each level's side in units of the level before, until one block holds a good part of the image."""
    sides, side = [_FIRST_BLOCK], _FIRST_BLOCK
    while 2 * side < max(layout.height, layout.width):
        sides.append(_NEXT_BLOCK)
        side *= _NEXT_BLOCK
    return tuple(sides)


def _kept_square(window: np.ndarray[Any, Any], side: int) -> float:
    """The share of the square of a block's indicator that the blur keeps; both factor over the axes."""
    blurred = np.convolve(np.ones(side), window)
    return float((np.sum(blurred**2) / side) ** 2)
