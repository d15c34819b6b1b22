"""A small stand-in for PieAPP that comes with its weights."""

import functools
from pathlib import Path

from bioattack.distances.pieapp import PieApp
from bioattack.distances.pieapp_weights import PieAppWeights, load_pieapp_weights

_WEIGHTS = Path(__file__).with_name("data") / "pieapp_mini.npz"


class PieAppMini(PieApp):
    """A network of PieAPP's design at a tenth of its width, for where the official weights are not at hand.

    It is a stand-in and no measure of what people see: nobody's preferences went into it. It was trained on
    pictures drawn by rule and damaged by rule, in pairs whose order is known from how they were made (one
    distortion at two strengths, damage on a part and on all of a picture, and so on; see
    ``experiments/train_pieapp_mini.py``). Its patch scores are sums of non-negative parts, 0 where nothing
    differs, so that the score itself is never below 0.

    Its first convolution takes steps of two pixels in place of PieAPP's first pooling. Patches, grids and
    strides are PieAPP's.

    Args:
        stride: ``"sparse"``, ``"dense"`` or pixels, as for ``PieApp``.
        grid: ``"plain"`` or ``"official"``.
        chunk_size: Patches that go through the network at a time, each taking about 0.5 MB.

    Call arguments:
        reference: ``(batch, height, width, channels)``, float32 or float64, [0, 1], 1 or 3 channels, 64 x 64
            pixels or more.
        images: The same shape and dtype.

    Returns:
        ``(batch,)``, 0 and lowest where both are equal. The scale is the network's own.

    Raises:
        ValueError: If an argument is out of its range.

    Gradient:
        As for ``PieApp``.

    Source:
        The design: Prashnani et al. 2018. The weights: trained in this project, under its licence.

    >>> import tensorflow as tf
    >>> images = tf.zeros((2, 64, 64, 3))
    >>> [float(distance) for distance in PieAppMini()(images, images)]
    [0.0, 0.0]
    """

    name = "pieapp-mini"

    def __init__(self, *, stride: str | int = "sparse", grid: str = "plain", chunk_size: int = 512) -> None:
        super().__init__(_shipped_weights(), stride=stride, grid=grid, chunk_size=chunk_size)


@functools.cache
def _shipped_weights() -> PieAppWeights:
    return load_pieapp_weights(_WEIGHTS)
