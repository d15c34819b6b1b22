"""Trains one model after another in one process, with all that they share made once."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import tensorflow as tf

from bioattack.files import naming_the_place
from bioattack.tfrecords_builder.reading import Records, explain_read_errors
from bioattack.training import run, run_folder
from bioattack.training.callbacks import write_history
from bioattack.training.classifier_training import ClassifierTraining, TrainingData
from bioattack.training.config import TrainConfig, TrainPlan, make_plan
from bioattack.training.export import write_keras
from bioattack.training.many_compiled import CompiledTraining, batches_of
from bioattack.training.many_data import SplitInMemory, read_split
from bioattack.training.many_folder import PROBABILITIES, read_member_card, write_probabilities
from bioattack.training.merged import MergedTraining
from bioattack.training.merged_dataset import copy_name
from bioattack.training.model_card import MOST_TRAIN_IMAGES, make_card, write_card
from bioattack.training.registry import training_class
from bioattack.training.state import EpochState, restore_newest, save_state

# What is lost at most when a model's process is killed, but for the epoch that is under way.
_SECONDS_BETWEEN_STATES = 60.0

Kept = TypeVar("Kept")
Measured: TypeAlias = dict[str, SplitInMemory | Records]


class Workshop:
    """Trains models that mostly differ in their seed or in a record left out.

    Each gets a run folder without SavedModel, TensorBoard and, once it is finished, checkpoints, but with
    ``test_probabilities.npy``. Its weights are those that ``bioattack.training.run.train`` gives with as many
    threads, bit for bit; its history has no columns of the test split, which is classified once, at the end.
    """

    def __init__(self) -> None:
        self._records: dict[Path, Records] = {}
        self._measured: dict[Any, Measured] = {}
        self._learned: dict[Any, SplitInMemory | None] = {}
        self._compiled: dict[Any, CompiledTraining] = {}

    def train(self, config: TrainConfig) -> tuple[dict[str, Any], bool]:
        """Trains one model, or goes on with it, or leaves it as it is where it is complete.

        Args:
            config: Its settings.

        Returns:
            Its card, and whether the model had been complete before.

        Raises:
            InputError: If a setting or the run folder cannot be used, or the loss is not finite any more.
            RecordsError: If the records cannot be read.
            OSError: If the run folder cannot be written.
        """
        plan = make_plan(config)
        run_folder.check_run_folder(plan)
        records = self._open(plan)
        card = None if config.overwrite else read_member_card(config.output)
        if card is not None:
            run.check_identity(card["data"]["fingerprint"], records, config.output)
            return card, True
        run.make_repeatable(config.seed)
        fresh: ClassifierTraining = training_class(config.training)(run.build_classifier(plan, records), plan)
        fresh.check_before_writing(records)
        with run_folder.held_run_folder(plan) as folder:
            (folder / PROBABILITIES).unlink(missing_ok=True)
            with explain_read_errors(records), naming_the_place(folder):
                return self._train(fresh, records=records, folder=folder), False

    def _open(self, plan: TrainPlan) -> Records:
        return _only(self._records, plan.config.data, lambda: run.open_training_records(plan))

    def _train(self, fresh: ClassifierTraining, *, records: Records, folder: Path) -> dict[str, Any]:
        plan = fresh.plan
        data, learned, left_out = self._what_is_learned(fresh, records=records, folder=folder)
        fresh.compile_for(steps_per_epoch=data.steps_per_epoch)
        compiled = _only(
            self._compiled,
            (_what_is_compiled(fresh), data.steps_per_epoch, id(learned)),
            lambda: CompiledTraining(fresh, split=learned),
        )
        compiled.take_over(fresh, left_out=left_out)
        history = _run_epochs(compiled, data=data, records=records, folder=folder)
        write_history(folder / run_folder.HISTORY, history)
        limit = min(plan.config.limit or MOST_TRAIN_IMAGES, MOST_TRAIN_IMAGES)
        measured = _only(self._measured, (plan.config.data, limit), lambda: _read_measured(records, limit))
        return _finish(compiled, measured, records=records, folder=folder)

    def _what_is_learned(
        self, fresh: ClassifierTraining, *, records: Records, folder: Path
    ) -> tuple[TrainingData, SplitInMemory | None, tuple[str, ...]]:
        """What an epoch reads, that in memory where it is small, and the names that are left out of it."""
        config, options = fresh.plan.config, fresh.plan.training_options
        left_out, limit, data = config.leave_out, config.limit, None
        if isinstance(fresh, MergedTraining):
            left_out = tuple(name for each in left_out for name in (each, copy_name(each)))
            place, limit = options.dataset, 2 * limit if limit else None
        elif type(fresh).training_data is ClassifierTraining.training_data:
            place = str(config.data)
        else:
            return fresh.training_data(records, run=folder), None, ()
        key = (place, limit, config.balance)
        # A dataset that the run makes itself is in its own folder, and read by nobody else yet.
        if key not in self._learned or not place:
            data = fresh.training_data(records, run=folder)
            source = data.adversarial or records
            limit = min(limit, source.num_examples("train")) if limit else None
            self._learned = {key: read_split(source, "train", limit=limit, is_balanced=config.balance)}
        learned = self._learned[key]
        if learned is None:
            return data or fresh.training_data(records, run=folder), None, ()
        num_steps = -(-int(learned.counts(left_out).sum()) // fresh.plan.batch_size)
        adversarial = None if learned.records.directory == records.directory else learned.records
        return TrainingData(num_steps, _reads_no_stream, adversarial), learned, left_out


def _only(kept: dict[Any, Kept], key: Any, make: Callable[[], Kept]) -> Kept:
    """Returns what is kept under a key, or makes it and forgets all else."""
    if key not in kept:
        kept.clear()
        kept[key] = make()
    return kept[key]


def _reads_no_stream(_: int) -> Any:
    raise AssertionError("what is in memory is read from there")


def _read_measured(records: Records, limit: int) -> Measured:
    """The splits whose accuracy the card says, in memory where they are small."""
    measured: Measured = {"train": read_split(records, "train", limit=limit) or records}
    if "test" in records.splits and records.num_examples("test"):
        measured["test"] = read_split(records, "test") or records
    return measured


def _what_is_compiled(training: ClassifierTraining) -> str:
    """All settings that a compiled training depends on."""
    settings = training.plan.settings()
    # A training step of its own may have the seed and the options in it; Keras' depends on variables alone.
    is_keras_step = type(training).train_step is ClassifierTraining.train_step
    own = ("seed", "training_options") if is_keras_step else ()
    for name in ("output", "leave_out", "initial_weights", *own):
        settings.pop(name, None)
    return json.dumps(settings, sort_keys=True)


def _run_epochs(
    compiled: CompiledTraining, *, data: TrainingData, records: Records, folder: Path
) -> list[dict[str, float]]:
    """Runs the epochs that are still to do; returns a row for each of all epochs."""
    training, checkpoints = compiled.training, folder / run_folder.CHECKPOINTS
    plan = training.plan
    state = restore_newest(checkpoints, variables=training.state_variables())
    identity = run.identity_of(plan.config, data, records)
    history: list[dict[str, float]] = []
    if state is not None:
        run.check_state(state, identity, records=records, config=plan.config, run=folder)
        history = list(state.history)
    stream = iter(data.from_epoch(len(history))) if compiled.split is None else None
    saved = time.monotonic()
    with explain_read_errors(data.adversarial or records):
        for epoch in range(len(history), plan.epochs):
            measured = compiled.run_epoch(epoch, data=data, stream=stream)
            history.append({"epoch": epoch + 1, **measured})
            if time.monotonic() - saved >= _SECONDS_BETWEEN_STATES and epoch + 1 < plan.epochs:
                state = EpochState(epoch=epoch + 1, history=tuple(history), identity=identity)
                save_state(checkpoints, state, variables=training.state_variables())
                saved = time.monotonic()
    return history


def _finish(
    compiled: CompiledTraining, measured: Measured, *, records: Records, folder: Path
) -> dict[str, Any]:
    """Writes what others read; the card, which says that the model is complete, comes last."""
    training = compiled.training
    plan = training.plan
    write_keras(training.classifier, folder / run_folder.MODEL)
    card = make_card(
        training.classifier,
        plan=plan,
        records=records,
        images=run.few_images(records),
        accuracy=_measure(compiled, measured, folder=folder),
    )
    write_card(card, folder / run_folder.CARD)
    shutil.rmtree(folder / run_folder.CHECKPOINTS)
    return card


def _measure(compiled: CompiledTraining, measured: Measured, *, folder: Path) -> dict[str, Any]:
    """Classifies the first training images and the test split, whose probabilities it writes."""
    plan = compiled.training.plan
    limit = min(plan.config.limit or MOST_TRAIN_IMAGES, MOST_TRAIN_IMAGES)
    batches = batches_of(measured["train"], "train", batch_size=plan.batch_size, limit=limit)
    _, is_right = compiled.predict(batches)
    accuracy = {"train": float(is_right.mean()), "num_train": len(is_right), "test": None, "num_test": 0}
    if "test" in measured:
        logits, is_right = compiled.predict(batches_of(measured["test"], "test", batch_size=plan.batch_size))
        write_probabilities(folder / PROBABILITIES, tf.nn.softmax(logits).numpy())
        accuracy |= {"test": float(is_right.mean()), "num_test": len(is_right)}
    return accuracy
