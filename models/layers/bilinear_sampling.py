"""Reading images between their pixels, with a gradient for where they are read."""

from typing import Any

import keras
from keras import ops

from bioattack.models.layers.xla import compiled_with_xla


def sample_bilinearly(images: Any, rows: Any, columns: Any) -> Any:
    """Reads each image at its own positions, as the weighted mean of the four pixels around each.

    ``V = sum_ij P_ij max(0, 1 - |column - j|) max(0, 1 - |row - i|)``: what lies outside the image is 0, and
    within one pixel of the border the image fades into it. On TensorFlow the whole of it is compiled with
    XLA, which makes it several times faster.

    Args:
        images: ``(batch, height, width, channels)``, float, any value range.
        rows: ``(batch, target_height, target_width)``, float, in pixels: pixel centres are the integers, 0
            the topmost.
        columns: The same, 0 the leftmost.

    Returns:
        ``(batch, target_height, target_width, channels)``, of the dtype of ``images``; the interpolation
        itself is float32 (float64 for float64).

    Gradient:
        With respect to images, rows and columns. Where a position is an integer, that of the pixels below
        and to the right of it; 0 for positions a pixel or more outside.

    Source:
        Jaderberg et al. 2015, equations 5 to 7; Burhanpurkar 2021, section 3.2.

    >>> row = ops.reshape(ops.arange(3.0), (1, 1, 3, 1))
    >>> positions = ops.reshape(ops.convert_to_tensor([0.25, 2.5, 5.0]), (1, 1, 3))
    >>> ops.convert_to_numpy(sample_bilinearly(row, 0.0 * positions, positions)).ravel().tolist()
    [0.25, 1.0, 0.0]
    """
    dtype = "float64" if keras.backend.standardize_dtype(images.dtype) == "float64" else "float32"
    sampled = _sample(ops.cast(images, dtype), ops.cast(rows, dtype), ops.cast(columns, dtype))
    return ops.cast(sampled, images.dtype)


@compiled_with_xla
def _sample(images: Any, rows: Any, columns: Any) -> Any:
    height, width, channels = images.shape[1:]
    # One pixel of nothing on each side takes the place of every case distinction at the border.
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    pixels = ops.reshape(padded, (-1, channels))
    top, row_weight = _cell(rows, size=height)
    left, column_weight = _cell(columns, size=width)
    bottom, right = ops.minimum(top + 1, height + 1), ops.minimum(left + 1, width + 1)
    first = ops.arange(ops.shape(images)[0], dtype="int32") * ((height + 2) * (width + 2))

    def read(row: Any, column: Any) -> Any:
        return ops.take(pixels, first[:, None, None] + row * (width + 2) + column, axis=0)

    above = read(top, left) * (1.0 - column_weight) + read(top, right) * column_weight
    below = read(bottom, left) * (1.0 - column_weight) + read(bottom, right) * column_weight
    return above * (1.0 - row_weight) + below * row_weight


def _cell(positions: Any, *, size: int) -> tuple[Any, Any]:
    """The pixel before each position, counted in the padded image, and the weight of the one after it."""
    inside = ops.clip(positions, -1.0, float(size))
    before = ops.floor(inside)
    return ops.cast(before, "int32") + 1, (inside - before)[..., None]
