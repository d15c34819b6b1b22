"""Peak signal-to-noise ratio."""

import math

import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared

# The ratio of equal images would be infinite; a mean square error of 1e-10 is far below what 8 bits can tell.
_CAP_DECIBELS = 100.0


class PeakSignalToNoise(Distance):
    """How many decibels the peak signal-to-noise ratio lies below a cap of 100.

    It is ``10 log10(1 + 1e10 mse)`` of the mean square error over all values, which is the usual
    ``100 - (-10 log10 mse)`` but near equal images, where that is infinite.

    Returns:
        ``(batch,)``, from 0 to 100, in decibels.

    Gradient:
        Along the change; 0 where nothing is changed. It is steep near there, as a logarithm is.

    >>> PeakSignalToNoise()([[[[0.5]]]], [[[[0.4]]]]).numpy().round(2).tolist()
    [80.0]
    """

    name = "psnr"

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Takes the logarithm of the mean square error."""
        errors = tf.reduce_mean(tf.square(images - prepared["reference"]), axis=(1, 2, 3))
        return 10.0 / math.log(10.0) * tf.math.log1p(10.0 ** (_CAP_DECIBELS / 10.0) * errors)

    def score(self, reference: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """Returns the ratio itself ``(batch,)`` in decibels: 100 for equal images, less for others."""
        return _CAP_DECIBELS - self(reference, images)
