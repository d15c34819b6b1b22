"""What the checks look at: a classifier on a sample of pictures, attacked once for each question."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import ZeroGradientWarning, attack_images
from bioattack.classifier import Classifier

# From less than what undefended models bear to more than what any picture bears. No multiple of these, and of
# the steps taken from them, lies on the grid of 8 bits, where a model may be sound and nowhere else.
LADDER = tuple(0.0043 * 2.0**place for place in range(-2, 8))


@dataclasses.dataclass(frozen=True)
class Sample:
    """The pictures of an audit.

    Args:
        images: ``(n, height, width, channels)``, float32, [0, 1].
        labels: ``(n,)``, integer true classes.
        image_ids: One name per picture; by default its number.
        further_images: Unlabelled pictures of the same kind, from which a surrogate is learned; may be empty.
        split: The part of the records that they come from.
        fingerprint: The records' fingerprint.
    """

    images: np.ndarray
    labels: np.ndarray
    image_ids: Sequence[str] = ()
    further_images: np.ndarray | None = None
    split: str = ""
    fingerprint: str | None = None


@dataclasses.dataclass(frozen=True)
class AttackRun:
    """One attack at one epsilon, as ``attack_images`` runs it.

    Args:
        epsilon: Radius of the ball.
        attack: Name in the registry of attacks.
        norm: In which the ball is measured.
        num_steps: Steps, or queries of an attack without gradient.
        relative_step: Length of a step as a fraction of epsilon; of ``pgd`` 2.5 epsilons in all unless given.
        num_restarts: From random starts if more than 0; from the picture itself with 0.
        judged: ``"any"`` or ``"last"`` iterate.
        seed: Of the random starts.
    """

    epsilon: float
    attack: str = "pgd"
    norm: str = "linf"
    num_steps: int = 20
    relative_step: float | None = None
    num_restarts: int = 0
    judged: str = "any"
    seed: int = 0

    def __post_init__(self) -> None:
        """Fills in the step, so that equal attacks are equal."""
        if self.relative_step is None and self.attack.startswith("pgd"):
            object.__setattr__(self, "relative_step", 2.5 / self.num_steps)


@dataclasses.dataclass(frozen=True)
class Attacked:
    """What an attack left.

    Args:
        images: ``(n, height, width, channels)``; the pictures themselves where they were wrong before.
        logits: ``(n, classes)`` of these.
        is_left: ``(n,)``, right before and after.
    """

    images: np.ndarray
    logits: np.ndarray
    is_left: np.ndarray


class Evidence:
    """A classifier on a sample; what is computed for one check is kept for the others.

    Args:
        classifier: The classifier under audit.
        sample: The pictures.
        batch_size: Pictures per call.
        seed: Of everything random.
        surrogates: Other classifiers of the same pictures, attacked in its place; one is learned if there is
            none.
    """

    def __init__(
        self,
        classifier: Classifier,
        sample: Sample,
        *,
        batch_size: int = 32,
        seed: int = 0,
        surrogates: Sequence[Classifier] = (),
    ) -> None:
        self.classifier = classifier
        self.images = np.asarray(sample.images, np.float32)
        self.labels = np.asarray(sample.labels, np.int32)
        self.sample = sample
        self.batch_size = batch_size
        self.seed = seed
        self.surrogates = tuple(surrogates)
        self._attacked: dict[tuple[int, AttackRun], Attacked] = {}
        self._gradient_functions: dict[str, Any] = {}

    @property
    def num_images(self) -> int:
        """How many pictures the sample holds."""
        return len(self.images)

    @functools.cached_property
    def logits(self) -> np.ndarray:
        """``(n, classes)`` of the pictures as they are."""
        return self.logits_of(self.images)

    @functools.cached_property
    def is_right(self) -> np.ndarray:
        """``(n,)``, whether the picture as it is is classified right."""
        return self.logits.argmax(1) == self.labels

    def logits_of(self, images: np.ndarray) -> np.ndarray:
        """Classifies pictures in batches."""
        return self._in_batches(lambda batch, _: self.classifier.logits(batch), images)

    def gradients(self, images: np.ndarray, *, loss: str) -> np.ndarray:
        """Differentiates a loss as anybody would write it, with respect to the sample's pictures or others.

        Args:
            images: The sample's pictures, or others, which take its labels in turn.
            loss: ``"cross-entropy"`` or ``"margin"``, the highest other logit minus the true one.
        """
        if loss not in self._gradient_functions:
            # Traced once, for all batches.
            spec = [tf.TensorSpec((None, *images.shape[1:]), tf.float32), tf.TensorSpec((None,), tf.int32)]
            function = functools.partial(_gradients, self.classifier.logits, _LOSSES[loss])
            self._gradient_functions[loss] = tf.function(function, input_signature=spec, autograph=False)
        return self._in_batches(self._gradient_functions[loss], images)

    def attack(self, run: AttackRun, *, classifier: Classifier | None = None) -> Attacked:
        """Attacks the sample, or gives what the same attack gave before.

        Args:
            run: The attack.
            classifier: Which classifier; the one under audit by default.

        Raises:
            InputError: If the attack refuses.
        """
        classifier = classifier or self.classifier
        key = (id(classifier), run)
        if key not in self._attacked:
            (self._attacked[key],) = self._run(classifier, run, epsilons=(run.epsilon,))
        return self._attacked[key]

    @functools.cached_property
    def ladder(self) -> tuple[Attacked, ...]:
        """What the same attack leaves at each epsilon of ``LADDER``, each run by itself."""
        ladder = self._run(self.classifier, AttackRun(LADDER[0]), epsilons=LADDER)
        for epsilon, attacked in zip(LADDER, ladder, strict=True):
            self._attacked[id(self.classifier), AttackRun(epsilon)] = attacked
        return ladder

    @functools.cached_property
    def middle_epsilon(self) -> float:
        """The epsilon of the ladder at which the attack leaves nearest to half of what was right.

        There attacks can differ most. Of several the largest: where nothing ever falls, it gives an attack
        that needs no gradient the best chance.
        """
        half = self.is_right.sum() / 2
        distances = [abs(attacked.is_left.sum() - half) for attacked in self.ladder]
        return max(zip(LADDER, distances, strict=True), key=lambda one: (-one[1], one[0]))[0]

    def _run(
        self, classifier: Classifier, run: AttackRun, *, epsilons: tuple[float, ...]
    ) -> tuple[Attacked, ...]:
        request = AttackRequest(
            run.attack,
            norm=run.norm,
            epsilons=epsilons,
            is_independent=True,
            num_steps=run.num_steps,
            relative_step=run.relative_step,
            has_random_start=run.num_restarts > 0,
            num_restarts=max(1, run.num_restarts),
            judged=run.judged,
        )
        # That there is no gradient the audit says itself.
        with warnings.catch_warnings(action="ignore", category=ZeroGradientWarning):
            outcome = attack_images(
                classifier,
                self.images,
                self.labels,
                request,
                image_ids=list(self.sample.image_ids) or None,
                batch_size=self.batch_size,
                seed=self.seed + run.seed,
            )
        is_left = outcome.is_correct & ~outcome.is_fooled
        return tuple(map(Attacked, outcome.adversarial_images, outcome.logits, is_left))

    def _in_batches(self, function: Callable[[Any, Any], Any], images: np.ndarray) -> np.ndarray:
        images = np.asarray(images, np.float32)
        # Other pictures than the sample's, fewer or more of them, take its labels in turn.
        labels = np.resize(self.labels, len(images))
        parts = [
            function(tf.constant(images[start:stop]), tf.constant(labels[start:stop])).numpy()
            for start in range(0, len(images), self.batch_size)
            for stop in (start + self.batch_size,)
        ]
        return np.concatenate(parts)


def _cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _margin(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    is_true = tf.one_hot(labels, logits.shape[1], on_value=True, off_value=False, dtype=tf.bool)
    others = tf.reduce_max(tf.where(is_true, logits.dtype.min, logits), axis=1)
    return others - tf.reduce_sum(tf.where(is_true, logits, 0.0), axis=1)


_LOSSES = {"cross-entropy": _cross_entropy, "margin": _margin}


def _gradients(
    logits_function: Callable[[Any], Any],
    loss_function: Callable[[Any, Any], Any],
    images: tf.Tensor,
    labels: tf.Tensor,
) -> tf.Tensor:
    """The gradient with respect to the images; zeros where there is none at all."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(loss_function(logits_function(images), labels))
    gradients = tape.gradient(loss, images)
    return tf.zeros_like(images) if gradients is None else gradients
