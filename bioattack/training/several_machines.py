"""Training on several machines: a short loop around the training step of every way of training.

Keras' ``fit`` does not work under ``MultiWorkerMirroredStrategy`` (keras issue 20585). Every machine runs the
same program, told by the variable ``TF_CONFIG`` who the others are; each reads a part of every batch, and the
gradients are averaged over all of them.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.training.classifier_training import ClassifierTraining

_VARIABLE = "TF_CONFIG"


@dataclasses.dataclass(frozen=True)
class Worker:
    """This machine among the others.

    Args:
        index: From 0; the machine 0 writes what all have learned.
        number: Of all machines.
    """

    index: int
    number: int

    @property
    def part(self) -> tuple[int, int]:
        """What of the records this machine reads, as ``Records.dataset`` takes it."""
        return self.index, self.number

    def batch_size(self, whole: int) -> int:
        """Gives this machine's share of a batch.

        Args:
            whole: Examples in a batch of all machines.

        Raises:
            InputError: If it cannot be shared evenly, which would weigh the examples differently.

        >>> Worker(0, 2).batch_size(32)
        16
        """
        if whole % self.number:
            raise InputError(
                f"--batch-size must be a multiple of the {self.number} machines in {_VARIABLE}."
                f" Received: {whole}"
            )
        return whole // self.number


def this_worker() -> Worker | None:
    """Reads from ``TF_CONFIG`` which machine this is; None where there is only one.

    Raises:
        InputError: If the variable is set and cannot be read.
    """
    text = os.environ.get(_VARIABLE, "")
    if not text:
        return None
    try:
        settings = json.loads(text)
        number = len(settings["cluster"]["worker"])
        kind, index = settings["task"]["type"], int(settings["task"]["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{_VARIABLE} cannot be read ({type(error).__name__}: {error}); it must be JSON with the"
            ' addresses of all machines under "cluster" and "worker", and the "type" and "index" of this one'
            ' under "task"'
        ) from error
    if kind != "worker" or not 0 <= index < number:
        raise InputError(
            f"{_VARIABLE} must name a worker from 0 to {number - 1} as this machine. Received: {kind} {index}"
        )
    return Worker(index, number) if number > 1 else None


def fit_on_several_machines(
    training: ClassifierTraining,
    part_of_epoch: Callable[[int], tf.data.Dataset],
    *,
    steps_per_epoch: int,
    epochs: int,
    first_epoch: int = 0,
    after_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Trains as ``fit`` does, in step with the other machines.

    Every machine calls this with the same arguments but for its part of the data, and ends with the same
    weights: those of one machine that sees the parts of each step as one batch, if the parts are equally
    large.

    Args:
        training: Made and compiled within the scope of a ``MultiWorkerMirroredStrategy``.
        part_of_epoch: From an epoch to batches of this machine, at least ``steps_per_epoch`` of them.
        steps_per_epoch: The same on all machines.
        epochs: Length of the run.
        first_epoch: Epoch to begin with.
        after_epoch: Called with the epoch, from 0, and what was measured, on every machine.

    Returns:
        What was measured in each epoch, by name: the loss and the metrics of all machines' examples.

    Raises:
        InputError: If the loss is not finite any more.
    """
    strategy = training.distribute_strategy

    @tf.function(reduce_retracing=True)
    def step(batch: Any) -> Any:
        strategy.run(training.train_step, args=(batch,))

    history = []
    for epoch in range(first_epoch, epochs):
        training.reset_metrics()
        batches = _distributed(strategy, part_of_epoch(epoch).take(steps_per_epoch))
        for batch in batches:
            step(batch)
        # The metrics' totals are summed over the machines where they are read.
        measured = {name: float(value) for name, value in training.get_metrics_result().items()}
        if not np.isfinite(measured["loss"]):
            raise InputError(
                f"the loss became {measured['loss']} in epoch {epoch + 1}; give a lower --learning-rate"
            )
        history.append(measured)
        if after_epoch is not None:
            after_epoch(epoch, measured)
    return history


def _distributed(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset) -> Any:
    """The batches of this machine as the strategy wants them, divided among its own devices."""

    def divided(context: Any) -> tf.data.Dataset:
        number = context.num_replicas_in_sync // context.num_input_pipelines
        return dataset if number == 1 else dataset.unbatch().batch(_batch_size(dataset) // number)

    return strategy.distribute_datasets_from_function(divided)


def _batch_size(dataset: tf.data.Dataset) -> int:
    first = next(iter(dataset))
    return int(tf.nest.flatten(first)[0].shape[0])
