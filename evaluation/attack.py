"""An attack from beginning to end: load, check, attack, write the long table and, if asked, the pictures."""

import time
from typing import Any

import pandas as pd

from bioattack.classifier import Classifier
from bioattack.errors import InputError
from bioattack.evaluation import output_folder
from bioattack.evaluation.adversarial_records import write_adversarial_records
from bioattack.evaluation.attack_config import AttackConfig, describe_plan, make_attack_plan
from bioattack.evaluation.evaluate import (
    load_classifiers,
    make_frame,
    make_pictures,
    try_models,
    write_summary,
)
from bioattack.evaluation.results import ADVERSARIAL_RECORDS, IMAGES, RESULTS, read_summary
from bioattack.evaluation.robustness import ImageWriter, RobustnessMeasurement
from bioattack.evaluation.saved_images import PictureWriter
from bioattack.tfrecords_builder.reading import explain_read_errors, open_records


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
    output_folder.check_output(config.output)
    records = open_records(config.data)
    if config.split not in records.splits:
        raise InputError(
            f"--split: the records in {config.data} have no split {config.split!r}; they have "
            f"{', '.join(records.splits)}"
        )
    plan = make_attack_plan(config, image_shape=records.image_shape, class_names=records.class_names)
    pictures = make_pictures(records, plan)
    classifiers = load_classifiers(config, records)
    frame = make_frame(plan, pictures, records, classifiers) | {"attacks": describe_plan(plan)}
    identity = output_folder.identity_of(frame)
    if not config.overwrite:
        output_folder.compare_output(config.output, identity)
        if output_folder.is_complete(config.output, has_report=False):
            return read_summary(config.output) | {"was_complete": True}
    with explain_read_errors(records):
        try_models(classifiers, pictures, plan)
    if config.dry_run:
        return frame | {"was_complete": False}
    start = time.perf_counter()
    images = config.output / IMAGES

    def writers(classifier: Classifier, clean: pd.DataFrame) -> list[ImageWriter]:
        del clean
        return [] if config.save == "none" else [PictureWriter(images, model=classifier.name)]

    with output_folder.held_output(config.output, identity, overwrite=config.overwrite) as unfinished:
        measurement = RobustnessMeasurement(classifiers, pictures, plan=plan, folder=unfinished)
        with explain_read_errors(records):
            measurement.run(writers)
        measurement.write_table(config.output / RESULTS)
        if config.save == "records":
            write_adversarial_records(
                config.output,
                images=images,
                records=records,
                folder=config.output / ADVERSARIAL_RECORDS,
                provenance={
                    "seed": config.seed,
                    "records": records.manifest.fingerprint,
                    "models": {model["name"]: model["fingerprint"] for model in frame["models"]},
                    "attacks": frame["attacks"],
                },
            )
        summary = write_summary(config.output, frame, seconds=time.perf_counter() - start)
    return summary | {"was_complete": False}
