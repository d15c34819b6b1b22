"""Square attack: random search over windows, for models without a useful gradient."""

import dataclasses
import math
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, Self

import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, State, StreamedAttack, fresh_state, rows_where
from bioattack.attacks.balls import get_ball
from bioattack.attacks.losses import build_loss
from bioattack.attacks.registry import AttackSettings
from bioattack.attacks.square_windows import L2Windows, LinfWindows, Windows
from bioattack.errors import InputError


class SquareAttack(StreamedAttack):
    """Tries changes of random square windows, and keeps those that bring the classes closer together.

    It asks for logits only, one forward pass a query, and so also finds what lies behind a gradient that is
    zero, broken or misleading. It starts with vertical stripes of plus or minus epsilon. Each query sets one
    window, in each channel, to one of the two bounds of the ball; the change is kept if it raises the loss
    or fools. In L2 the start is a grid of bumps, and each query moves what a second window holds to a new
    bump in the first.

    Every image draws its own windows. AutoAttack has one place for the whole batch, and never one at the
    bottom or right edge, whose pixels it thereby leaves as they started; here, as in the paper, all places
    are as likely. In L2 the length that a window may have is that of its own channel, as in the paper;
    AutoAttack takes that of all channels.

    Args:
        norm: ``"linf"``, ``"l2"`` or ``"rms"``.
        settings: Loss, and the number of queries, the start's included. Every candidate is judged.
        num_classes: Number of logits.

    Raises:
        InputError: If a setting is given that a random search does not have.

    Source:
        Andriushchenko et al. 2020, "Square Attack: a query-efficient black-box adversarial attack via random
        search"; constants of AutoAttack (Croce and Hein 2020).
    """

    #: AutoAttack's number of queries and loss. Without meaning: the length of a step.
    defaults: ClassVar[dict[str, AttackSettings]] = {
        norm: AttackSettings(5000, 1.0, has_random_start=True, judged="any", loss="margin")
        for norm in ("linf", "l2", "rms")
    }

    # A pass is a forward pass as it is.
    has_cheap_look = False

    @classmethod
    def make(cls, *, norm: str, num_classes: int, overrides: Mapping[str, Any]) -> Self:
        """Makes the attack with its own settings, but for those that are given.

        Raises:
            InputError: If it has no such norm, or a setting does not fit.
        """
        if norm not in cls.defaults:
            raise InputError(f"{cls.__name__} has no norm {norm!r}; it has {', '.join(cls.defaults)}")
        if "relative_step" in overrides:
            raise InputError("square takes no steps of a given length: leave relative_step out")
        settings = dataclasses.replace(cls.defaults[norm], **overrides)
        return cls(norm=norm, settings=settings, num_classes=num_classes)

    def __init__(self, *, norm: str, settings: AttackSettings, num_classes: int) -> None:
        super().__init__(norm=norm, num_steps=settings.num_steps, is_targeted=settings.is_targeted)
        self.needs_8_bits = settings.is_quantised
        if settings.judged != "any" or not settings.has_random_start:
            raise InputError(
                "square starts at random and judges any candidate. Received: "
                f"has_random_start={settings.has_random_start}, judged={settings.judged!r}"
            )
        if settings.loss == "dlr-targeted":
            raise InputError("square has no loss dlr-targeted, which needs a target; use dlr or margin")
        self.settings = settings
        self.num_classes = num_classes
        self.ball = get_ball(norm)
        self.loss = build_loss(settings.loss, num_classes=num_classes)

    @property
    def key(self) -> Hashable:
        """What decides the compiled functions."""
        return type(self).__name__, self.norm, self.settings, self.num_classes

    def start(self, model: AttackedModel, slots: Slots) -> State:  # noqa: ARG002
        """Starts with stripes or, in L2, with bumps, which the first pass judges."""
        images = self._allowed(slots, self._windows(slots).start(slots))
        state = fresh_state(slots, images, num_classes=self.num_classes)
        state["best_losses"] = tf.fill(tf.shape(slots.epsilons), -float("inf"))
        return state

    def look(self, model: AttackedModel, slots: Slots, state: State) -> State:  # noqa: ARG002
        """Does nothing: every image in the state has been judged when it was a candidate."""
        return state

    def advance(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Makes a candidate of each image, judges it and keeps the better of the two."""
        is_open = ~state["is_over"]
        images = self._candidates(slots, state)
        logits = model.logits(images)
        losses = self.loss(logits, slots.labels, slots.targets)
        is_fooled = is_open & self.fooled(slots, logits)
        is_kept = is_open & (is_fooled | (losses > state["best_losses"]))
        # A candidate without finite logits is not kept, but the engine has to see it.
        is_broken = is_open & ~tf.reduce_all(tf.math.is_finite(logits), axis=1)
        num_steps = state["num_steps"] + tf.cast(is_open, tf.int32)
        return state | {
            "adversarial_images": rows_where(is_kept, images, state["adversarial_images"]),
            "logits": rows_where(is_kept | is_broken, logits, state["logits"]),
            "best_losses": tf.where(is_kept, losses, state["best_losses"]),
            "num_steps": num_steps,
            "is_fooled": state["is_fooled"] | is_fooled,
            "is_over": state["is_over"] | is_fooled | (num_steps >= self.num_steps),
        }

    def _windows(self, slots: Slots) -> Windows:
        shape = tuple(slots.originals.shape[1:])
        if self.norm == "linf":
            return LinfWindows(self.num_steps, shape)
        return L2Windows(
            self.num_steps, shape, scale=math.sqrt(math.prod(shape)) if self.norm == "rms" else 1.0
        )

    def _candidates(self, slots: Slots, state: State) -> tf.Tensor:
        """One change of each image, and the start itself where that has not been judged."""
        images, num_steps = state["adversarial_images"], state["num_steps"]
        changed = self._allowed(slots, self._windows(slots).change(slots, images, num_steps))
        return rows_where(num_steps == 0, images, changed)

    def _allowed(self, slots: Slots, images: tf.Tensor) -> tf.Tensor:
        images = self.ball.project(images, slots.originals, slots.epsilons)
        if self.settings.is_quantised:
            return self.ball.round_to_8_bits(images, slots.originals, slots.epsilons)
        return images
