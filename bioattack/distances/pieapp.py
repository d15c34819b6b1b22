"""PieAPP: how much worse than its reference people would find an image."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared
from bioattack.distances.pieapp_network import PATCH_SIZE
from bioattack.distances.pieapp_patches import GRIDS
from bioattack.distances.pieapp_scoring import PatchScorer
from bioattack.distances.pieapp_weights import PieAppWeights, load_pieapp_weights

STRIDES = {"sparse": 27, "dense": 6}
# The distance is the modulus of the score, rounded off within about this of 0, where scores are noise.
_ROUNDING = 1e-3


class PieApp(Distance):
    """PieAPP v0.1: errors of overlapping patches, judged by a network that learned people's preferences.

    The published score is a mean of patch errors that are weighted by a second output of the network. It can
    fall a little below 0, and it is linear in small changes: half of all directions would seem to be
    improvements. So the distance is the modulus of the score, less what the network gives for two equal
    images (a constant): ``sqrt(score**2 + 0.001**2) - 0.001``. It differs from the modulus by less than
    0.001, it is 0 and lowest where the images are equal, its gradient is finite and continuous there, and an
    attack gains nothing by a score below 0 (cut off at 0, such scores would be free of charge). ``score``
    returns the published value.

    Images are RGB in [0, 1]; inside, they become blue, green, red from 0 to 255, as the network was trained.
    Grey images are repeated in all three channels.

    Args:
        weights: The official file, ``PieAPPv0.1.pth`` or the prefix ``PieAPP_model_v0.1.ckpt``, an ``.npz``
            written by ``save_pieapp_weights``, or ``PieAppWeights``.
        stride: ``"sparse"`` (27 pixels from one patch to the next), ``"dense"`` (6), or the number itself.
        grid: ``"plain"`` or ``"official"``, see ``patch_starts``; they differ at few image sizes.
        chunk_size: Patches that go through the network at a time, 1 or more. It bounds the memory, about 7 MB
            for each patch; results do not depend on it. Where an image has more patches than this, gradients
            cost a third more.
        relu_after_weight: Whether patch weights below 0 count as 0. The two official codes differ here;
            ``None`` does as the one whose weights are given.

    Call arguments:
        reference: ``(batch, height, width, channels)``, float32 or float64, [0, 1], 1 or 3 channels, 64 x 64
            pixels or more; height and width must be known, the batch may be open.
        images: The same shape and dtype.

    Returns:
        ``(batch,)``.

    Raises:
        ValueError: If there are no weights, or an argument is out of its range.

    Gradient:
        With respect to the images, everywhere finite; once, not twice. None with respect to the reference.

    Source:
        Prashnani et al. 2018, PieAPP: perceptual image-error assessment through pairwise preference, and its
        public code, version 0.1. Its weights are for non-commercial use and therefore not part of this
        project.

    >>> PieApp(stride="coarse")
    Traceback (most recent call last):
    ...
    ValueError: stride must be one of sparse, dense, or 1 or more. Received: stride='coarse'
    """

    name = "pieapp"
    least_size = PATCH_SIZE

    def __init__(
        self,
        weights: str | Path | PieAppWeights | None = None,
        *,
        stride: str | int = "sparse",
        grid: str = "plain",
        chunk_size: int = 128,
        relu_after_weight: bool | None = None,
    ) -> None:
        step = STRIDES.get(stride, 0) if isinstance(stride, str) else stride
        if step < 1:
            raise ValueError(
                f"stride must be one of {', '.join(STRIDES)}, or 1 or more. Received: stride={stride!r}"
            )
        if grid not in GRIDS:
            raise ValueError(f"grid must be one of {', '.join(GRIDS)}. Received: grid={grid!r}")
        if chunk_size < 1:
            raise ValueError(f"chunk_size must be 1 or more. Received: chunk_size={chunk_size}")
        loaded = self._load(weights)
        if relu_after_weight is not None:
            loaded = dataclasses.replace(loaded, relu_after_weight=relu_after_weight)
        self._scorer = PatchScorer(loaded, stride=step, grid=grid, chunk_size=chunk_size)

    def prepare(self, reference: tf.Tensor) -> Prepared:
        """Computes what the network's first dense layers make of the reference's patches.

        Returns:
            ``score`` and ``weight``, both ``(batch, patches, hidden)``: 2 x 512 numbers for each patch, in
            place of its 120,832 features.
        """
        self.check_size(reference)
        score, weight = self._scorer.project(_as_pixels(reference))
        return {"score": tf.stop_gradient(score), "weight": tf.stop_gradient(weight)}

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Returns the distances ``(batch,)``: the score without its sign."""
        return self._scorer.measure(prepared, _as_pixels(images), _rounded_modulus)

    def score(self, reference: Any, images: Any) -> tf.Tensor:
        """Returns the published scores ``(batch,)``: larger is worse, about 0 where both are equal."""
        reference = tf.convert_to_tensor(reference)
        images = tf.convert_to_tensor(images, dtype=reference.dtype)
        excess = self._scorer.measure(self.prepare(reference), _as_pixels(images), tf.identity)
        return excess + self._scorer.score_of_equal_images(images.dtype)

    def _load(self, weights: str | Path | PieAppWeights | None) -> PieAppWeights:
        if weights is None:
            raise ValueError(
                "pieapp needs weights: PieAPPv0.1.pth or PieAPP_model_v0.1.ckpt, which the authors publish "
                "for non-commercial use (https://github.com/prashnani/PerceptualImageError, "
                "scripts/download_*); the distance pieapp-mini comes with weights. Received: weights=None"
            )
        return weights if isinstance(weights, PieAppWeights) else load_pieapp_weights(weights)


def _as_pixels(images: tf.Tensor) -> tf.Tensor:
    """Turns RGB or grey in [0, 1] into blue, green, red from 0 to 255."""
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels. Received: shape {images.shape}")
    colours = tf.reverse(images, [-1]) if images.shape[-1] == 3 else tf.repeat(images, 3, -1)
    return colours * np.array(255, images.dtype.as_numpy_dtype)


def _rounded_modulus(values: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.square(values) + _ROUNDING**2) - _ROUNDING
