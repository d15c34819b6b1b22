"""The only place that imports Foolbox, and the model that its attacks are given.

``foolbox_by_name`` runs them.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

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
    )
    from foolbox.criteria import Misclassification, TargetedMisclassification
    from foolbox.distances import Distance, LpDistance

__all__ = [
    "BOUNDS",
    "AttackBatch",
    "AttackOutcome",
    "AttackWithDistance",
    "Distance",
    "FlexibleDistanceMinimizationAttack",
    "LpDistance",
    "MinimizationAttack",
    "Misclassification",
    "TargetedMisclassification",
    "WatchedModel",
    "foolbox_attacks",
    "foolbox_distances",
    "tell_nobody",
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


def tell_nobody(num_calls: int) -> None:
    """Takes the place of progress."""


class WatchedModel(TensorFlowModel):
    """A classifier as Foolbox takes it, which keeps what an attack does not tell.

    Args:
        classifier: The classifier.
        num_images: Images that are attacked together.
        tell: Is told at each call how many there were.

    Attributes:
        num_calls: How often the attack has asked for logits.
        has_zero_gradient: ``(num_images,)``; true where the first gradient that the attack took was all zero.
            False for attacks that take none.
    """

    def __init__(
        self, classifier: Classifier, *, num_images: int, tell: Callable[[int], None] = tell_nobody
    ) -> None:
        super().__init__(self._watched_logits, bounds=BOUNDS, device=_device())
        self.classifier = classifier
        self.num_calls = 0
        self._tell = tell
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
        self._tell(self.num_calls)
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
