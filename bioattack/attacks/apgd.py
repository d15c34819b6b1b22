"""Projected gradient descent that chooses its own step length: AutoPGD."""

from typing import ClassVar

import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, State, fresh_state, rows_where
from bioattack.attacks.gradient_descent import ProjectedGradientDescent
from bioattack.attacks.registry import AttackSettings
from bioattack.errors import InputError

# Share of a step that is new; the rest repeats the move before.
_NEW_SHARE = 0.75
# At a checkpoint at least this share of the moves must have raised the loss.
_LEAST_RISES = 0.75


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


class AutoProjectedGradientDescent(ProjectedGradientDescent):
    """Ascends with momentum; halves its step and goes back to the best point wherever that went badly.

    The step begins at ``relative_step`` epsilons. After each period of ``period_ends`` it is halved for an
    image of which at most three quarters of the moves raised the loss, or whose best loss has not risen since
    the checkpoint before, where the step was not halved; the image then goes on from its best point. Every
    image has its own count of moves and its own step. One that is fooled is left alone; of one that is not,
    the point of the highest loss is reported.

    As in the authors' program, the first move after a restart counts as a rise if it ends above the point
    that was given up. Losses are compared through ``build_loss``, whose ``"ce"`` grows where the
    cross-entropy does, but does not saturate.

    In a search over pictures of 8 bits the best point is the rounded one, which the model saw.

    Args:
        norm: ``"linf"``, ``"l2"`` or ``"rms"``.
        settings: Loss, moves, start and first step; every iterate is judged.
        num_classes: Number of logits.

    Raises:
        InputError: If only the last iterate is to be judged, or the loss is not defined for so few classes.

    Source:
        Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
        parameter-free attacks", algorithm 1.
    """

    #: The paper's, in which random starts lie on the sphere.
    defaults: ClassVar[dict[str, AttackSettings]] = {
        norm: AttackSettings(100, 2.0, has_random_start=True, judged="any") for norm in ("linf", "l2", "rms")
    }

    def __init__(self, *, norm: str, settings: AttackSettings, num_classes: int) -> None:
        super().__init__(norm=norm, settings=settings, num_classes=num_classes)
        if settings.judged != "any":
            raise InputError(f"apgd judges any iterate. Received: judged={settings.judged!r}")
        ends = period_ends(settings.num_steps)
        #: For each number of moves the length of the period that ends there, or 0.
        self.periods = [0] * (settings.num_steps + 1)
        for start, end in zip([0, *ends], ends, strict=False):
            self.periods[end] = end - start

    def start(self, model: AttackedModel, slots: Slots) -> State:  # noqa: ARG002
        """Starts at the image, or at a random point of the sphere."""
        iterates = slots.originals
        if self.settings.has_random_start:
            drawn = self.ball.draw(slots.keys, iterates.shape[1:])
            radii = tf.math.divide_no_nan(slots.epsilons, self.ball.length(drawn))
            iterates = self.ball.project(
                iterates + drawn * radii[:, None, None, None], slots.originals, slots.epsilons
            )
        state = fresh_state(slots, iterates, num_classes=self.num_classes)
        if self.settings.is_quantised:
            state = self._seen_as_8_bits(slots, state, iterates)
        lowest = tf.fill(tf.shape(slots.epsilons), -float("inf"))
        return state | {
            "previous_iterates": iterates,
            "best_images": state["adversarial_images"],
            "best_gradients": tf.zeros_like(iterates),
            "best_logits": state["logits"],
            "losses": lowest,
            "best_losses": lowest,
            "checked_losses": lowest,
            "num_rises": tf.zeros_like(slots.labels),
            "relative_steps": tf.fill(tf.shape(slots.epsilons), self.settings.relative_step),
            "was_halved": tf.ones_like(slots.labels, tf.bool),
        }

    def look(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the iterate."""
        logits = model.logits(state["adversarial_images"])
        return self._ended(slots, state, logits, self.loss(logits, slots.labels, slots.targets))

    def advance(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the iterate, chooses the step, and makes it, with one forward and backward pass."""
        images, is_first = state["adversarial_images"], state["num_steps"] == 0
        logits, losses, gradients = model.logits_losses_and_gradients(images, slots, self.loss)
        state = self._ended(slots, state, logits, losses)
        has_gradient = tf.reduce_any(gradients != 0, axis=(1, 2, 3))
        state["has_zero_gradient"] |= is_first & ~has_gradient
        is_best = losses > state["best_losses"]
        state |= {
            "best_images": rows_where(is_best, images, state["best_images"]),
            "best_gradients": rows_where(is_best, gradients, state["best_gradients"]),
            "best_logits": rows_where(is_best, logits, state["best_logits"]),
            "best_losses": tf.where(is_best, losses, state["best_losses"]),
        }
        state, is_back = self._checked(state, losses)
        iterates = rows_where(is_back, state["best_images"], state.get("iterates", images))
        gradients = rows_where(is_back, state["best_gradients"], gradients)
        moved = self._moved(slots, state, iterates, gradients)
        is_moving = ~state["is_over"]
        state["previous_iterates"] = iterates
        state["num_steps"] += tf.cast(is_moving, tf.int32)
        if self.settings.is_quantised:
            state["iterates"] = moved
            moved = self.ball.round_to_8_bits(moved, slots.originals, slots.epsilons)
        return state | {"adversarial_images": rows_where(is_moving, moved, state["adversarial_images"])}

    def _ended(self, slots: Slots, state: State, logits: tf.Tensor, losses: tf.Tensor) -> State:
        """Ends images that are fooled, and those that have made all their moves at their best point."""
        is_open = ~state["is_over"]
        is_fooled = is_open & self.fooled(slots, logits)
        is_last = is_open & ~is_fooled & (state["num_steps"] >= self.num_steps)
        is_back = is_last & (losses <= state["best_losses"])
        images = rows_where(is_back, state["best_images"], state["adversarial_images"])
        logits = rows_where(is_back, state["best_logits"], logits)
        return state | {
            "adversarial_images": images,
            "logits": rows_where(is_open, logits, state["logits"]),
            "is_fooled": state["is_fooled"] | is_fooled,
            "is_over": state["is_over"] | is_fooled | is_last,
        }

    def _checked(self, state: State, losses: tf.Tensor) -> tuple[State, tf.Tensor]:
        """Counts rises of the loss and, at the end of a period, tells which images go back and halve."""
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

    def _moved(self, slots: Slots, state: State, iterates: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
        steps = (state["relative_steps"] * slots.epsilons)[:, None, None, None]
        ahead = iterates + steps * self.ball.ascend(gradients, iterates)
        ahead = self.ball.project(ahead, slots.originals, slots.epsilons)
        new = tf.where(state["num_steps"] == 0, 1.0, _NEW_SHARE)[:, None, None, None]
        moved = iterates + new * (ahead - iterates) + (1 - new) * (iterates - state["previous_iterates"])
        return self.ball.project(moved, slots.originals, slots.epsilons)
