"""The arithmetic of a JPEG codec in TensorFlow, with whatever stands for its rounding."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

_BLOCK = 8
# Tables K.1 and K.2 of the JPEG standard (ITU-T T.81), which libjpeg scales by the quality.
_LUMINANCE = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ]
).reshape(_BLOCK, _BLOCK)
_CHROMINANCE = np.full((_BLOCK, _BLOCK), 99)
_CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

# JFIF's colours: luminance, blueness and redness of red, green and blue.
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]]
)
_MIDDLE = 128.0


def smooth_round(values: tf.Tensor) -> tf.Tensor:
    """Rounds, but for the cube of what is rounded off, which leaves a gradient.

    Gradient:
        ``3 * (x - round(x))**2``: 0 at whole numbers and 3/4 midway between them.

    Source:
        Shin and Song 2017, JPEG-resistant Adversarial Images.

    >>> smooth_round(tf.constant([1.0, 1.4])).numpy().round(3)
    array([1.   , 1.064], dtype=float32)
    """
    nearest = tf.stop_gradient(tf.round(values))
    return nearest + (values - nearest) ** 3


def jpeg_pipeline(
    images: tf.Tensor, quality: int, *, rounding: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Compresses and decompresses as a baseline JPEG codec does, but in floating point.

    Colour, halved chroma (4:2:0, for 3 channels), cosine transform, division by the tables of the quality,
    rounding, and all of it back. With ``tf.round`` it differs from the codec by what the codec rounds
    elsewhere: colours, samples and transforms.

    Args:
        images: ``(batch, height, width, channels)``, float, [0, 1], 1 or 3 channels.
        quality: 1 to 100.
        rounding: Of the quantised coefficients, such as ``smooth_round``.

    Returns:
        The same shape and dtype, [0, 1].

    Gradient:
        As far as ``rounding`` has one; 0 where a value is cut off at black or white.

    >>> picture = tf.fill((1, 9, 9, 3), 0.5)
    >>> float(tf.reduce_max(tf.abs(jpeg_pipeline(picture, 90, rounding=tf.round) - picture))) < 2 / 255
    True
    """
    luminance, chrominance = (_scaled(table, quality) for table in (_LUMINANCE, _CHROMINANCE))
    values = 255 * images
    if images.shape[-1] == 1:
        return tf.clip_by_value(_through_blocks(values, luminance, rounding), 0, 255) / 255
    to_ycc = tf.constant(_TO_YCC, images.dtype)
    ycc = tf.einsum("bhwc,yc->bhwy", values, to_ycc)
    luma, chroma = ycc[..., :1], ycc[..., 1:] + _MIDDLE
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    chroma = _doubled(_through_blocks(_halved(chroma), chrominance, rounding))[:, :height, :width]
    planes = tf.concat([_through_blocks(luma, luminance, rounding), chroma - _MIDDLE], axis=-1)
    from_ycc = tf.constant(np.linalg.inv(_TO_YCC), images.dtype)
    return tf.clip_by_value(tf.einsum("bhwy,cy->bhwc", planes, from_ycc), 0, 255) / 255


def _scaled(table: np.ndarray, quality: int) -> np.ndarray:
    """The table at a quality, as libjpeg scales it."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.asarray(np.clip((table * percent + 50) // 100, 1, 255))


def _cosines() -> np.ndarray:
    """The orthonormal cosine transform, one row for each frequency."""
    place, frequency = np.arange(_BLOCK)[None, :], np.arange(_BLOCK)[:, None]
    rows = np.cos(np.pi * (2 * place + 1) * frequency / (2 * _BLOCK)) * np.sqrt(2 / _BLOCK)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)


def _through_blocks(
    planes: tf.Tensor, table: np.ndarray, rounding: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Quantises ``(batch, height, width, planes)`` block by block."""
    shape = tf.shape(planes)
    padded = _extended(planes, -shape[1] % _BLOCK, -shape[2] % _BLOCK) - _MIDDLE
    size = tf.shape(padded)
    blocks = tf.reshape(
        padded, (shape[0], size[1] // _BLOCK, _BLOCK, size[2] // _BLOCK, _BLOCK, planes.shape[-1])
    )
    cosines = tf.constant(_cosines(), planes.dtype)
    steps = tf.constant(table[:, None, :, None], planes.dtype)
    coefficients = tf.einsum("ux,bixjyc,vy->biujvc", cosines, blocks, cosines)
    quantised = rounding(coefficients / steps) * steps
    restored = tf.einsum("ux,biujvc,vy->bixjyc", cosines, quantised, cosines)
    return (tf.reshape(restored, size) + _MIDDLE)[:, : shape[1], : shape[2]]


def _extended(planes: tf.Tensor, num_rows: tf.Tensor, num_columns: tf.Tensor) -> tf.Tensor:
    """Repeats the last row and the last column."""
    planes = tf.concat([planes, tf.repeat(planes[:, -1:], num_rows, axis=1)], axis=1)
    return tf.concat([planes, tf.repeat(planes[:, :, -1:], num_columns, axis=2)], axis=2)


def _halved(planes: tf.Tensor) -> tf.Tensor:
    """Means of two by two values."""
    shape = tf.shape(planes)
    even = _extended(planes, shape[1] % 2, shape[2] % 2)
    pairs = tf.shape(even)[1:3] // 2
    return tf.reduce_mean(
        tf.reshape(even, (shape[0], pairs[0], 2, pairs[1], 2, planes.shape[-1])), axis=(2, 4)
    )


def _doubled(planes: tf.Tensor) -> tf.Tensor:
    """Twice the height and width: three quarters of the nearest value and one of the next, as libjpeg."""
    rows = _interpolated(planes)
    columns = _interpolated(tf.transpose(rows, (0, 2, 1, 3)))
    return tf.transpose(columns, (0, 2, 1, 3))


def _interpolated(planes: tf.Tensor) -> tf.Tensor:
    before = tf.concat([planes[:, :1], planes[:, :-1]], axis=1)
    after = tf.concat([planes[:, 1:], planes[:, -1:]], axis=1)
    both = tf.stack([0.75 * planes + 0.25 * before, 0.75 * planes + 0.25 * after], axis=2)
    shape = tf.shape(planes)
    return tf.reshape(both, (shape[0], 2 * shape[1], shape[2], planes.shape[-1]))
