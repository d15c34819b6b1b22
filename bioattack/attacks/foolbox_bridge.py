"""Foolbox's projected gradient descent on our classifiers, and the models its attacks are given.

This is the only place that imports Foolbox; ``foolbox_by_name`` runs its other attacks. Step, normalisation
and projection are Foolbox's own. Added here: success at any iterate, a random start that depends on the image
and not on its batch mates, one compiled function for logits and gradient. Images that are wrong already, or
have fallen, cost nothing more.
"""

import dataclasses
import hashlib
import warnings
from collections.abc import Sequence
from typing import Any

import eagerpy as ep
import numpy as np
import tensorflow as tf

from bioattack.attacks.registry import AttackSettings
from bioattack.classifier import Classifier
from bioattack.errors import InputError

with warnings.catch_warnings():
    # Foolbox 3.3.4 imports a name that SciPy has moved.
    warnings.filterwarnings("ignore", message=".*scipy.ndimage.filters", category=DeprecationWarning)
    from foolbox import TensorFlowModel
    from foolbox import attacks as foolbox_attacks
    from foolbox import distances as foolbox_distances
    from foolbox.attacks.base import (
        AttackWithDistance,
        FlexibleDistanceMinimizationAttack,
        MinimizationAttack,
        get_criterion,
        raise_if_kwargs,
    )
    from foolbox.attacks.gradient_descent_base import (
        BaseGradientDescent,
        L2BaseGradientDescent,
        LinfBaseGradientDescent,
    )
    from foolbox.criteria import Misclassification, TargetedMisclassification
    from foolbox.distances import Distance, LpDistance

__all__ = [
    "BOUNDS",
    "AttackBatch",
    "AttackOutcome",
    "AttackWithDistance",
    "BridgedModel",
    "Distance",
    "FlexibleDistanceMinimizationAttack",
    "L2ProjectedGradientDescent",
    "LinfProjectedGradientDescent",
    "LpDistance",
    "MinimizationAttack",
    "Misclassification",
    "TargetedMisclassification",
    "WatchedModel",
    "foolbox_attacks",
    "foolbox_distances",
]

BOUNDS = (0.0, 1.0)

# Foolbox's HopSkipJump asks for ever without an end once its update is NaN.
_MOST_CALLS_WITH_NAN = 1000


@dataclasses.dataclass(frozen=True)
class AttackBatch:
    """The images of one call.

    Args:
        images: ``(batch, height, width, channels)``, float32, [0, 1].
        labels: ``(batch,)``, integer true classes.
        image_ids: One name per image; the random start is drawn from it.
        is_attacked: ``(batch,)`` truth values; the other images come back as they are. All by default.
    """

    images: Any
    labels: Any
    image_ids: Sequence[str]
    is_attacked: Any = None


@dataclasses.dataclass(frozen=True)
class AttackOutcome:
    """What came of a batch; all arrays are NumPy's.

    Args:
        adversarial_images: ``(batch, height, width, channels)``, float32, [0, 1].
        logits: ``(batch, classes)`` of these images; zeros where an image was not attacked.
        num_steps: ``(batch,)`` gradient steps that led there.
        has_zero_gradient: ``(batch,)``; true where the attack had no gradient to start from, so that its
            failure says nothing about robustness.
        least_distance: ``(batch,)``, float64, for attacks that search for the nearest fooling image: its
            distance in the attack's norm, infinite where none was found and NaN where none was sought.
            ``None`` for the others.
    """

    adversarial_images: np.ndarray
    logits: np.ndarray
    num_steps: np.ndarray
    has_zero_gradient: np.ndarray
    least_distance: np.ndarray | None = None


class BridgedModel(TensorFlowModel):
    """A classifier as Foolbox takes it: eager, logits, bounds (0, 1), compiled.

    Args:
        classifier: The classifier.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier.logits, bounds=BOUNDS, device=_device())
        self.classifier = classifier
        signature = [
            tf.TensorSpec((None, *classifier.image_shape), tf.float32),
            tf.TensorSpec((None,), tf.int64),
        ]
        self._compiled = tf.function(self._logits_and_gradients, input_signature=signature, autograph=False)

    def logits_and_gradients(self, images: Any, labels: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Gives the logits and the gradient of Foolbox's loss, the summed cross-entropy.

        Args:
            images: ``(batch, height, width, channels)``, float32, [0, 1].
            labels: ``(batch,)``, int64.

        Raises:
            InputError: If there is no gradient with respect to the images.
        """
        return self._compiled(images, labels)

    def _logits_and_gradients(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = self.classifier.logits(images)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_sum(losses)
        gradients = tape.gradient(loss, images)
        if gradients is None:
            raise InputError(f"model {self.classifier.name} has no gradient with respect to the pictures")
        return logits, gradients


class WatchedModel(TensorFlowModel):
    """A classifier as Foolbox takes it, which keeps what an attack does not tell.

    Args:
        classifier: The classifier.
        num_images: Images that are attacked together.

    Attributes:
        num_calls: How often the attack has asked for logits.
        has_zero_gradient: ``(num_images,)``; true where the first gradient that the attack took was all zero.
            False for attacks that take none.
    """

    def __init__(self, classifier: Classifier, *, num_images: int) -> None:
        super().__init__(self._watched_logits, bounds=BOUNDS, device=_device())
        self.classifier = classifier
        self.num_calls = 0
        self.has_zero_gradient = np.zeros(num_images, bool)
        self._num_calls_with_nan = 0
        self._is_gradient_wanted = False
        self._is_gradient_seen = False

    def check_gradient(self) -> None:
        """Refuses a model of which a gradient was wanted and none came.

        Raises:
            InputError: If there is no gradient with respect to the images.
        """
        if self._is_gradient_wanted and not self._is_gradient_seen:
            raise InputError(
                "the model has no gradient with respect to the pictures; an attack that goes by classes "
                "alone, such as HopSkipJumpAttack, needs none"
            )

    def _watched_logits(self, images: tf.Tensor) -> tf.Tensor:
        self.check_gradient()
        self.num_calls += 1
        self._num_calls_with_nan += int(tf.reduce_any(tf.math.is_nan(images)))
        if self._num_calls_with_nan > _MOST_CALLS_WITH_NAN:
            raise InputError("it goes on asking about pictures that are NaN")
        return self.classifier.logits(self._watched(images)) + self._nothing(images)

    def _watched(self, images: tf.Tensor) -> tf.Tensor:
        """The images themselves; a gradient that flows back through them is looked at on its way."""

        @tf.custom_gradient
        def identity(inputs: tf.Tensor) -> tuple[tf.Tensor, Any]:
            return tf.identity(inputs), self._note_gradient

        return identity(images)

    def _note_gradient(self, gradients: tf.Tensor) -> tf.Tensor:
        if not self._is_gradient_seen and len(gradients) == len(self.has_zero_gradient):
            self.has_zero_gradient = ~np.any(gradients.numpy(), axis=(1, 2, 3))
        self._is_gradient_seen = True
        return gradients

    def _nothing(self, images: tf.Tensor) -> tf.Tensor:
        """Zeros that know when a gradient is taken, even where none flows through the model itself."""

        @tf.custom_gradient
        def zeros(inputs: tf.Tensor) -> tuple[tf.Tensor, Any]:
            def note(gradients: tf.Tensor) -> tf.Tensor:  # noqa: ARG001
                self._is_gradient_wanted = True
                return tf.zeros_like(inputs)

            return tf.zeros((len(inputs), 1)), note

        return zeros(images)


def _device() -> str:
    return "/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0"


class _ProjectedGradientDescent(BaseGradientDescent):
    """What both norms share.

    Args:
        settings: Steps, step length, start, and which iterates are judged.
    """

    norm: str

    def __init__(self, settings: AttackSettings) -> None:
        super().__init__(
            rel_stepsize=settings.relative_step,
            steps=settings.num_steps,
            random_start=settings.has_random_start,
        )
        self.settings = settings

    def unit_start(self, image_id: str, *, seed: int, shape: Sequence[int]) -> np.ndarray:
        """Draws a point of the unit ball that depends on seed, norm and image alone."""
        key = hashlib.sha256(f"{seed}/{self.norm}/{image_id}".encode()).digest()
        return self._draw(np.random.default_rng(int.from_bytes(key[:16], "big")), shape).astype(np.float32)

    def _draw(self, generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        raise NotImplementedError

    def run(self, model: Any, inputs: Any, criterion: Any, *, epsilon: float, **kwargs: Any) -> Any:
        """Lets the attack be called as any of Foolbox's, images being named 0, 1, 2, ... and the seed 0."""
        raise_if_kwargs(kwargs)
        images, restore_type = ep.astensor_(inputs)
        names = [str(place) for place in range(len(images))]
        batch = AttackBatch(images.raw, get_criterion(criterion).labels.raw, names)
        outcome = self.attack(model, batch, epsilon=epsilon)
        return restore_type(ep.astensor(tf.constant(outcome.adversarial_images)))

    def attack(
        self, model: BridgedModel, batch: AttackBatch, *, epsilon: float, seed: int = 0
    ) -> AttackOutcome:
        """Attacks a batch.

        Args:
            model: The classifier, bridged.
            batch: The images.
            epsilon: Radius of the ball, at least 0, as a fraction of the pixel range.
            seed: From which, with each image's name, the random start is drawn.

        Returns:
            The adversarial images, within the ball and within [0, 1], and what the model makes of them.
        """
        x0 = np.asarray(batch.images, np.float32)
        is_attacked = np.ones(len(x0), bool) if batch.is_attacked is None else np.asarray(batch.is_attacked)
        verdict = _Verdict(np.asarray(batch.labels, np.int64), is_attacked & (epsilon > 0))
        x = self._start(x0, batch.image_ids, epsilon=epsilon, seed=seed)
        x[~verdict.is_open] = x0[~verdict.is_open]
        for step in range(self.steps):
            places = np.flatnonzero(verdict.is_open)
            if not len(places):
                break
            logits, gradients = model.logits_and_gradients(x[places], verdict.labels[places])
            if step == 0:
                verdict.note_zero_gradients(places, gradients.numpy())
            if self.settings.judged == "any" and (step > 0 or self.random_start):
                verdict.close(places, logits.numpy(), num_steps=step, only_fallen=True)
            moved = self._move(x[places], x0[places], gradients, epsilon=epsilon)
            x[places] = np.where(verdict.is_open[places][:, None, None, None], moved, x[places])
        places = np.flatnonzero(verdict.is_open)
        if len(places):
            logits = model.classifier.logits(x[places])
            verdict.close(places, logits.numpy(), num_steps=self.steps, only_fallen=False)
        return verdict.outcome(x)

    def _start(self, x0: np.ndarray, image_ids: Sequence[str], *, epsilon: float, seed: int) -> np.ndarray:
        if not self.random_start:
            return x0.copy()
        units = [self.unit_start(image_id, seed=seed, shape=x0.shape[1:]) for image_id in image_ids]
        return np.clip(x0 + np.float32(epsilon) * np.stack(units), *BOUNDS)

    def _move(self, x: np.ndarray, x0: np.ndarray, gradients: tf.Tensor, *, epsilon: float) -> np.ndarray:
        """Makes one of Foolbox's steps, whose optimiser holds no state."""
        now, start = ep.astensors(tf.constant(x), tf.constant(x0))
        optimizer = self.get_optimizer(start, self.rel_stepsize * epsilon)
        direction = self.normalize(ep.astensor(gradients), x=now, bounds=BOUNDS)
        return ep.clip(self.project(now + optimizer(direction), start, epsilon), *BOUNDS).numpy()


class _Verdict:
    """Keeps, for each image of a batch, whether it is still being moved and what was last made of it."""

    def __init__(self, labels: np.ndarray, is_attacked: np.ndarray) -> None:
        self.labels = labels
        self.is_open = is_attacked
        self._logits: np.ndarray | None = None
        self._num_steps = np.zeros(len(labels), np.int32)
        self._has_zero_gradient = np.zeros(len(labels), bool)

    def note_zero_gradients(self, places: np.ndarray, gradients: np.ndarray) -> None:
        self._has_zero_gradient[places] = ~np.any(gradients, axis=(1, 2, 3))

    def close(self, places: np.ndarray, logits: np.ndarray, *, num_steps: int, only_fallen: bool) -> None:
        """Ends the descent of the fallen, or of all, with the logits that were just computed for them."""
        if self._logits is None:
            self._logits = np.zeros((len(self.labels), logits.shape[1]), np.float32)
        closing = (logits.argmax(1) != self.labels[places]) | (not only_fallen)
        self._logits[places[closing]] = logits[closing]
        self._num_steps[places[closing]] = num_steps
        self.is_open[places[closing]] = False

    def outcome(self, adversarial_images: np.ndarray) -> AttackOutcome:
        logits = np.zeros((len(self.labels), 0), np.float32) if self._logits is None else self._logits
        return AttackOutcome(adversarial_images, logits, self._num_steps, self._has_zero_gradient)


class LinfProjectedGradientDescent(_ProjectedGradientDescent, LinfBaseGradientDescent):
    """Projected gradient descent in the L-infinity ball, with Foolbox's step and projection.

    With ``has_random_start=False`` this is the basic iterative method. The start, where there is one, is
    uniform in the ball, as Foolbox's.

    Args:
        settings: Steps, step length, start, and which iterates are judged.

    Source:
        Kurakin et al. 2017, Madry et al. 2018; Foolbox 3.
    """

    norm = "linf"

    def _draw(self, generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        return generator.uniform(-1.0, 1.0, shape)


class L2ProjectedGradientDescent(_ProjectedGradientDescent, L2BaseGradientDescent):
    """Projected gradient descent in the L2 ball, with Foolbox's step and projection.

    The norm is taken over the whole image. The start, where there is one, is uniform in the ball: the
    first ``n`` coordinates of a uniform point of the sphere in ``n + 2`` dimensions, as Foolbox's.

    Args:
        settings: Steps, step length, start, and which iterates are judged.

    Source:
        Madry et al. 2018; Foolbox 3; Voelker et al. 2017 for the start.
    """

    norm = "l2"

    def _draw(self, generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        size = int(np.prod(shape))
        normal = generator.standard_normal(size + 2)
        return (normal / np.linalg.norm(normal))[:size].reshape(shape)
