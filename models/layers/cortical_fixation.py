"""Looking at an image at several scales at once, the wider the coarser."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from bioattack.models.building import check_positive
from bioattack.models.layers.coarse_fixation import check_images_and_gaze, crop_matrix
from bioattack.models.layers.gaussian_blur import gaussian_matrix
from bioattack.models.layers.separable_sampling import apply_separably

LEAST_SIDE = 16


class CorticalGeometry(NamedTuple):
    """What cortical fixations look at in images of one size.

    Args:
        crops: Side of each scale's square in pixels, the smallest first.
        radii: Every ``radius``-th pixel of a crop is kept.
        gaze_offset: The five gazes of the test are the centre and four points this many pixels away on both
            axes; those of training lie between ``-gaze_offset`` and ``gaze_offset - 1``.
    """

    crops: tuple[int, ...]
    radii: tuple[int, ...]
    gaze_offset: int


def cortical_geometry(side: int, *, whole: bool = False) -> CorticalGeometry:
    """Gives the scales for images of this side.

    At 320 and 32 pixels they are the published ones, and at sides near these the same fractions of the side:
    from 160 pixels on four scales with radii 1, 2, 4 and 6 and ``side / 8`` pixels each, below 48 two with
    radii 1 and 2 and ``15 / 32 * side``. In between, an eighth of the side would leave a network 8 pixels to
    work on: there are four scales with radii 1, 2, 3 and 4 and ``3 / 16 * side`` pixels (12 at 64). In all of
    them the widest crop covers the published share of the image, and no crop leaves it at the five gazes.

    Args:
        side: The smaller one of height and width in pixels, 16 or more.
        whole: Whether the widest crop is the whole image, as in one published variant (at 320 pixels crops
            of 40, 80, 160 and 320 and radii 1, 2, 4 and 8). It cannot move; the others then move as far as
            the image lets the widest of them.

    Raises:
        ValueError: If the images are smaller than that.

    >>> cortical_geometry(320)
    CorticalGeometry(crops=(40, 80, 160, 240), radii=(1, 2, 4, 6), gaze_offset=40)
    >>> cortical_geometry(64)
    CorticalGeometry(crops=(12, 24, 36, 48), radii=(1, 2, 3, 4), gaze_offset=8)
    >>> cortical_geometry(32)
    CorticalGeometry(crops=(15, 30), radii=(1, 2), gaze_offset=1)
    >>> cortical_geometry(320, whole=True)
    CorticalGeometry(crops=(40, 80, 160, 320), radii=(1, 2, 4, 8), gaze_offset=80)
    """
    if side < LEAST_SIDE:
        raise ValueError(
            f"image_shape must be {LEAST_SIDE} x {LEAST_SIDE} or larger. Received: a side of {side}"
        )
    radii: tuple[int, ...]
    if side < 48:
        view_side, radii, gaze_offset = 15 * side // 32, (1, 2), max(1, side // 32)
    elif side < 160:
        view_side, radii, gaze_offset = 3 * side // 16, (1, 2, 3, 4), side // 8
    else:
        view_side, radii, gaze_offset = side // 8, (1, 2, 4, 8 if whole else 6), side // 8
    if whole:
        view_side = side // radii[-1]
        gaze_offset = (side - view_side * radii[-2]) // 2
    return CorticalGeometry(tuple(view_side * radius for radius in radii), radii, gaze_offset)


@keras.saving.register_keras_serializable(package="bioattack")
class CorticalFixation(keras.layers.Layer):
    """Cuts squares of several sizes around the point of gaze and brings them to fewer pixels.

    Each crop is blurred with a Gaussian whose standard deviation is half the radius (zeros outside the crop),
    and every ``radius``-th pixel is kept, from ``radius // 2`` on. All of that is one matrix for each axis.

    Args:
        crops: Side of each square in pixels, each a multiple of its radius. The top left pixel of a crop is
            ``N // 2 + gaze - crop // 2``, of ``N`` pixels along an axis.
        radii: Of each crop, 1 or more.
        num_still: So many of the last crops stay at the image centre, wherever the gaze goes.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, any value range.
        gaze: ``(batch, 2)``, float, pixels from the image centre, row first. Any value: what lies outside the
            image is 0.

    Returns:
        A list with one ``(batch, crop // radius, crop // radius, channels)`` for each crop.

    Raises:
        ValueError: If an argument is out of its range, or the images are smaller than the largest crop.

    Gradient:
        With respect to the images and the gaze; at integer gazes that of the gaze jumps.

    Source:
        Vuyyuru et al. 2020, cortical sampling, and its public code.

    >>> images, gaze = ops.zeros((2, 64, 64, 3)), ops.zeros((2, 2))
    >>> [tuple(view.shape) for view in CorticalFixation((12, 24), (1, 2))(images, gaze)]
    [(2, 12, 12, 3), (2, 12, 12, 3)]
    """

    def __init__(self, crops: Sequence[int], radii: Sequence[int], num_still: int = 0, **kwargs: Any) -> None:
        # Under mixed precision a gaze in bfloat16 would be rounded to half a pixel.
        super().__init__(autocast=False, **kwargs)
        self.crops, self.radii, self.num_still = list(crops), list(radii), num_still
        if not self.crops or len(self.crops) != len(self.radii):
            raise ValueError(
                f"crops and radii must be as many, one or more. Received: crops={crops!r}, radii={radii!r}"
            )
        for crop, radius in zip(self.crops, self.radii, strict=True):
            check_positive(crop=crop, radius=radius)
            if crop % radius:
                raise ValueError(
                    f"each crop must be a multiple of its radius. Received: crops={crops!r}, radii={radii!r}"
                )
        if not isinstance(num_still, int) or not 0 <= num_still <= len(self.crops):
            raise ValueError(
                f"num_still must be from 0 to the number of crops. Received: num_still={num_still!r}"
            )

    def build(self, images_shape: tuple[int | None, ...], gaze_shape: tuple[int | None, ...]) -> None:
        """Checks the shapes."""
        check_images_and_gaze(images_shape, gaze_shape, crop=max(self.crops))
        super().build((images_shape, gaze_shape))

    def call(self, images: Any, gaze: Any) -> list[Any]:
        """Returns one view for each scale."""
        dtype = keras.backend.result_type(images.dtype, "float32")
        images, gaze = ops.cast(images, dtype), ops.cast(gaze, dtype)
        num_moving = len(self.crops) - self.num_still
        points = [gaze] * num_moving + [ops.zeros_like(gaze)] * self.num_still
        views = []
        for crop, radius, point in zip(self.crops, self.radii, points, strict=True):
            blur = gaussian_matrix(crop, sigma=radius / 2, stride=radius, first=radius // 2)
            keep = ops.convert_to_tensor(blur[None], dtype=dtype)
            rows, columns = (
                ops.matmul(keep, crop_matrix(point[:, axis], size=images.shape[1 + axis], crop=crop))
                for axis in (0, 1)
            )
            views.append(ops.cast(apply_separably(images, rows, columns), self.compute_dtype))
        return views

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {
            **super().get_config(),
            "crops": self.crops,
            "radii": self.radii,
            "num_still": self.num_still,
        }
