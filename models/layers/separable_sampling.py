"""Linear resampling that treats rows and columns apart: two matrix products, and no pixel is gathered."""

from typing import Any

import keras
from keras import ops


def resample_separably(images: Any, *, rows: Any, columns: Any) -> Any:
    """Reads images bilinearly on a grid of rows and columns, as two matrix products.

    On processors this is several times faster than gathering pixels, and its gradient needs no scatter.

    Args:
        images: ``(batch, height, width, channels)``, float.
        rows: ``(batch, target_height)``, float, positions in pixels; what lies outside the image is 0.
        columns: ``(batch, target_width)``, float, likewise.

    Returns:
        ``(batch, target_height, target_width, channels)``, of the dtype of ``images``.

    Gradient:
        With respect to images, rows and columns.
    """
    height, width = images.shape[1:3]
    dtype = _working_dtype(images)
    return apply_separably(
        images,
        interpolation_matrix(ops.cast(rows, dtype), size=height),
        interpolation_matrix(ops.cast(columns, dtype), size=width),
    )


def apply_separably(images: Any, row_matrix: Any, column_matrix: Any) -> Any:
    """Multiplies the rows and the columns of each image by a matrix of its own.

    Args:
        images: ``(batch, height, width, channels)``, float.
        row_matrix: ``(batch, target_height, height)``, float32 or float64.
        column_matrix: ``(batch, target_width, width)``, the same.

    Returns:
        ``(batch, target_height, target_width, channels)``, of the dtype of ``images``.

    Gradient:
        With respect to images and both matrices.
    """
    height, width, channels = images.shape[1:]
    target_height, target_width = row_matrix.shape[1], column_matrix.shape[1]
    outputs = ops.reshape(ops.cast(images, _working_dtype(images)), (-1, height, width * channels))
    outputs = ops.matmul(row_matrix, outputs)
    outputs = ops.reshape(outputs, (-1, target_height, width, channels))
    outputs = ops.reshape(ops.transpose(outputs, (0, 2, 1, 3)), (-1, width, target_height * channels))
    outputs = ops.matmul(column_matrix, outputs)
    outputs = ops.reshape(outputs, (-1, target_width, target_height, channels))
    return ops.cast(ops.transpose(outputs, (0, 2, 1, 3)), images.dtype)


def interpolation_matrix(positions: Any, *, size: int) -> Any:
    """Gives the weights of bilinear reading: the hat function around each position.

    Args:
        positions: ``(batch, targets)``, float, in pixels.
        size: Number of pixels.

    Returns:
        ``(batch, targets, size)``. At integer positions it picks pixels exactly; outside it is 0.
    """
    distance = ops.abs(positions[:, :, None] - ops.arange(size, dtype=positions.dtype))
    return ops.relu(1.0 - distance)


def _working_dtype(images: Any) -> str:
    return "float64" if keras.backend.standardize_dtype(images.dtype) == "float64" else "float32"
