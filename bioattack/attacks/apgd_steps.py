"""How AutoPGD chooses and makes its steps: halved step lengths, and in L1 sparse steps."""

import math
from typing import Final, Protocol

import tensorflow as tf

from bioattack.attacks.attack import Slots, State, per_image
from bioattack.attacks.balls import Ball

# Share of a step that is new; the rest repeats the move before.
_NEW_SHARE: Final = 0.75
# At a checkpoint at least this share of the moves must have raised the loss.
_LEAST_RISES: Final = 0.75

# Sparse steps: one value in so many moves at first; what divides the step, the shortest step, and how much
# sparser the best point must have become for a new beginning.
_FIRST_PART: Final = 5
_REDUCTION: Final = 1.5
_SHORTEST: Final = 0.1
_IS_SPARSER: Final = 0.95


class Steps(Protocol):
    """A rule by which each image moves; what it remembers of an image stands in the state."""

    def draw(self, slots: Slots) -> tf.Tensor:
        """Gives random first points, not yet in the ball and in [0, 1]."""

    def remember(self, slots: Slots, iterates: tf.Tensor) -> State:
        """Gives the entries of the state that the rule needs, for images that have just come in."""

    def check(self, slots: Slots, state: State, losses: tf.Tensor) -> tuple[State, tf.Tensor]:
        """Takes note of the losses, sets the step, and tells which images go back to their best point."""

    def move(
        self, slots: Slots, state: State, iterates: tf.Tensor, gradients: tf.Tensor
    ) -> tuple[State, tf.Tensor]:
        """Makes a step, back into the ball."""


def period_ends(num_steps: int) -> list[int]:
    """The numbers of moves after which the length of the step is reconsidered.

    The first period has 22 % of all moves, each later one 3 % of them less, down to 6 %. Each of the three
    is rounded down to a whole number, as in the authors' program; for 100 moves that is the paper's schedule.

    >>> period_ends(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    period, shorter, shortest = (max(1, percent * num_steps // 100) for percent in (22, 3, 6))
    ends = [period]
    while ends[-1] < num_steps:
        period = max(period - shorter, shortest)
        ends.append(ends[-1] + period)
    return [end for end in ends if end <= num_steps]


class HalvedSteps:
    """Steps with momentum, halved wherever they did badly.

    Args:
        ball: The ball.
        num_steps: Moves in all.
        relative_step: Length of the first step as a fraction of epsilon.

    Source:
        Croce and Hein 2020, algorithm 1.
    """

    def __init__(self, ball: Ball, *, num_steps: int, relative_step: float) -> None:
        self.ball = ball
        self.relative_step = relative_step
        ends = period_ends(num_steps)
        #: For each number of moves the length of the period that ends there, or 0.
        self.periods = [0] * (num_steps + 1)
        for start, end in zip([0, *ends], ends, strict=False):
            self.periods[end] = end - start

    def draw(self, slots: Slots) -> tf.Tensor:
        """Draws points of the sphere."""
        drawn = self.ball.draw(slots.keys, slots.originals.shape[1:])
        radii = tf.math.divide_no_nan(slots.epsilons, self.ball.length(drawn))
        return slots.originals + drawn * per_image(radii, drawn)

    def remember(self, slots: Slots, iterates: tf.Tensor) -> State:
        """Keeps the iterate before, and what happened in the period."""
        lowest = tf.fill(tf.shape(slots.epsilons), -float("inf"))
        return {
            "previous_iterates": iterates,
            "losses": lowest,
            "checked_losses": lowest,
            "num_rises": tf.zeros_like(slots.labels),
            "relative_steps": tf.fill(tf.shape(slots.epsilons), self.relative_step),
            "was_halved": tf.ones_like(slots.labels, tf.bool),
        }

    def check(self, slots: Slots, state: State, losses: tf.Tensor) -> tuple[State, tf.Tensor]:  # noqa: ARG002
        """Counts rises of the loss; at the end of a period, tells which images go back and halve."""
        periods = tf.gather(tf.constant(self.periods), state["num_steps"])
        is_rise = (state["num_steps"] > 0) & (losses > state["losses"])
        num_rises = state["num_rises"] + tf.cast(is_rise, tf.int32)
        has_few_rises = tf.cast(num_rises, tf.float32) <= _LEAST_RISES * tf.cast(periods, tf.float32)
        is_stuck = ~state["was_halved"] & (state["best_losses"] <= state["checked_losses"])
        is_end = periods > 0
        is_halved = is_end & (has_few_rises | is_stuck)
        return state | {
            "losses": losses,
            "num_rises": tf.where(is_end, 0, num_rises),
            "checked_losses": tf.where(is_end, state["best_losses"], state["checked_losses"]),
            "relative_steps": tf.where(is_halved, state["relative_steps"] / 2, state["relative_steps"]),
            "was_halved": tf.where(is_end, is_halved, state["was_halved"]),
        }, is_halved

    def move(
        self, slots: Slots, state: State, iterates: tf.Tensor, gradients: tf.Tensor
    ) -> tuple[State, tf.Tensor]:
        """Goes a part of a step ahead, and repeats a part of the move before."""
        steps = per_image(state["relative_steps"] * slots.epsilons, iterates)
        ahead = iterates + steps * self.ball.ascend(gradients, iterates)
        ahead = self.ball.project(ahead, slots.originals, slots.epsilons)
        new = per_image(tf.where(state["num_steps"] == 0, 1.0, _NEW_SHARE), iterates)
        moved = iterates + new * (ahead - iterates) + (1 - new) * (iterates - state["previous_iterates"])
        moved = self.ball.project(moved, slots.originals, slots.epsilons)
        return state | {"previous_iterates": iterates}, moved


class SparseSteps:
    """Steps along the signs of the largest values of the gradient, as sparse as the best point so far.

    After every 4 % of the moves the share of the values that move is set to two thirds of the share in
    which the best point differs from the image. Where that point has become sparser the search goes on from
    it with the first step; elsewhere the step is divided by 1.5, down to a tenth of the first one.

    Args:
        ball: The L1 ball.
        num_steps: Moves in all.
        relative_step: Length of the first step as a fraction of epsilon.

    Source:
        Croce and Hein 2021, "Mind the box", algorithm 1, without the larger balls that it may begin in.
    """

    def __init__(self, ball: Ball, *, num_steps: int, relative_step: float) -> None:
        self.ball = ball
        self.relative_step = relative_step
        self.period = max(1, 4 * num_steps // 100)

    def draw(self, slots: Slots) -> tf.Tensor:
        """Draws normal perturbations, far outside the ball; the nearest points of the ball are sparse."""
        shape = slots.originals.shape[1:]
        return slots.originals + tf.map_fn(
            lambda key: tf.random.stateless_normal(shape, key, alg="philox"),
            slots.keys,
            fn_output_signature=tf.TensorSpec(shape, tf.float32),
        )

    def remember(self, slots: Slots, iterates: tf.Tensor) -> State:
        """Keeps how sparse steps and best points are."""
        size = iterates.shape[1:].num_elements()
        return {
            "relative_steps": tf.fill(tf.shape(slots.epsilons), self.relative_step),
            "num_moving": tf.fill(tf.shape(slots.labels), math.ceil(size / _FIRST_PART)),
            "num_changed": tf.fill(tf.shape(slots.labels), size),
        }

    def check(self, slots: Slots, state: State, losses: tf.Tensor) -> tuple[State, tf.Tensor]:  # noqa: ARG002
        """Looks, at the end of a period, how sparse the best points have become."""
        num_changed = tf.math.count_nonzero(
            state["best_images"] != slots.originals, axis=(1, 2, 3), dtype=tf.int32
        )
        is_end = (state["num_steps"] > 0) & (state["num_steps"] % self.period == 0)
        is_sparser = tf.cast(num_changed, tf.float32) < _IS_SPARSER * tf.cast(
            state["num_changed"], tf.float32
        )
        shorter = tf.maximum(state["relative_steps"] / _REDUCTION, _SHORTEST * self.relative_step)
        steps = tf.where(is_sparser, self.relative_step, shorter)
        # Two thirds, rounded up.
        num_moving = tf.maximum((2 * num_changed + 2) // 3, 1)
        return state | {
            "relative_steps": tf.where(is_end, steps, state["relative_steps"]),
            "num_moving": tf.where(is_end, num_moving, state["num_moving"]),
            "num_changed": tf.where(is_end, num_changed, state["num_changed"]),
        }, is_end & is_sparser

    def move(
        self, slots: Slots, state: State, iterates: tf.Tensor, gradients: tf.Tensor
    ) -> tuple[State, tf.Tensor]:
        """Moves the values with the largest gradients, all by as much."""
        sizes = tf.where(tf.math.is_nan(gradients), 0.0, tf.abs(gradients))
        flat = tf.reshape(sizes, (tf.shape(sizes)[0], -1))
        ordered = tf.sort(flat, axis=1, direction="DESCENDING")
        least = tf.gather(ordered, state["num_moving"] - 1, axis=1, batch_dims=1)
        signs = tf.where(sizes >= per_image(least, sizes), tf.sign(gradients), 0.0)
        steps = tf.math.divide_no_nan(state["relative_steps"] * slots.epsilons, self.ball.length(signs))
        moved = self.ball.project(iterates + per_image(steps, signs) * signs, slots.originals, slots.epsilons)
        return state, moved
