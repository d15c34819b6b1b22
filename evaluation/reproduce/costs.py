"""The section on shared weights: what they save in files and time, and what they cost in accuracy."""

import dataclasses
from pathlib import Path
from typing import Any

from bioattack.evaluation.reproduce.experiment import Experiment, Variant
from bioattack.evaluation.reproduce.page import Section, Table
from bioattack.evaluation.reproduce.robustness import robustness_section
from bioattack.evaluation.reproduce.timing import time_steps
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.training.run_folder import MODEL, SAVED_MODEL

_MEGABYTE = 1e6


def costs_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Measures what the networks of an experiment cost and adds it to their accuracies.

    Args:
        workplace: Where they are trained and measured.
        experiment: The experiment.

    Returns:
        The section of ``robustness_section`` with one more table.
    """
    section = robustness_section(workplace, experiment)
    rows = workplace.rows(experiment)
    costs = {row.variant.label: measure_costs(workplace, row.variant) for row in rows}
    number = workplace.pictures.num_examples("test")
    table = Table(
        "Sizes and times on this machine; times are those of the fastest of three steps, times their number.",
        [
            *("network", "parameters", "model.keras, MB", "SavedModel, MB"),
            *(
                "an epoch of training, s",
                f"answers to {number} pictures, s",
                "a step of the attack on them, s",
            ),
        ],
        [
            [
                row.title,
                f"{costs[row.variant.label]['num_parameters']:,}",
                *(f"{costs[row.variant.label][name]:.2f}" for name in ("keras_mb", "saved_model_mb")),
                *(
                    f"{costs[row.variant.label][name]:.1f}"
                    for name in ("epoch_s", "answers_s", "attack_step_s")
                ),
            ]
            for row in rows
        ],
    )
    return dataclasses.replace(
        section, tables=[table, *section.tables], values={**section.values, "costs": costs}
    )


def measure_costs(workplace: Workplace, variant: Variant) -> dict[str, Any]:
    """Measures sizes and times of one network, once."""
    return workplace.remember(f"costs-{variant.label}", lambda: _measure(workplace, variant))


def _measure(workplace: Workplace, variant: Variant) -> dict[str, Any]:
    pictures, scale = workplace.pictures, workplace.scale
    times = time_steps(variant, scale, image_shape=pictures.image_shape, num_classes=pictures.num_classes)
    num_train = pictures.num_examples("train")
    num_train = min(num_train, scale.train_limit or num_train)
    num_test = pictures.num_examples("test")
    run = workplace.run_folder(variant, workplace.config.seed)
    return {
        "num_parameters": times.num_parameters,
        "keras_mb": _size(run / MODEL) / _MEGABYTE,
        "saved_model_mb": _size(run / SAVED_MODEL) / _MEGABYTE,
        "epoch_s": num_train * times.training,
        "answers_s": num_test * times.answer,
        "attack_step_s": num_test * times.attack,
    }


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
