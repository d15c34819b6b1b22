"""What the two attacks within a distance between features share: the start, the way back, and the judging."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, State, StreamedAttack, fresh_state, rows_where
from bioattack.attacks.balls import clip_to_unit
from bioattack.attacks.losses import margin
from bioattack.attacks.measured_distance import FEATURES, check_distance_fits, choose_distance, on_rows
from bioattack.classifier import Classifier
from bioattack.errors import InputError

# The authors' constants: noise of the start, loss beyond which nothing is gained, and the way back.
_NOISE: Final = 0.01
_ENOUGH: Final = 1.0
_OVERSHOOT: Final = 0.1
_NUM_NEWTON_STEPS: Final = 10
_NUM_BISECTIONS: Final = 10


@dataclasses.dataclass(frozen=True)
class FeatureAttackSettings:
    """How an attack within a distance between features is run.

    Args:
        num_steps: Steps at most.
        distance: ``"nptm"``, or a distance with a method ``features(images) -> (batch, numbers)``, whose
            differences' L2 length it is.
        distance_options: Arguments of that distance, as ``(name, value)``.
        is_targeted: Whether success is to reach a target, and not just to leave the true class.
        loss: The margin, up to 1: what leads by more gains nothing.
        judged: What counts is the image that it returns.
    """

    num_steps: int
    distance: Any = FEATURES
    distance_options: tuple[tuple[str, Any], ...] = ()
    is_targeted: bool = False
    loss: str = "margin"
    judged: str = "returned"


class FeatureAttack(StreamedAttack):
    """An attack that starts with a little noise and ends within a distance between features.

    Args:
        norm: Name of the distance.
        settings: Distance and steps.
        num_classes: Number of logits.

    Raises:
        InputError: If the loss is not the margin.
    """

    defaults: ClassVar[dict[str, FeatureAttackSettings]]

    @classmethod
    def make(cls, *, norm: str, num_classes: int, overrides: Mapping[str, Any]) -> Self:
        """Makes the attack with its own settings, but for those that are given."""
        settings = dataclasses.replace(cls.defaults[FEATURES], **overrides)
        return cls(norm=norm, settings=settings, num_classes=num_classes)

    def __init__(self, *, norm: str, settings: FeatureAttackSettings, num_classes: int) -> None:
        super().__init__(norm=norm, num_steps=settings.num_steps, is_targeted=settings.is_targeted)
        if settings.loss != "margin":
            raise InputError(f"attacks on features ascend the margin. Received: loss={settings.loss!r}")
        self.settings = settings
        self.num_classes = num_classes
        self._distance: Any = None
        self._compiled: dict[tuple[int, ...], Any] = {}

    @property
    def key(self) -> Hashable:
        """What decides the compiled functions."""
        return type(self).__name__, self.norm, self.settings, self.num_classes

    def check_fit(self, classifier: Classifier, image_shape: Sequence[int]) -> None:
        """Refuses a distance that cannot be made, has no features, or cannot measure such images.

        Raises:
            InputError: If it is so.
        """
        check_distance_fits(self.measure(classifier), image_shape)

    def start(self, model: AttackedModel, slots: Slots) -> State:
        """Starts at the image with Gaussian noise, which may leave [0, 1] until the first step."""
        shape = slots.originals.shape[1:]
        noise = tf.map_fn(
            lambda key: tf.random.stateless_normal(shape, key, alg="philox"),
            slots.keys,
            fn_output_signature=tf.TensorSpec(shape, tf.float32),
        )
        state = fresh_state(slots, slots.originals + _NOISE * noise, num_classes=self.num_classes)
        try:
            state["features"] = self.features(model, slots.originals)
        except ValueError as error:
            raise InputError(f"distance {self.norm}: {error}") from error
        return state

    def look(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges images that have made all their steps."""
        logits = model.logits(state["adversarial_images"])
        return self.judged(slots, state, logits, is_final=state["num_steps"] >= self.num_steps)

    def judged(self, slots: Slots, state: State, logits: tf.Tensor, *, is_final: tf.Tensor) -> State:
        """Ends the images that are final."""
        is_open = ~state["is_over"]
        is_now_over = is_open & is_final
        return state | {
            "logits": rows_where(is_open, logits, state["logits"]),
            "is_fooled": state["is_fooled"] | (is_now_over & self.fooled(slots, logits)),
            "is_over": state["is_over"] | is_now_over,
        }

    def loss(self, logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """The margin, up to the point from which more of it gains nothing."""
        return tf.minimum(margin(logits, labels, targets), _ENOUGH)

    def features(self, model: AttackedModel, images: tf.Tensor) -> tf.Tensor:
        """Gives the features ``(batch, numbers)`` of images."""
        shape = tuple(images.shape[1:])
        if shape not in self._compiled:
            # Traced once, and not at each of the many places where features are asked for.
            self._compiled[shape] = tf.function(
                self.measure(model.classifier).features,
                input_signature=[tf.TensorSpec((None, *shape), tf.float32)],
                autograph=False,
            )
        return self._compiled[shape](images)

    def measure(self, classifier: Classifier) -> Any:
        """Gives the distance, made where it is first needed.

        Raises:
            InputError: If it cannot be made, or has no features.
        """
        if self._distance is None:
            distance = choose_distance(
                self.settings.distance, self.settings.distance_options, classifier=classifier
            )
            if not hasattr(distance, "features"):
                raise InputError(
                    f"this attack goes by features, which the distance {distance.name} does not show; "
                    f"take {FEATURES}"
                )
            self._distance = distance
        return self._distance

    def project(
        self, model: AttackedModel, slots: Slots, state: State, *, images: tf.Tensor, is_wanted: tf.Tensor
    ) -> tf.Tensor:
        """Brings images into [0, 1] and within epsilon of their originals' features.

        Newton's steps along the gradient of the distance, a tenth too long and aimed a tenth too near; where
        ten do not suffice, bisection between the image and its original. The authors' program sums the
        gradients of its Newton steps up, bisects the whole batch as soon as one image needs it, and returns
        the last point tried, which may lie outside; here each step has its own gradient, each image its own
        way, and the last point inside is returned.

        Args:
            model: The model, which may lend the distance its features.
            slots: The originals.
            state: Their features.
            images: ``(slots, height, width, channels)``.
            is_wanted: ``(slots,)``: which of them to bring back.

        Returns:
            The same shape; what was not wanted is unchanged.
        """

        def measure(images: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(images)
                distances = length_of(self.features(model, images) - features)
            return distances, tape.gradient(distances, images)

        def step(number: tf.Tensor, moved: tf.Tensor, is_outside: tf.Tensor) -> tuple[tf.Tensor, ...]:
            distances, gradients = on_rows(measure, is_outside, moved, state["features"])
            excess = distances - slots.epsilons
            steps = tf.where(excess > 0, excess + _OVERSHOOT, 0.0) * (1 + _OVERSHOOT)
            inverse = tf.math.divide_no_nan(steps, tf.reduce_sum(gradients**2, axis=(1, 2, 3)))
            nearer = clip_to_unit(moved - inverse[:, None, None, None] * gradients)
            return number + 1, rows_where(is_outside, nearer, moved), is_outside & (excess > 0)

        _, moved, is_outside = tf.while_loop(
            lambda number, _, is_outside: (number < _NUM_NEWTON_STEPS) & tf.reduce_any(is_outside),
            step,
            (tf.constant(0), images, is_wanted),
        )
        return tf.cond(
            tf.reduce_any(is_outside),
            lambda: rows_where(is_outside, self._bisected(model, slots, state, images), moved),
            lambda: moved,
        )

    def _bisected(self, model: AttackedModel, slots: Slots, state: State, images: tf.Tensor) -> tf.Tensor:
        changes = clip_to_unit(images) - slots.originals

        def at(shares: tf.Tensor) -> tf.Tensor:
            return slots.originals + shares[:, None, None, None] * changes

        def halve(inside: tf.Tensor, outside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            middle = (inside + outside) / 2
            distances = length_of(self.features(model, at(middle)) - state["features"])
            is_inside = distances <= slots.epsilons
            return tf.where(is_inside, middle, inside), tf.where(is_inside, outside, middle)

        whole = tf.zeros_like(slots.epsilons), tf.ones_like(slots.epsilons)
        inside, _ = tf.while_loop(lambda *_: True, halve, whole, maximum_iterations=_NUM_BISECTIONS)
        return at(inside)


def length_of(rows: tf.Tensor) -> tf.Tensor:
    """The L2 length of each row, ``(batch, numbers)`` to ``(batch,)``, with gradient 0 at 0."""
    squares = tf.reduce_sum(rows**2, axis=1)
    is_positive = squares > 0
    return tf.where(is_positive, tf.sqrt(tf.where(is_positive, squares, 1.0)), 0.0)
