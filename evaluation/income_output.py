"""Writes the answer to a question about income: summary, tables, figures, report."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from bioattack.errors import InputError
from bioattack.evaluation.income import KIND, IncomeAnswer
from bioattack.provenance import git_commit, versions

SUMMARY, TABLES, FIGURES, REPORT = "summary.json", "tables", "figures", "report.html"
_ENTRIES = (REPORT, FIGURES, TABLES, SUMMARY)
_UNFINISHED = "unfinished"


def check_income_output(output: Path, identity: str | None = None, *, overwrite: bool = False) -> bool:
    """Refuses a folder that holds something else than this answer.

    Args:
        output: The folder.
        identity: Of the answer, where it is known already.
        overwrite: Whether another answer of this command may be replaced.

    Returns:
        Whether the folder holds this answer, complete.

    Raises:
        InputError: If it is a file, or holds other things, or the answer to another question.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output: {output} is not a folder; give the name of a new one")
    if not output.is_dir() or not any(entry.name != _UNFINISHED for entry in output.iterdir()):
        return False
    before = _read_summary(output)
    if before.get("kind") != KIND:
        raise InputError(
            f"--output: {output} is not empty and holds no answer of bioattack-fairness income; give the "
            "name of a new folder"
        )
    is_same = before.get("identity") == identity
    if identity is not None and not is_same and not overwrite:
        raise InputError(
            f"--output: {output} holds the answer for other tables or settings; give another --output, or "
            "--overwrite to replace it"
        )
    return is_same and all((output / entry).exists() for entry in _ENTRIES)


def _read_summary(output: Path) -> dict[str, Any]:
    try:
        found = json.loads((output / SUMMARY).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_income(output: Path, answer: IncomeAnswer) -> None:
    """Writes an answer; what was there of an earlier one is replaced once everything is written.

    Args:
        output: The folder, which is made.
        answer: All that was found.

    Raises:
        InputError: If another process writes into the folder.
        OSError: If it cannot be written.
    """
    from bioattack.evaluation.income_figures import write_income_figures
    from bioattack.evaluation.income_report import write_income_report

    output.mkdir(parents=True, exist_ok=True)
    with _held(output):
        place = output / _UNFINISHED
        shutil.rmtree(place, ignore_errors=True)
        (place / TABLES).mkdir(parents=True)
        (place / FIGURES).mkdir()
        summary = {**answer.summary, "versions": _versions(), "git_commit": git_commit()}
        for name, table in _tables(answer).items():
            table.to_csv(place / TABLES / f"{name}.csv", index=False)
        write_income_figures(place / FIGURES, answer)
        write_income_report(place / REPORT, summary, answer)
        (place / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
        for entry in _ENTRIES:
            _replace(output / entry, place / entry)
        place.rmdir()


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(
            f"another process is writing into {folder}; wait for it or give another --output"
        ) from None
    finally:
        os.close(handle)


def _replace(path: Path, new: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    new.replace(path)


def _versions() -> dict[str, str]:
    import importlib.metadata

    return versions() | {
        name: importlib.metadata.version(name) for name in ("pandas", "statsmodels", "scipy")
    }


def _tables(answer: IncomeAnswer) -> dict[str, pd.DataFrame]:
    summary, sample = answer.summary, answer.sample
    influence = [table.assign(model=model) for model, table in answer.influence.items()]
    tables = {
        "countries": sample.table,
        "left_out": sample.left_out,
        "regressions": pd.DataFrame(summary["regressions"]),
        "sensitivity": pd.DataFrame(summary["sensitivity"]),
        "influence": pd.concat(influence, ignore_index=True),
        "income_groups": pd.DataFrame(summary["income_groups"]),
    }
    if summary["simulation"]:
        tables["simulation"] = pd.DataFrame(summary["simulation"])
    if summary["comparison"]:
        tables["comparison"] = pd.DataFrame(summary["comparison"]["tests"])
    for name in ("countries", "left_out", "influence"):
        tables[name] = tables[name].assign(spellings=tables[name]["spellings"].map("; ".join))
    return tables
