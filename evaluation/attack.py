"""An attack from beginning to end: load, check, attack, write the long table and, if asked, the pictures."""

import dataclasses
import shutil
import time
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bioattack.attacks.registry import DISTANCE_ATTACKS, GRADIENT_FREE_ATTACKS, find_attack
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import make_attack
from bioattack.classifier import Classifier
from bioattack.errors import InputError
from bioattack.evaluation import output_folder
from bioattack.evaluation.adversarial_records import write_adversarial_records
from bioattack.evaluation.attack_config import AttackConfig, describe_plan, make_attack_plan
from bioattack.evaluation.attack_figures import write_figures
from bioattack.evaluation.config import MeasurePlan
from bioattack.evaluation.evaluate import (
    load_classifiers,
    make_frame,
    make_pictures,
    open_tested,
    try_models,
    write_summary,
)
from bioattack.evaluation.judges import Judges, make_judges
from bioattack.evaluation.results import IMAGES, RESULTS, read_summary
from bioattack.evaluation.robustness import ImageWriter, RobustnessMeasurement
from bioattack.evaluation.saved_images import PictureWriter, RowWriter
from bioattack.tfrecords_builder.reading import Records, explain_read_errors


def attack(config: AttackConfig) -> dict[str, Any]:
    """Attacks models on pictures and writes the table.

    Args:
        config: What to attack and how; nothing is written with ``dry_run``.

    Returns:
        The summary (see ``bioattack.evaluation.results``) with ``"was_complete"`` added: whether everything
        had been there already.

    Raises:
        InputError: If models, records, numbers or the output folder cannot be used.
        RecordsError: If the records are damaged.
        OSError: If something cannot be read or written.
    """
    records = open_tested(config)
    plan = make_attack_plan(
        config, image_shape=records.input_shape, class_names=records.class_names, table=records.table
    )
    attacks = _described_attacks(plan, num_classes=records.num_classes)
    pictures = make_pictures(records, plan)
    classifiers = load_classifiers(config, records)
    frame = make_frame(plan, pictures, records, classifiers) | {"attacks": attacks}
    # An evaluation's protocol is one for all its attacks; here each has its own.
    del frame["protocol"]
    identity = output_folder.identity_of(frame)
    if not config.overwrite:
        output_folder.compare_output(config.output, identity)
        if output_folder.is_complete(config.output, has_report=False):
            return read_summary(config.output) | {"was_complete": True}
    judges = _check_fit(plan, classifiers, records)
    with explain_read_errors(records):
        try_models(classifiers, pictures, plan)
    if config.dry_run:
        return frame | {"was_complete": False}
    start = time.perf_counter()

    def writers(classifier: Classifier, clean: pd.DataFrame) -> list[ImageWriter]:
        del clean
        if config.save == "none":
            return []
        kind = PictureWriter if records.table is None else RowWriter
        return [kind(config.output / IMAGES, model=classifier.name)]

    with output_folder.held_output(config.output, identity, overwrite=config.overwrite) as unfinished:
        measurement = RobustnessMeasurement(
            classifiers, pictures, plan=plan, folder=unfinished, judges=judges
        )
        with explain_read_errors(records):
            measurement.run(writers)
        measurement.write_table(config.output / RESULTS)
        if config.save == "records":
            write_adversarial_records(
                config.output,
                attacks=plan.attacks,
                described=attacks,
                records=records,
                provenance={
                    model["name"]: {
                        "seed": config.seed,
                        "model_fingerprint": model["fingerprint"],
                        "records_fingerprint": records.manifest.fingerprint,
                    }
                    for model in frame["models"]
                },
            )
        if config.figure is not None:
            with explain_read_errors(records):
                write_figures(config.figure, classifiers, pictures, plan=plan, records=records)
        summary = write_summary(config.output, frame, seconds=time.perf_counter() - start)
    if config.save == "records":
        # Only now: until it is complete, a run that is killed builds the records from these again.
        shutil.rmtree(config.output / IMAGES)
    return summary | {"was_complete": False}


def _described_attacks(plan: MeasurePlan, *, num_classes: int) -> list[dict[str, Any]]:
    """Describes the attacks, with their own numbers where none were given.

    Raises:
        InputError: If an attack does not go with the norm, the settings or the classes: before a model is
            loaded.
    """
    described = describe_plan(plan)
    for attack, entry in zip(plan.attacks, described, strict=True):
        for request, stage in zip(attack.stages, entry["stages"], strict=True):
            if isinstance(request, AttackRequest):
                try:
                    settings = make_attack(request, num_classes=num_classes).settings
                except InputError as error:
                    raise InputError(f"--attack {attack.name}: {error}") from error
                stage |= _described_settings(find_attack(request.attack)[0], settings)
    return described


def _described_settings(attack: str, settings: Any) -> dict[str, Any]:
    if attack in DISTANCE_ATTACKS:
        # The distance is named by what was asked, which its options belong to.
        fields = [field.name for field in dataclasses.fields(settings)]
        return {name: getattr(settings, name) for name in fields if not name.startswith("distance_opt")}
    names = ["num_steps", "judged", "loss"]
    if attack not in GRADIENT_FREE_ATTACKS:
        names += ["relative_step", "has_random_start"]
    return {name: getattr(settings, name) for name in names}


def _check_fit(plan: MeasurePlan, classifiers: Sequence[Classifier], records: Records) -> Judges:
    """Refuses distances that cannot be made, or measured on such pictures, and makes those to judge with.

    Raises:
        InputError: If one is.
    """
    judges = make_judges(plan.judges, plan.distance_options, image_shape=records.input_shape)
    for attack in plan.attacks:
        for request in attack.stages:
            if isinstance(request, AttackRequest):
                made = make_attack(request, num_classes=records.num_classes)
                for classifier in classifiers:
                    made.check_fit(classifier, records.input_shape)
    return judges
