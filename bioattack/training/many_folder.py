"""What the run folder of one of many models holds beyond, and short of, that of a single run."""

from pathlib import Path
from typing import Any

import numpy as np

from bioattack.classifier import read_card
from bioattack.errors import InputError
from bioattack.files import replacing
from bioattack.training import run_folder

PROBABILITIES = "test_probabilities.npy"


def read_member_card(run: Path) -> dict[str, Any] | None:
    """Returns the card of a model that is complete, or None: the card is what is written last.

    Args:
        run: Its folder. One of a single run, without probabilities of the test split, is not complete.
    """
    if not all((run / name).is_file() for name in (run_folder.CARD, run_folder.MODEL)):
        return None
    try:
        card = read_card(run / run_folder.CARD)
    except InputError:
        return None
    is_tested = bool(card["accuracy"].get("num_test"))
    return card if not is_tested or (run / PROBABILITIES).is_file() else None


def write_probabilities(path: Path, probabilities: np.ndarray) -> None:
    """Writes float32 ``(images, classes)``, whole or not at all; ``numpy.load`` maps the file into memory.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, np.ascontiguousarray(probabilities, np.float32))
