"""LPIPS: a weighted distance between the features of a network that learned to tell objects apart."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared
from bioattack.distances.nptm import unit_features
from bioattack.distances.trunk_weights import TrunkWeights, make_trunk, read_arrays
from bioattack.distances.trunks import Trunk

# Channels that each published set of heads weighs.
_HEADS = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 128, 256, 512, 512),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}
# The stand-in for SqueezeNet 1.1.
_STAND_IN = "squeezenet-1.0"


class LearnedPatchSimilarity(Distance):
    """LPIPS 0.1: squared differences of unit features, weighted by channel, averaged over places, summed.

    The trunk stands in the name, ``lpips[alexnet]``, because figures of different trunks cannot be compared.
    Published figures come of torchvision's trunks alone. SqueezeNet 1.0 is a stand-in for 1.1, which the
    published heads belong to: its channels are others, so that each head weighs all channels of its tap
    alike, by its mean.

    Args:
        trunk: ``"alexnet"``, ``"vgg16"``, ``"squeezenet-1.1"``, ``"squeezenet-1.0"``, a trunk or a Keras
            model whose taps have as many channels as those.
        weights: For a name: the trunk's weights, see ``make_trunk``.
        heads: The linear weights: an ``.npz`` with ``alex/lin0`` ..., or the official ``alex.pth``,
            ``vgg.pth``, ``squeeze.pth``.

    Call arguments:
        reference: ``(batch, height, width, channels)``, float32 or float64, [0, 1] (inside it is
            standardised, which is what LPIPS 0.1 does to images in [-1, 1]), 1 or 3 channels, at least
            ``least_size``.
        images: The same shape and dtype.

    Returns:
        ``(batch,)``, 0 and lowest where both are equal: heads are never below 0.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If trunk, weights or heads are missing or do not belong together.

    Gradient:
        Finite everywhere, also where nothing fires; 0 where both are equal.

    Source:
        Zhang et al. 2018, The unreasonable effectiveness of deep features as a perceptual metric; public
        code, version 0.1.

    >>> LearnedPatchSimilarity("alexnet")
    Traceback (most recent call last):
    ...
    ValueError: trunk alexnet needs weights: the .pth file of torchvision's alexnet (BSD-3), ...
    """

    def __init__(
        self,
        trunk: str | Trunk | keras.Model = "alexnet",
        *,
        weights: TrunkWeights | None = None,
        heads: str | Path | Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._trunk = make_trunk(trunk, weights)
        self.name = f"lpips[{self._trunk.name}]"
        self.least_size = self._trunk.least_size
        if heads is None:
            raise ValueError(
                f"{self.name} needs heads: an .npz of them or alex.pth, vgg.pth or squeeze.pth (BSD-2) from "
                "https://github.com/richzhang/PerceptualSimilarity, lpips/weights/v0.1. Received: heads=None"
            )
        self._all_heads = read_arrays(heads) if isinstance(heads, (str, Path)) else dict(heads)

    def prepare(self, reference: tf.Tensor) -> Prepared:
        """Computes the references' unit features, tap by tap."""
        return {f"tap{place}": features for place, features in enumerate(self._unit_features(reference))}

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Returns the distances ``(batch,)``."""
        taps = self._unit_features(images)
        heads = self._heads(tuple(features.shape[-1] for features in taps))
        total = tf.zeros((), images.dtype)
        for place, (features, head) in enumerate(zip(taps, heads, strict=True)):
            squares = tf.square(features - prepared[f"tap{place}"])
            total += tf.reduce_mean(tf.linalg.matvec(squares, tf.cast(head, images.dtype)), (1, 2))
        return total

    def _unit_features(self, images: tf.Tensor) -> list[tf.Tensor]:
        self.check_size(images)
        return [unit_features(features) for features in self._trunk.taps(images)]

    def _heads(self, channels: tuple[int, ...]) -> list[np.ndarray]:
        net = "squeeze" if self._trunk.name == _STAND_IN else None
        for name, widths in _HEADS.items():
            net = name if widths == channels else net
        if net is None:
            raise ValueError(f"no heads of LPIPS belong to taps with {channels} channels")
        heads = [self._head(net, place, width) for place, width in enumerate(_HEADS[net])]
        if self._trunk.name == _STAND_IN:
            return [np.full(width, head.mean()) for head, width in zip(heads, channels, strict=True)]
        return heads

    def _head(self, net: str, place: int, width: int) -> np.ndarray:
        for name in (f"{net}/lin{place}", f"lin{place}.model.1.weight"):
            if name in self._all_heads:
                head = np.asarray(self._all_heads[name]).reshape(-1)
                if head.shape != (width,) or head.min() < 0:
                    raise ValueError(
                        f"head {name} must be {width} numbers of 0 or more. Received: {head.size}"
                    )
                return head
        raise ValueError(f"heads lack {net}/lin{place}, or lin{place}.model.1.weight")
