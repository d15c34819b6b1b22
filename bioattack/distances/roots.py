"""Square roots with a gradient everywhere."""

import tensorflow as tf


def safe_root(values: tf.Tensor) -> tf.Tensor:
    """Takes square roots; where there is nothing to take one of, 0 with gradient 0.

    Args:
        values: Any shape, float; what is below 0 by rounding counts as 0.

    Returns:
        The same shape and dtype.

    Gradient:
        Finite everywhere; 0 where the values are 0 or below.

    >>> safe_root(tf.constant([4.0, 0.0])).numpy().tolist()
    [2.0, 0.0]
    """
    is_positive = values > 0
    # Inside as well: the gradient of a root at 0 is infinite, and infinity times the outer 0 is NaN.
    roots = tf.sqrt(tf.where(is_positive, values, tf.ones_like(values)))
    return tf.where(is_positive, roots, tf.zeros_like(values))
