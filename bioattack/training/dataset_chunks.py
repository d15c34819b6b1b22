"""The pieces in which an adversarial dataset grows: what is redone, and no more, when a run was killed."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bioattack.errors import InputError
from bioattack.files import replacing
from bioattack.tfrecords_builder.manifest import Shard, shard_name
from bioattack.tfrecords_builder.weighted_shards import load_index, save_index

# Records in a shard: the most work that a kill can cost, and still few files.
_CHUNK_RECORDS = 256


@dataclasses.dataclass(frozen=True)
class Chunk:
    """One shard of the dataset.

    Args:
        number: Of the shard.
        round: From 1; 0 for clean records.
        first: First batch of the round, or first clean record.
        stop: The one after the last.
    """

    number: int
    round: int
    first: int
    stop: int


def plan_chunks(*, num_clean: int, num_batches: int = 0, rounds: int = 0, batch_size: int = 1) -> list[Chunk]:
    """Cuts a dataset into chunks: clean records first, then round after round.

    Args:
        num_clean: Clean records.
        num_batches: Batches in a round.
        rounds: Rounds.
        batch_size: Records in a batch.

    >>> [(chunk.round, chunk.first, chunk.stop) for chunk in
    ...  plan_chunks(num_clean=300, num_batches=10, rounds=1, batch_size=32)]
    [(0, 0, 256), (0, 256, 300), (1, 0, 8), (1, 8, 10)]
    """
    pieces = [(0, first, num_clean, _CHUNK_RECORDS) for first in range(0, num_clean, _CHUNK_RECORDS)]
    size = max(1, _CHUNK_RECORDS // batch_size)
    for number in range(1, rounds + 1):
        pieces += [(number, first, num_batches, size) for first in range(0, num_batches, size)]
    return [
        Chunk(number, which, first, min(first + length, total))
        for number, (which, first, total, length) in enumerate(pieces)
    ]


@dataclasses.dataclass(frozen=True)
class ChunkNotes:
    """What is known of the chunks that are done, in files beside the shards.

    Args:
        folder: Of the dataset.
        scratch: Folder of the notes.
        chunks: All chunks.
    """

    folder: Path
    scratch: Path
    chunks: Sequence[Chunk]

    def shard_path(self, chunk: Chunk) -> Path:
        """Where a chunk's shard is, or will be."""
        return self.folder / shard_name("train", chunk.number, len(self.chunks))

    def write(
        self,
        chunk: Chunk,
        shard: Shard,
        *,
        index: np.ndarray,
        labels: Sequence[int],
        sums: dict[str, float],
    ) -> None:
        """Notes that a chunk is done, its shard being on the disk."""
        save_index(self._index_path(chunk), index)
        note = {"shard": dataclasses.asdict(shard), "labels": np.bincount(labels).tolist(), "sums": sums}
        with replacing(self._note_path(chunk)) as partial:
            partial.write_text(json.dumps(note))

    def is_done(self, chunk: Chunk) -> bool:
        """Tells whether a chunk was noted; ``read`` then looks whether its shard is whole."""
        return self._note_path(chunk).is_file()

    def read(self, chunk: Chunk) -> dict[str, Any]:
        """Reads what was noted of a chunk: ``shard``, ``labels`` (how many of each class) and ``sums``.

        Raises:
            InputError: If the note or the shard is not there, or not whole.
        """
        path = self.shard_path(chunk)
        try:
            note: dict[str, Any] = json.loads(self._note_path(chunk).read_text())
            note["shard"] = Shard(**note["shard"])
            is_whole = path.stat().st_size == note["shard"].size_bytes
        except (OSError, ValueError, KeyError, TypeError):
            is_whole = False
        if not is_whole:
            raise InputError(
                f"the adversarial shard {path} is missing or half-written; remove {self.folder} and give the"
                " same command again"
            )
        return note

    def index_before(self, number: int) -> np.ndarray:
        """Joins the indexes of the chunks before one."""
        return np.concatenate([load_index(self._index_path(chunk)) for chunk in self.chunks[:number]])

    def _note_path(self, chunk: Chunk) -> Path:
        return self.scratch / f"chunk-{chunk.number:05d}.json"

    def _index_path(self, chunk: Chunk) -> Path:
        return self.scratch / f"chunk-{chunk.number:05d}.npy"


def count_classes(notes: Iterable[Mapping[str, Any]], num_classes: int) -> tuple[int, ...]:
    """Adds up how many records of each class are in chunks.

    Args:
        notes: As ``ChunkNotes.read`` gives them.
        num_classes: Of the records.

    >>> count_classes([{"labels": [2, 1]}, {"labels": [0, 0, 4]}], 4)
    (2, 1, 4, 0)
    """
    counts = np.zeros(num_classes, np.int64)
    for note in notes:
        counts[: len(note["labels"])] += note["labels"]
    return tuple(counts.tolist())
