"""Looking at a part of an image: a crop around the point of gaze."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from bioattack.models.building import check_positive
from bioattack.models.layers.gaussian_blur import check_sigma, gaussian_matrix
from bioattack.models.layers.separable_sampling import apply_separably, interpolation_matrix


def crop_matrix(offsets: Any, *, size: int, crop: int) -> Any:
    """Gives the matrix that cuts a window out of one axis, at a place of its own for each image.

    The window begins at pixel ``size // 2 + offset - crop // 2``. Where that is no integer, pixels are
    interpolated; what lies outside the image is 0.

    Args:
        offsets: ``(batch,)``, float32 or float64, in pixels from the centre of the axis.
        size: Number of pixels of the axis.
        crop: Number of pixels of the window.

    Returns:
        ``(batch, crop, size)``, of the dtype of ``offsets``.

    Gradient:
        With respect to the offsets.

    >>> crop_matrix(ops.convert_to_tensor([1.0]), size=4, crop=2).numpy().tolist()
    [[[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]]
    """
    window = ops.arange(crop, dtype=offsets.dtype) + (size // 2 - crop // 2)
    return interpolation_matrix(offsets[:, None] + window[None, :], size=size)


def check_images_and_gaze(images_shape: Sequence[Any], gaze_shape: Sequence[Any], *, crop: int) -> None:
    """Raises ValueError unless a crop fits into the images and there is one gaze for each of them."""
    if len(images_shape) != 4 or None in images_shape[1:3] or min(images_shape[1:3]) < crop:
        raise ValueError(
            "images must be (batch, height, width, channels) with a fixed height and width of at least the "
            f"crop's {crop} pixels. Received: images_shape={tuple(images_shape)}"
        )
    if len(gaze_shape) != 2 or gaze_shape[1] != 2:
        raise ValueError(f"gaze must be (batch, 2), row and column. Received: gaze_shape={tuple(gaze_shape)}")


@keras.saving.register_keras_serializable(package="bioattack")
class CoarseFixation(keras.layers.Layer):
    """Cuts a square around the point of gaze; nothing is resampled at integer gazes.

    The crop's top left pixel is ``N // 2 + gaze - crop // 2``, of ``N`` pixels along an axis.

    Args:
        crop: Side of the square in pixels, 1 or more.
        upsample: Each pixel of the crop is repeated so many times on both axes, 1 or more.
        sigma: Standard deviation of a Gaussian blur of the crop in pixels, with zeros outside the crop;
            ``None``: no blur.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, any value range.
        gaze: ``(batch, 2)``, float, pixels from the image centre, row first. Any value: what lies outside the
            image is 0.

    Returns:
        ``(batch, crop * upsample, crop * upsample, channels)``, values within the range of the images and 0.

    Raises:
        ValueError: If an argument is out of its range, or the images are smaller than the crop.

    Gradient:
        With respect to the images and the gaze; at integer gazes that of the gaze jumps.

    Source:
        Vuyyuru et al. 2020 and its public code: crops of 224 of 320 pixels; of 160, upsampled by 2; of 240,
        blurred by 3 pixels.

    >>> CoarseFixation(24)(ops.zeros((2, 32, 32, 3)), ops.zeros((2, 2))).shape
    TensorShape([2, 24, 24, 3])
    """

    def __init__(self, crop: int, *, upsample: int = 1, sigma: float | None = None, **kwargs: Any) -> None:
        # Under mixed precision a gaze in bfloat16 would be rounded to half a pixel.
        super().__init__(autocast=False, **kwargs)
        check_positive(crop=crop, upsample=upsample)
        if sigma is not None:
            check_sigma(sigma)
        self.crop = crop
        self.upsample = upsample
        self.sigma = sigma

    def build(self, images_shape: tuple[int | None, ...], gaze_shape: tuple[int | None, ...]) -> None:
        """Checks the shapes."""
        check_images_and_gaze(images_shape, gaze_shape, crop=self.crop)
        super().build((images_shape, gaze_shape))

    def call(self, images: Any, gaze: Any) -> Any:
        """Returns the crops."""
        dtype = keras.backend.result_type(images.dtype, "float32")
        images, gaze = ops.cast(images, dtype), ops.cast(gaze, dtype)
        rows, columns = (self._matrix(gaze[:, axis], size=images.shape[1 + axis]) for axis in (0, 1))
        views = apply_separably(images, rows, columns)
        if self.upsample > 1:
            views = ops.repeat(ops.repeat(views, self.upsample, axis=1), self.upsample, axis=2)
        return ops.cast(views, self.compute_dtype)

    def _matrix(self, offsets: Any, *, size: int) -> Any:
        """The crop of one axis, and its blur."""
        matrix = crop_matrix(offsets, size=size, crop=self.crop)
        if self.sigma is None:
            return matrix
        blur = gaussian_matrix(self.crop, sigma=self.sigma)
        return ops.matmul(ops.convert_to_tensor(blur[None], dtype=matrix.dtype), matrix)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {
            **super().get_config(),
            "crop": self.crop,
            "upsample": self.upsample,
            "sigma": self.sigma,
        }
