"""Reads NumPy archives of weights."""

import zipfile
import zlib
from pathlib import Path

import numpy as np


def read_numpy_archive(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all arrays of an ``.npz`` file by name; pickled objects are refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such archive, or is damaged.

    >>> read_numpy_archive("nonesuch.npz")
    Traceback (most recent call last):
    ...
    FileNotFoundError: there is no weights file nonesuch.npz
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    try:
        # Opened here, because NumPy leaves a damaged archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is no NumPy archive (.npz) of plain arrays, or is damaged") from error
