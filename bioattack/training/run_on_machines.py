"""One training run on several machines, which share a disk."""

import contextlib
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.files import naming_the_place
from bioattack.tfrecords_builder.reading import Records, explain_read_errors
from bioattack.training import run_folder
from bioattack.training.callbacks import write_history
from bioattack.training.classifier_training import ClassifierTraining
from bioattack.training.config import TrainPlan
from bioattack.training.registry import training_class
from bioattack.training.run import (
    TrainResult,
    build_classifier,
    check_identity,
    check_state,
    finish_run,
    identity_of,
    make_repeatable,
    open_training_records,
    test_data_of,
)
from bioattack.training.several_machines import Worker, fit_on_several_machines
from bioattack.training.state import EpochState, restore_newest, save_state


def train_on_machines(plan: TrainPlan, worker: Worker) -> TrainResult:
    """Trains in step with the other machines, on each of which the same command is given.

    All of them read records and run folder under the same names, and find the same mistakes before anything
    is written; machine 0 writes, and looks at the test pictures after each epoch while the others wait. A run
    that was killed is gone on with from its last epoch by the same commands.

    Args:
        plan: The settings, the same on every machine; the batch is that of all machines together.
        worker: This machine.

    Raises:
        InputError: As ``bioattack.training.run.train``, or if the batch cannot be shared evenly.
        RecordsError: If the records cannot be read.
        OSError: If the run folder cannot be written.
    """
    worker.batch_size(plan.batch_size)
    # Before anything else is asked of TensorFlow.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    make_repeatable(plan.config.seed)
    records = open_training_records(plan)
    run = plan.config.output
    run_folder.check_run_folder(plan)
    alone: ClassifierTraining = training_class(plan.config.training)(build_classifier(plan, records), plan)
    alone.check_before_writing(records, worker.part)
    wait_for_all(strategy)
    with contextlib.ExitStack() as stack:
        if worker.index == 0:
            stack.enter_context(run_folder.held_run_folder(plan))
        wait_for_all(strategy)
        card = run_folder.read_finished_card(run)
        if card is not None:
            check_identity(card["data"]["fingerprint"], records, run)
            return TrainResult(run, "already complete", plan.epochs, card)
        with explain_read_errors(records), naming_the_place(run):
            first_epoch = _fit(alone, worker, strategy, records) if plan.epochs else 0
            if worker.index == 0:
                finish_run(alone, records=records, run=run)
        wait_for_all(strategy)
    return TrainResult(run, "trained", first_epoch, run_folder.read_finished_card(run) or {})


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when every machine has come here."""

    @tf.function
    def meet() -> Any:
        return strategy.run(
            lambda: tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.ones(()))
        )

    meet()


def _fit(
    alone: ClassifierTraining, worker: Worker, strategy: tf.distribute.Strategy, records: Records
) -> int:
    """Runs the epochs that are still to do; returns how many were done before.

    Args:
        alone: Outside the strategy; on machine 0 it ends with what all have learned.
        worker: This machine.
        strategy: Of all of them.
        records: Of the plan.
    """
    plan, config, run = alone.plan, alone.plan.config, alone.plan.config.output
    with strategy.scope():
        training: ClassifierTraining = training_class(config.training)(build_classifier(plan, records), plan)
        data = training.training_data(records, run=run, part=worker.part)
        training.compile_for(steps_per_epoch=data.steps_per_epoch)
    identity = identity_of(config, data, records)
    state = restore_newest(run / run_folder.CHECKPOINTS, variables=training.state_variables())
    history: list[dict[str, float]] = []
    if state is not None:
        check_state(state, identity, records=records, config=config, run=run)
        history = list(state.history)
        _take_weights(alone, training)
    first_epoch = len(history)
    test_data = test_data_of(plan, records)
    alone.compile_for(steps_per_epoch=data.steps_per_epoch)
    learning_rate = float(training.optimizer.learning_rate)

    def after_epoch(epoch: int, measured: dict[str, float]) -> None:
        nonlocal learning_rate
        row = {"epoch": epoch + 1, "learning_rate": learning_rate, **measured}
        learning_rate = float(training.optimizer.learning_rate)
        if worker.index == 0:
            _take_weights(alone, training)
            if test_data is not None:
                tested = alone.evaluate(test_data, verbose=0, return_dict=True)
                row |= {f"test_{name}": float(value) for name, value in tested.items()}
            history.append(row)
            state = EpochState(epoch=epoch + 1, history=tuple(history), identity=identity)
            save_state(run / run_folder.CHECKPOINTS, state, variables=training.state_variables())
            write_history(run / run_folder.HISTORY, history)

    fit_on_several_machines(
        training,
        data.from_epoch,
        steps_per_epoch=data.steps_per_epoch,
        first_epoch=first_epoch,
        epochs=plan.epochs,
        after_epoch=after_epoch,
    )
    return first_epoch


def _take_weights(alone: ClassifierTraining, training: ClassifierTraining) -> None:
    for variable, trained in zip(alone.classifier.variables, training.classifier.variables, strict=True):
        variable.assign(np.asarray(trained))
