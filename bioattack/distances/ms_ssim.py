"""Structural similarity over several scales."""

from typing import Final

import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared
from bioattack.distances.ssim import to_grey, window_losses, window_statistics

# Weights of the scales, from fine to coarse (Wang, Simoncelli and Bovik 2003, section 3.2).
_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Similarities below count as this much in a product: a root of 0 has an infinite gradient, of less it is NaN.
_LEAST_SIMILARITY: Final = 1e-6
_COMBINATIONS: Final = ("mean", "product")


class MultiScaleStructuralSimilarity(Distance):
    """1 - MS-SSIM: contrast and structure at five scales, at the coarsest luminance as well.

    Between scales images are averaged over 2 x 2 pixels; where a side is odd, its last pixels are averaged
    alone. At each scale windows lie within the image, and their mean is taken; the scales are combined, and
    the result is averaged over the channels.

    The authors' Matlab code combines scales in two ways. Their paper multiplies powers, as most libraries
    do. The scores that IQA-PyTorch publishes for calibration (0.6733 for I03 of TID2013) are weighted means
    of the same numbers, found by trying both; products miss them by up to 0.004. A mean also has a gradient
    wherever windows have one, where a product has none once a single scale is uncorrelated.

    Args:
        combination: ``"mean"``, weighted, or ``"product"`` of powers, similarities below 1e-6 counting as
            that.
        grayscale: Whether to compare greys instead of the mean over channels, as the published Matlab code
            does.

    Raises:
        ValueError: If there is no such combination.

    Returns:
        ``(batch,)``, from 0 to 2 (mean) or 1 (product).

    Gradient:
        Finite everywhere; in a product, a scale whose similarity is below 1e-6 adds nothing to it.

    Source:
        Wang, Simoncelli and Bovik 2003, Multi-scale structural similarity for image quality assessment.

    >>> black = tf.zeros((1, 161, 161, 1))
    >>> MultiScaleStructuralSimilarity()(black, black).numpy().tolist()
    [0.0]
    """

    name = "ms-ssim"
    #: Leaves 11 pixels at the fifth scale.
    least_size = 161

    def __init__(self, *, combination: str = "mean", grayscale: bool = False) -> None:
        if combination not in _COMBINATIONS:
            raise ValueError(
                f"combination must be one of {', '.join(_COMBINATIONS)}. "
                f"Received: combination={combination!r}"
            )
        self.combination = combination
        self.grayscale = grayscale

    def prepare(self, reference: tf.Tensor) -> Prepared:
        """Computes the references' means and variances under the windows of every scale."""
        self.check_size(reference)
        prepared: Prepared = {}
        for scale, scaled in enumerate(self._scales(reference)):
            statistics = window_statistics(scaled, "valid") | {"reference": scaled}
            prepared |= {f"{name}_{scale}": value for name, value in statistics.items()}
        return prepared

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Compares with the references at every scale."""
        losses = []
        for scale, scaled in enumerate(self._scales(images)):
            statistics = {name: prepared[f"{name}_{scale}"] for name in ("reference", "means", "variances")}
            luminance, contrast = window_losses(statistics, scaled, "valid")
            is_last = scale == len(_WEIGHTS) - 1
            of_windows = luminance + contrast - luminance * contrast if is_last else contrast
            losses.append(tf.reduce_mean(of_windows, axis=(1, 2)))
        return tf.reduce_mean(self._combined(losses), axis=1)

    def _combined(self, losses: list[tf.Tensor]) -> tf.Tensor:
        if self.combination == "mean":
            weighted = [weight * loss for weight, loss in zip(_WEIGHTS, losses, strict=True)]
            return tf.add_n(weighted) / sum(_WEIGHTS)
        logarithms = [
            # Of 1 - loss; both functions keep the digits of small losses.
            weight * tf.math.log1p(-tf.minimum(loss, 1.0 - _LEAST_SIMILARITY))
            for weight, loss in zip(_WEIGHTS, losses, strict=True)
        ]
        return -tf.math.expm1(tf.add_n(logarithms))

    def score(self, reference: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """Returns MS-SSIM itself ``(batch,)``: 1 for equal images."""
        return 1.0 - self(reference, images)

    def _scales(self, images: tf.Tensor) -> list[tf.Tensor]:
        scales = [to_grey(images) if self.grayscale else images]
        while len(scales) < len(_WEIGHTS):
            # Averages only what lies within the image.
            scales.append(tf.nn.avg_pool2d(scales[-1], 2, 2, "SAME"))
        return scales
