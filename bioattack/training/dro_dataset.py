"""Algorithm 4.1: an adversarial dataset that grows on disk while a model learns from it."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from bioattack.errors import InputError
from bioattack.files import naming_the_place, only_writer, remove_partials
from bioattack.tfrecords_builder.manifest import MANIFEST_NAME
from bioattack.tfrecords_builder.reading import Records
from bioattack.training.adversarial_folder import SCRATCH, SUMMARY, check_settings
from bioattack.training.config import TrainPlan
from bioattack.training.dro_maker import DatasetMaker
from bioattack.training.dro_summary import SweepPoint, sweep_point
from bioattack.training.model_card import weights_sha256


def dro_dataset(
    classifier: keras.Model, plan: TrainPlan, *, records: Records, folder: Path
) -> dict[str, Any]:
    """Makes an adversarial dataset, goes on with one that a killed process left, or finds it finished.

    In each round as many pictures as ``samples`` says are drawn, with replacement and in proportion to their
    weights, from the dataset as it was when the round began. Batch by batch the model makes one step of the
    optimizer on the loss times the weights, divided by the mean weight of what is drawn; then the batch is
    attacked with the model as it has become, and what comes of it is appended, picture ``i`` of round ``k``
    with weight ``(k - 1) * samples + i``. With batches of one picture that is the algorithm as printed.

    A kill at any moment costs at most one shard of work; the finished folder is the same to the byte, but for
    the seconds in ``summary.json``. For that, TensorFlow's operations must be deterministic
    (``bioattack.training.run.make_repeatable``).

    Args:
        classifier: The initial model; it has its initial weights again afterwards.
        plan: With ``DroOptions``; of the rest, model, batch size, learning rate, schedule (over the rounds),
            seed and limit count.
        records: Clean records, of which the split "train" is taken.
        folder: Of the dataset; made if it is not there.

    Returns:
        The content of ``summary.json``: per round samples, success rates, steps, mean cost, implied radius,
        worst-case loss and seconds.

    Raises:
        InputError: If the folder holds something else, another process writes into it, the attack does not
            fit the pictures, or the loss is not finite any more.
        RecordsError: If the records cannot be read.
        OSError: If the folder cannot be written.

    Source:
        Hua et al. 2022, Algorithm 4.1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder), naming_the_place(folder):
        settings = _settings(classifier, plan, records)
        check_settings(folder, settings)
        remove_partials(folder)
        if not (folder / MANIFEST_NAME).is_file():
            DatasetMaker(classifier, plan, records=records, folder=folder, settings=settings).make()
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    return read_summary(folder)


def sweep_distance_weight(
    classifier: keras.Model,
    plan: TrainPlan,
    distance_weights: Sequence[float],
    *,
    records: Records,
    folder: Path,
) -> list[SweepPoint]:
    """Makes a dataset for each lambda: equation 3.2 drawn, as loss against radius.

    Args:
        classifier: The initial model.
        plan: As for ``dro_dataset``, with the attack ``lagrangian``.
        distance_weights: The lambdas, each at least 0.
        records: As there.
        folder: Gets a folder for each lambda; the same call goes on with them.

    Raises:
        InputError: As there, or if the attack knows no lambda.
    """
    if plan.training_options.attack != "lagrangian":
        raise InputError("a sweep over lambda needs the attack lagrangian, which alone weighs a distance")
    points = []
    for weight in distance_weights:
        options = dataclasses.replace(plan.training_options, distance_weight=float(weight))
        its_plan = dataclasses.replace(plan, training_options=options)
        its_folder = folder / f"distance_weight-{weight:g}"
        points.append(sweep_point(dro_dataset(classifier, its_plan, records=records, folder=its_folder)))
    return points


def read_summary(folder: Path) -> dict[str, Any]:
    """Reads the report of a finished dataset.

    Raises:
        InputError: If there is none, or it is damaged.
    """
    try:
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / SUMMARY} cannot be read ({error}); remove {folder} and give the same command again"
        ) from error
    return summary


def _settings(classifier: keras.Model, plan: TrainPlan, records: Records) -> dict[str, Any]:
    """All that decides the content of a dataset."""
    config = plan.config
    options = dataclasses.asdict(plan.training_options)
    del options["dataset"]
    return {
        "model": config.model,
        "initial_weights_sha256": weights_sha256(classifier),
        "records": records.manifest.fingerprint,
        "batch_size": plan.batch_size,
        "learning_rate": config.learning_rate,
        "schedule": plan.schedule,
        "seed": config.seed,
        "limit": config.limit,
        **options,
    }
