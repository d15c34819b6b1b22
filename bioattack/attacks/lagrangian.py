"""The iterated attack that weighs an image distance against success, and the same loop without a distance."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import tensorflow as tf

from bioattack.attacks.attack import (
    AttackedModel,
    Slots,
    State,
    StreamedAttack,
    fresh_state,
    lacks_gradient,
    rows_where,
)
from bioattack.attacks.balls import clip_to_unit, get_ball
from bioattack.attacks.losses import Loss, build_loss, cross_entropy, margin
from bioattack.attacks.measured_distance import (
    check_distance_fits,
    choose_distance,
    distances_and_gradients,
    prepared_state,
)
from bioattack.attacks.registry import NO_NORM
from bioattack.classifier import Classifier
from bioattack.errors import InputError

if TYPE_CHECKING:
    from bioattack.distances import Distance


@dataclasses.dataclass(frozen=True)
class LagrangianSettings:
    """How the iterated attack is run.

    Args:
        distance: What is kept small: a name of ``bioattack.distances``, or a distance; None for nothing.
        distance_options: Arguments of that distance, as ``(name, value)``.
        distance_weight: What a unit of the distance costs, at least 0: lambda.
        confidence: An image is left alone once the best wrong logit leads by more than this.
        num_steps: Steps at most.
        step_length: Length of a step in the unit of the images, [0, 1].
        step_rule: ``"normalised"`` to that L2 length, ``"raw"``: the gradient times it, or ``"sign"``.
        loss: ``"ce"``, the cross-entropy itself, or another name of ``bioattack.attacks.losses``.
        is_quantised: Whether the model sees pictures of 8 bits per channel only: what is saved then fools.
        is_targeted: Whether success is to reach a target, and not just to leave the true class.
        judged: What counts is the image that it returns.
    """

    distance: Any = "ssim"
    distance_options: tuple[tuple[str, Any], ...] = ()
    distance_weight: float = 1.0
    confidence: float = 0.0
    num_steps: int = 100
    step_length: float = 0.1
    step_rule: str = "normalised"
    loss: str = "ce"
    is_quantised: bool = False
    is_targeted: bool = False
    judged: str = "returned"


class LagrangianAttack(StreamedAttack):
    """Ascends the loss less lambda times a distance from the original, with no bound on either.

    Each step goes along the gradient of ``cross-entropy - lambda * distance(original, image)``, by default
    made ``step_length`` long in L2, and back into [0, 1]; an image stops by itself as soon as its best wrong
    logit leads by more than the confidence, and is judged once more after its last step. What depends on the
    original alone is computed once for each image. The distance is differentiated only for images that move
    on, and not at the original, where it is lowest and its gradient 0.

    A gradient of exactly 0 moves nothing. The image that is returned counts as fooled if its class is wrong,
    also where it did not reach the confidence.

    Args:
        norm: Name of the distance.
        settings: Distance, weight, confidence and steps.
        num_classes: Number of logits.

    Source:
        Hua et al. 2022, Algorithm 3.1. Its lines 8 and 9 lost symbols in print; read as here. Whether the
        step is normalised they do not say; equations 3.4 and 3.5 do.
    """

    defaults: ClassVar[dict[str, LagrangianSettings]] = {"ssim": LagrangianSettings()}

    @classmethod
    def make(cls, *, norm: str, num_classes: int, overrides: Mapping[str, Any]) -> Self:
        """Makes the attack with its own settings, but for those that are given.

        Raises:
            InputError: If a setting does not fit.
        """
        (settings,) = cls.defaults.values()
        return cls(norm=norm, settings=dataclasses.replace(settings, **overrides), num_classes=num_classes)

    def __init__(self, *, norm: str, settings: LagrangianSettings, num_classes: int) -> None:
        super().__init__(norm=norm, num_steps=settings.num_steps, is_targeted=settings.is_targeted)
        if settings.loss == "dlr-targeted":
            raise InputError("there is no loss dlr-targeted here, which needs a target; use dlr or margin")
        self.needs_8_bits = settings.is_quantised
        self.settings = settings
        self.num_classes = num_classes
        self.loss = _loss(settings.loss, num_classes=num_classes)
        self.has_distance = settings.distance is not None and settings.distance_weight > 0
        self._distance: Distance | None = None

    @property
    def key(self) -> Hashable:
        """What decides the compiled functions."""
        return type(self).__name__, self.norm, self.settings, self.num_classes

    def check_fit(self, classifier: Classifier, image_shape: Sequence[int]) -> None:
        """Refuses a distance that cannot be made, or cannot measure such images.

        Raises:
            InputError: If it is so.
        """
        if self.has_distance:
            check_distance_fits(self._measure(classifier), image_shape)

    def start(self, model: AttackedModel, slots: Slots) -> State:
        """Starts at the image."""
        state = fresh_state(slots, slots.originals, num_classes=self.num_classes)
        if self.has_distance:
            state |= prepared_state(self._measure(model.classifier), slots.originals)
        if self.settings.is_quantised:
            state["iterates"] = slots.originals
        return state

    def look(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the iterate."""
        return self._judged(slots, state, model.logits(state["adversarial_images"]))

    def advance(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the iterate and makes one step, with the same forward pass."""
        images = state["adversarial_images"]
        logits, _, gradients = model.logits_losses_and_gradients(images, slots, self.loss)
        state = self._judged(slots, state, logits)
        is_moving, is_first = ~state["is_over"], state["num_steps"] == 0
        state["has_zero_gradient"] |= lacks_gradient(gradients, is_first & is_moving)
        if self.has_distance:
            _, costs = distances_and_gradients(
                self._measure(model.classifier), state, images, is_moving & ~is_first
            )
            gradients -= self.settings.distance_weight * costs
        iterates = state.get("iterates", images)
        moved = iterates + self.settings.step_length * self._direction(gradients)
        moved = rows_where(is_moving, clip_to_unit(moved), iterates)
        state["num_steps"] += tf.cast(is_moving, tf.int32)
        if self.settings.is_quantised:
            state["iterates"] = moved
            moved = rows_where(is_moving, self._rounded(moved, slots), images)
        return state | {"adversarial_images": moved}

    def _judged(self, slots: Slots, state: State, logits: tf.Tensor) -> State:
        is_open = ~state["is_over"]
        aims = slots.targets if self.is_targeted else -tf.ones_like(slots.targets)
        is_sure = margin(logits, slots.labels, aims) > self.settings.confidence
        is_now_over = is_open & (is_sure | (state["num_steps"] >= self.num_steps))
        return state | {
            "logits": rows_where(is_open, logits, state["logits"]),
            "is_fooled": state["is_fooled"] | (is_now_over & self.fooled(slots, logits)),
            "is_over": state["is_over"] | is_now_over,
        }

    def _direction(self, gradients: tf.Tensor) -> tf.Tensor:
        if self.settings.step_rule == "raw":
            return rows_where(
                tf.reduce_all(tf.math.is_finite(gradients), axis=(1, 2, 3)),
                gradients,
                tf.zeros_like(gradients),
            )
        return get_ball("l2" if self.settings.step_rule == "normalised" else "linf").ascend(gradients)

    def _rounded(self, iterates: tf.Tensor, slots: Slots) -> tf.Tensor:
        """The picture that is nearest to the iterate as a file can hold it, small changes not lost."""
        return get_ball("l2").round_to_8_bits(iterates, slots.originals, slots.epsilons)

    def _measure(self, classifier: Classifier) -> "Distance":
        if self._distance is None:
            self._distance = choose_distance(
                self.settings.distance, self.settings.distance_options, classifier=classifier
            )
        return self._distance


class UnboundedGradientDescent(LagrangianAttack):
    """Normalised gradient steps until the class is wrong, with no bound and no distance to keep small.

    That is the projected gradient descent that Hua et al. 2022 compare with: nothing is projected, and an
    image is near its original because it stops early.

    Args:
        norm: ``"none"``.
        settings: Confidence and steps; no distance.
        num_classes: Number of logits.

    Source:
        Hua et al. 2022, equation 3.5, with early stop.
    """

    defaults: ClassVar[dict[str, LagrangianSettings]] = {
        NO_NORM: LagrangianSettings(distance=None, distance_weight=0.0)
    }

    @classmethod
    def make(cls, *, norm: str, num_classes: int, overrides: Mapping[str, Any]) -> Self:
        """Makes the attack with its own settings, but for those that are given.

        Raises:
            InputError: If a distance is given, or a setting does not fit.
        """
        if unfit := [name for name in overrides if name.startswith("distance")]:
            raise InputError(f"pgd-unbounded has no {' and no '.join(unfit)}; lagrangian has")
        return super().make(norm=norm, num_classes=num_classes, overrides=overrides)


def _loss(name: str, *, num_classes: int) -> Loss:
    """The loss of that name; ``"ce"`` is the cross-entropy itself, for a distance is weighed against it."""
    ascended = build_loss(name, num_classes=num_classes)
    if name != "ce":
        return ascended

    def cross_entropy_or_its_negative(logits: Any, labels: Any, targets: Any) -> Any:
        is_targeted = targets >= 0
        losses = cross_entropy(logits, tf.where(is_targeted, targets, labels))
        return tf.where(is_targeted, -losses, losses)

    return cross_entropy_or_its_negative
