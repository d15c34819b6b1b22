"""Projected gradient descent and its relatives: one loop, of loss, start, step and projection."""

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, Self

import tensorflow as tf

from bioattack.attacks.attack import (
    AttackedModel,
    Slots,
    State,
    StreamedAttack,
    fresh_state,
    lacks_gradient,
    per_image,
    rows_where,
)
from bioattack.attacks.balls import get_ball
from bioattack.attacks.losses import build_loss
from bioattack.attacks.registry import PROTOCOLS, AttackSettings
from bioattack.attacks.row_ball import RowBall
from bioattack.errors import InputError

# As many classes as Croce and Hein 2020 aim at.
MOST_TARGETS = 9


class ProjectedGradientDescent(StreamedAttack):
    """Steps along the steepest ascent of the loss, back into the ball after each, from a random start or not.

    One step and no random start is the fast gradient sign method; no random start the basic iterative
    method; ``momentum`` the momentum iterative method. An image that is fooled is left alone, unless only the
    last iterate counts.

    Args:
        norm: ``"linf"``, ``"l2"``, ``"rms"`` or ``"l1"``.
        settings: Loss, steps, start, momentum, and which iterates are judged.
        num_classes: Number of logits.

    Source:
        Goodfellow et al. 2015; Kurakin et al. 2017; Madry et al. 2018; Dong et al. 2018 (momentum).
    """

    #: Foolbox's defaults, but every iterate is judged: what fooled once has fooled.
    defaults: ClassVar[dict[str, AttackSettings]] = {
        "linf": AttackSettings(40, 0.01 / 0.3, has_random_start=True, judged="any"),
        "l2": AttackSettings(50, 0.025, has_random_start=True, judged="any"),
        "rms": AttackSettings(50, 0.025, has_random_start=True, judged="any"),
        "l1": AttackSettings(50, 0.025, has_random_start=True, judged="any"),
    }

    #: On rows of a table, where the random start may be a whole diameter from the corner that fools.
    row_defaults: ClassVar[AttackSettings | None] = PROTOCOLS["fairness"]["linf"]

    @classmethod
    def make(cls, *, norm: str, num_classes: int, overrides: Mapping[str, Any]) -> Self:
        """Makes the attack with its own settings for the norm, but for those that are given.

        Raises:
            InputError: If it has no such norm, or a setting does not fit.
        """
        if norm not in cls.defaults:
            raise InputError(f"{cls.__name__} has no norm {norm!r}; it has {', '.join(cls.defaults)}")
        of_rows = cls.row_defaults if "bounds" in overrides else None
        settings = dataclasses.replace(of_rows or cls.defaults[norm], **overrides)
        return cls(norm=norm, settings=settings, num_classes=num_classes)

    def __init__(self, *, norm: str, settings: AttackSettings, num_classes: int) -> None:
        super().__init__(norm=norm, num_steps=settings.num_steps, is_targeted=settings.is_targeted)
        self.needs_8_bits = settings.is_quantised
        self.settings = settings
        self.num_classes = num_classes
        self.bounds = settings.bounds
        self.ball = get_ball(norm) if settings.bounds is None else RowBall(settings.bounds)
        self.loss = build_loss(settings.loss, num_classes=num_classes)
        if settings.loss == "dlr-targeted":
            self.num_targets = min(MOST_TARGETS, num_classes - 1)

    @property
    def key(self) -> Hashable:
        """What decides the compiled functions."""
        return type(self).__name__, self.norm, self.settings, self.num_classes

    @property
    def opens_at_image(self) -> bool:
        """Without a random start, unless the model is shown the image rounded."""
        return not self.settings.has_random_start and not self.settings.is_rounded

    def start(self, model: AttackedModel, slots: Slots) -> State:  # noqa: ARG002
        """Starts at the image, or at a random point of the ball."""
        return self._started(slots)

    def open(self, model: AttackedModel, slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits and gradients of the images as they are."""
        logits, _, gradients = model.logits_losses_and_gradients(slots.originals, slots, self.loss)
        return logits, gradients

    def start_opened(self, slots: Slots, logits: tf.Tensor, gradients: tf.Tensor) -> State:
        """Starts at the image and makes the first step."""
        return self._moved(slots, self._started(slots), logits, gradients)

    def _started(self, slots: Slots) -> State:
        iterates = slots.originals
        if self.settings.has_random_start:
            drawn = self.ball.draw(slots.keys, iterates.shape[1:])
            iterates = self.ball.project(
                iterates + drawn * per_image(slots.epsilons, drawn), slots.originals, slots.epsilons
            )
        state = fresh_state(slots, iterates, num_classes=self.num_classes)
        if self.settings.momentum is not None:
            state["momentum"] = tf.zeros_like(iterates)
        return self._seen_rounded(slots, state, iterates) if self.settings.is_rounded else state

    def look(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the iterate."""
        return self._judged(slots, state, model.logits(state["adversarial_images"]))

    def advance(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the iterate and makes one step, with the same forward pass."""
        logits, _, gradients = model.logits_losses_and_gradients(
            state["adversarial_images"], slots, self.loss
        )
        return self._moved(slots, state, logits, gradients)

    def _moved(self, slots: Slots, state: State, logits: tf.Tensor, gradients: tf.Tensor) -> State:
        images = state["adversarial_images"]
        is_first = state["num_steps"] == 0
        state = self._judged(slots, state, logits)
        is_moving = ~state["is_over"]
        state["has_zero_gradient"] |= lacks_gradient(gradients, is_first)
        direction = gradients
        if self.settings.momentum is not None:
            direction = self._with_momentum(state["momentum"], gradients)
            state["momentum"] = rows_where(is_moving, direction, state["momentum"])
        iterates = state.get("iterates", images)
        steps = per_image(self.settings.relative_step * slots.epsilons, iterates)
        moved = iterates + steps * self.ball.ascend(direction, iterates)
        moved = rows_where(is_moving, self.ball.project(moved, slots.originals, slots.epsilons), iterates)
        state["num_steps"] += tf.cast(is_moving, tf.int32)
        if self.settings.is_rounded:
            return self._seen_rounded(slots, state, moved)
        return state | {"adversarial_images": moved}

    def _judged(self, slots: Slots, state: State, logits: tf.Tensor) -> State:
        is_last = state["num_steps"] >= self.num_steps
        is_judged = is_last if self.settings.judged == "last" else tf.ones_like(is_last)
        is_open = ~state["is_over"]
        is_fooled = is_open & is_judged & self.fooled(slots, logits)
        return state | {
            "logits": rows_where(is_open, logits, state["logits"]),
            "is_fooled": state["is_fooled"] | is_fooled,
            "is_over": state["is_over"] | is_fooled | (is_open & is_last),
        }

    def _with_momentum(self, momentum: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
        # Dong et al. divide by the L1 norm, so that old and new gradients weigh the same.
        lengths = tf.reduce_sum(tf.abs(gradients), axis=tuple(range(1, gradients.shape.rank)), keepdims=True)
        return self.settings.momentum * momentum + tf.math.divide_no_nan(gradients, lengths)

    def _seen_rounded(self, slots: Slots, state: State, iterates: tf.Tensor) -> State:
        """Keeps the iterate as it is, for small steps to add up, and lets the model see it rounded."""
        rounded = self.ball.rounded(iterates, slots.originals, slots.epsilons)
        return state | {"iterates": iterates, "adversarial_images": rounded}


class FastGradientMethod(ProjectedGradientDescent):
    """One step of length epsilon, from the image itself: the fast gradient sign method and its relatives.

    Source:
        Goodfellow et al. 2015.
    """

    defaults: ClassVar[dict[str, AttackSettings]] = {
        norm: AttackSettings(1, 1.0, has_random_start=False, judged="any")
        for norm in ("linf", "l2", "rms", "l1")
    }
    row_defaults = None


class BasicIterativeMethod(ProjectedGradientDescent):
    """Ten steps of a fifth of epsilon, as Foolbox's, without random start.

    Source:
        Kurakin et al. 2017.
    """

    defaults: ClassVar[dict[str, AttackSettings]] = {
        norm: AttackSettings(10, 0.2, has_random_start=False, judged="any")
        for norm in ("linf", "l2", "rms", "l1")
    }
    row_defaults = None


class MomentumIterativeMethod(ProjectedGradientDescent):
    """Ten steps of a tenth of epsilon along all gradients so far.

    Source:
        Dong et al. 2018: the momentum iterative fast gradient sign method, with decay 1.
    """

    defaults: ClassVar[dict[str, AttackSettings]] = {
        norm: AttackSettings(10, 0.1, has_random_start=False, judged="any", momentum=1.0)
        for norm in ("linf", "l2", "rms", "l1")
    }
    row_defaults = None
