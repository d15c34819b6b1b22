"""The sampler of the spatial transformer: every image seen through an affine map of its own."""

from typing import Any

import keras
from keras import ops

from bioattack.models.layers.bilinear_sampling import sample_bilinearly
from bioattack.models.layers.separable_sampling import resample_separably


@keras.saving.register_keras_serializable(package="bioattack")
class AffineSampling(keras.layers.Layer):
    """Reads each image bilinearly where an affine map sends the pixels of the output.

    Positions are (x, y): x to the right and y down, both -1 to 1 across the image. The output pixel at
    (x, y) is read from ``(a x + b y + c, d x + e y + f)``, where the matrix is ``[[a, b, c], [d, e, f]]``;
    what lies outside the image is 0. The identity ``[[1, 0, 0], [0, 1, 0]]`` gives the image itself, a matrix
    of smaller numbers magnifies. Positions are float32 under mixed precision too.

    Args:
        align_corners: Whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        is_axis_aligned: Promises that ``b`` and ``d`` are 0, and does not read them. Rows and columns are
            then resampled apart, as matrix products: a step of training takes half to a third of the time,
            and nothing is compiled for each batch size.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, any value range.
        matrices: ``(batch, 2, 3)``, float.

    Returns:
        The shape and dtype of ``images``; values between 0 and those of the image.

    Raises:
        ValueError: If the images have no fixed height and width, or the matrices another shape.

    Gradient:
        With respect to images and matrices. Where a position falls on a pixel's centre exactly, the slope in
        it is that to the right of (below) the pixel, or 0 if ``is_axis_aligned``.

    Source:
        Jaderberg et al. 2015, equations 1 and 5 to 7. They leave open which of the two conventions of
        ``align_corners`` holds; TensorFlow code of the time has it True, PyTorch since 1.3 False.

    >>> half = ops.convert_to_tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]])
    >>> image = ops.reshape(ops.arange(5.0), (1, 1, 5, 1))
    >>> ops.convert_to_numpy(AffineSampling()(image, half)).ravel().tolist()
    [1.0, 1.5, 2.0, 2.5, 3.0]
    """

    def __init__(self, *, align_corners: bool = True, is_axis_aligned: bool = False, **kwargs: Any) -> None:
        # Matrices in bfloat16 would put whole pixels in the wrong place.
        super().__init__(autocast=False, **kwargs)
        self.align_corners = align_corners
        self.is_axis_aligned = is_axis_aligned

    def build(self, images_shape: tuple[int | None, ...], matrices_shape: tuple[int | None, ...]) -> None:
        """Checks both shapes."""
        if len(images_shape) != 4 or None in images_shape[1:]:
            raise ValueError(
                "images must be (batch, height, width, channels), all but the batch fixed. "
                f"Received: images_shape={images_shape}"
            )
        if len(matrices_shape) != 3 or tuple(matrices_shape[1:]) != (2, 3):
            raise ValueError(f"matrices must be (batch, 2, 3). Received: matrices_shape={matrices_shape}")
        super().build(images_shape)

    def call(self, images: Any, matrices: Any) -> Any:
        """Returns the transformed images."""
        dtype = "float64" if keras.backend.standardize_dtype(images.dtype) == "float64" else "float32"
        rows, columns = source_positions(
            ops.cast(matrices, dtype),
            height=images.shape[1],
            width=images.shape[2],
            align_corners=self.align_corners,
            is_axis_aligned=self.is_axis_aligned,
        )
        if self.is_axis_aligned:
            return resample_separably(images, rows=rows, columns=columns)
        return sample_bilinearly(images, rows, columns)

    def compute_output_spec(self, images: Any, matrices: Any) -> Any:
        """As the images."""
        return keras.KerasTensor((images.shape[0] or matrices.shape[0], *images.shape[1:]), images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {
            **super().get_config(),
            "align_corners": self.align_corners,
            "is_axis_aligned": self.is_axis_aligned,
        }


def source_positions(
    matrices: Any, *, height: int, width: int, align_corners: bool, is_axis_aligned: bool = False
) -> tuple[Any, Any]:
    """Gives the pixel positions that the output of ``AffineSampling`` is read from.

    Args:
        matrices: ``(batch, 2, 3)``, float, in normalised (x, y) coordinates.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        align_corners: See ``AffineSampling``.
        is_axis_aligned: See ``AffineSampling``.

    Returns:
        Rows and columns, 0 the centre of the topmost or leftmost pixel: each ``(batch, height, width)``, or
        ``(batch, height)`` and ``(batch, width)`` if ``is_axis_aligned``.

    >>> window = ops.convert_to_tensor([[[0.5, 0.0, 0.25], [0.0, 0.5, -0.5]]])
    >>> rows, columns = source_positions(window, height=320, width=320, align_corners=True)
    >>> float(rows[0, 319, 319]), float(columns[0, 319, 319])
    (159.5, 279.125)
    """
    # In pixels from the centre, which the identity maps onto themselves without a rounding error.
    down, right = (ops.arange(size, dtype=matrices.dtype) - (size - 1) / 2 for size in (height, width))
    # Half of the side in pixels; a single row has no extent between its corners' centres.
    half_height, half_width = ((size - 1) / 2 if align_corners else size / 2 for size in (height, width))
    a, b, c, d, e, f = (matrices[:, row, column] for row in range(2) for column in range(3))
    rows = e[:, None] * down + (f[:, None] * half_height + (height - 1) / 2)
    columns = a[:, None] * right + (c[:, None] * half_width + (width - 1) / 2)
    if is_axis_aligned:
        return rows, columns
    skew_rows = d[:, None] * right * (half_height / (half_width or 1.0))
    skew_columns = b[:, None] * down * (half_width / (half_height or 1.0))
    return rows[:, :, None] + skew_rows[:, None, :], columns[:, None, :] + skew_columns[:, :, None]
