"""The ball of allowed changes to a row of a table: per attribute, within its range, whole where it counts."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from bioattack.attacks.balls import Linf
from bioattack.attacks.random_numbers import random_numbers
from bioattack.attacks.row_bounds import RowBounds


@dataclasses.dataclass(frozen=True)
class RowBall(Linf):
    """The largest change of any attribute on its own scale, of rows ``(batch, features)`` that stay valid.

    Attributes that are not moved keep their value to the last bit; the others stay within epsilon and within
    their range. The gradient is followed in real numbers, so that small steps add up; ``rounded`` gives the
    row with whole numbers that the model is shown and that is judged.

    Args:
        bounds: What may be moved, and where to.

    Source:
        Sooksatra and Rivas 2022, section IV: epsilon 10 to 20 on UCI Adult can only be on raw scales.

    >>> bounds = RowBounds(("age", "sex"), (17.0, 0.0), (90.0, 1.0), (True, False), (True, True))
    >>> ball = RowBall(bounds)
    >>> ball.rounded([[60.4, 0.7]], [[39.0, 1.0]], [10.5]).numpy().tolist()
    [[49.0, 1.0]]
    """

    bounds: RowBounds
    norm: ClassVar[str] = "linf"

    def project(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Clips every attribute to epsilon and its range; the nearest point of the ball in every norm."""
        lowest, highest = self._limits(originals, self._radius(epsilon))
        return tf.raw_ops.ClipByValue(t=images, clip_value_min=lowest, clip_value_max=highest)

    def rounded(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Rounds the attributes that count something to the nearest whole number that the ball holds.

        Args:
            images: ``(batch, features)`` float32.
            originals: The same shape, in whole numbers where that is asked for.
            epsilon: ``(batch,)`` float32, at least 0.
        """
        is_whole = self._is("is_whole", originals)
        radius = self._radius(epsilon)
        # A radius of 10.5 holds ten whole steps; so counted, no sum of large numbers rounds them to eleven.
        lowest, highest = self._limits(originals, tf.where(is_whole, tf.floor(radius), radius))
        lowest, highest = (
            tf.where(is_whole, inwards(limit), limit)
            for limit, inwards in ((lowest, tf.math.ceil), (highest, tf.floor))
        )
        nearest = tf.where(is_whole, tf.round(images), images)
        return tf.raw_ops.ClipByValue(t=nearest, clip_value_min=lowest, clip_value_max=highest)

    def round_to_8_bits(self, images: Any, originals: Any, epsilon: Any) -> Any:  # noqa: ARG002
        """Rows are no pictures: ValueError."""
        raise ValueError("rows of a table are not saved with 8 bits: ask for rounded()")

    def draw(self, keys: Any, shape: Sequence[int]) -> Any:
        """Draws a point of the unit ball for each row, 0 where nothing is moved.

        Args:
            keys: ``(batch, 2)`` int32; a row's point depends on its own key and on nothing else.
            shape: ``(features,)``.
        """
        (num_features,) = (int(size) for size in shape)
        counters = tf.zeros_like(keys[:, :1]) + tf.range(num_features)[tf.newaxis]
        numbers = 2.0 * random_numbers(keys, counters) - 1.0
        return tf.where(self._is("is_moved", numbers), numbers, 0.0)

    def _radius(self, epsilon: Any) -> Any:
        """``(batch, features)``: 0 where nothing is moved, so that sums with it keep the last bit."""
        is_moved = np.array(self.bounds.is_moved, np.float32)
        return tf.convert_to_tensor(epsilon, tf.float32)[:, tf.newaxis] * is_moved

    def _limits(self, originals: Any, radius: Any) -> tuple[Any, Any]:
        originals = tf.convert_to_tensor(originals, tf.float32)
        lowest, highest = originals - radius, originals + radius
        # The sum of a large number and a small one may be rounded outwards.
        lowest = tf.where(originals - lowest > radius, tf.math.nextafter(lowest, originals), lowest)
        highest = tf.where(highest - originals > radius, tf.math.nextafter(highest, originals), highest)
        return (
            tf.maximum(lowest, tf.minimum(np.array(self.bounds.lowest, np.float32), originals)),
            tf.minimum(highest, tf.maximum(np.array(self.bounds.highest, np.float32), originals)),
        )

    def _is(self, name: str, like: Any) -> Any:
        """One of the truth values of the bounds, spread over the rows."""
        return tf.broadcast_to(np.array(getattr(self.bounds, name)), tf.shape(like))
