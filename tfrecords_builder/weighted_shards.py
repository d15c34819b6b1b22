"""Writing shards of weighted records together with an index of where each record lies."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bioattack.tfrecords_builder.atomic import appearing
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.manifest import Shard
from bioattack.tfrecords_builder.tfrecord import frame

INDEX_NAME = "index.npy"

#: One row for each record: which shard, where its bytes begin there and how many they are, what it weighs,
#: and the place in the index of the clean record it goes back to.
INDEX_DTYPE = np.dtype(
    [("shard", "<u4"), ("offset", "<u8"), ("length", "<u8"), ("weight", "<f8"), ("origin", "<u8")]
)


class WeightedShard:
    """A shard that is being written; see ``writing_shard``.

    Args:
        file: Where to.
        number: Of the shard in its dataset.
    """

    def __init__(self, file: BinaryIO, *, number: int) -> None:
        self._file = file
        self._number = number
        self._hash = hashlib.sha256()
        self._rows: list[tuple[int, int, int, float, int]] = []
        self._size_bytes = 0

    def append(self, record: bytes, *, weight: float, origin: int) -> None:
        """Writes a record.

        Args:
            record: Serialised.
            weight: As in the index.
            origin: As in the index.
        """
        head, tail = frame(record)
        for part in (head, record, tail):
            self._file.write(part)
            self._hash.update(part)
        self._rows.append((self._number, self._size_bytes + len(head), len(record), weight, origin))
        self._size_bytes += len(head) + len(record) + len(tail)

    def index(self) -> np.ndarray:
        """Returns the rows of the index for what was written so far."""
        return np.array(self._rows, INDEX_DTYPE)

    def entry(self, name: str) -> Shard:
        """Returns the manifest's entry for what was written so far."""
        return Shard(name, len(self._rows), self._size_bytes, self._hash.hexdigest())


@contextlib.contextmanager
def writing_shard(path: Path, *, number: int, scratch: Path | None = None) -> Iterator[WeightedShard]:
    """Gives a shard to write into, which has its name only when it is whole and on the disk.

    Args:
        path: The name it gets; what stood there is replaced.
        number: Of the shard in its dataset.
        scratch: Folder on the same disk for it meanwhile, where a kill leaves it; by default the one it
            will be in.

    Raises:
        OSError: If it cannot be written.
    """
    with appearing(path, scratch=scratch) as file:
        yield WeightedShard(file, number=number)


def save_index(path: Path, index: np.ndarray) -> None:
    """Writes an index, whole or not at all; the same index gives the same bytes."""
    with appearing(path) as file:
        np.save(file, index)


def index_facts(path: Path) -> dict[str, str]:
    """Says of an index that is there what a manifest notes of it: its checksum."""
    return {"index_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def load_index(path: Path) -> np.ndarray:
    """Reads an index, ``(records,)`` of ``INDEX_DTYPE``.

    Raises:
        RecordsError: If there is none, or it is damaged.
    """
    try:
        index = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise RecordsError(
            f"{path.parent} is no adversarial dataset: it has no {path.name}; give the adversarial_records/"
            " folder of a finished run"
        ) from error
    except (ValueError, EOFError, OSError) as error:
        raise RecordsError(f"the index {path} is damaged ({error}); make the dataset again") from error
    if index.dtype != INDEX_DTYPE or index.ndim != 1:
        raise RecordsError(f"the index {path} is of another version; make the dataset again")
    return np.asarray(index)


def fits_shards(index: np.ndarray, shards: Sequence[Shard]) -> bool:
    """Tells whether an index is that of some shards: record after record, each shard full.

    Args:
        index: As ``load_index`` gives it.
        shards: As a manifest lists them.

    >>> fits_shards(np.zeros(0, INDEX_DTYPE), [Shard("train", 0, 0, "")])
    True
    """
    counts = np.array([shard.num_examples for shard in shards], np.int64)
    sizes = np.array([shard.size_bytes for shard in shards], np.int64)
    if len(index) != counts.sum() or (index["shard"] != np.repeat(np.arange(len(shards)), counts)).any():
        return False
    if (index["length"] > sizes.max(initial=0)).any() or (index["origin"] >= len(index)).any():
        return False
    head, tail = (len(part) for part in frame(b""))
    ends = np.cumsum(np.concatenate([[0], index["length"].astype(np.int64) + head + tail]))
    shard_ends = ends[np.cumsum(np.concatenate([[0], counts]))]
    starts = ends[:-1] - np.repeat(shard_ends[:-1], counts) + head
    is_full = np.array_equal(np.diff(shard_ends), sizes)
    return is_full and np.array_equal(index["offset"].astype(np.float64), starts.astype(np.float64))
