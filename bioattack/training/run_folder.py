"""The folder of one training run: what may be in it, whose it is, and whether it is done."""

import contextlib
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bioattack.classifier import read_card
from bioattack.errors import InputError
from bioattack.files import PARTIAL_MARK, only_writer, remove_partials, replacing
from bioattack.provenance import differences
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.training.config import TrainPlan, to_toml
from bioattack.training.state import saved_states

MODEL, SAVED_MODEL, CARD = "model.keras", "saved_model", "model_card.json"
HISTORY, CONFIG, CHECKPOINTS, TENSORBOARD = "history.csv", "config.toml", "checkpoints", "tensorboard"
ADVERSARIAL = "adversarial_records"

# config.toml last: as long as it is there, the folder is known to be a run of ours.
_ENTRIES = (CARD, SAVED_MODEL, MODEL, HISTORY, TENSORBOARD, CHECKPOINTS, ADVERSARIAL, CONFIG)

# Records are known by their fingerprint, not by their path; a run folder may be moved.
_NOT_COMPARED = ("data", "output")


def check_run_folder(plan: TrainPlan) -> None:
    """Refuses an output folder that this run must not write into.

    Raises:
        InputError: If it is no folder, holds something else than a run, or holds a run of other settings;
            with ``overwrite``, the last of these is allowed.
    """
    run = plan.config.output
    if run.exists() and not run.is_dir():
        raise InputError(f"--output: {run} is not a folder; give the name of a new one")
    if not run.is_dir() or all(entry.name.endswith(PARTIAL_MARK) for entry in run.iterdir()):
        return
    if not (run / CONFIG).is_file():
        raise InputError(
            f"--output: {run} is not empty and holds no training run; give the name of a new folder"
        )
    if not plan.config.overwrite:
        _compare_settings(run, plan)


def _compare_settings(run: Path, plan: TrainPlan) -> None:
    try:
        before = tomllib.loads((run / CONFIG).read_text())
    except ValueError as error:  # no TOML, or no text at all
        raise InputError(
            f"{run / CONFIG} cannot be read ({error}); give --overwrite to start again"
        ) from None
    now = tomllib.loads(to_toml(plan.settings()))
    if found := differences(before, now, ignored=_NOT_COMPARED):
        raise InputError(
            f"--output: {run} holds a run with {', '.join(found)}; repeat its settings to go on with"
            " it, give another --output, or --overwrite to replace it"
        )


@contextlib.contextmanager
def held_run_folder(plan: TrainPlan) -> Iterator[Path]:
    """Makes the run folder, or takes up the one that is there, and keeps other processes out of it.

    A folder that was made here goes again if the records or what else was given turn out to be unusable
    before anything worth keeping is in it.

    Raises:
        InputError: If another process trains into it.
        OSError: If it cannot be written.
    """
    run = plan.config.output
    is_new = not run.exists()
    run.mkdir(parents=True, exist_ok=True)
    with only_writer(run):
        if plan.config.overwrite:
            _clear(run)
        (run / CHECKPOINTS).mkdir(exist_ok=True)
        remove_partials(run)
        remove_partials(run / CHECKPOINTS)
        if not (run / CONFIG).is_file():
            with replacing(run / CONFIG) as partial:
                partial.write_text(to_toml(plan.settings()))
        try:
            yield run
        except (InputError, RecordsError):
            if is_new and not saved_states(run / CHECKPOINTS) and not (run / ADVERSARIAL).exists():
                _clear(run)
                # Whatever somebody else has put there stays.
                with contextlib.suppress(OSError):
                    run.rmdir()
            raise


def _clear(run: Path) -> None:
    for entry in _ENTRIES:
        path = run / entry
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def read_finished_card(run: Path) -> dict[str, Any] | None:
    """Returns the card of a run that is complete, or ``None``: the card is what a run writes last.

    A damaged card is none: the run goes on from its last checkpoint, which writes the card again.
    """
    parts = (run / CARD, run / MODEL, run / SAVED_MODEL / "saved_model.pb")
    if not all(part.is_file() for part in parts):
        return None
    try:
        return read_card(run / CARD)
    except InputError:
        return None
