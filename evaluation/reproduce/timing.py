"""How long networks take on this machine: a few steps are made and the whole is reckoned from them."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bioattack.evaluation.reproduce.config import Scale
from bioattack.evaluation.reproduce.experiment import Variant
from bioattack.models.registry import build_model
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.registry import training_class

ATTACK_STEPS = 20

# As many pixels in a trial batch as two pictures of 320 x 320: more would need more memory than a laptop has.
_TRIAL_PIXELS = 2 * 320 * 320
_NUM_TRIALS = 3


@dataclasses.dataclass(frozen=True)
class StepTimes:
    """What one picture costs, in seconds.

    Args:
        training: A step of training.
        attack: A step of the attack: logits, loss, and its gradient with respect to the picture.
        answer: Logits alone.
        num_parameters: Of the network.
        batch_size: Pictures in the steps that were timed.
    """

    training: float
    attack: float
    answer: float
    num_parameters: int
    batch_size: int


def time_steps(
    variant: Variant, scale: Scale, *, image_shape: tuple[int, ...], num_classes: int
) -> StepTimes:
    """Makes a few steps of training and of the attack on random pictures; the fastest of three counts.

    Args:
        variant: The network.
        scale: Its size.
        image_shape: ``(height, width, channels)``.
        num_classes: Number of logits.
    """
    keras.utils.clear_session(free_memory=True)
    batch_size = min(scale.batch_size, max(2, _TRIAL_PIXELS // (image_shape[0] * image_shape[1])))
    model = build_model(
        variant.model,
        image_shape=image_shape,
        num_classes=num_classes,
        preset=scale.model_preset,
        options=variant.options_at(scale),
        seed=0,
    )
    random = np.random.default_rng(0)
    images = tf.constant(random.random((batch_size, *image_shape), dtype=np.float32))
    labels = tf.constant(random.integers(num_classes, size=batch_size), tf.int32)
    training = _training_step(model, variant, scale, images=images, labels=labels)
    return StepTimes(
        training=_fastest(training) / batch_size,
        attack=_fastest(_attack_step(model, images, labels)) / batch_size,
        answer=_fastest(_answer(model, images)) / batch_size,
        num_parameters=model.count_params(),
        batch_size=batch_size,
    )


def _fastest(step: Callable[[], Any]) -> float:
    step()  # traces
    found = []
    for _ in range(_NUM_TRIALS):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return min(found)


def _training_step(
    model: keras.Model, variant: Variant, scale: Scale, *, images: tf.Tensor, labels: tf.Tensor
) -> Callable[[], Any]:
    config = TrainConfig(model=variant.model, data=Path(), output=Path(), preset=scale.model_preset)
    training = training_class("standard")(model, make_plan(config))
    training.compile_for(steps_per_epoch=1)
    return lambda: training.train_on_batch(images, labels)


def _attack_step(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> Callable[[], Any]:
    @tf.function(autograph=False)
    def gradient() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = model(images, training=False)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tape.gradient(losses, images)

    return lambda: np.asarray(gradient())


def _answer(model: keras.Model, images: tf.Tensor) -> Callable[[], Any]:
    @tf.function(autograph=False)
    def logits() -> tf.Tensor:
        return model(images, training=False)

    return lambda: np.asarray(logits())


def training_seconds(times: StepTimes, scale: Scale, *, num_train: int, num_test: int) -> float:
    """Reckons how long a whole training takes, the test after each epoch included."""
    of_epoch = min(num_train, scale.train_limit or num_train) * times.training + num_test * times.answer
    return scale.epochs * of_epoch


def evaluation_seconds(times: StepTimes, scale: Scale, *, num_test: int) -> float:
    """Reckons how long the paper's attack takes at most: if no picture ever falls."""
    number = min(num_test, scale.test_limit or num_test)
    return number * (times.answer + len(scale.epsilons) * ATTACK_STEPS * times.attack)


def duration_words(seconds: float) -> str:
    """Says a time with a unit that fits.

    >>> duration_words(90), duration_words(7200), duration_words(10 * 86400)
    ('2 min', '2.0 h', '10.0 days')
    """
    for unit, size in (("days", 86400), ("h", 3600)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size):
            return f"{seconds / size:.1f} {unit}"
    return f"{max(1, round(seconds / 60))} min" if seconds >= 60 else f"{max(1, round(seconds))} s"
