"""Seeing as the retina does: dense where the eye looks, sparse around it."""

from typing import Any

import keras
from keras import ops

from bioattack.models.layers.bilinear_sampling import sample_bilinearly
from bioattack.models.layers.retinal_constants import LEAST_SIDE, RetinalConstants, retinal_constants
from bioattack.models.layers.xla import compiled_with_xla

MODES = ("nearest", "floor", "bilinear")
LAWS = ("quadratic", "log")
FRAMES = ("centered", "reference")

# Under the square root of the distance from the gaze, which has no derivative at 0.
_SMALLEST_SQUARE = 1e-12
# The logarithmic law ends here, three sides of the image away from the gaze: nothing is seen there.
_SMALLEST_LOGARITHM = 1e-3


@keras.saving.register_keras_serializable(package="bioattack")
class RetinalSampling(keras.layers.Layer):
    """Resamples an image densely at the point of gaze and sparsely around it.

    A target pixel at radius ``r`` from the gaze is read from radius ``a * r**2 + b * r``, so that what is
    looked at appears 2.03 times as large (at 320 pixels), and the border smaller. What falls outside the
    image is 0: 6 % of the pixels at a central gaze, 22 % at one of (80, 80), at 320 pixels. The gaze is a
    point of the target, too: the image is not moved to its centre.

    Args:
        mode: ``"bilinear"``, ``"nearest"`` (rounds half to even, as the reference does) or ``"floor"``.
        law: ``"quadratic"`` as published, or ``"log"``, the law that the quadratic one is fitted to:
            ``-2 / growth * log(1 - growth * first_step * r / 2)``, which keeps the border of the image.
        frame: ``"centered"`` or ``"reference"``, which is displaced by -1.5 pixels.

    Call arguments:
        images: ``(batch, size, size, channels)``, float, any value range, 6 pixels or more.
        gaze: ``(batch, 2)``, float, pixels from the image centre, row first. Any value: at a gaze outside the
            image, what of it is still seen is what lies in the periphery.

    Returns:
        The same shape, range and dtype as ``images``. The positions are computed in float32 (float64 for
        float64 images), mixed precision or not.

    Raises:
        ValueError: If an argument is not one of those above, or the images are not square or too small.

    Gradient:
        With respect to the images always; with respect to the gaze in bilinear mode only. Within 83 pixels of
        the gaze (at 320) the picture moves with it, beyond that against it.

    Source:
        Vuyyuru et al. 2020, retinal sampling; the constants are derived in ``retinal_constants``.
        Bilinear mode: Burhanpurkar 2021, section 3.2.

    >>> RetinalSampling()(ops.zeros((2, 32, 32, 3)), ops.zeros((2, 2))).shape
    TensorShape([2, 32, 32, 3])
    """

    def __init__(
        self, *, mode: str = "bilinear", law: str = "quadratic", frame: str = "centered", **kwargs: Any
    ) -> None:
        # Under mixed precision a gaze in bfloat16 would be rounded to a quarter of a pixel.
        super().__init__(autocast=False, **kwargs)
        for name, value, choices in (("mode", mode, MODES), ("law", law, LAWS), ("frame", frame, FRAMES)):
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}. Received: {name}={value!r}")
        self.mode = mode
        self.law = law
        self.frame = frame

    def build(self, images_shape: tuple[int | None, ...], gaze_shape: tuple[int | None, ...]) -> None:
        """Checks the shapes and derives the law for images of this size."""
        if len(images_shape) != 4 or images_shape[1] != images_shape[2] or images_shape[1] is None:
            raise ValueError(
                f"images must be square, (batch, size, size, channels). Received: images_shape={images_shape}"
            )
        size = images_shape[1]
        if size < LEAST_SIDE:
            raise ValueError(
                f"images must be {LEAST_SIDE} x {LEAST_SIDE} pixels or larger. "
                f"Received: images_shape={images_shape}"
            )
        if len(gaze_shape) != 2 or gaze_shape[1] != 2:
            raise ValueError(f"gaze must be (batch, 2). Received: gaze_shape={gaze_shape}")
        constants = retinal_constants(size, size)

        def warp(images: Any, gaze: Any) -> Any:
            rows, columns = self._source_positions(gaze, size=size, constants=constants)
            return _READERS[self.mode](images, rows, columns)

        # One program for the positions and the reading: neither is worth much to XLA without the other.
        self._warp = compiled_with_xla(warp)
        super().build((images_shape, gaze_shape))

    def call(self, images: Any, gaze: Any) -> Any:
        """Returns the warped images."""
        dtype = keras.backend.result_type(images.dtype, "float32")
        return ops.cast(self._warp(ops.cast(images, dtype), ops.cast(gaze, dtype)), images.dtype)

    def source_positions(self, gaze: Any, *, size: int) -> tuple[Any, Any]:
        """Returns where each target pixel is read from.

        Args:
            gaze: ``(batch, 2)``, float, pixels from the image centre, row first.
            size: Side of the images in pixels, 6 or more.

        Returns:
            Rows and columns, each ``(batch, size, size)``, in pixels of the image: pixel centres are the
            integers, 0 the first. They are neither rounded nor kept within the image.

        Gradient:
            With respect to the gaze.

        >>> rows, columns = RetinalSampling(frame="reference").source_positions(ops.zeros((1, 2)), size=320)
        >>> round(float(rows[0, 80, 240]), 3), round(float(columns[0, 80, 240]), 3)
        (91.515, 225.321)
        """
        gaze = ops.convert_to_tensor(gaze)
        gaze = ops.cast(gaze, keras.backend.result_type(gaze.dtype, "float32"))
        return self._source_positions(gaze, size=size, constants=retinal_constants(size, size))

    def _source_positions(self, gaze: Any, *, size: int, constants: RetinalConstants) -> tuple[Any, Any]:
        target = ops.arange(size, dtype=gaze.dtype) - (size - 1) / 2
        from_gaze = target[None, None, :] - gaze[:, :, None]
        rows, columns = from_gaze[:, 0, :, None], from_gaze[:, 1, None, :]
        radius = ops.sqrt(rows**2 + columns**2 + _SMALLEST_SQUARE)
        if self.law == "quadratic":
            scale = constants.quadratic * radius + constants.linear
        else:
            fall = constants.growth * constants.first_step / 2 * radius
            scale = -2 / constants.growth * ops.log1p(ops.maximum(-fall, _SMALLEST_LOGARITHM - 1)) / radius
        # The reference pads by two pixels, but does not move its coordinates by them.
        centre = (size - 1) / 2 if self.frame == "centered" else size / 2 - 2
        origin = gaze[:, :, None, None] + centre
        return origin[:, 0] + rows * scale, origin[:, 1] + columns * scale

    def compute_output_spec(self, images: Any, gaze: Any) -> Any:
        """As the images."""
        return keras.KerasTensor((images.shape[0] or gaze.shape[0], *images.shape[1:]), images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {**super().get_config(), "mode": self.mode, "law": self.law, "frame": self.frame}


def _read_nearest(images: Any, rows: Any, columns: Any) -> Any:
    return _read(images, ops.round(rows), ops.round(columns))


def _read_floor(images: Any, rows: Any, columns: Any) -> Any:
    return _read(images, ops.floor(rows), ops.floor(columns))


def _read(images: Any, rows: Any, columns: Any) -> Any:
    """The pixels at whole positions, 0 outside the image."""
    size, channels = images.shape[1], images.shape[3]
    # One pixel of nothing on each side stands for all that lies outside.
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    row, column = (ops.cast(ops.clip(place, -1, size), "int32") + 1 for place in (rows, columns))
    first = ops.arange(ops.shape(images)[0], dtype="int32") * (size + 2) ** 2
    positions = first[:, None, None] + row * (size + 2) + column
    return ops.take(ops.reshape(padded, (-1, channels)), positions, axis=0)


_READERS = {"nearest": _read_nearest, "floor": _read_floor, "bilinear": sample_bilinearly}
