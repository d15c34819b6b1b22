"""Writing one shard: what a worker does from beginning to end."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bioattack.tfrecords_builder.atomic import appearing
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.manifest import Shard
from bioattack.tfrecords_builder.schema import Example, RowExample, serialise, serialise_row
from bioattack.tfrecords_builder.source import Item, Picture, Row, Source
from bioattack.tfrecords_builder.tfrecord import frame

SCRATCH_NAME = ".build"
_PROGRESS_EVERY = 16
_SKIP_REMEDY = re.compile(r"; [^;]*--skip-bad$")


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """One shard to write.

    Args:
        name: Its file name.
        items: In the order in which they are stored.
        fingerprint: Of the items and the arguments; tells whether a finished shard is this one.
    """

    name: str
    items: Sequence[Item]
    fingerprint: str


@dataclasses.dataclass(frozen=True)
class ShardWriter:
    """What all shards of a build have in common.

    Args:
        source: From which the pictures are loaded.
        output: The records folder.
        skip_bad: Whether a picture that cannot be read is left out.
        size: ``(height, width)`` that every picture must have, or ``(features,)`` of every row of a table.
        size_of: Key of the picture from which ``size`` is, for the error message.
    """

    source: Source
    output: Path
    skip_bad: bool
    size: tuple[int, ...]
    size_of: str

    def __call__(self, task: ShardTask, progress: Callable[[int], None]) -> "FinishedShard":
        """Writes a shard and, beside it in the scratch folder, the note that it is finished.

        Raises:
            RecordsError: If a picture cannot be read, or the shard cannot be written.
        """
        scratch = self.output / SCRATCH_NAME
        try:
            finished = self._write(task, progress, scratch)
            with appearing(scratch / f"{task.name}.json") as note:
                note.write(finished.to_json().encode())
        except OSError as error:
            raise RecordsError(
                f"cannot write {self.output / task.name}: {error.strerror or error}; the finished shards are "
                "kept, and the same command goes on from there"
            ) from error
        return finished

    def _write(self, task: ShardTask, progress: Callable[[int], None], scratch: Path) -> "FinishedShard":
        content_hash = hashlib.sha256()
        size_bytes = waiting = 0
        written: list[tuple[str, str, str, int]] = []
        skipped: list[dict[str, str]] = []
        with appearing(self.output / task.name, scratch=scratch) as file:
            for item in task.items:
                picture = self._load(item, skipped)
                if picture is not None:
                    record = self._record(item, picture)
                    head, tail = frame(record)
                    for part in (head, record, tail):
                        file.write(part)
                        content_hash.update(part)
                    size_bytes += len(head) + len(record) + len(tail)
                    written.append((item.split, item.key, picture.source_sha256, item.label))
                waiting += 1
                if waiting == _PROGRESS_EVERY:
                    progress(waiting)
                    waiting = 0
        progress(waiting)
        shard = Shard(task.name, len(written), size_bytes, content_hash.hexdigest())
        return FinishedShard(shard, tuple(written), tuple(skipped), task.fingerprint)

    def _load(self, item: Item, skipped: list[dict[str, str]]) -> Picture | Row | None:
        try:
            picture = self.source.load(item)
        except RecordsError as error:
            if not self.skip_bad:
                raise
            # What to do about it has been done.
            reason = _SKIP_REMEDY.sub("", str(error))
            skipped.append({"key": item.key, "split": item.split, "reason": reason})
            return None
        if isinstance(picture, Row) and picture.shape != self.size:
            raise RecordsError(
                f"{self.size_of} has {self.size[0]} values and {item.key} has {picture.shape[0]}"
            )
        if isinstance(picture, Picture) and picture.shape != self.size:
            raise RecordsError(
                f"{self.size_of} has {self.size[1]} x {self.size[0]} pixels and {item.key} has "
                f"{picture.width} x {picture.height}; give --size N to bring all to N x N"
            )
        return picture

    def _record(self, item: Item, picture: Picture | Row) -> bytes:
        ids = self.source.class_ids
        if isinstance(picture, Row):
            return serialise_row(
                RowExample(
                    features=picture.features,
                    label=item.label,
                    class_name=self.source.class_names[item.label],
                    filename=item.key,
                    sha256=picture.source_sha256,
                    groups={name: item.groups.get(name, "") for name in self.source.groups},
                )
            )
        return serialise(
            Example(
                encoded=picture.encoded,
                format=picture.format,
                height=picture.height,
                width=picture.width,
                channels=picture.channels,
                label=item.label,
                class_name=self.source.class_names[item.label],
                filename=item.key,
                sha256=picture.source_sha256,
                groups={name: item.groups.get(name, "") for name in self.source.groups},
                class_id=ids[item.label] if ids else "",
            )
        )


@dataclasses.dataclass(frozen=True)
class FinishedShard:
    """A shard that is on the disk.

    Args:
        shard: Its entry in the manifest.
        written: Split, key, sha256 of the source's bytes and label of each record.
        skipped: Pictures left out, as in the manifest.
        fingerprint: That of its task.
    """

    shard: Shard
    written: tuple[tuple[str, str, str, int], ...]
    skipped: tuple[dict[str, str], ...]
    fingerprint: str

    def to_json(self) -> str:
        """The text of the note that the shard is finished."""
        return json.dumps(vars(self) | {"shard": vars(self.shard)})

    @classmethod
    def from_json(cls, text: bytes) -> "FinishedShard":
        """Reads what ``to_json`` wrote; KeyError, TypeError or ValueError where it is something else."""
        note: dict[str, Any] = json.loads(text)
        return cls(
            shard=Shard(**note["shard"]),
            written=tuple((split, key, sha256, label) for split, key, sha256, label in note["written"]),
            skipped=tuple(note["skipped"]),
            fingerprint=note["fingerprint"],
        )


def find_finished(output: Path, task: ShardTask, *, skip_bad: bool) -> FinishedShard | None:
    """Returns a shard that an earlier start of the same build has finished, if it is whole."""
    try:
        finished = FinishedShard.from_json((output / SCRATCH_NAME / f"{task.name}.json").read_bytes())
        with (output / task.name).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_same = finished.fingerprint == task.fingerprint and finished.shard.sha256 == sha256
    return finished if is_same and (skip_bad or not finished.skipped) else None
