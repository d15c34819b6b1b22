"""The section on memory: the same small training with all pictures in memory and with records."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.opening import draw_records
from bioattack.evaluation.reproduce.page import Section, Table
from bioattack.evaluation.reproduce.workplace import MEMORY_RECORDS, Workplace

MODES = {"nothing": "one batch of pictures", "records": "records", "arrays": "all pictures in memory"}
_MEBIBYTE = 2**20
# The demonstration's own pictures are too few and too small to be seen beside TensorFlow itself.
_NUM_DRAWN, _DRAWN_SIZE = 1500, 128


def memory_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Starts the processes and makes the section; ``measurements/memory.json`` has the figures.

    Args:
        workplace: Where the records are.
        experiment: The experiment.
    """
    found = workplace.remember("memory", lambda: measure_memory(workplace))
    floor = found["nothing"]["peak_bytes"]
    published = {"records": "12 GB", "arrays": "60 GB"}
    rows = [
        [
            words,
            f"{found[mode]['peak_bytes'] / _MEBIBYTE:.0f}",
            f"{(found[mode]['peak_bytes'] - floor) / _MEBIBYTE:.0f}" if mode != "nothing" else "",
            f"{found[mode]['epoch_s']:.1f}" if mode != "nothing" else "",
            published.get(mode, ""),
        ]
        for mode, words in MODES.items()
    ]
    size = found["arrays"]["data_bytes"] / _MEBIBYTE
    table = Table(
        f"A ResNet-18 of width 8 in a process of its own, two epochs; the pictures are {size:.0f} MiB as "
        "float32.",
        ["pictures", "peak, MiB", "above one batch, MiB", "second epoch, s", "published, whole job"],
        rows,
    )
    return Section(
        experiment.name, experiment.title, paragraphs=experiment.text, tables=[table], values=found
    )


def measure_memory(workplace: Workplace) -> dict[str, Any]:
    """Runs ``memory_process`` once in every mode."""
    directory, limit = _records(workplace)
    found = {}
    for mode in MODES:
        workplace.say(f"memory: {MODES[mode]}")
        arguments = ["-m", "bioattack.evaluation.reproduce.memory_process", mode, str(directory), str(limit)]
        done = subprocess.run(  # noqa: S603
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            check=True,
            text=True,
        )
        found[mode] = json.loads(done.stdout.splitlines()[-1])
    return found


def _records(workplace: Workplace) -> tuple[Path, int]:
    """The pictures to train on, and how many of them."""
    if workplace.config.preset != "demo" or workplace.config.data is not None:
        num_train = workplace.pictures.num_examples("train")
        return workplace.data, min(num_train, workplace.scale.train_limit or num_train)
    quiet = workplace.config.quiet
    records = draw_records(
        workplace.output / MEMORY_RECORDS, num_train=_NUM_DRAWN, num_test=1, size=_DRAWN_SIZE, quiet=quiet
    )
    return records.directory, _NUM_DRAWN
