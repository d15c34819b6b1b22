"""Gaussian blur, and blur with subsampling, as one constant matrix for each axis."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from bioattack.models.layers.separable_sampling import apply_separably


def gaussian_matrix(size: int, *, sigma: float, stride: int = 1, first: int = 0) -> np.ndarray[Any, Any]:
    """Gives the matrix that blurs one axis and keeps some of its pixels.

    The kernel is ``exp(-x**2 / (2 * sigma**2))`` at the integers from ``-4 sigma`` to ``4 sigma``, rounded
    outwards, normalised; outside the axis there are zeros.

    Args:
        size: Number of pixels of the axis.
        sigma: Standard deviation of the Gaussian in pixels, above 0.
        stride: Every ``stride``-th pixel is kept, 1 or more.
        first: The first pixel that is kept.

    Returns:
        float64 ``(kept pixels, size)``.

    Raises:
        ValueError: If ``sigma`` is not above 0.

    Source:
        The public code of Vuyyuru et al. 2020: blur of the cortical fixations, "same" padding with zeros.

    >>> gaussian_matrix(4, sigma=0.5, stride=2, first=1).round(3).tolist()
    [[0.106, 0.787, 0.106, 0.0], [0.0, 0.0, 0.106, 0.787]]
    """
    check_sigma(sigma)
    half = math.ceil(4 * sigma)
    kept = np.arange(first, size, stride)
    distance = np.abs(np.arange(size)[None, :] - kept[:, None])
    weights = np.where(distance <= half, np.exp(-(distance**2) / (2 * sigma**2)), 0.0)
    total = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma**2)).sum()
    return np.asarray(weights / total)


def check_sigma(sigma: Any) -> None:
    """Raises ValueError unless sigma is a finite number above 0."""
    is_number = isinstance(sigma, float | int) and not isinstance(sigma, bool)
    if not is_number or not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be a number above 0, in pixels. Received: sigma={sigma!r}")


@keras.saving.register_keras_serializable(package="bioattack")
class GaussianBlur(keras.layers.Layer):
    """Blurs whole images with a Gaussian; outside the image there are zeros.

    Args:
        sigma: Standard deviation of the Gaussian in pixels, above 0.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, any value range.

    Returns:
        The same shape as ``images``, darker within ``4 * sigma`` of the border.

    Raises:
        ValueError: If ``sigma`` is not above 0, or the images have no fixed height and width.

    Gradient:
        With respect to the images.

    >>> GaussianBlur(0.5)(keras.ops.ones((1, 8, 8, 3))).shape
    TensorShape([1, 8, 8, 3])
    """

    def __init__(self, sigma: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_sigma(sigma)
        self.sigma = sigma

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the matrices of both axes."""
        if len(input_shape) != 4 or None in input_shape[1:3]:
            raise ValueError(
                "images must be (batch, height, width, channels) with fixed height and width. "
                f"Received: input_shape={input_shape}"
            )
        self._matrices = [gaussian_matrix(size or 0, sigma=self.sigma)[None] for size in input_shape[1:3]]
        super().build(input_shape)

    def call(self, images: Any) -> Any:
        """Returns the blurred images."""
        dtype = keras.backend.result_type(images.dtype, "float32")
        rows, columns = (ops.convert_to_tensor(matrix, dtype=dtype) for matrix in self._matrices)
        return apply_separably(images, rows, columns)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the images."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {**super().get_config(), "sigma": self.sigma}
