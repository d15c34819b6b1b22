"""The balls of allowed perturbations: how to step in one, return to it, start in it, and save what is in it.

All methods work on tensors of any rank whose first axis is the batch, can be traced with an unknown batch
size, and treat every image by itself. Lengths and epsilons are in the unit of the images, which is [0, 1].
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import tensorflow as tf

from bioattack.errors import InputError

# What 8 bits can hold. TensorFlow's graph optimiser turns a division by 255 into a product with its
# reciprocal, which misses half of these numbers by one bit, so they are looked up.
_GRID: Final = np.arange(256, dtype=np.float32) / np.float32(255)
# Spacing of float32 numbers in [0.5, 1): at least the spacing anywhere in [0, 1).
_SPACING: Final = 2.0**-24
# 2**-32 of the largest value is far below what float32 resolves in an image.
_NUM_BISECTIONS: Final = 32
# The same numbers on every device, which TensorFlow's default choice would not give.
_GENERATOR: Final = "philox"
# Lengths between these have lost nothing that matters to overflow or underflow of float32 squares.
_SHORTEST, _LONGEST = 1e-12, 1e15


@dataclasses.dataclass(frozen=True)
class Ball(abc.ABC):
    """The perturbations of at most a length, in one norm, of images in [0, 1].

    >>> get_ball("l2").length([[3.0, 4.0]]).numpy().tolist()
    [5.0]
    """

    norm: ClassVar[str]

    @abc.abstractmethod
    def ascend(self, gradients: Any, images: Any | None = None) -> Any:
        """The direction of steepest ascent, of length 1 in the norm.

        Args:
            gradients: ``(batch, ...)`` float32, of any magnitude. NaN counts as 0.
            images: ``(batch, ...)`` float32, where the gradients were taken. Only ``l1`` looks at them.

        Returns:
            The shape of ``gradients``; 0 for an image whose gradient is 0.
        """

    @abc.abstractmethod
    def project(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Brings images back into the ball around their originals and into [0, 1].

        Args:
            images: ``(batch, ...)`` float32, finite.
            originals: The same shape, in [0, 1].
            epsilon: ``(batch,)`` float32, at least 0.

        Returns:
            The same shape: in [0, 1], and no further from the originals than epsilon, up to the rounding of
            float32. What was inside already comes back unchanged.
        """

    @abc.abstractmethod
    def length(self, perturbations: Any) -> Any:
        """The length of each perturbation in the norm.

        Args:
            perturbations: ``(batch, ...)`` float32.

        Returns:
            ``(batch,)`` float32. Its gradient is finite everywhere, at 0 too.
        """

    @abc.abstractmethod
    def round_to_8_bits(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """The images as 8 bits per channel can hold them, still inside the ball.

        Args:
            images: ``(batch, ...)`` float32, in the ball and in [0, 1], as ``project`` gives them.
            originals: The same shape, on the grid of k / 255; each value is taken at its nearest grid point.
            epsilon: ``(batch,)`` float32, at least 0.

        Returns:
            The same shape; each value is the float32 k / 255 of a whole k and no further from the originals
            than epsilon.
        """

    def rounded(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """The images as they can be saved, still inside the ball: with 8 bits, unless a ball says otherwise.

        Args:
            images: As ``round_to_8_bits``.
            originals: As ``round_to_8_bits``.
            epsilon: As ``round_to_8_bits``.
        """
        return self.round_to_8_bits(images, originals, epsilon)

    def draw(self, keys: Any, shape: Sequence[int]) -> Any:
        """Draws a point of the unit ball for each image, uniform over the ball.

        Args:
            keys: ``(batch, 2)`` int32. An image's point depends on its own key and on nothing else.
            shape: The shape of one image, all of it known.

        Returns:
            ``(batch, *shape)`` float32, of length at most 1 up to the rounding of float32.
        """
        shape = tuple(int(size) for size in shape)
        return tf.map_fn(
            lambda key: self._draw_one(key, shape), keys, fn_output_signature=tf.TensorSpec(shape, tf.float32)
        )

    @abc.abstractmethod
    def _draw_one(self, key: Any, shape: tuple[int, ...]) -> Any:
        """One point of the unit ball."""


@dataclasses.dataclass(frozen=True)
class Linf(Ball):
    """The largest change of any value."""

    norm: ClassVar[str] = "linf"

    def ascend(self, gradients: Any, images: Any | None = None) -> Any:  # noqa: ARG002
        """The sign of the gradient."""
        # A sum is read in one pass and shows every NaN; what else makes it infinite does no harm.
        return tf.cond(
            tf.math.is_finite(tf.reduce_sum(gradients)),
            lambda: tf.sign(gradients),
            lambda: tf.sign(_without_nan(gradients)),
        )

    def project(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Clips every value; the nearest point of the ball in every norm."""
        epsilon = _per_image(epsilon, originals)
        lowest, highest = tf.maximum(originals - epsilon, 0.0), tf.minimum(originals + epsilon, 1.0)
        # In one pass, where `tf.clip_by_value` makes two.
        return tf.raw_ops.ClipByValue(t=images, clip_value_min=lowest, clip_value_max=highest)

    def length(self, perturbations: Any) -> Any:
        """The largest absolute value."""
        return tf.reduce_max(tf.abs(perturbations), axis=_value_axes(perturbations))

    def round_to_8_bits(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Rounds to the nearest of the grid points that the ball holds.

        The ball holds the whole steps of 1/255 that fit in epsilon, where 8/255 in float32 counts as eight.
        """
        epsilon = tf.cast(_per_image(epsilon, originals), tf.float64)
        num_steps = tf.minimum(tf.floor(255.0 * (epsilon * (1 + 1e-6) + 1e-7)), 255.0)
        num_steps = tf.cast(num_steps, tf.int32)
        middle = _nearest_index(originals)
        return _at_index(tf.clip_by_value(_nearest_index(images), middle - num_steps, middle + num_steps))

    def _draw_one(self, key: Any, shape: tuple[int, ...]) -> Any:
        return tf.random.stateless_uniform(shape, key, minval=-1.0, maxval=1.0, alg=_GENERATOR)


@dataclasses.dataclass(frozen=True)
class L2(Ball):
    """The Euclidean length over all values of an image."""

    norm: ClassVar[str] = "l2"

    def ascend(self, gradients: Any, images: Any | None = None) -> Any:  # noqa: ARG002
        """The gradient at length 1, however small or large it was.

        Foolbox divides by at least 1e-12, so that smaller gradients make shorter steps; here they do not.
        """
        lengths = self.length(gradients)
        # False where a gradient is 0, not finite, or so small or large that its squares were not exact.
        is_plain = (lengths > _SHORTEST) & (lengths < _LONGEST)
        plain = gradients * _per_image(1 / lengths, gradients)

        def with_others() -> Any:
            return tf.raw_ops.Select(condition=is_plain, x=plain, y=self._careful_direction(gradients))

        # A row is the same in every company.
        return tf.cond(tf.reduce_all(is_plain), lambda: plain, with_others)

    def _careful_direction(self, gradients: Any) -> Any:
        """The direction of gradients of any magnitude, of which some may be 0, infinite or NaN."""
        gradients = tf.clip_by_value(_without_nan(gradients), -tf.float32.max, tf.float32.max)
        # Divided by the largest value first: the squares of 1e-25 are 0 in float32, those of 1e25 infinite.
        largest = tf.reduce_max(tf.abs(gradients), axis=_value_axes(gradients), keepdims=True)
        gradients = tf.math.divide_no_nan(gradients, largest)
        return tf.math.divide_no_nan(gradients, _per_image(self.length(gradients), gradients))

    def project(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Shortens the perturbation to epsilon, then clips the image to [0, 1].

        The result is inside both, but where values are clipped it is not the nearest point that is: those
        leave room which the others do not take. It is what Foolbox and CleverHans do, and is kept for the
        sake of equal results; ART clips first and then shortens, which differs where both happen.
        """
        perturbations = images - originals
        lengths = self.length(perturbations)
        factors = tf.math.divide_no_nan(epsilon, tf.maximum(lengths, epsilon))
        moved = _add_inwards(originals, perturbations * _per_image(factors, perturbations))
        inside = clip_to_unit(images)
        return tf.raw_ops.Select(condition=lengths <= epsilon, x=inside, y=moved)

    def length(self, perturbations: Any) -> Any:
        """The root of the sum of squares."""
        return _safe_root(tf.reduce_sum(tf.square(perturbations), axis=_value_axes(perturbations)))

    def round_to_8_bits(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Rounds each value to one of its two neighbours on the grid: mostly the nearest.

        Where the ball has no room for all that would be rounded outwards, those closest to their outer
        neighbour go first and the rest go towards the original. Where rounding to the nearest would lose the
        perturbation, as it does if most changes are below 1/510, the largest of these go outwards too, until
        the rounded perturbation reaches as far along the image's own or the ball is full. The choice is
        greedy, not the best of all, and an epsilon below 1/255 still leaves no room for any change.
        """
        return _round_within(images, originals, tf.square(tf.cast(epsilon, tf.float64)), power=tf.square)

    def _draw_one(self, key: Any, shape: tuple[int, ...]) -> Any:
        # The first n coordinates of a uniform point on the sphere in n + 2 dimensions are uniform in the ball
        # in n dimensions (Voelker, Gosmann and Stewart 2017).
        normal = tf.random.stateless_normal([math.prod(shape) + 2], key, alg=_GENERATOR)
        return tf.reshape(normal[:-2] / tf.norm(normal), shape)


@dataclasses.dataclass(frozen=True)
class Rms(L2):
    """The root of the mean square over all values: the L2 length divided by the root of their number.

    It is at most the Linf length, so that at equal epsilon its ball holds the Linf ball.
    """

    norm: ClassVar[str] = "rms"

    def length(self, perturbations: Any) -> Any:
        """The root of the mean of squares."""
        return _safe_root(tf.reduce_mean(tf.square(perturbations), axis=_value_axes(perturbations)))

    def round_to_8_bits(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Rounds each value to one of its two neighbours on the grid, as ``L2`` does."""
        return super().round_to_8_bits(images, originals, epsilon * _root_of_size(images))

    def _draw_one(self, key: Any, shape: tuple[int, ...]) -> Any:
        return super()._draw_one(key, shape) * math.sqrt(math.prod(shape))


@dataclasses.dataclass(frozen=True)
class L1(Ball):
    """The sum of the absolute changes of all values."""

    norm: ClassVar[str] = "l1"

    def ascend(self, gradients: Any, images: Any | None = None) -> Any:
        """Equal steps along the signs of the largest 1 % of the gradient's values, at least one.

        The steepest ascent in L1 changes a single value, which takes a step for each; the largest hundredth
        is nearly as steep and moves at a useful speed (Tramèr and Boneh 2019, sparse L1 descent). With
        ``images``, values that already stand at the bound they would be pushed over are left out, and others
        take their place. Values that tie with the last one chosen are chosen too, and shorten the steps.
        """
        gradients = _without_nan(gradients)
        weights = tf.abs(gradients)
        if images is not None:
            is_stuck = ((images >= 1.0) & (gradients > 0.0)) | ((images <= 0.0) & (gradients < 0.0))
            weights = tf.where(is_stuck, 0.0, weights)
        flat = _flat(weights)
        size = flat.shape[-1] or tf.shape(flat)[-1]
        least = tf.math.top_k(flat, k=tf.maximum(size // 100, 1)).values[:, -1]
        is_chosen = (weights >= _per_image(least, weights)) & (weights > 0.0)
        signs = tf.where(is_chosen, tf.sign(gradients), 0.0)
        return tf.math.divide_no_nan(signs, _per_image(self.length(signs), signs))

    def project(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Gives the nearest point, in Euclidean distance, of the ball's part in [0, 1].

        Every value of the perturbation shrinks by one common amount and is then cut off at 0 and at the room
        it has in [0, 1]; the amount is found by bisection (Croce and Hein 2021, "Mind the box", who sort).
        """
        perturbations = images - originals
        sizes = tf.abs(perturbations)
        room = tf.minimum(sizes, tf.where(perturbations > 0.0, 1.0 - originals, originals))
        limit = _per_image(epsilon, images)
        shrunk = _shrink_to_sum(sizes, room, limit)
        is_inside = _sum(room) <= limit
        moved = _add_inwards(originals, tf.sign(perturbations) * shrunk)
        inside = clip_to_unit(images)
        return tf.raw_ops.Select(condition=tf.reshape(is_inside, (-1,)), x=inside, y=moved)

    def length(self, perturbations: Any) -> Any:
        """The sum of the absolute values."""
        return tf.reduce_sum(tf.abs(perturbations), axis=_value_axes(perturbations))

    def round_to_8_bits(self, images: Any, originals: Any, epsilon: Any) -> Any:
        """Rounds each value to one of its two neighbours on the grid, as ``L2`` does."""
        return _round_within(images, originals, tf.cast(epsilon, tf.float64), power=tf.identity)

    def _draw_one(self, key: Any, shape: tuple[int, ...]) -> Any:
        # n of n + 1 exponential numbers divided by their sum are uniform in the simplex (Devroye 1986, V.2).
        uniform = tf.random.stateless_uniform([2, math.prod(shape) + 1], key, alg=_GENERATOR)
        exponential = -tf.math.log1p(-uniform[0])
        signs = tf.where(uniform[1] < 0.5, -1.0, 1.0)
        return tf.reshape((signs * exponential / tf.reduce_sum(exponential))[:-1], shape)


_BALLS: Final = {ball.norm: ball for ball in (Linf(), L2(), Rms(), L1())}
NORMS: Final = tuple(_BALLS)


def get_ball(norm: str) -> Ball:
    """Gives the ball of that norm.

    Args:
        norm: ``"linf"``, ``"l2"``, ``"rms"`` or ``"l1"``.

    Raises:
        InputError: If there is no such norm.

    >>> get_ball("linf").project([[0.9, 0.2]], [[0.5, 0.25]], [0.25]).numpy().tolist()
    [[0.75, 0.20000000298023224]]
    """
    if norm not in _BALLS:
        raise InputError(f"norm must be one of {', '.join(NORMS)}. Received: norm={norm!r}")
    return _BALLS[norm]


def _value_axes(values: Any) -> tuple[int, ...]:
    """All axes but the first."""
    return tuple(range(1, len(tf.convert_to_tensor(values).shape)))


def _per_image(numbers: Any, images: Any) -> Any:
    """One number per image, in a shape that broadcasts against the images."""
    return tf.reshape(numbers, [-1] + [1] * len(_value_axes(images)))


def _sum(values: Any) -> Any:
    """The sum over each image, in a shape that broadcasts against the images."""
    return tf.reduce_sum(values, axis=_value_axes(values), keepdims=True)


def _flat(values: Any) -> Any:
    values = tf.convert_to_tensor(values)
    size = values.shape[1:].num_elements() or tf.reduce_prod(tf.shape(values)[1:])
    return tf.reshape(values, [tf.shape(values)[0], size])


def clip_to_unit(images: Any) -> Any:
    """Clips to [0, 1], in one pass where `tf.clip_by_value` makes two."""
    return tf.raw_ops.ClipByValue(t=images, clip_value_min=0.0, clip_value_max=1.0)


def _without_nan(gradients: Any) -> Any:
    # Of equal shapes: a `tf.where` that spreads a number costs more than the rest of a step.
    return tf.raw_ops.Select(condition=tf.math.is_nan(gradients), x=tf.zeros_like(gradients), y=gradients)


def _root_of_size(images: Any) -> Any:
    return tf.sqrt(tf.cast(tf.reduce_prod(tf.shape(images)[1:]), tf.float32))


def _safe_root(squares: Any) -> Any:
    """The square root, with gradient 0 instead of infinity at 0."""
    is_positive = squares > 0.0
    return tf.where(is_positive, tf.sqrt(tf.where(is_positive, squares, 1.0)), 0.0)


def _add_inwards(originals: Any, perturbations: Any) -> Any:
    """The perturbed images in [0, 1], each value rounded so that it is no further off than was asked for.

    Rounding to the nearest float32 may err outwards in all values alike (in a uniform area), and in a large
    image the sum of 150,000 such errors would be a thousandth of an L1 epsilon.
    """
    images = clip_to_unit(originals + perturbations)
    changes = images - originals
    is_outside = tf.abs(changes) > tf.abs(perturbations)
    return tf.where(is_outside, images - tf.clip_by_value(changes, -_SPACING, _SPACING), images)


def _shrink_to_sum(sizes: Any, room: Any, limit: Any) -> Any:
    """min(max(sizes - amount, 0), room) with the amount for which each image sums to at most ``limit``."""

    def shrink(amount: Any) -> Any:
        return tf.minimum(tf.maximum(sizes - amount, 0.0), room)

    def halve(low: Any, high: Any) -> tuple[Any, Any]:
        middle = (low + high) / 2.0
        is_too_little = _sum(shrink(middle)) > limit
        return tf.where(is_too_little, middle, low), tf.where(is_too_little, high, middle)

    high = tf.reduce_max(sizes, axis=_value_axes(sizes), keepdims=True)
    _, high = tf.while_loop(
        lambda *_: True, halve, (tf.zeros_like(high), high), maximum_iterations=_NUM_BISECTIONS
    )
    shrunk = shrink(high)
    return shrunk * tf.math.divide_no_nan(limit, tf.maximum(_sum(shrunk), limit))


def _nearest_index(images: Any) -> Any:
    return tf.cast(tf.round(images * 255.0), tf.int32)


def _at_index(indices: Any) -> Any:
    return tf.gather(_GRID, indices)


def _round_within(images: Any, originals: Any, budget: Any, *, power: Callable[[Any], Any]) -> Any:
    """Puts each value on one of its two neighbours on the grid so that ``sum(power(change)) <= budget``.

    It begins with the neighbour towards the original, which is inside the ball wherever the image is, and
    goes through the values from the one that is nearest to its outer neighbour to the one that is furthest,
    moving each outwards while the ball has room. Up to one half that is rounding to the nearest. It goes on
    beyond one half while the rounded perturbation falls short along the image's own (its inner product with
    it is below that with itself): a perturbation whose values are all below 1/510 would otherwise vanish,
    which is what becomes of L2 attacks on large pictures when they are saved.

    Args:
        images: ``(batch, ...)`` float32, inside the ball.
        originals: The same shape, on the grid.
        budget: ``(batch,)`` float64.
        power: What each absolute change costs, elementwise.
    """
    originals = _at_index(_nearest_index(originals))
    side = tf.cast(tf.sign(images - originals), tf.int32)
    inner = _nearest_index(images)
    is_beyond = tf.cast(side, tf.float32) * (_at_index(inner) - images) > 0.0
    inner = tf.where(is_beyond, inner - side, inner)
    outer = tf.where(tf.equal(images, _at_index(inner)), inner, inner + side)
    fractions = _flat(255.0 * tf.abs(images - _at_index(inner)))
    wanted, near, far = (
        _flat(tf.abs(tf.cast(values, tf.float64) - tf.cast(originals, tf.float64)))
        for values in (images, _at_index(inner), _at_index(outer))
    )
    order = tf.argsort(fractions, direction="DESCENDING", stable=True)
    fractions, costs, gains = (
        tf.gather(values, order, batch_dims=1)
        for values in (fractions, power(far) - power(near), wanted * (far - near))
    )
    has_room = _total(power(near)) + tf.cumsum(costs, axis=-1) <= budget[:, tf.newaxis]
    # Half of a value's own gain: a step that would overshoot by more than is missing is not made.
    reached = _total(wanted * near) + tf.cumsum(gains, axis=-1) - gains / 2.0
    falls_short = reached < _total(tf.square(wanted))
    is_moved = _unordered(has_room & ((fractions >= 0.5) | falls_short), order)
    return _at_index(tf.where(tf.reshape(is_moved, tf.shape(images)), outer, inner))


def _unordered(values: Any, order: Any) -> Any:
    """Puts each row's values back to where ``order`` took them from; a second sort would cost twice that."""
    shape = tf.shape(order)
    places = order + shape[1] * tf.range(shape[0])[:, tf.newaxis]
    scattered = tf.scatter_nd(
        tf.reshape(places, [-1, 1]), tf.cast(tf.reshape(values, [-1]), tf.int32), [tf.size(order)]
    )
    return tf.cast(tf.reshape(scattered, shape), tf.bool)


def _total(values: Any) -> Any:
    return tf.reduce_sum(values, axis=-1, keepdims=True)
