"""Gaussian windows: means under them, and the exact transpose of taking means."""

from typing import Any, Final

import numpy as np
import tensorflow as tf

PADDINGS: Final = ("valid", "symmetric")


def gaussian_window(size: int = 11, sigma: float = 1.5) -> np.ndarray[Any, Any]:
    """Makes the weights of a window along one axis.

    Args:
        size: Number of pixels, odd and at least 1.
        sigma: Standard deviation in pixels, above 0.

    Returns:
        ``(size,)``, float64, summing to 1. The window over an image is the product of one along each axis.

    Raises:
        ValueError: If a number is out of range.

    Source:
        Wang et al. 2004, section III-C: 11 x 11 pixels, standard deviation 1.5.

    >>> gaussian_window(3, 0.5).round(3).tolist()
    [0.107, 0.787, 0.107]
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"window_size must be odd and at least 1. Received: window_size={size}")
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0. Received: sigma={sigma}")
    weights = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def blur(images: tf.Tensor, window: np.ndarray[Any, Any], *, padding: str = "valid") -> tf.Tensor:
    """Takes the mean under the window around every pixel.

    Args:
        images: ``(batch, height, width, channels)``, float, any range.
        window: ``(size,)``, the weights along one axis, symmetric.
        padding: ``"valid"``: only windows that lie within the image, so that the result is smaller by
            ``size - 1``; ``"symmetric"``: the image is mirrored at its rim, the outermost pixel included, and
            keeps its size.

    Returns:
        ``(batch, rows, columns, channels)``, in the dtype of the images.

    Raises:
        ValueError: If there is no such padding.

    Gradient:
        With respect to the images: ``blur_transposed``.

    >>> blur(tf.ones((1, 12, 11, 3)), gaussian_window()).shape
    TensorShape([1, 2, 1, 3])
    """
    _check_padding(padding)
    if padding == "symmetric":
        reach = len(window) // 2
        images = tf.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), "SYMMETRIC")
    return _under_window(images, window)


def blur_transposed(values: tf.Tensor, window: np.ndarray[Any, Any], *, padding: str = "valid") -> tf.Tensor:
    """Multiplies with the transpose of ``blur``: hands each window's value back to the pixels under it.

    Args:
        values: ``(batch, rows, columns, channels)``, one for each window, as ``blur`` gives them.
        window: The same as there.
        padding: The same as there.

    Returns:
        ``(batch, height, width, channels)``, in the dtype of the values.

    Raises:
        ValueError: If there is no such padding.

    >>> blur_transposed(tf.ones((1, 2, 1, 3)), gaussian_window()).shape
    TensorShape([1, 12, 11, 3])
    """
    _check_padding(padding)
    if padding == "symmetric":
        # A window that reaches i pixels past the rim takes pixel j with the weight with which one that
        # reaches j past it takes pixel i: with a mirror before the first pixel the blur is its own transpose.
        return blur(values, window, padding="symmetric")
    reach = len(window) - 1
    return _under_window(tf.pad(values, ((0, 0), (reach, reach), (reach, reach), (0, 0))), window)


def _under_window(images: tf.Tensor, window: np.ndarray[Any, Any]) -> tf.Tensor:
    """One axis after the other: 22 products for each pixel instead of 121."""
    weights = tf.constant(window, images.dtype)
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        filters = tf.tile(tf.reshape(weights, shape), (1, 1, images.shape[-1], 1))
        images = tf.nn.depthwise_conv2d(images, filters, (1, 1, 1, 1), "VALID")
    return images


def _check_padding(padding: str) -> None:
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}. Received: padding={padding!r}")
