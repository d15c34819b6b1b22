"""Alternating steps for the classification and for the colours: PerC-AL."""

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, State, StreamedAttack, fresh_state, rows_where
from bioattack.attacks.balls import clip_to_unit, get_ball
from bioattack.attacks.losses import cross_entropy_ascent
from bioattack.attacks.measured_distance import (
    check_distance_fits,
    choose_distance,
    distances_and_gradients,
    distances_only,
    on_rows,
    prepared_state,
)
from bioattack.classifier import Classifier
from bioattack.errors import InputError

DISTANCE: Final = "ciede2000"
# What the authors' program takes for infinitely far.
_FARTHEST: Final = 1e5


@dataclasses.dataclass(frozen=True)
class ColourAlternatingSettings:
    """How the attack is run.

    Args:
        num_steps: Steps, all of which every image makes.
        step_length: L2 length of a step for the classification at first; a hundredth of it at last.
        colour_step_length: L2 length of a step for the colours at first; a tenth of it at last.
        is_targeted: Whether success is to reach a target, and not just to leave the true class.
        loss: The cross-entropy, of which only the direction counts.
        judged: What counts is the image that it returns.
    """

    num_steps: int = 1000
    step_length: float = 1.0
    colour_step_length: float = 0.5
    is_targeted: bool = False
    loss: str = "ce"
    judged: str = "returned"


class ColourAlternatingAttack(StreamedAttack):
    """Steps up the cross-entropy while an image is right, and down its colour difference while it is wrong.

    The colour difference is the L2 length of the CIEDE2000 map. After each step the image is rounded to 8
    bits per channel, and judged so; of all rounded images that fooled the one with the least difference is
    returned, the original where none did. So what is saved is what was found. Steps become shorter along a
    cosine.

    As in the authors' program the difference that goes with a rounded image is that of the point from which
    a step for the colours was made. Unlike it, points are clipped to [0, 1] before they are measured.

    Args:
        norm: ``"ciede2000"``.
        settings: Steps.
        num_classes: Number of logits.

    Raises:
        InputError: If another loss is asked for, or a number is not above 0.

    Source:
        Zhao, Liu and Larson 2020, "Towards large yet imperceptible adversarial image perturbations with
        perceptual color distance", algorithm 2, and their program. They take 0.1 for the colour step where
        any wrong class will do and 0.5, the default there and here, elsewhere.
    """

    defaults: ClassVar[dict[str, ColourAlternatingSettings]] = {DISTANCE: ColourAlternatingSettings()}

    # Every image makes every step.
    has_cheap_look = False

    @classmethod
    def make(cls, *, norm: str, num_classes: int, overrides: Mapping[str, Any]) -> Self:
        """Makes the attack with its own settings, but for those that are given.

        Raises:
            InputError: If a setting does not fit.
        """
        settings = dataclasses.replace(cls.defaults[DISTANCE], **overrides)
        return cls(norm=norm, settings=settings, num_classes=num_classes)

    def __init__(self, *, norm: str, settings: ColourAlternatingSettings, num_classes: int) -> None:
        super().__init__(norm=norm, num_steps=settings.num_steps, is_targeted=settings.is_targeted)
        if settings.loss != "ce":
            raise InputError(f"perc-al ascends the cross-entropy. Received: loss={settings.loss!r}")
        if min(settings.step_length, settings.colour_step_length) <= 0:
            raise InputError("perc-al needs steps of a length above 0")
        self.settings = settings
        self.num_classes = num_classes
        self.distance = choose_distance(DISTANCE)

    @property
    def key(self) -> Hashable:
        """What decides the compiled functions."""
        return type(self).__name__, self.settings, self.num_classes

    def check_fit(self, classifier: Classifier, image_shape: Sequence[int]) -> None:  # noqa: ARG002
        """Refuses images that have no colours to measure, and more or fewer channels than grey ones.

        Raises:
            InputError: If it is so.
        """
        check_distance_fits(self.distance, image_shape)

    def start(self, model: AttackedModel, slots: Slots) -> State:  # noqa: ARG002
        """Starts at the image."""
        nothing = tf.zeros_like(slots.labels, tf.bool)
        return (
            fresh_state(slots, slots.originals, num_classes=self.num_classes)
            | prepared_state(self.distance, slots.originals)
            | {
                "iterates": slots.originals,
                "is_wrong": nothing,
                "best_distances": tf.fill(tf.shape(slots.epsilons), _FARTHEST),
            }
        )

    def look(self, model: AttackedModel, slots: Slots, state: State) -> State:  # noqa: ARG002
        """Does nothing: every image has been judged when it was rounded."""
        return state

    def advance(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Makes one step of the one kind or the other and judges the rounded images."""
        is_open, is_wrong = ~state["is_over"], state["is_wrong"]
        state, climbed = self._climbed(model, slots, state, is_wanted=is_open & ~is_wrong)
        distances, costs = distances_and_gradients(
            self.distance, state, state["iterates"], is_open & is_wrong
        )
        steps = self._annealed(state, self.settings.colour_step_length, last=0.1)
        descended = state["iterates"] - steps * get_ball("l2").ascend(costs)
        iterates = clip_to_unit(rows_where(is_wrong, descended, climbed))
        iterates = rows_where(is_open, iterates, state["iterates"])
        rounded = get_ball("linf").round_to_8_bits(iterates, slots.originals, tf.ones_like(slots.epsilons))
        (logits,) = on_rows(lambda images: (model.logits(images),), is_open, rounded)
        is_now_wrong = is_open & self.fooled(slots, logits)
        is_new = is_now_wrong & ~is_wrong
        distances += distances_only(self.distance, state, iterates, is_new)
        is_best = is_now_wrong & (distances < state["best_distances"])
        # The engine has to see logits that are not finite.
        is_broken = is_open & ~tf.reduce_all(tf.math.is_finite(logits), axis=1)
        num_steps = state["num_steps"] + tf.cast(is_open, tf.int32)
        return state | {
            "iterates": iterates,
            "is_wrong": is_now_wrong,
            "best_distances": tf.where(is_best, distances, state["best_distances"]),
            "adversarial_images": rows_where(is_best, rounded, state["adversarial_images"]),
            "logits": rows_where(is_best | is_broken, logits, state["logits"]),
            "num_steps": num_steps,
            "is_fooled": state["is_fooled"] | is_best,
            "is_over": state["is_over"] | (num_steps >= self.num_steps),
        }

    def _climbed(
        self, model: AttackedModel, slots: Slots, state: State, *, is_wanted: tf.Tensor
    ) -> tuple[State, tf.Tensor]:
        """One step up the cross-entropy; with the first, what the model makes of the originals."""

        def differentiate(images: tf.Tensor, *rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
            logits, _, gradients = model.logits_losses_and_gradients(
                images, Slots(*rows), cross_entropy_ascent
            )
            return logits, gradients

        logits, gradients = on_rows(differentiate, is_wanted, state["iterates"], *slots)
        is_first = is_wanted & (state["num_steps"] == 0)
        is_still = ~tf.reduce_any(gradients != 0, axis=(1, 2, 3))
        state = state | {
            "logits": rows_where(is_first, logits, state["logits"]),
            "has_zero_gradient": state["has_zero_gradient"] | (is_first & is_still),
        }
        steps = self._annealed(state, self.settings.step_length, last=0.01)
        return state, state["iterates"] + steps * get_ball("l2").ascend(gradients)

    def _annealed(self, state: State, first: float, *, last: float) -> tf.Tensor:
        """The length of a step, from ``first`` to the fraction ``last`` of it along half a cosine."""
        angles = math.pi / self.num_steps * tf.cast(state["num_steps"], tf.float32)
        lengths = first * (last + (1 - last) * (1 + tf.cos(angles)) / 2)
        return lengths[:, None, None, None]
