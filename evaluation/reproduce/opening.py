"""The output folder of reproductions: whose it is, with what it was made, and its pictures."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.page import REPORT_HTML, REPORT_MARKDOWN
from bioattack.evaluation.reproduce.workplace import (
    ATTACKS,
    CLASSIFIERS,
    DIGITS,
    EVALUATIONS,
    FIGURES,
    INCOME,
    MEASUREMENTS,
    MEMORY_RECORDS,
    PICTURES,
    REBUILT,
    RECORDS,
    RUNS,
    SETTINGS,
    SUMMARY,
    TABLES,
    Workplace,
)
from bioattack.files import PARTIAL_MARK, only_writer, remove_partials, replacing
from bioattack.provenance import differences
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.reading import Records, open_records
from bioattack.tfrecords_builder.synthetic import SyntheticOptions

# The settings last: as long as they are there, the folder is known to be one of ours.
_ENTRIES = (
    *(REPORT_HTML, REPORT_MARKDOWN, SUMMARY, TABLES, FIGURES, MEASUREMENTS, ATTACKS, REBUILT),
    *(EVALUATIONS, RUNS, INCOME, CLASSIFIERS, PICTURES, DIGITS, MEMORY_RECORDS, RECORDS, SETTINGS),
)


@contextlib.contextmanager
def open_workplace(config: ReproduceConfig, *, needs_records: bool) -> Iterator[Workplace]:
    """Makes the output folder, or takes up the one that is there, and keeps other processes out of it.

    Args:
        config: What the user gave.
        needs_records: Whether pictures are needed.

    Raises:
        InputError: If the folder holds something else, or what was made with other settings; if records are
            needed and none are given; if another process writes into it.
        RecordsError: If the records cannot be read.
    """
    output = config.output
    check_folder(config)
    output.mkdir(parents=True, exist_ok=True)
    with only_writer(output):
        if config.overwrite:
            for entry in _ENTRIES:
                _remove(output / entry)
        remove_partials(output)
        # Before the records are drawn or opened, then with what they are.
        _compare(output, settings_of(config, None))
        is_archive = config.data is not None and config.data.suffix == ".zip"
        is_opened = needs_records or (config.data is not None and not is_archive)
        records = _open_records(config, needs_records=needs_records) if is_opened else None
        settings = settings_of(config, records)
        _compare(output, settings)
        with replacing(output / SETTINGS) as partial:
            # An experiment that needs no pictures says nothing of them.
            known = {name: value for name, value in settings.items() if value is not None}
            partial.write_text(json.dumps(read_settings(output) | known, indent=2) + "\n")
        yield Workplace(config, config.scale(), records)


def check_folder(config: ReproduceConfig) -> None:
    """Refuses an output folder that this command must not write into.

    Raises:
        InputError: If it is no folder, or not empty and none of this command.
    """
    output = config.output
    if output.exists() and not output.is_dir():
        raise InputError(f"--output: {output} is not a folder; give the name of a new one")
    if not output.is_dir() or (output / SETTINGS).is_file():
        return
    if any(entry.name != RECORDS and not entry.name.endswith(PARTIAL_MARK) for entry in output.iterdir()):
        raise InputError(
            f"--output: {output} is not empty and holds no reproduction; give the name of a new folder"
        )


def settings_of(config: ReproduceConfig, records: Records | None) -> dict[str, Any]:
    """Returns what must be the same for two experiments to share a folder."""
    scale = config.scale()
    return {
        "preset": config.preset,
        "epochs": scale.epochs,
        "batch_size": scale.batch_size,
        "train_limit": scale.train_limit,
        "test_limit": scale.test_limit,
        "epsilons": list(scale.epsilons),
        "records": records.manifest.fingerprint if records else None,
    }


def read_settings(output: Path) -> dict[str, Any]:
    """Reads what a folder was made with; empty for a new one.

    Raises:
        InputError: If that is damaged.
    """
    path = output / SETTINGS
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"--output: {path} is damaged; give --overwrite to start again") from error
    return found


def _compare(output: Path, settings: dict[str, Any]) -> None:
    before = read_settings(output)
    # What an experiment says nothing of, or what was not said before, does not count.
    shared = {name: value for name, value in settings.items() if value is not None and name in before}
    if found := differences({name: before[name] for name in shared}, shared):
        raise InputError(
            f"--output: {output} was made with {', '.join(found)}; repeat its settings, give "
            "another --output, or --overwrite to replace it"
        )


def _open_records(config: ReproduceConfig, *, needs_records: bool) -> Records:
    if config.data is not None:
        if config.data.suffix == ".zip":
            raise InputError(
                f"--data: {config.name} needs a folder made by bioattack-build-records, and not the archive "
                f"{config.data}"
            )
        records = open_records(config.data)
    elif config.preset == "demo":
        records = _draw_records(config)
    else:
        raise InputError(
            f"--data: the preset {config.preset} needs real pictures; give a folder made by "
            "bioattack-build-records"
        )
    for split in ("train", "test"):
        if needs_records and split not in records.splits:
            raise InputError(f"--data: the records in {records.directory} have no split {split!r}")
    return records


def _draw_records(config: ReproduceConfig) -> Records:
    scale = config.scale()
    return draw_records(
        config.output / RECORDS,
        num_train=scale.num_train,
        num_test=scale.num_test,
        size=scale.image_size,
        quiet=config.quiet,
    )


def draw_records(folder: Path, *, num_train: int, num_test: int, size: int, quiet: bool) -> Records:
    """Draws pictures with the built-in source, or goes on drawing them, and opens them.

    Args:
        folder: To write.
        num_train: Training pictures.
        num_test: Test pictures.
        size: Their side in pixels.
        quiet: Whether to show no progress.
    """
    # One worker: a second process would load TensorFlow again.
    options = SyntheticOptions(
        output=folder, num_train=num_train, num_test=num_test, size=size, workers=1, quiet=quiet
    )
    build("synthetic", options)
    return open_records(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
