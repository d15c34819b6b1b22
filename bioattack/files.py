"""Files that are either there in full or not at all, and one writer per folder."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from bioattack.locking import only_writer

__all__ = ["PARTIAL_MARK", "naming_the_place", "only_writer", "remove_partials", "replacing"]

PARTIAL_MARK = ".partial"

_NO_SPACE = ("no space left", "errno = 28", "file too large", "errno = 27")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside ``path``, and moves what was written there to ``path`` at the end.

    Works for a file and for a folder. What is killed leaves a ``*.partial`` behind, which nobody reads and
    ``remove_partials`` clears.

    Args:
        path: The final name; what stood there is replaced.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the message names the place.
    """
    partial = path.with_name(path.name + PARTIAL_MARK)
    _remove(partial)
    try:
        with naming_the_place(path):
            yield partial
            for place in [partial, *(partial.rglob("*") if partial.is_dir() else ())]:
                _flush(place)
            if partial.is_dir() and path.exists():
                _remove(path)
            partial.replace(path)
            # The folder's list of names alone: what else lies in it has been flushed when it was written.
            _flush(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            _remove(partial)
        raise


@contextlib.contextmanager
def naming_the_place(path: Path) -> Iterator[None]:
    """Turns what the libraries raise when a disk refuses them into an ``OSError`` that names the file."""
    try:
        yield
    except OSError as error:
        # HDF5 has the error number in its text only.
        number = error.errno or (errno.ENOSPC if _is_full(str(error)) else None)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(error.filename or path)) from error
    except (tf.errors.OpError, RuntimeError) as error:
        if not _is_full(str(error)):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def _is_full(message: str) -> bool:
    return any(text in message.lower() for text in _NO_SPACE)


def remove_partials(folder: Path) -> None:
    """Removes what writers that were killed left in a folder."""
    for partial in folder.glob(f"*{PARTIAL_MARK}"):
        _remove(partial)


def _flush(path: Path) -> None:
    """Brings a file's bytes or a folder's names to the disk: a power cut must not leave an empty name."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
