"""Pictures smoothed by the median of each pixel's neighbourhood."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bioattack.defences.defence import Defence, check_strength
from bioattack.errors import InputError
from bioattack.models.layers.xla import compiled_with_xla

# XLA makes one pass over the pixels of all the exchanges: a fifth of the time for windows of 2 and 3. From 5
# on it takes ten seconds and more to compile, and saves little.
_LARGEST_COMPILED = 3


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
        return _median(self.strength)(images)

    def smoothed(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the same: a median is one of the values, and its gradient goes there."""
        return self.exact(images)


@functools.cache
def _median(size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    median = functools.partial(_median_of_windows, size=size)
    return compiled_with_xla(median) if size <= _LARGEST_COMPILED else median


def _median_of_windows(images: tf.Tensor, *, size: int) -> tf.Tensor:
    before, after = size // 2, size - 1 - size // 2
    padded = tf.pad(images, ((0, 0), (before, after), (before, after), (0, 0)), "SYMMETRIC")
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    window = [
        padded[:, row : row + height, column : column + width]
        for row in range(size)
        for column in range(size)
    ]
    return _middle(*window)


@tf.custom_gradient
def _middle(*values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
    """The middle one of some tensors, value by value; its gradient goes to the one that it is.

    Of equal ones it is that which a stable sort puts in the middle.
    """
    sorted_so_far: list[Any] = list(values)
    # Exchanges between whole tensors: much faster than to sort the few values at every pixel.
    for first, second in _exchanges(len(values)):
        one, other = sorted_so_far[first], sorted_so_far[second]
        sorted_so_far[first], sorted_so_far[second] = tf.minimum(one, other), tf.maximum(one, other)
    middle = sorted_so_far[len(values) // 2]

    def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
        num_smaller = tf.add_n([tf.cast(value < middle, tf.int32) for value in values])
        # As many of those that are equal to it come before it.
        num_before = len(values) // 2 - num_smaller
        gradients = []
        for value in values:
            is_equal = value == middle
            gradients.append(tf.where(is_equal & (num_before == 0), upstream, 0.0))
            num_before -= tf.cast(is_equal, tf.int32)
        return gradients

    return middle, gradient


@functools.cache
def _exchanges(number: int) -> tuple[tuple[int, int], ...]:
    """What a sorting network compares and exchanges, but for what does not reach the middle.

    Source:
        Batcher 1968, odd-even mergesort, in the form of Knuth, The Art of Computer Programming 3, 5.2.2 M.
    """
    exchanges = []
    half = 2 ** ((number - 1).bit_length() - 1)
    step = half
    while step:
        reach, remainder, distance = half, 0, step
        while True:
            exchanges += [
                (place, place + distance) for place in range(number - distance) if place & step == remainder
            ]
            if reach == step:
                break
            distance, reach, remainder = reach - step, reach // 2, step
        step //= 2
    needed, kept = {number // 2}, []
    for pair in reversed(exchanges):
        if needed & set(pair):
            needed |= set(pair)
            kept.append(pair)
    return tuple(reversed(kept))
