"""Small splits kept in memory, in the very order in which the records would be read."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.tfrecords_builder.exact_records import ExactRecords
from bioattack.tfrecords_builder.reading import NUM_FILES_AT_ONCE, Records
from bioattack.tfrecords_builder.selection import Selection, hash_names, read_names, select

# In each of several processes: pictures take a byte a value, attributes and attacked pictures four.
MOST_BYTES = 256 * 2**20

_READ_AT_ONCE = 512


@dataclasses.dataclass(frozen=True)
class SplitInMemory:
    """A split, decoded.

    Args:
        records: The folder it was read from.
        limit: How many of the stored order were read; None: all.
        contents: Pictures ``(examples, height, width, channels)``, uint8 or, of attacks, float32, or rows
            ``(examples, features)`` float32, in the stored order.
        labels: ``(examples,)`` int32.
        names: ``(examples,)`` Python strings.
        selection: How rare classes are repeated, if they are; nothing is left out in it.
    """

    records: Records
    limit: int | None
    contents: Any
    labels: Any
    names: np.ndarray
    selection: Selection | None

    def __len__(self) -> int:
        return len(self.names)

    @functools.cached_property
    def _place_of(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @functools.cached_property
    def _repetitions(self) -> np.ndarray:
        if self.selection is None:
            return np.ones(len(self), np.int64)
        labels = self.labels.numpy()
        is_more = hash_names(tf.constant(self.names)).numpy() < np.array(self.selection.thresholds)[labels]
        return np.array(self.selection.repetitions)[labels] + is_more

    def counts(self, left_out: Sequence[str] = ()) -> np.ndarray:
        """Says how often an epoch reads each example.

        Args:
            left_out: Names of examples that are not read.

        Returns:
            ``(examples,)`` int64.

        Raises:
            RecordsError: If there is no such example, or none is left.
        """
        counts = self._repetitions.copy()
        counts[[self._place_of[name] for name in left_out if name in self._place_of]] = 0
        if not counts.any() or not all(name in self._place_of for name in left_out):
            select(self.records, "train", left_out=left_out, limit=self.limit)  # says what is wrong
        return counts

    def order(self, seed: int, epoch: int, *, left_out: Sequence[str] = ()) -> tf.Tensor:
        """Gives the order of an epoch: that of ``Records.training_dataset``, example for example.

        Args:
            seed: At least 0.
            epoch: Counted from 0.
            left_out: Names of examples that are not read.

        Returns:
            ``(examples of the epoch,)`` int64, places in ``contents``.
        """
        is_kept = self.counts(left_out) > 0
        with tf.device("CPU"):
            seeds = tf.constant([seed, epoch], tf.int64)
            stored = self._order_of_reading(seeds)
            repeated = np.repeat(stored, self._repetitions[stored])
            window = self.records.window_size("train")
            shuffled = [
                tf.random.experimental.stateless_shuffle(
                    tf.constant(repeated[start : start + window]),
                    seed=tf.random.experimental.stateless_fold_in(seeds, tf.constant(index, tf.int64)),
                ).numpy()
                for index, start in enumerate(range(0, len(repeated), window))
            ]
            order = np.concatenate(shuffled)
            return tf.constant(order[is_kept[order]])

    def _order_of_reading(self, seeds: tf.Tensor) -> np.ndarray:
        """Shuffles the shards and reads some at once, an example from each in turn."""
        shards = [shard for shard in self.records.manifest.splits["train"].shards if shard.num_examples]
        sizes = [shard.num_examples for shard in shards]
        if len(self) < sum(sizes):
            return np.arange(len(self))
        starts = np.cumsum([0, *sizes]).tolist()
        files = tf.random.experimental.stateless_shuffle(tf.range(len(sizes)), seed=seeds).numpy().tolist()
        return _taken_in_turn([range(starts[file], starts[file + 1]) for file in files])


def _taken_in_turn(parts: list[range]) -> np.ndarray:
    """What ``tf.data``'s interleave gives: where a part has run out, the next one is begun a round later."""
    waiting = list(reversed(parts))
    places = [waiting.pop() for _ in range(min(NUM_FILES_AT_ONCE, len(waiting)))]
    taken = []
    while places:
        num_rounds = min(map(len, places))
        starts = np.array([place.start for place in places], np.int64)
        taken.append((np.arange(num_rounds)[:, None] + starts).ravel())
        rest = [place[num_rounds:] for place in places]
        # The round in which one or more have run out.
        taken.append(np.array([place.start for place in rest if place], np.int64))
        places = [place[1:] if place else waiting.pop() for place in rest if place or waiting]
    return np.concatenate(taken)


def read_split(
    records: Records, split: str, *, limit: int | None = None, is_balanced: bool = False
) -> SplitInMemory | None:
    """Reads a split into memory.

    Args:
        records: An open folder.
        split: ``"train"`` or ``"test"``.
        limit: Only the first so many of the stored order.
        is_balanced: Whether rare classes are to be repeated.

    Returns:
        The split; None where it would take more than ``MOST_BYTES``.

    Raises:
        RecordsError: If there is no such split, or the pictures differ in size.
    """
    num_examples = min(records.num_examples(split), limit or records.num_examples(split))
    is_exact = records.table is not None or isinstance(records, ExactRecords)
    kind = np.dtype(np.float32 if is_exact else np.uint8)
    if num_examples * int(np.prod(records.input_shape)) * kind.itemsize > MOST_BYTES:
        return None
    names, _ = read_names(records, split, limit=limit)
    contents = np.empty((num_examples, *records.input_shape), kind)
    labels = np.empty(num_examples, np.int32)
    start = 0
    for some, some_labels in records.dataset(split, batch_size=_READ_AT_ONCE, limit=limit):
        stop = start + len(some_labels)
        # Every value of a picture is k / 255.
        contents[start:stop] = some if is_exact else np.rint(255 * some.numpy())
        labels[start:stop] = some_labels
        start = stop
    selection = select(records, split, is_balanced=True, limit=limit) if is_balanced else None
    return SplitInMemory(records, limit, tf.constant(contents), tf.constant(labels), names, selection)


def as_images(contents: Any, white: Any) -> Any:
    """Makes of stored values what the records give: of uint8 pictures float32 in [0, 1]; others stay.

    Args:
        contents: ``(batch, height, width, channels)`` uint8 or float32, or ``(batch, features)`` float32.
        white: 255 as float32. Inside a compiled function it must be one of its arguments: TensorFlow would
            multiply by the reciprocal of a constant, whose product is not always the quotient.

    >>> as_images(tf.constant([[[[255], [51]]]], tf.uint8), tf.constant(255.0)).numpy().ravel().tolist()
    [1.0, 0.20000000298023224]
    """
    return tf.cast(contents, tf.float32) / white if contents.dtype == tf.uint8 else contents
