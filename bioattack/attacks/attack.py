"""What the streaming engine asks of an attack, and the model as attacks see it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import tensorflow as tf

from bioattack.attacks.losses import Loss, is_fooled
from bioattack.attacks.row_bounds import RowBounds
from bioattack.classifier import Classifier
from bioattack.errors import InputError

State: TypeAlias = dict[str, tf.Tensor]


class Slots(NamedTuple):
    """What stays the same while images are attacked at one epsilon; one row per slot of the batch.

    Args:
        originals: ``(slots, height, width, channels)``, float32, [0, 1]; of rows of a table
            ``(slots, features)``, on the attributes' own scales.
        labels: ``(slots,)``, int32, true classes.
        targets: ``(slots,)``, int32, the class to reach, or -1 where any wrong one will do.
        epsilons: ``(slots,)``, float32, radius of the ball in the attack's norm.
        keys: ``(slots, 2)``, int32, from which all that is random for this image is drawn.
    """

    originals: tf.Tensor
    labels: tf.Tensor
    targets: tf.Tensor
    epsilons: tf.Tensor
    keys: tf.Tensor


class AttackedModel:
    """A classifier with the gradients that attacks ask of it.

    Args:
        classifier: The classifier.
        num_draws: Calls over which logits and gradients are averaged: expectation over transformation, for
            models that draw random numbers. 1 for all others.

    Raises:
        InputError: If ``num_draws`` is below 1.

    Source:
        Athalye et al. 2018, section 4.2 (expectation over transformation).
    """

    def __init__(self, classifier: Classifier, *, num_draws: int = 1) -> None:
        if num_draws < 1:
            raise InputError(f"num_draws must be at least 1. Received: num_draws={num_draws}")
        self.classifier = classifier
        self.num_draws = num_draws

    @property
    def name(self) -> str:
        """How tables call the model."""
        return self.classifier.name

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """Gives ``(batch, classes)`` logits, the mean over the draws."""
        return self._mean_over_draws(lambda: (self.classifier.logits(images),))[0]

    def logits_losses_and_gradients(
        self, images: tf.Tensor, slots: Slots, loss: Loss
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Gives logits ``(batch, classes)``, losses ``(batch,)`` and their gradients, shaped like the images.

        Raises:
            InputError: If there is no gradient with respect to the images.
        """

        def one_draw() -> tuple[tf.Tensor, ...]:
            with tf.GradientTape() as tape:
                tape.watch(images)
                logits = self.classifier.logits(images)
                losses = loss(logits, slots.labels, slots.targets)
            gradients = tape.gradient(losses, images)
            if gradients is None:
                raise InputError(f"model {self.name} has no gradient with respect to {_inputs_word(images)}")
            return logits, losses, gradients

        logits, losses, gradients = self._mean_over_draws(one_draw)
        return logits, losses, gradients

    def _mean_over_draws(self, draw: Callable[[], tuple[tf.Tensor, ...]]) -> tuple[tf.Tensor, ...]:
        if self.num_draws == 1:
            return draw()
        first = draw()
        _, sums = tf.while_loop(
            lambda number, _: number < self.num_draws,
            lambda number, sums: (
                number + 1,
                tuple(total + one for total, one in zip(sums, draw(), strict=True)),
            ),
            (tf.constant(1), first),
        )
        return tuple(total / self.num_draws for total in sums)


class StreamedAttack:
    """An iterative attack, cut into passes over a batch whose images come and go.

    What an attack knows of its images is a dictionary of tensors with one row per slot. The engine fills
    slots with ``start``, lets ``advance`` look at all of them and move them, and takes out those that are
    over. So nothing in a row may depend on another row. Always in the dictionary:

    - ``adversarial_images`` ``(slots, height, width, channels)``: what is reported once the slot is over,
    - ``logits`` ``(slots, classes)`` of these images,
    - ``num_steps`` ``(slots,)``, int32: moves made so far,
    - ``is_over``, ``is_fooled`` ``(slots,)``: nothing more to do; fooled,
    - ``has_zero_gradient`` ``(slots,)``: there was no gradient to start with.

    Args:
        norm: The norm of the ball.
        num_steps: The most moves that an image is given.
        is_targeted: Whether success is to reach the target, and not just to leave the true class.
    """

    #: How it is run and judged, with its own numbers where none were given: a frozen dataclass with at least
    #: ``num_steps``, ``judged`` and ``loss``.
    settings: Any
    #: The settings unless others are given, by norm.
    defaults: ClassVar[Mapping[str, Any]]
    #: Whether one forward pass alone can tell that an image is fooled, for less than a whole ``advance``.
    has_cheap_look = True
    #: Wrong classes that are aimed at one after the other, where any of them will do; 0 for no aim.
    num_targets = 0
    #: Whether it searches among pictures of 8 bits, and so must begin at one.
    needs_8_bits = False
    #: Of rows of a table what it may move; None where it attacks pictures. Rows are saved as they are found.
    bounds: RowBounds | None = None

    def __init__(self, *, norm: str, num_steps: int, is_targeted: bool = False) -> None:
        self.norm = norm
        self.num_steps = num_steps
        self.is_targeted = is_targeted

    @property
    def key(self) -> Hashable:
        """Equal for attacks that compile to the same functions."""
        raise NotImplementedError

    @property
    def opens_at_image(self) -> bool:
        """Whether the first pass of every trial is over the image itself, and so the same at every radius."""
        return False

    def fooled(self, slots: Slots, logits: tf.Tensor) -> tf.Tensor:
        """Tells for each slot whether the class is wrong, or the target reached."""
        targets = slots.targets if self.is_targeted else -tf.ones_like(slots.targets)
        return is_fooled(logits, slots.labels, targets)

    def check_fit(self, classifier: Classifier, image_shape: Sequence[int]) -> None:
        """Refuses models and images of a size with which the attack cannot work, before it is run.

        Raises:
            InputError: If it cannot.
        """

    def start(self, model: AttackedModel, slots: Slots) -> State:
        """Makes the rows of images that have just come in."""
        raise NotImplementedError

    def open(self, model: AttackedModel, slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
        """Gives logits and gradients of the images as they are, where it opens at the image."""
        raise NotImplementedError

    def start_opened(self, slots: Slots, logits: tf.Tensor, gradients: tf.Tensor) -> State:
        """As ``start`` and ``advance`` after it, with what ``open`` gave for these images."""
        raise NotImplementedError

    def look(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges without moving: one forward pass."""
        raise NotImplementedError

    def advance(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges, and moves those that are not over."""
        raise NotImplementedError


def _inputs_word(images: tf.Tensor) -> str:
    return "the rows" if images.shape.rank == 2 else "the pictures"


def fresh_state(slots: Slots, adversarial_images: tf.Tensor, *, num_classes: int) -> State:
    """Makes the entries that every attack has, for images that nothing has happened to yet."""
    none = tf.zeros_like(slots.labels)
    return {
        "adversarial_images": adversarial_images,
        "logits": tf.zeros((tf.shape(slots.labels)[0], num_classes), tf.float32),
        "num_steps": none,
        "is_over": tf.zeros_like(slots.labels, tf.bool),
        "is_fooled": tf.zeros_like(slots.labels, tf.bool),
        "has_zero_gradient": tf.zeros_like(slots.labels, tf.bool),
    }


def lacks_gradient(gradients: tf.Tensor, is_asked: tf.Tensor) -> tf.Tensor:
    """Tells of some slots, ``(slots,)``, whether their gradient is 0 everywhere; of the others False.

    Args:
        gradients: ``(slots, ...)``.
        is_asked: ``(slots,)``; where nobody asks, no gradient is looked at.
    """

    def look() -> tf.Tensor:
        return is_asked & tf.reduce_all(gradients == 0, axis=tuple(range(1, gradients.shape.rank)))

    return tf.cond(tf.reduce_any(is_asked), look, lambda: is_asked)


def rows_where(condition: tf.Tensor, chosen: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Takes whole rows from one tensor where the condition ``(slots,)`` holds, from another elsewhere."""
    # Rows are copied whole; `tf.where` would spread the condition over all values, at ten times the cost.
    return tf.raw_ops.Select(condition=condition, x=chosen, y=other)


def per_image(numbers: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """One number for each slot, in a shape that spreads over images or rows of a table."""
    return tf.reshape(numbers, (-1, *(1 for _ in images.shape[1:])))
