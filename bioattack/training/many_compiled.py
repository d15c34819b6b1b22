"""A training that is compiled once and then used for one model after another."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.tfrecords_builder.reading import Records
from bioattack.training.callbacks import FiniteLoss
from bioattack.training.classifier_training import ClassifierTraining, TrainingData
from bioattack.training.many_data import SplitInMemory, as_images

# Python, and with it Ctrl-C, has its turn about so often.
_SECONDS_AT_ONCE = 1.0
_FIRST_STEPS = 8


class CompiledTraining:
    """Makes many steps in one call of a compiled function, with the numbers that Keras' ``fit`` gives.

    Keras calls its function once a step and looks after callbacks in between; for networks whose step takes
    less than a millisecond that is most of the time. Compiling anew for each model is most of what is left.

    Args:
        training: Compiled by ``compile_for``. Its weights, optimizer and random states are those of the first
            model; ``take_over`` gives it those of another one.
        split: What it learns from, where that is in memory; otherwise ``run_epoch`` reads a stream.
    """

    def __init__(self, training: ClassifierTraining, *, split: SplitInMemory | None) -> None:
        self.training = training
        self.split = split
        self._left_out: Sequence[str] = ()
        self._build_metrics()
        step = tf.function(
            tf.autograph.experimental.do_not_convert(training.train_step),
            jit_compile=training.jit_compile,
            reduce_retracing=True,
        )
        self._run_in_memory = _in_memory(step, split, training.plan.batch_size) if split else None
        self._run_stream = _from_stream(step)
        self.logits = tf.function(
            lambda images: training.classifier(images, training=False), reduce_retracing=True
        )

    def _build_metrics(self) -> None:
        """Makes the variables that Keras makes at the first step, which a compiled loop cannot."""
        num_classes = self.training.classifier.output_shape[-1]
        images = tf.zeros((1, *self.training.classifier.input_shape[1:]))
        labels, logits = tf.zeros(1, tf.int32), tf.zeros((1, num_classes))
        self.training.compute_loss(images, labels, logits)
        self.training.compute_metrics(images, labels, logits)

    def take_over(self, fresh: ClassifierTraining, *, left_out: Sequence[str] = ()) -> None:
        """Puts the beginning of another model into this training.

        Args:
            fresh: Of the same way of training and settings, but for those that decide weights, random states
                and what is read.
            left_out: Names that this model does not learn from, of what is in memory.
        """
        self._left_out = left_out
        if fresh is not self.training:
            own, others = self.training.state_variables(), fresh.state_variables()
            for variable, other in zip(own, others, strict=True):
                variable.assign(other)
            self.training.plan = fresh.plan

    def run_epoch(self, epoch: int, *, data: TrainingData, stream: Any = None) -> dict[str, float]:
        """Makes the steps of one epoch.

        Args:
            epoch: Counted from 0.
            data: Of the model that is trained now.
            stream: An iterator over the batches of this epoch and those after it, where they are not in
                memory.

        Returns:
            The measurements of the epoch by name, the learning rate at its begin among them.

        Raises:
            InputError: If the loss or a weight is not finite any more; the step that is named is the last one
                of those that were made at once.
        """
        training = self.training
        config = training.plan.config
        finite = FiniteLoss(learning_rate=config.learning_rate, steps_per_epoch=data.steps_per_epoch)
        finite.set_model(training)
        finite.on_epoch_begin(epoch)
        learning_rate = float(training.optimizer.learning_rate)
        training.reset_metrics()
        order = self.split.order(config.seed, epoch, left_out=self._left_out) if self.split else None
        for first, last in _pieces(data.steps_per_epoch):
            if order is not None:
                self._run_in_memory(order, first, last, tf.constant(255.0))  # type: ignore[misc]
            else:
                self._run_stream(stream, first, last)
            finite.on_train_batch_end(int(last) - 1, self._measured())
        finite.on_epoch_end(epoch)
        return {"learning_rate": learning_rate, **self._measured()}

    def _measured(self) -> dict[str, float]:
        return {name: float(value) for name, value in sorted(self.training.get_metrics_result().items())}

    def predict(self, batches: Iterator[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Classifies batches of images.

        Args:
            batches: ``(images, labels)``.

        Returns:
            Logits, float32 ``(images, classes)``, and whether the largest is the label's, ``(images,)``.
        """
        parts = [(self.logits(images).numpy(), np.asarray(labels)) for images, labels in batches]
        logits, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return logits, logits.argmax(axis=1) == labels


def _pieces(num_steps: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Cuts an epoch into calls of about a second."""
    first, piece = 0, _FIRST_STEPS
    while first < num_steps:
        last = min(num_steps, first + piece)
        begin = time.monotonic()
        yield tf.constant(first), tf.constant(last)
        seconds = time.monotonic() - begin
        piece = max(1, int(_SECONDS_AT_ONCE * (last - first) / max(seconds, 1e-3)))
        first = last


def _in_memory(step: Any, split: SplitInMemory, batch_size: int) -> Any:
    @tf.function(reduce_retracing=True)
    def run(order: tf.Tensor, first: tf.Tensor, last: tf.Tensor, white: tf.Tensor) -> None:
        def body(index: tf.Tensor) -> tf.Tensor:
            places = order[index * batch_size : (index + 1) * batch_size]
            images = as_images(tf.gather(split.contents, places), white)
            step((images, tf.gather(split.labels, places)))
            return index + 1

        tf.while_loop(lambda index: index < last, body, [first], parallel_iterations=1)

    return run


def _from_stream(step: Any) -> Any:
    @tf.function(reduce_retracing=True)
    def run(stream: Any, first: tf.Tensor, last: tf.Tensor) -> None:
        def body(index: tf.Tensor) -> tf.Tensor:
            step(stream.get_next())
            return index + 1

        tf.while_loop(lambda index: index < last, body, [first], parallel_iterations=1)

    return run


def batches_of(
    source: SplitInMemory | Records, split: str, *, batch_size: int, limit: int | None = None
) -> Any:
    """Gives a split in the stored order, from memory or from its files.

    Args:
        source: Where it is.
        split: ``"train"`` or ``"test"``.
        batch_size: Images in a batch; the last one may be smaller.
        limit: Only the first so many.

    Returns:
        Batches ``(images, labels)``, as ``Records.dataset`` gives them.
    """
    if isinstance(source, Records):
        return source.dataset(split, batch_size=batch_size, limit=limit)
    stop = min(len(source), limit or len(source))
    pieces = ((start, min(stop, start + batch_size)) for start in range(0, stop, batch_size))
    white = tf.constant(255.0)
    return ((as_images(source.contents[a:b], white), source.labels[a:b]) for a, b in pieces)
