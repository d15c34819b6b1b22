"""Random access to weighted records on disk: any of them, in any order, none kept in memory."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.tfrecords_builder.attacked_records import EXACT
from bioattack.tfrecords_builder.drawing import check_weights, draw_places, expected_weight
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.exact_records import decode_exact
from bioattack.tfrecords_builder.manifest import Manifest
from bioattack.tfrecords_builder.parsing import parse_pictures, parse_table
from bioattack.tfrecords_builder.tfrecord import masked_checksum
from bioattack.tfrecords_builder.weighted_shards import INDEX_NAME, fits_shards, index_facts, load_index

_CHECKSUM_BYTES = 4
_WINDOW_BYTES = 4 * 2**20
_LARGEST_WINDOW = 256


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedRecords:
    """Records in some shards, with an index that is small enough for memory; the records are not.

    Args:
        directory: Folder of the shards.
        shard_names: In the order of their numbers.
        index: ``(records,)`` of ``weighted_shards.INDEX_DTYPE``.
        input_shape: Shape of a picture, or ``(features,)`` of a row of a table.

    Raises:
        RecordsError: If nothing can be drawn by the index's weights.
    """

    directory: Path
    shard_names: Sequence[str]
    index: np.ndarray
    input_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Looks at the weights."""
        check_weights(self.weights, where=str(self.directory))

    @property
    def weights(self) -> np.ndarray:
        """The weights, float64 ``(records,)``."""
        return np.asarray(self.index["weight"])

    @property
    def num_examples(self) -> int:
        """How many records there are."""
        return len(self.index)

    def read(self, places: np.ndarray) -> list[bytes]:
        """Reads records as they are stored, in the order in which they are asked for.

        Args:
            places: ``(records,)`` in the index.

        Raises:
            RecordsError: If a shard is missing or damaged.
        """
        rows = self.index[places]
        offsets, lengths = rows["offset"].tolist(), rows["length"].tolist()
        found: list[bytes] = [b""] * len(rows)
        for shard in np.unique(rows["shard"]):
            path = self.directory / self.shard_names[int(shard)]
            try:
                with path.open("rb", buffering=0) as file:
                    for place in np.flatnonzero(rows["shard"] == shard).tolist():
                        found[place] = _read_record(file.fileno(), offsets[place], lengths[place], path)
            except OSError as error:
                raise RecordsError(
                    f"the adversarial shard {path} cannot be read ({error.strerror or error}); make the"
                    " dataset again"
                ) from error
        return found

    def drawn_dataset(
        self,
        *,
        batch_size: int,
        num_draws: int,
        seed: int,
        first_epoch: int = 0,
        is_proportional: bool = True,
        is_weighted: bool = True,
        part: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """Draws epoch after epoch without end, each draw independent of the others, with replacement.

        Args:
            batch_size: Records in a batch; the last one of an epoch may be smaller.
            num_draws: Draws in an epoch.
            seed: At least 0; with the epoch, what decides the draws.
            first_epoch: Epoch to begin with.
            is_proportional: Whether a record is drawn in proportion to its weight.
            is_weighted: Whether the batches carry the records' weights, divided by the mean weight of what is
                drawn; else all are 1.
            part: ``(index, number)``: every ``number``-th draw from ``index`` on, for several readers.

        Returns:
            Batches ``(images, labels, weights)``: float32 as the attack found them, int32 and float32.
        """
        scale = expected_weight(self.weights, is_proportional=is_proportional)
        shares = (self.weights / scale if is_weighted else np.ones(self.num_examples)).astype(np.float32)

        def draw(epoch: np.int64) -> np.ndarray:
            places = draw_places(
                self.weights, num_draws, seeds=(seed, int(epoch)), is_proportional=is_proportional
            )
            return places[part[0] :: part[1]]

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            places = tf.ensure_shape(tf.numpy_function(draw, [epoch], tf.int64), (None,))
            return self._pictures_at(places, shares).batch(batch_size)

        epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
        return _finished(epochs.flat_map(one_epoch), tf.data.INFINITE_CARDINALITY)

    def dataset_at(self, places: np.ndarray, *, batch_size: int) -> tf.data.Dataset:
        """Reads the records at some places, in that order, in batches as ``drawn_dataset`` gives them.

        Args:
            places: ``(records,)`` in the index.
            batch_size: Records in a batch; the last one may be smaller.
        """
        pictures = self._pictures_at(tf.constant(places, tf.int64), np.ones(self.num_examples, np.float32))
        return _finished(pictures.batch(batch_size), -(-len(places) // batch_size))

    def serialised_at(self, places: np.ndarray, *, batch_size: int) -> tf.data.Dataset:
        """Reads the records at some places as they are stored: batches of strings."""

        def read(some: np.ndarray) -> np.ndarray:
            return np.array(self.read(some), object)

        windows = tf.data.Dataset.from_tensor_slices(np.asarray(places, np.int64)).batch(batch_size)
        records = windows.map(
            lambda some: tf.ensure_shape(tf.numpy_function(read, [some], tf.string), (None,))
        )
        return _finished(records, -(-len(places) // batch_size))

    def _pictures_at(self, places: tf.Tensor, shares: np.ndarray) -> tf.data.Dataset:
        """Examples ``(image, label, share)``, one by one."""

        def read(some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.array(self.read(some), object), shares[some]

        def parse(some: tf.Tensor) -> Any:
            records, weights = tf.numpy_function(read, [some], (tf.string, tf.float32))
            return self._parse(tf.ensure_shape(records, (None,)), tf.ensure_shape(weights, (None,)))

        windows = tf.data.Dataset.from_tensor_slices(places).batch(self._window())
        parsed = windows.map(parse).prefetch(1).unbatch()
        if len(self.input_shape) == 1:
            return parsed
        num_calls = 2 * (os.cpu_count() or 1)
        return parsed.map(self._decode, num_parallel_calls=num_calls, deterministic=True)

    def _parse(self, records: tf.Tensor, weights: tf.Tensor) -> Any:
        if len(self.input_shape) == 1:
            features, labels, _ = parse_table(
                records, {}, None, tf.constant(0), num_features=self.input_shape[0]
            )
            return features, labels, weights
        encoded, labels, texts = parse_pictures(records, {"exact": EXACT}, None, tf.constant(0))
        return encoded, texts["exact"], labels, weights

    def _decode(self, encoded: tf.Tensor, exact: tf.Tensor, label: tf.Tensor, weight: tf.Tensor) -> Any:
        height, width, channels = self.input_shape
        return decode_exact(encoded, exact, image_shape=(height, width, channels)), label, weight

    def _window(self) -> int:
        mean_bytes = float(self.index["length"].mean())
        return int(min(_LARGEST_WINDOW, max(1.0, _WINDOW_BYTES // mean_bytes)))


def _read_record(descriptor: int, offset: int, length: int, path: Path) -> bytes:
    record = os.pread(descriptor, length, offset)
    checksum = os.pread(descriptor, _CHECKSUM_BYTES, offset + length)
    if len(record) < length or checksum != masked_checksum(record).to_bytes(_CHECKSUM_BYTES, "little"):
        raise RecordsError(
            f"the adversarial shard {path} is damaged at byte {offset}; make the dataset again"
        )
    return record


@contextlib.contextmanager
def explain_damage() -> Iterator[None]:
    """Says which shard is damaged where TensorFlow fails while reading it.

    Raises:
        RecordsError: In place of TensorFlow's own error, if it comes from one of ``read``.
    """
    try:
        yield
    except tf.errors.OpError as error:
        sentence = re.search(r"the adversarial shard .* make the dataset again", str(error))
        if sentence is None:
            raise
        raise RecordsError(sentence[0]) from error


def _finished(dataset: tf.data.Dataset, cardinality: int) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # As in reading.py: autotuned buffers grow with the data.
    options.autotune.enabled = False
    known = dataset.apply(tf.data.experimental.assert_cardinality(cardinality))
    return known.prefetch(2).with_options(options)


def open_weighted_records(directory: Path, manifest: Manifest) -> WeightedRecords:
    """Opens a finished dataset of weighted records for drawing.

    Args:
        directory: The folder.
        manifest: Its manifest, whose split "train" holds them.

    Raises:
        RecordsError: If the index is missing, damaged, or not that of these records.
    """
    index = load_index(directory / INDEX_NAME)
    shards = manifest.splits["train"].shards
    is_noted = index_facts(directory / INDEX_NAME).items() <= manifest.source.items()
    if not is_noted or not fits_shards(index, shards):
        raise RecordsError(
            f"the index {directory / INDEX_NAME} is not that of the shards beside it; make the dataset again"
        )
    image = manifest.image
    shape: tuple[Any, ...] = (image.height, image.width, image.channels)
    if manifest.table is not None:
        shape = (manifest.table.num_features,)
    return WeightedRecords(directory, [shard.name for shard in shards], index, shape)
