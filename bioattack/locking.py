"""One writer per folder. No TensorFlow, so that the commands that read tables can use it too."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from bioattack.errors import InputError


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Holds a folder for this process; the system lets go of it when the process ends, however it ends.

    Args:
        folder: It is there.

    Raises:
        InputError: If another process holds it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, only_writer(Path(folder)):
    ...     print("alone")
    alone
    """
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
