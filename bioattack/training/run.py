"""Trains a network on records and leaves a run folder; goes on where a killed run stopped."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.files import naming_the_place
from bioattack.models.registry import build_model
from bioattack.tfrecords_builder.reading import Records, explain_read_errors, open_records
from bioattack.training import run_folder
from bioattack.training.callbacks import EpochRecorder, FiniteLoss, Progress, write_history
from bioattack.training.classifier_training import ClassifierTraining, TrainingData
from bioattack.training.config import TrainConfig, TrainPlan, make_plan
from bioattack.training.export import write_keras, write_saved_model
from bioattack.training.initial_weights import load_initial_weights
from bioattack.training.model_card import describe_file, make_card, write_card
from bioattack.training.registry import training_class
from bioattack.training.several_machines import this_worker
from bioattack.training.state import NUM_KEPT, EpochState, restore_newest, saved_states

_NUM_TRIED_IMAGES = 4


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a call of ``train`` did.

    Args:
        output: The run folder.
        status: ``"trained"``, ``"already complete"`` or ``"dry run"``.
        first_epoch: Epochs that were already done when the call began.
        details: The model card, or what a dry run found out.
    """

    output: Path
    status: str
    first_epoch: int
    details: dict[str, Any]


def train(config: TrainConfig) -> TrainResult:
    """Trains a network and writes its run folder; the same configuration goes on with a run that was killed.

    Where the variable ``TF_CONFIG`` names several machines, it is one run of all of them; see
    ``bioattack.training.run_on_machines``.

    The whole state is saved at the end of each epoch, and the order of the pictures is a function of seed and
    epoch: an interrupted run ends in the same weights and the same history, bit for bit. For that, the
    operations of TensorFlow are made deterministic, for the whole process.

    A run that is complete is left as it is. Another number of epochs is another run, because the course of
    the learning rate depends on it.

    Args:
        config: The settings.

    Raises:
        InputError: If a setting, the output folder or the initial weights cannot be used, or the loss is not
            finite any more.
        RecordsError: If the records cannot be read.
        OSError: If the run folder cannot be written.
    """
    plan = make_plan(config)
    worker = this_worker()
    if worker is not None and not config.dry_run:
        from bioattack.training.run_on_machines import train_on_machines

        return train_on_machines(plan, worker)
    run_folder.check_run_folder(plan)
    make_repeatable(config.seed)
    records = open_training_records(plan)
    classifier = build_classifier(plan, records)
    training = training_class(config.training)(classifier, plan)
    if config.dry_run:
        return _describe(training, records)
    training.check_before_writing(records)
    with run_folder.held_run_folder(plan) as run:
        card = run_folder.read_finished_card(run)
        if card is not None:
            check_identity(card["data"]["fingerprint"], records, run)
            return TrainResult(run, "already complete", plan.epochs, card)
        with explain_read_errors(records), naming_the_place(run):
            first_epoch = 0
            if plan.epochs:
                first_epoch = _fit(training, records=records, run=run)
            else:
                # What a way of training makes of the records is made all the same, for other runs to share.
                training.training_data(records, run=run)
            card = finish_run(training, records=records, run=run)
    return TrainResult(run, "trained", first_epoch, card)


def make_repeatable(seed: int) -> None:
    """Seeds Python, NumPy, Keras and TensorFlow, and makes TensorFlow's operations deterministic."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def open_training_records(plan: TrainPlan) -> Records:
    """Opens the records of a plan.

    Raises:
        RecordsError: If there are none, or they are damaged.
        InputError: If they have nothing to train on.
    """
    records = open_records(plan.config.data)
    if "train" not in records.splits or not records.num_examples("train"):
        raise InputError(f"--data: {plan.config.data} has no pictures in a split named train")
    return records


def build_classifier(plan: TrainPlan, records: Records) -> keras.Model:
    """Builds the network of a plan, with the weights that it starts from.

    Raises:
        InputError: If it cannot be built for these records, or the initial weights do not fit it.
    """
    config = plan.config
    # Outside the `try`: that the pictures differ in size is no fault of the model.
    input_shape = records.input_shape
    try:
        classifier = build_model(
            config.model,
            image_shape=input_shape,
            num_classes=records.num_classes,
            preset=config.preset,
            options=_scales(records) | config.model_options,
            seed=config.seed,
        )
    except ValueError as error:
        raise InputError(
            f"--model {config.model} cannot be built for the pictures in {config.data}:"
            f" {' '.join(str(error).split())}"
        ) from error
    if config.initial_weights is not None:
        load_initial_weights(classifier, config.initial_weights)
    return classifier


def _scales(records: Records) -> dict[str, Any]:
    """What a network of rows needs to know of their scales."""
    return {} if records.table is None else {"mean": records.table.mean, "std": records.table.std}


def check_identity(fingerprint: str, records: Records, run: Path) -> None:
    """Refuses a run that was trained on other records than those that are there.

    Raises:
        InputError: If the fingerprints differ.
    """
    if fingerprint != records.manifest.fingerprint:
        raise InputError(
            f"--output: {run} was trained on other records than those now in {records.directory};"
            " give another --output, or --overwrite to replace it"
        )


def _fit(training: ClassifierTraining, *, records: Records, run: Path) -> int:
    """Runs the epochs that are still to do; returns how many were done before."""
    plan, config = training.plan, training.plan.config
    data = training.training_data(records, run=run)
    training.compile_for(steps_per_epoch=data.steps_per_epoch)
    state = restore_newest(run / run_folder.CHECKPOINTS, variables=training.state_variables())
    first_epoch = 0
    history: list[dict[str, float]] = []
    identity = identity_of(config, data, records)
    if state is not None:
        first_epoch, history = state.epoch, list(state.history)
        check_state(state, identity, records=records, config=config, run=run)
    write_history(run / run_folder.HISTORY, history)
    if first_epoch < plan.epochs:
        with explain_read_errors(data.adversarial or records):
            training.fit(
                data.from_epoch(first_epoch),
                initial_epoch=first_epoch,
                epochs=plan.epochs,
                steps_per_epoch=data.steps_per_epoch,
                validation_data=test_data_of(plan, records),
                callbacks=[
                    *_callbacks(plan, run=run, steps_per_epoch=data.steps_per_epoch),
                    EpochRecorder(run, history=history, identity=identity),
                ],
                shuffle=False,  # the records are shuffled already, each epoch in its own order
                verbose=0,
            )
    return first_epoch


def identity_of(config: TrainConfig, data: TrainingData, records: Records) -> dict[str, Any]:
    """Says, for ``EpochState``, what must be equal for a run to go on."""
    identity: dict[str, Any] = {
        "data": records.manifest.fingerprint,
        "initial_weights": describe_file(config.initial_weights),
    }
    if data.adversarial is not None:
        identity["adversarial"] = data.adversarial.manifest.fingerprint
    return identity


def check_state(
    state: EpochState, identity: dict[str, Any], *, records: Records, config: TrainConfig, run: Path
) -> None:
    """Refuses to go on from a state that was reached with other data or from other weights.

    Raises:
        InputError: If something of the identity differs.
    """
    check_identity(state.identity["data"], records, run)
    if state.identity["initial_weights"] != identity["initial_weights"]:
        raise InputError(
            f"--initial-weights: {config.initial_weights} has changed since {run} was begun;"
            " give --overwrite to start again"
        )
    if state.identity.get("adversarial") != identity.get("adversarial"):
        raise InputError(
            f"--training-options.dataset: the adversarial dataset has changed since {run} was begun;"
            " give --overwrite to start again"
        )


def test_data_of(plan: TrainPlan, records: Records) -> tf.data.Dataset | None:
    """Reads the test split in batches of the plan; None where there is none."""
    if "test" not in records.splits or not records.num_examples("test"):
        return None
    return records.dataset("test", batch_size=plan.batch_size)


def _callbacks(plan: TrainPlan, *, run: Path, steps_per_epoch: int) -> list[keras.callbacks.Callback]:
    callbacks = [
        FiniteLoss(learning_rate=plan.config.learning_rate, steps_per_epoch=steps_per_epoch),
        keras.callbacks.TensorBoard(run / run_folder.TENSORBOARD, write_graph=False),
    ]
    progress = [Progress(num_epochs=plan.epochs, steps_per_epoch=steps_per_epoch)]
    return callbacks if plan.config.quiet else [*callbacks, *progress]


def finish_run(training: ClassifierTraining, *, records: Records, run: Path) -> dict[str, Any]:
    """Writes what others read from the run; the card, which says that it is complete, comes last.

    Args:
        training: With the classifier as it has been trained.
        records: Of the plan.
        run: The run folder.

    Returns:
        The card.
    """
    plan, classifier = training.plan, training.classifier
    if not plan.epochs:
        write_history(run / run_folder.HISTORY, [])
    images = few_images(records)
    write_keras(classifier, run / run_folder.MODEL)
    write_saved_model(classifier, run / run_folder.SAVED_MODEL, images=images)
    card = make_card(classifier, plan=plan, records=records, images=images)
    write_card(card, run / run_folder.CARD)
    return card


def few_images(records: Records) -> np.ndarray:
    """Returns the first training images, ``(4, height, width, channels)`` or rows, to try a network with."""
    images, _ = next(iter(records.dataset("train", batch_size=_NUM_TRIED_IMAGES, limit=_NUM_TRIED_IMAGES)))
    return images.numpy()


def _describe(training: ClassifierTraining, records: Records) -> TrainResult:
    """Says what a run would do."""
    plan, config = training.plan, training.plan.config
    num_train = training.num_examples(records)
    steps = -(-num_train // plan.batch_size)
    done = saved_states(config.output / run_folder.CHECKPOINTS)
    first_epoch = int(done[-1].stem.removeprefix("epoch-")) if done and not config.overwrite else 0
    # Adam keeps two numbers next to every weight that is trained.
    num_numbers = training.count_params() + 2 * sum(
        int(np.prod(weight.shape)) for weight in training.trainable_weights
    )
    details = {
        **plan.settings(),
        "num_parameters": training.classifier.count_params(),
        "image_shape": list(records.input_shape),
        "num_classes": records.num_classes,
        "num_train": num_train,
        "num_test": records.num_examples("test") if "test" in records.splits else 0,
        "steps_per_epoch": steps,
        "steps": steps * (plan.epochs - first_epoch),
        # One more than is kept, while it is being written.
        "checkpoints_bytes": 4 * num_numbers * min(NUM_KEPT + 1, plan.epochs),
    }
    return TrainResult(config.output, "dry run", first_epoch, details)
