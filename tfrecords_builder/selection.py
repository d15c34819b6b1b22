"""Training on a choice of the records: without some of them, and with rare classes repeated."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from bioattack.tfrecords_builder import schema
from bioattack.tfrecords_builder.errors import RecordsError

if TYPE_CHECKING:
    from bioattack.tfrecords_builder.reading import Records

_NUM_BUCKETS = 2**62
_SCAN_BATCH = 2048


@dataclasses.dataclass(frozen=True)
class Selection:
    """What of a split one pass reads, as ``select`` makes it.

    Args:
        num_examples: Records in one pass, repetitions included.
        left_out: Names of the records that are not read.
        repetitions: For each class, how often each of its records is read at least; empty: once.
        thresholds: For each class, below which hash of its name a record is read once more.
    """

    num_examples: int
    left_out: tuple[str, ...] = ()
    repetitions: tuple[int, ...] = ()
    thresholds: tuple[int, ...] = ()

    def repeat_rare(self, records: tf.data.Dataset, *, is_table: bool, window: int) -> tf.data.Dataset:
        """Repeats serialised records of rare classes, each next to itself: before they are shuffled.

        Args:
            records: Serialised records, one by one.
            is_table: Whether they are rows of a table.
            window: How many to treat at once.
        """
        if not self.repetitions:
            return records

        def repeat(serialised: tf.Tensor) -> tf.Tensor:
            names, labels = _parse_names(serialised, is_table=is_table)
            is_more = hash_names(names) < tf.gather(tf.constant(self.thresholds, tf.int64), labels)
            counts = tf.gather(tf.constant(self.repetitions, tf.int64), labels) + tf.cast(is_more, tf.int64)
            return tf.repeat(serialised, counts)

        return records.batch(window).map(repeat).unbatch()

    def drop_left_out(self, names: tf.Tensor, values: Any) -> Any:
        """Drops what is left out from a parsed window, whose other records stay in their order.

        Args:
            names: ``(records,)``.
            values: A structure of tensors whose first axis is that of the names.
        """
        is_kept = tf.reduce_all(names[:, tf.newaxis] != tf.constant(self.left_out)[tf.newaxis], axis=1)
        return tf.nest.map_structure(lambda value: tf.boolean_mask(value, is_kept), values)


def select(
    records: "Records",
    split: str,
    *,
    left_out: Sequence[str] = (),
    is_balanced: bool = False,
    limit: int | None = None,
) -> Selection | None:
    """Chooses what one pass over a split reads.

    The records that stay come in the order they would have without the choice: a run without one of them
    differs from one with all of them by that record alone.

    Args:
        records: An open folder.
        split: ``"train"`` or ``"test"``.
        left_out: Names of records that are not read (``image_id`` of ``examples``).
        is_balanced: Whether records of rarer classes are repeated until every class that has any is read as
            often as the most frequent one; which of a class are read once more follows from a hash of
            their names.
        limit: Only the first so many records of the stored order are chosen from.

    Returns:
        The choice; None where everything is read once.

    Raises:
        RecordsError: If there is no such split, or one that is to be left out is not there.
    """
    if not left_out and not is_balanced:
        return None
    names, labels = read_names(records, split, limit=limit)
    is_out = np.isin(names, np.array(left_out, object)) if left_out else np.zeros(len(names), bool)
    if missing := sorted(set(left_out) - set(names[is_out])):
        where = f"the first {limit} of " if limit else ""
        raise RecordsError(
            f"{where}split {split!r} of {records.directory} has no record named {missing[0]!r}, which was to"
            " be left out; image_id in a results table is such a name"
        )
    if is_out.all():
        raise RecordsError(f"nothing of split {split!r} of {records.directory} is left to read")
    counts = np.ones(len(names), np.int64)
    repetitions: list[int] = []
    thresholds: list[int] = []
    if is_balanced:
        hashes = hash_names(tf.constant(names)).numpy()
        per_class = np.bincount(labels, minlength=records.num_classes)
        for label, number in enumerate(per_class):
            times, remainder = divmod(int(per_class.max()), max(1, int(number)))
            is_its = labels == label
            threshold = int(np.sort(hashes[is_its])[remainder]) if number else 0
            counts[is_its] = times + (hashes[is_its] < threshold)
            repetitions.append(times)
            thresholds.append(threshold)
    return Selection(
        int(counts[~is_out].sum()), tuple(sorted(left_out)), tuple(repetitions), tuple(thresholds)
    )


def read_names(
    records: "Records", split: str, *, limit: int | None = None, field: str = schema.FILENAME
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the names and labels of a split in the stored order, without decoding anything.

    Args:
        records: An open folder.
        split: ``"train"`` or ``"test"``.
        limit: Only the first so many.
        field: Another text of the records in place of the name, such as ``schema.group_field("country")``.

    Returns:
        Names, Python strings, and int64 labels, ``(records,)`` each.

    Raises:
        RecordsError: If there is no such split.
    """
    serialised = records.serialised(split, limit=limit).batch(_SCAN_BATCH)
    parsed = [
        tuple(
            value.numpy() for value in _parse_names(window, is_table=records.table is not None, field=field)
        )
        for window in serialised
    ]
    names = np.array([name.decode() for some, _ in parsed for name in some], object)
    return names, np.concatenate([labels for _, labels in parsed])


def _parse_names(
    serialised: tf.Tensor, *, is_table: bool, field: str = schema.FILENAME
) -> tuple[tf.Tensor, tf.Tensor]:
    name, label = field, schema.LABEL
    if is_table:
        name, label = schema.row_field(name), schema.row_field(label)
    features = {name: tf.io.FixedLenFeature([], tf.string), label: tf.io.FixedLenFeature([], tf.int64)}
    parsed = tf.io.parse_example(serialised, features)
    return parsed[name], parsed[label]


def hash_names(names: tf.Tensor) -> tf.Tensor:
    """Gives int64 hashes ``(records,)``, the same on every machine and in every version (FarmHash).

    Args:
        names: ``(records,)``.
    """
    return tf.strings.to_hash_bucket_fast(names, _NUM_BUCKETS)
