"""The output folder of an evaluation: whose it is, how far it is, and what may be deleted."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bioattack.errors import InputError
from bioattack.evaluation.results import (
    ADVERSARIAL_RECORDS,
    AUDIT,
    EXAMPLES,
    IMAGES,
    MODELS,
    RESULTS,
    SUMMARY,
    TABLES,
)
from bioattack.files import PARTIAL_MARK, only_writer, replacing
from bioattack.provenance import differences

FIGURES, REPORT = "figures", "report.html"
UNFINISHED, IDENTITY = "unfinished", "identity.json"

# The summary last: as long as it is there, the folder is known to be an evaluation.
_ENTRIES = (
    *(UNFINISHED, REPORT, AUDIT, FIGURES, EXAMPLES, IMAGES, ADVERSARIAL_RECORDS, TABLES, MODELS, RESULTS),
    SUMMARY,
)

# Where things lie says nothing about what they are: models and records are known by their fingerprints.
_NOT_COMPARED = ("model", "data")


def identity_of(summary: dict[str, Any]) -> dict[str, Any]:
    """Takes out of a summary, or of what will become one, that which decides the results."""
    settings = {name: value for name, value in summary["settings"].items() if name not in _NOT_COMPARED}
    models = [f"{model['name']} ({(model['fingerprint'] or 'no file')[:12]})" for model in summary["models"]]
    return {**settings, "models": models, "records": summary["data"]["fingerprint"][:12]}


def check_output(output: Path) -> None:
    """Refuses a folder that holds something else than an evaluation; cheap, before models are loaded.

    Raises:
        InputError: If it is a file, or not empty and not an evaluation's.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output: {output} is not a folder; give the name of a new one")
    if not output.is_dir() or any((output / name).exists() for name in (SUMMARY, UNFINISHED, AUDIT)):
        return
    if any(not entry.name.endswith(PARTIAL_MARK) for entry in output.iterdir()):
        raise InputError(
            f"--output: {output} is not empty and holds no evaluation; give the name of a new folder"
        )


def compare_output(output: Path, identity: dict[str, Any]) -> None:
    """Refuses a folder that holds the evaluation of another command.

    Raises:
        InputError: If models, pictures or settings differ from those it was begun with.
    """
    before = _read_identity(output)
    if before is None:
        return
    if found := differences(before, identity):
        raise InputError(
            f"--output: {output} holds results of {', '.join(found)}; repeat its command to go "
            "on with it, give another --output, or --overwrite to replace it"
        )


def is_complete(output: Path, *, has_report: bool = True) -> bool:
    """Tells whether an evaluation, or an attack, which has no report, has been finished."""
    parts = (output / RESULTS, output / SUMMARY, *([output / REPORT] if has_report else []))
    return all(part.is_file() for part in parts) and not (output / UNFINISHED).exists()


@contextlib.contextmanager
def held_output(output: Path, identity: dict[str, Any], *, overwrite: bool) -> Iterator[Path]:
    """Makes the folder, or takes up the one that is there, and gives the place for chunks.

    The place is removed at the end, if nothing is raised: from then on the evaluation is complete.

    Raises:
        InputError: If another process writes into it.
        OSError: If it cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    with only_writer(output):
        if overwrite:
            for entry in _ENTRIES:
                _remove(output / entry)
        unfinished = output / UNFINISHED
        unfinished.mkdir(exist_ok=True)
        if not (unfinished / IDENTITY).exists():
            with replacing(unfinished / IDENTITY) as partial:
                partial.write_text(json.dumps(identity, indent=2) + "\n")
        yield unfinished
        _remove(unfinished)


def _read_identity(output: Path) -> dict[str, Any] | None:
    try:
        if (output / UNFINISHED / IDENTITY).exists():
            return json.loads((output / UNFINISHED / IDENTITY).read_text())
        if (output / SUMMARY).exists():
            return identity_of(json.loads((output / SUMMARY).read_text()))
        if (output / AUDIT).exists():
            # Of a model that was audited alone, because an attack on it would have measured something else.
            identity = json.loads((output / AUDIT).read_text())["identity"]
            return {name: value for name, value in identity.items() if name != "audit_images"}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"--output: {output} holds a damaged evaluation; give --overwrite to start again"
        ) from error
    return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
