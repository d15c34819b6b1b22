"""Projected gradient descent that chooses its own step length: AutoPGD."""

from typing import ClassVar

import tensorflow as tf

from bioattack.attacks.apgd_steps import HalvedSteps, SparseSteps, Steps
from bioattack.attacks.attack import AttackedModel, Slots, State, fresh_state, lacks_gradient, rows_where
from bioattack.attacks.gradient_descent import ProjectedGradientDescent
from bioattack.attacks.registry import AttackSettings
from bioattack.errors import InputError


class AutoProjectedGradientDescent(ProjectedGradientDescent):
    """Ascends with momentum; halves its step and goes back to the best point wherever that went badly.

    The step begins at ``relative_step`` epsilons. After each period of ``period_ends`` it is halved for an
    image of which at most three quarters of the moves raised the loss, or whose best loss has not risen since
    the checkpoint before, where the step was not halved; the image then goes on from its best point. As in
    the authors' program, the first move from there counts as a rise if it ends above the point that was given
    up. In L1 the step goes along few values of the gradient, fewer and fewer: see ``SparseSteps``.

    Every image has its own count of moves and its own step. One that is fooled is left alone; of one that is
    not, the point of the highest loss is reported. Losses are compared through ``build_loss``, whose ``"ce"``
    grows where the cross-entropy does, but does not saturate.

    In a search over pictures of 8 bits the best point is the rounded one, which the model saw.

    Args:
        norm: ``"linf"``, ``"l2"``, ``"rms"`` or ``"l1"``.
        settings: Loss, moves, start and first step; every iterate is judged.
        num_classes: Number of logits.

    Raises:
        InputError: If only the last iterate is to be judged, or the loss is not defined for so few classes.

    Source:
        Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
        parameter-free attacks", algorithm 1; in L1 Croce and Hein 2021, "Mind the box".
    """

    #: The papers'.
    defaults: ClassVar[dict[str, AttackSettings]] = {
        norm: AttackSettings(100, first_step, has_random_start=True, judged="any")
        for norm, first_step in (("linf", 2.0), ("l2", 2.0), ("rms", 2.0), ("l1", 1.0))
    }
    row_defaults = None

    def __init__(self, *, norm: str, settings: AttackSettings, num_classes: int) -> None:
        super().__init__(norm=norm, settings=settings, num_classes=num_classes)
        if settings.judged != "any":
            raise InputError(f"apgd judges any iterate. Received: judged={settings.judged!r}")
        rule = SparseSteps if norm == "l1" else HalvedSteps
        self.steps: Steps = rule(
            self.ball, num_steps=settings.num_steps, relative_step=settings.relative_step
        )

    @property
    def opens_at_image(self) -> bool:
        """Its first move remembers more than the gradient."""
        return False

    def start(self, model: AttackedModel, slots: Slots) -> State:  # noqa: ARG002
        """Starts at the image, or at a random point of the ball's surface."""
        iterates = slots.originals
        if self.settings.has_random_start:
            iterates = self.ball.project(self.steps.draw(slots), slots.originals, slots.epsilons)
        state = fresh_state(slots, iterates, num_classes=self.num_classes)
        if self.settings.is_rounded:
            state = self._seen_rounded(slots, state, iterates)
        return (
            state
            | self.steps.remember(slots, iterates)
            | {
                "best_images": state["adversarial_images"],
                "best_gradients": tf.zeros_like(iterates),
                "best_logits": state["logits"],
                "best_losses": tf.fill(tf.shape(slots.epsilons), -float("inf")),
            }
        )

    def look(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the iterate."""
        logits = model.logits(state["adversarial_images"])
        return self._ended(slots, state, logits, self.loss(logits, slots.labels, slots.targets))

    def advance(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the iterate, chooses the step, and makes it, with one forward and backward pass."""
        images, is_first = state["adversarial_images"], state["num_steps"] == 0
        logits, losses, gradients = model.logits_losses_and_gradients(images, slots, self.loss)
        state = self._ended(slots, state, logits, losses)
        state["has_zero_gradient"] |= lacks_gradient(gradients, is_first)
        is_best = losses > state["best_losses"]
        state |= {
            "best_images": rows_where(is_best, images, state["best_images"]),
            "best_gradients": rows_where(is_best, gradients, state["best_gradients"]),
            "best_logits": rows_where(is_best, logits, state["best_logits"]),
            "best_losses": tf.where(is_best, losses, state["best_losses"]),
        }
        state, is_back = self.steps.check(slots, state, losses)
        iterates = rows_where(is_back, state["best_images"], state.get("iterates", images))
        gradients = rows_where(is_back, state["best_gradients"], gradients)
        state, moved = self.steps.move(slots, state, iterates, gradients)
        is_moving = ~state["is_over"]
        state["num_steps"] += tf.cast(is_moving, tf.int32)
        if self.settings.is_rounded:
            state["iterates"] = moved
            moved = self.ball.rounded(moved, slots.originals, slots.epsilons)
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
