"""The state of a run at the end of an epoch, in one file: with it, a killed run goes on bit for bit."""

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bioattack.errors import InputError
from bioattack.files import replacing

# One more than needed: should a disk lose the newest, the one before it still goes on.
NUM_KEPT = 2

_FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class EpochState:
    """What a run knew at the end of an epoch, next to its variables.

    Args:
        epoch: Number of epochs done.
        history: One row per epoch done.
        identity: What must be equal for a run to go on, such as the fingerprint of the records.
    """

    epoch: int
    history: tuple[dict[str, float], ...]
    identity: dict[str, Any]


def save_state(folder: Path, state: EpochState, *, variables: Sequence[keras.Variable]) -> Path:
    """Writes ``epoch-NNNNN.npz``, whole or not at all, and removes all but the newest two.

    Args:
        folder: The run's ``checkpoints``.
        state: Everything but the variables.
        variables: Weights, states of the random generators and the optimizer's own variables, in a fixed
            order.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    path = folder / f"epoch-{state.epoch:05d}.npz"
    header = {
        "format_version": _FORMAT_VERSION,
        **dataclasses.asdict(state),
        "variables": [variable.path for variable in variables],
    }
    arrays: dict[str, Any] = {
        f"{index:05d}": np.asarray(variable) for index, variable in enumerate(variables)
    }
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)
    for old in saved_states(folder)[:-NUM_KEPT]:
        old.unlink()
    return path


def saved_states(folder: Path) -> list[Path]:
    """Lists the state files of a run, oldest first."""
    return sorted(folder.glob("epoch-*.npz"))


def restore_newest(folder: Path, *, variables: Sequence[keras.Variable]) -> EpochState | None:
    """Puts the newest readable state into the variables.

    Returns:
        The state, or ``None`` where there is none to go on from.

    Raises:
        InputError: If a state is of another network or optimizer.
    """
    for path in reversed(saved_states(folder)):
        try:
            state, arrays = _read(path)
        except InputError:
            raise
        except (OSError, EOFError, zipfile.BadZipFile, KeyError, ValueError):
            # The zip's own check sums tell a damaged file; the one before it is as good, an epoch earlier.
            continue
        _assign(variables, arrays, path=path)
        return state
    return None


def _read(path: Path) -> tuple[EpochState, list[np.ndarray]]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        header = json.loads(str(stored["header"]))
        arrays = [stored[f"{index:05d}"] for index in range(len(header["variables"]))]
    if header["format_version"] != _FORMAT_VERSION:
        raise InputError(f"{path} is of another version of this program; give --overwrite to start again")
    state = EpochState(epoch=header["epoch"], history=tuple(header["history"]), identity=header["identity"])
    return state, arrays


def _assign(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray], *, path: Path) -> None:
    expected = [tuple(variable.shape) for variable in variables]
    if expected != [array.shape for array in arrays]:
        raise InputError(
            f"{path} holds another network or optimizer than this run; give --overwrite to start again"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
