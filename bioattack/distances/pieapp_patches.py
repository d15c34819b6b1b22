"""Where PieAPP cuts its patches, and the cutting of some of them at a time."""

import itertools

import numpy as np
import tensorflow as tf

from bioattack.distances.pieapp_network import PATCH_SIZE

GRIDS = ("plain", "official")
# The official demonstration takes ten places at a time along each axis.
_BLOCK = 10


def patch_starts(length: int, stride: int, *, grid: str = "plain") -> list[int]:
    """Returns where patches begin along one axis.

    Args:
        length: Height or width of the image in pixels, 64 or more.
        stride: Pixels from one patch to the next, 1 or more.
        grid: ``"plain"``: every ``stride`` pixels while a patch fits. ``"official"``: as the authors'
            demonstration cuts them, block by block, which moves the last place to the rim where the number of
            places is a multiple of ten, and is the plain grid elsewhere.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        Prashnani et al. 2018, public code, ``test_PieAPP_PT.py``; where that code indexes past its own table
        of places, the block reaches to the rim.

    >>> patch_starts(320, 27)[-2:], patch_starts(320, 27, grid="official")[-2:]
    ([216, 243], [216, 256])
    """
    if grid not in GRIDS:
        raise ValueError(f"grid must be one of {', '.join(GRIDS)}. Received: grid={grid!r}")
    if stride < 1:
        raise ValueError(f"stride must be 1 or more. Received: stride={stride}")
    if length < PATCH_SIZE:
        raise ValueError(f"images must be {PATCH_SIZE} pixels or more. Received: {length}")
    last = length - PATCH_SIZE
    if grid == "plain":
        return list(range(0, last + 1, stride))
    places = [*range(0, last, stride), last]
    starts: list[int] = []
    for first in range(0, len(places), _BLOCK):
        following = first + _BLOCK
        end = length if following >= len(places) else places[following] + PATCH_SIZE - stride
        starts += range(places[first], end - PATCH_SIZE + 1, stride)
    return starts


def patch_corners(height: int, width: int, stride: int, *, grid: str) -> np.ndarray:
    """Returns the top left corners of all patches, ``(patches, 2)``, int32, row by row of the grid."""
    rows = patch_starts(height, stride, grid=grid)
    columns = patch_starts(width, stride, grid=grid)
    return np.array(list(itertools.product(rows, columns)), np.int32)


def cut_patches(images: tf.Tensor, rows: tf.Tensor, corners: tf.Tensor) -> tf.Tensor:
    """Cuts patches out of images.

    Args:
        images: ``(batch, height, width, channels)``.
        rows: ``(patches,)``, int32, of which image each patch is.
        corners: ``(patches, 2)``, int32, top and left.

    Returns:
        ``(patches, 64, 64, channels)``.
    """
    _, height, width, channels = images.shape
    inside = np.arange(PATCH_SIZE, dtype=np.int32)
    lines = (rows * height + corners[:, 0])[:, None] + inside
    places = (lines * width + corners[:, 1:])[..., None] + inside
    pixels = tf.reshape(images, (-1, channels))
    return tf.ensure_shape(tf.gather(pixels, places), (None, PATCH_SIZE, PATCH_SIZE, channels))
