"""Pictures smoothed by the median of each pixel's neighbourhood."""

import tensorflow as tf

from bioattack.defences.defence import Defence, check_strength
from bioattack.errors import InputError


class MedianSmoothing(Defence):
    """Replaces every value by the median of the window around it, channel by channel.

    At the edges the picture is mirrored. Of a window with an even number of values the upper one of the two
    middle values is taken, and its centre lies above and to the left, as SciPy's ``median_filter`` has it.

    Args:
        size: Side of the window in pixels, 2 to 9.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, [0, 1], no side smaller than the window.
        gradient: ``"none"``, ``"straight-through"`` or ``"smooth"``: that of the median itself, which goes to
            the pixels that the values were taken from.

    Returns:
        The same shape, float32; every value is one of the picture's own.

    Raises:
        InputError: If ``size`` is no whole number from 2 to 9.

    Source:
        Xu, Evans and Qi 2018, Feature Squeezing (local smoothing; windows of 2 and 3).

    >>> row = tf.reshape(tf.constant([0.0, 0.0, 1.0, 0.0, 0.0]), (1, 1, 5, 1))
    >>> MedianSmoothing(3)(tf.tile(row, (1, 3, 1, 1))).numpy().max()
    np.float32(0.0)
    """

    kind = "median"
    usual_gradient = "smooth"
    gradients = ("none", "straight-through", "smooth")

    def __init__(self, size: int) -> None:
        super().__init__(check_strength(size, name="size", largest=9))
        if size < 2:
            raise InputError("size must be a whole number from 2 to 9. Received: size=1")

    def exact(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the smoothed pictures."""
        size = self.strength
        before, after = size // 2, size - 1 - size // 2
        padded = tf.pad(images, ((0, 0), (before, after), (before, after), (0, 0)), "SYMMETRIC")
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        window = [
            padded[:, row : row + height, column : column + width]
            for row in range(size)
            for column in range(size)
        ]
        # The smallest values up to the middle one, which is the last of them.
        smallest_first = -tf.math.top_k(-tf.stack(window, axis=-1), k=size * size // 2 + 1).values
        return smallest_first[..., -1]

    def smoothed(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the same: a median is one of the values, and its gradient goes there."""
        return self.exact(images)
