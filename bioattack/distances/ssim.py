"""Structural similarity."""

import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared
from bioattack.distances.windows import PADDINGS, blur, gaussian_window

# Red, green and blue as ITU-R BT.601 weighs them, with the digits of Matlab's rgb2gray.
_GREY_WEIGHTS = (0.298936021293776, 0.587043074451121, 0.114020904255103)


class StructuralSimilarity(Distance):
    """1 - SSIM, the mean over windows and channels.

    SSIM compares means, contrasts and correlations under Gaussian windows of 11 x 11 pixels and standard
    deviation 1.5; its constants are K1 = 0.01 and K2 = 0.03 for a range of 1. Nothing is scaled down first.

    Args:
        grayscale: Whether to compare greys instead of the mean over channels, as the published Matlab code
            does (which also rounds greys to 8 bits; here they are not rounded).
        padding: ``"valid"``, windows within the image only, as scores are published; or ``"symmetric"``,
            where the image is mirrored at its rim and pixels there count as much as any.

    Raises:
        ValueError: If there is no such padding.

    Returns:
        ``(batch,)``, from 0 to 2.

    Gradient:
        0 where both images are equal; the Hessian there is what ``bioattack.attacks.ssim_solver`` inverts.

    Source:
        Wang et al. 2004, Image quality assessment: from error visibility to structural similarity.

    >>> StructuralSimilarity()(tf.zeros((1, 16, 16, 3)), tf.zeros((1, 16, 16, 3))).numpy().tolist()
    [0.0]
    """

    name = "ssim"
    least_size = 11

    def __init__(self, *, grayscale: bool = False, padding: str = "valid") -> None:
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}. Received: padding={padding!r}")
        self.grayscale = grayscale
        self.padding = padding

    def prepare(self, reference: tf.Tensor) -> Prepared:
        """Computes the references' means and variances under the windows."""
        self.check_size(reference)
        reference = to_grey(reference) if self.grayscale else reference
        return window_statistics(reference, self.padding) | {"reference": reference}

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Compares with the references' means and variances."""
        images = to_grey(images) if self.grayscale else images
        luminance, contrast = window_losses(prepared, images, self.padding)
        return tf.reduce_mean(luminance + contrast - luminance * contrast, axis=(1, 2, 3))

    def score(self, reference: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """Returns SSIM itself ``(batch,)``: 1 for equal images."""
        return 1.0 - self(reference, images)


def window_statistics(reference: tf.Tensor, padding: str) -> Prepared:
    """Computes ``means`` and ``variances`` ``(batch, rows, columns, channels)`` under the windows."""
    means, squares = tf.split(_blur(tf.concat([reference, tf.square(reference)], -1), padding), 2, axis=-1)
    return {"means": means, "variances": tf.maximum(squares - tf.square(means), 0.0)}


def window_losses(prepared: Prepared, images: tf.Tensor, padding: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes what each window lacks to full similarity: 1 - l of the luminance and 1 - cs of the contrast.

    SSIM is the mean of ``l * cs``. Both are written in the change of the image, so that small ones are not
    lost in the rounding of numbers close to 1:
    ``1 - l = (G d)^2 / (mu_x^2 + mu_y^2 + C1)`` and ``1 - cs = var(d) / (var(x) + var(y) + C2)``.

    Args:
        prepared: ``reference``, ``means`` and ``variances``.
        images: ``(batch, height, width, channels)``.
        padding: As for ``window_statistics``.

    Returns:
        Two tensors ``(batch, rows, columns, channels)``, from 0 on, below 1 and below 2.
    """
    reference, means, variances = prepared["reference"], prepared["means"], prepared["variances"]
    changes = images - reference
    products = tf.concat([changes, tf.square(changes), changes * reference], -1)
    shifts, squares, mixed = tf.split(_blur(products, padding), 3, axis=-1)
    of_changes = tf.maximum(squares - tf.square(shifts), 0.0)
    covariances = mixed - shifts * means
    # var(x + d) = var(x) + 2 cov(x, d) + var(d), where rounding must not leave less than nothing.
    of_images = tf.maximum(variances + 2.0 * covariances + of_changes, 0.0)
    luminance = tf.square(shifts) / (tf.square(means) + tf.square(means + shifts) + 0.01**2)
    return luminance, of_changes / (variances + of_images + 0.03**2)


def to_grey(images: tf.Tensor) -> tf.Tensor:
    """Turns RGB ``(..., 3)`` into greys ``(..., 1)``; what has one channel is left alone."""
    if images.shape[-1] == 1:
        return images
    return tf.reduce_sum(images * tf.constant(_GREY_WEIGHTS, images.dtype), axis=-1, keepdims=True)


def _blur(values: tf.Tensor, padding: str) -> tf.Tensor:
    return blur(values, gaussian_window(), padding=padding)
