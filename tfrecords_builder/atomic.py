"""Files that appear under their names whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def appearing(path: Path, *, scratch: Path | None = None) -> Iterator[BinaryIO]:
    """Opens a file that gets its name only when everything is written and on the disk.

    Args:
        path: The name it gets.
        scratch: Folder on the same disk for it meanwhile; by default the one it will be in.
    """
    temporary = (scratch or path.parent) / f"{path.name}.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Puts a folder's list of names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
