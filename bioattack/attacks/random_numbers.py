"""Random numbers for each image of a batch from its key and a counter alone, in a few vector operations."""

from typing import Any, Final

import tensorflow as tf

# Steele, Lea and Flood 2014: the golden ratio's odd 64-bit multiple, and the two rounds of the mixing.
_INCREMENT: Final = 0x9E3779B97F4A7C15
_ROUNDS: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT: Final = 31


def random_bits(keys: Any, counters: Any) -> Any:
    """Gives the numbers ``counters + 1`` of the SplitMix64 sequence that begins at each key.

    TensorFlow's stateless generators take one key a call, which would be one call for each image.

    Args:
        keys: ``(batch, 2)`` int32, the upper and the lower half of the seed.
        counters: ``(batch, numbers)`` int32, at least 0.

    Returns:
        ``(batch, numbers)`` uint64.

    Source:
        Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".

    >>> random_bits([[0, 1234567]], [[0]]).numpy().tolist()
    [[6457827717110365317]]
    """
    halves = tf.cast(tf.bitcast(tf.convert_to_tensor(keys, tf.int32), tf.uint32), tf.uint64)
    seeds = tf.bitwise.left_shift(halves[:, :1], _uint64(32)) + halves[:, 1:]
    bits = seeds + tf.cast(tf.convert_to_tensor(counters) + 1, tf.uint64) * _uint64(_INCREMENT)
    for shift, factor in _ROUNDS:
        bits = _folded(bits, shift) * _uint64(factor)
    return _folded(bits, _LAST_SHIFT)


def random_numbers(keys: Any, counters: Any) -> Any:
    """Gives uniform numbers in [0, 1), ``(batch, numbers)`` float32, multiples of 2**-24.

    Args:
        keys: As ``random_bits``.
        counters: As ``random_bits``.
    """
    bits = tf.bitwise.right_shift(random_bits(keys, counters), _uint64(40))
    return tf.cast(tf.cast(bits, tf.int32), tf.float32) * 2.0**-24


def _folded(bits: Any, shift: int) -> Any:
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, _uint64(shift)))


def _uint64(number: int) -> Any:
    return tf.constant(number, tf.uint64)
