"""DISTS: structure and texture of an image's features, compared channel by channel."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared
from bioattack.distances.trunk_weights import TrunkWeights, make_trunk, read_arrays

# The raw image and the five stages of VGG16.
CHANNELS = (3, 64, 128, 256, 512, 512)
_STABILISER = 1e-6
_PLACES = (1, 2)


def pool_by_energy(values: tf.Tensor) -> tf.Tensor:
    """Halves feature maps by the root of a blurred square, in place of VGG's maximum pooling.

    The maps get one pixel of 0 on every side, as in the PyTorch code: 299 pixels become 150. (The TensorFlow
    code pads two sides only, and differs where sizes are odd.)

    Args:
        values: ``(batch, height, width, channels)``.

    Source:
        Ding et al. 2020, equation 2, and its public PyTorch code.

    >>> pool_by_energy(tf.ones((1, 299, 299, 2))).shape
    TensorShape([1, 150, 150, 2])
    """
    window = np.outer((1, 2, 1), (1, 2, 1)) / 16
    kernel = tf.constant(np.repeat(window[..., None, None], values.shape[-1], 2), values.dtype)
    rim = [[0, 0], [1, 1], [1, 1], [0, 0]]
    energy = tf.nn.depthwise_conv2d(tf.square(values), kernel, (1, 2, 2, 1), rim)
    return tf.sqrt(energy + tf.cast(1e-12, values.dtype))


class StructureAndTexture(Distance):
    """DISTS: how far means (texture) and covariances (structure) of feature maps differ.

    The published ``1 - sum(alpha * texture + beta * structure)`` is computed as the sum of what each term
    lacks of 1, all of which are 0 or more: two equal images are at distance 0 exactly.

    The images are compared as they are given. The published figures were taken after a resize of the shorter
    side to 256 pixels, or without any; a table must say which.

    Args:
        weights: Of VGG16, see ``make_trunk``. Published figures come of torchvision's; with
            ``keras.applications.VGG16`` the name becomes ``dists[vgg16-keras]``.
        alpha_beta: The learned weights: an ``.npz`` with ``alpha`` and ``beta``, or the official
            ``weights.pt``.

    Call arguments:
        reference: ``(batch, height, width, channels)``, float32 or float64, [0, 1], 1 or 3 channels, 16 x 16
            pixels or more.
        images: The same shape and dtype.

    Returns:
        ``(batch,)``, 0 to 2, 0 and lowest where both are equal.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If weights are missing or of another shape.

    Gradient:
        Finite everywhere; 0 where both are equal.

    Source:
        Ding et al. 2020, Image quality assessment: unifying structure and texture similarity, equations 4 to
        6.

    >>> StructureAndTexture()
    Traceback (most recent call last):
    ...
    ValueError: trunk vgg16 needs weights: the .pth file of torchvision's vgg16 (BSD-3), ...
    """

    def __init__(
        self,
        *,
        weights: TrunkWeights | None = None,
        alpha_beta: str | Path | Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._trunk = make_trunk("vgg16", weights, pooling=pool_by_energy)
        self.name = f"dists[{self._trunk.name}]"
        self.least_size = self._trunk.least_size
        if alpha_beta is None:
            raise ValueError(
                f"{self.name} needs alpha_beta: weights.pt (MIT) from https://github.com/dingkeyan93/DISTS, "
                "DISTS_pytorch, or an .npz with alpha and beta. Received: alpha_beta=None"
            )
        arrays = read_arrays(alpha_beta) if isinstance(alpha_beta, (str, Path)) else alpha_beta
        self._texture, self._structure = _shares(arrays)

    def prepare(self, reference: tf.Tensor) -> Prepared:
        """Computes the references' feature maps, the image itself among them."""
        return {f"stage{place}": maps for place, maps in enumerate(self._stages(reference))}

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Returns the distances ``(batch,)``."""
        total = tf.zeros((), images.dtype)
        for place, ours in enumerate(self._stages(images)):
            theirs = prepared[f"stage{place}"]
            our_mean, their_mean = (tf.reduce_mean(maps, _PLACES, keepdims=True) for maps in (ours, theirs))
            ours, theirs = ours - our_mean, theirs - their_mean
            lacking = _lack(our_mean - their_mean, our_mean, their_mean)
            total += tf.linalg.matvec(lacking, tf.cast(self._texture[place], images.dtype))
            lacking = _lack(ours - theirs, ours, theirs)
            total += tf.linalg.matvec(lacking, tf.cast(self._structure[place], images.dtype))
        return total

    def _stages(self, images: tf.Tensor) -> list[tf.Tensor]:
        self.check_size(images)
        colours = images if images.shape[-1] != 1 else tf.repeat(images, 3, -1)
        return [colours, *self._trunk.taps(images)]


def _lack(difference: tf.Tensor, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """What ``(2 E[xy] + c) / (E[xx] + E[yy] + c)`` lacks of 1, ``(batch, channels)``."""
    squares = [tf.reduce_mean(tf.square(values), _PLACES) for values in (difference, one, other)]
    return squares[0] / (squares[1] + squares[2] + tf.cast(_STABILISER, difference.dtype))


def _shares(arrays: Mapping[str, np.ndarray]) -> list[list[np.ndarray]]:
    """Alpha and beta, divided by the sum of both, stage by stage."""
    for name in ("alpha", "beta"):
        if name not in arrays or arrays[name].size != sum(CHANNELS) or arrays[name].min() < 0:
            raise ValueError(f"alpha_beta must hold {name}, {sum(CHANNELS)} numbers of 0 or more")
    both = [np.float64(arrays[name]).reshape(-1) for name in ("alpha", "beta")]
    total = both[0].sum() + both[1].sum()
    return [np.split(each / total, np.cumsum(CHANNELS)[:-1]) for each in both]
