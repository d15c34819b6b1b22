"""The records folder while it is being written: who may write, what is kept, what is refused."""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bioattack.tfrecords_builder.atomic import appearing, sync_folder
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.manifest import MANIFEST_NAME, Manifest, read_manifest
from bioattack.tfrecords_builder.shards import SCRATCH_NAME

_COMMAND_NAME = "command.json"
_SHARD_PATTERN = re.compile(r"(train|test)-\d{5}-of-\d{5}\.tfrecord")


class OutputFolder:
    """A folder that is to hold records.

    Args:
        path: May be missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.scratch = self.path / SCRATCH_NAME

    def complete(self) -> Manifest | None:
        """The manifest of finished records, or None where there are none.

        Raises:
            RecordsError: If there is a manifest and a shard is missing or of another size.
        """
        if not (self.path / MANIFEST_NAME).is_file():
            return None
        manifest = read_manifest(self.path)
        for shard in (shard for split in manifest.splits.values() for shard in split.shards):
            path = self.path / shard.name
            if not path.is_file() or path.stat().st_size != shard.size_bytes:
                raise RecordsError(f"{path} is missing or cut short; build again with --overwrite")
        return manifest

    @contextlib.contextmanager
    def claimed(self, command: dict[str, Any], *, overwrite: bool) -> Iterator[None]:
        """Makes the folder ready to write, for this process alone, and tidies up at the end.

        Args:
            command: What must be the same for an unfinished build to go on.
            overwrite: Remove the records that are there.

        Raises:
            RecordsError: If the folder cannot be written or holds something else.
        """
        try:
            is_new = _make_folder(self.path)
            self._refuse_strangers(overwrite=overwrite)
            self.scratch.mkdir(exist_ok=True)
        except OSError as error:
            raise RecordsError(f"cannot write to {self.path}: {error.strerror or error}") from error
        is_complete = False
        with self._lock():
            try:
                self._begin(command, overwrite=overwrite)
                yield
                is_complete = True
            except OSError as error:
                raise RecordsError(
                    f"cannot write to {self.path}: {error.strerror or error}; the same command goes on from "
                    "the finished shards"
                ) from error
            finally:
                self._tidy(is_complete=is_complete, is_new=is_new)

    def remove_shards(self, *, keep: set[str]) -> None:
        """Removes shards that are not part of this build's finished ones."""
        for entry in self.path.iterdir():
            if _SHARD_PATTERN.fullmatch(entry.name) and entry.name not in keep:
                entry.unlink()

    def _refuse_strangers(self, *, overwrite: bool) -> None:
        names = {entry.name for entry in self.path.iterdir()}
        ours = {name for name in names if _SHARD_PATTERN.fullmatch(name)} | {MANIFEST_NAME, SCRATCH_NAME}
        if strangers := sorted(names - ours):
            raise RecordsError(
                f"the output folder {self.path} is not empty: it holds {strangers[0]!r}; choose a new folder"
            )
        if not overwrite and names and SCRATCH_NAME not in names:
            raise RecordsError(
                f"the output folder {self.path} holds shards without a manifest; choose a new folder, or "
                "give --overwrite"
            )

    def _begin(self, command: dict[str, Any], *, overwrite: bool) -> None:
        note = self.scratch / _COMMAND_NAME
        try:
            before = json.loads(note.read_bytes())
        except (FileNotFoundError, ValueError):
            before = None
        if (overwrite and before != command) or (self.path / MANIFEST_NAME).exists():
            self._clear()
        elif before is not None and before != command:
            raise RecordsError(
                f"{self.path} holds an unfinished build of another command; finish that one, choose another "
                "folder, or give --overwrite"
            )
        with appearing(note) as file:
            file.write(json.dumps(command).encode())

    def _clear(self) -> None:
        (self.path / MANIFEST_NAME).unlink(missing_ok=True)
        self.remove_shards(keep=set())
        for entry in self.scratch.iterdir():
            if entry.name != "lock":
                entry.unlink()

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        # The lock goes with the process, so that a killed build blocks nobody.
        with (self.scratch / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RecordsError(
                    f"another build is writing to {self.path}; wait until it is done"
                ) from error
            yield

    def _tidy(self, *, is_complete: bool, is_new: bool) -> None:
        with contextlib.suppress(OSError):
            for entry in self.scratch.glob("*.tmp"):
                entry.unlink()
            (self.scratch / "source.tar").unlink(missing_ok=True)
            if is_complete or not any(self.scratch.glob("*.tfrecord.json")):
                shutil.rmtree(self.scratch)
            if is_new and not any(self.path.iterdir()):
                self.path.rmdir()
            else:
                sync_folder(self.path)


def _make_folder(path: Path) -> bool:
    if path.exists() and not path.is_dir():
        raise RecordsError(f"{path} is a file; --output must name a folder")
    if path.is_dir():
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(path))
        return False
    path.mkdir(parents=True)
    return True
