"""The output folder of an answer that is computed from tables: summary, tables, figures and report."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioattack.errors import InputError
from bioattack.locking import only_writer
from bioattack.provenance import git_commit, versions

if TYPE_CHECKING:
    import pandas as pd

SUMMARY, TABLES, FIGURES, REPORT = "summary.json", "tables", "figures", "report.html"
_ENTRIES = (REPORT, FIGURES, TABLES, SUMMARY)
_UNFINISHED = "unfinished"


def check_answer_folder(
    output: Path, *, kind: str, identity: str | None = None, overwrite: bool = False
) -> bool:
    """Refuses a folder that holds something else than this answer.

    Args:
        output: The folder.
        kind: The question, as it stands in the summary and behind ``bioattack-fairness``.
        identity: Of the answer, where it is known already.
        overwrite: Whether another answer to the same question may be replaced.

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
    if before.get("kind") != kind:
        raise InputError(
            f"--output: {output} is not empty and holds no answer of bioattack-fairness {kind}; give the "
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


def write_answer_folder(
    output: Path,
    summary: Mapping[str, Any],
    tables: "Mapping[str, pd.DataFrame]",
    *,
    draw: Callable[[Path], object],
    report: Callable[[Path, dict[str, Any]], object],
) -> None:
    """Writes an answer; what was there of an earlier one is replaced once everything is written.

    Args:
        output: The folder, which is made.
        summary: What ``summary.json`` holds; versions and commit are added.
        tables: By name.
        draw: Draws the figures into a folder.
        report: Writes the page, given its path and the summary; the figures lie beside it.

    Raises:
        InputError: If another process writes into the folder.
        OSError: If it cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    with only_writer(output):
        place = output / _UNFINISHED
        shutil.rmtree(place, ignore_errors=True)
        (place / TABLES).mkdir(parents=True)
        (place / FIGURES).mkdir()
        whole = {**summary, "versions": _versions(), "git_commit": git_commit()}
        for name, table in tables.items():
            table.to_csv(place / TABLES / f"{name}.csv", index=False)
        draw(place / FIGURES)
        report(place / REPORT, whole)
        (place / SUMMARY).write_text(json.dumps(whole, indent=2) + "\n")
        for entry in _ENTRIES:
            _replace(output / entry, place / entry)
        place.rmdir()


def _replace(path: Path, new: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    new.replace(path)


def _versions() -> dict[str, str]:
    import importlib.metadata

    return versions() | {
        name: importlib.metadata.version(name) for name in ("pandas", "statsmodels", "scipy")
    }
