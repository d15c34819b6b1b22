"""Reading records back as ``tf.data``: sharded, shuffled by seed and epoch alone, in bounded memory."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from bioattack.tfrecords_builder import schema
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.manifest import Manifest, read_manifest
from bioattack.tfrecords_builder.parsing import parse_pictures, parse_table
from bioattack.tfrecords_builder.selection import Selection
from bioattack.tfrecords_builder.source import SPLITS
from bioattack.tfrecords_builder.table import Table
from bioattack.tfrecords_builder.verify import verify

# Pictures are shuffled while still encoded, a window at a time, so that memory does not follow the data.
_WINDOW_BYTES = 8 * 2**20
_WINDOW_LIMITS = (64, 2048)
NUM_FILES_AT_ONCE = 8

# Of the records' names where some are left out; no text that is asked for is called so.
_NAME = "name to leave out"


@dataclasses.dataclass(frozen=True)
class Records:
    """A records folder, opened.

    Args:
        directory: The folder.
        manifest: What it holds.
    """

    directory: Path
    manifest: Manifest

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.manifest.class_names

    @property
    def num_classes(self) -> int:
        """How many classes there are, those without pictures included."""
        return len(self.manifest.class_names)

    @property
    def table(self) -> Table | None:
        """What the features mean, where the records are rows of a table; None where they are pictures."""
        return self.manifest.table

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one picture, or ``(features,)`` of one row of a table."""
        return self.image_shape if self.table is None else (self.table.num_features,)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every picture.

        Raises:
            RecordsError: If the records are rows of a table, or the pictures differ in size.
        """
        if self.table is not None:
            raise RecordsError(
                f"{self.directory} holds rows of a table ({self.table.num_features} attributes) and no "
                "pictures, which this needs; give records of pictures"
            )
        image = self.manifest.image
        if image.height is None or image.width is None:
            raise RecordsError(
                f"{self.directory} holds pictures of different sizes; build it again with --size"
            )
        return image.height, image.width, image.channels

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the group columns, such as ``country``."""
        return self.manifest.groups

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that have pictures."""
        return tuple(name for name in SPLITS if name in self.manifest.splits)

    def num_examples(self, split: str) -> int:
        """Number of pictures in a split."""
        return self._split(split).num_examples

    def steps_per_epoch(self, split: str, batch_size: int, *, limit: int | None = None) -> int:
        """Number of batches in one pass over a split, the last and perhaps smaller one included."""
        return -(-self._limited(split, limit) // batch_size)

    def dataset(
        self,
        split: str,
        *,
        batch_size: int,
        epoch_seed: tuple[int, int] | None = None,
        limit: int | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """Reads one pass over a split.

        Args:
            split: ``"train"`` or ``"test"``.
            batch_size: Pictures in a batch; the last batch may be smaller.
            epoch_seed: ``(seed, epoch)``, each at least 0: the pictures come shuffled, in an order that is a
                function of these two alone. None: in the stored order, which follows a hash of their names.
            limit: Only the first so many pictures of the stored order: a random but fixed sample.
            part: ``(index, number)``: every ``number``-th picture from ``index`` on, for several readers.

        Returns:
            Batches ``(images, labels)``: float32 ``(batch, height, width, channels)`` in [0, 1], each value
            k / 255, and int32 ``(batch,)``. Of rows of a table, batches ``(features, labels)``: float32
            ``(batch, features)``, each attribute on its own scale, categories as codes.

        Raises:
            RecordsError: If there is no such split, ``limit`` or ``part`` is out of range, or the pictures
                differ in size.
        """
        self._check(split, limit=limit, part=part)
        passes = None if epoch_seed is None else tf.constant(epoch_seed, tf.int64)
        dataset = self._one_pass(split, batch_size, seeds=passes, limit=limit, part=part)
        return self._finished(dataset, self._num_batches(split, batch_size, limit=limit, part=part))

    def training_dataset(
        self,
        split: str,
        *,
        batch_size: int,
        seed: int,
        first_epoch: int = 0,
        limit: int | None = None,
        part: tuple[int, int] = (0, 1),
        selection: Selection | None = None,
    ) -> tf.data.Dataset:
        """Reads epoch after epoch without end; epoch ``e`` is ``dataset(..., epoch_seed=(seed, e))``.

        Each epoch is ``steps_per_epoch`` batches. Begun at epoch ``e`` it gives what one begun at 0 gives
        from there on, so that a resumed training sees what an uninterrupted one would.

        Args:
            split: ``"train"`` or ``"test"``.
            batch_size: Pictures in a batch.
            seed: At least 0.
            first_epoch: Epoch to begin with.
            limit: As in ``dataset``.
            part: As in ``dataset``.
            selection: What is read of the split, as ``bioattack.tfrecords_builder.selection.select`` chooses
                it under the same ``limit``; its ``num_examples`` are then in an epoch.

        Returns:
            Batches as ``dataset`` gives them.
        """
        self._check(split, limit=limit, part=part)
        epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            seeds = tf.stack([tf.constant(seed, tf.int64), epoch])
            return self._one_pass(split, batch_size, seeds=seeds, limit=limit, part=part, selection=selection)

        return self._finished(epochs.flat_map(one_epoch), tf.data.INFINITE_CARDINALITY)

    def examples(self, split: str, *, batch_size: int, limit: int | None = None) -> tf.data.Dataset:
        """Reads a split with everything that is known of each picture, in the stored order.

        Args:
            split: ``"train"`` or ``"test"``.
            batch_size: Pictures in a batch; the last batch may be smaller.
            limit: As in ``dataset``.

        Returns:
            Batches of dictionaries: ``image`` float32 ``(batch, height, width, channels)`` in [0, 1],
            ``label`` int32, and as strings ``image_id``, ``sha256`` and ``group_<name>`` for each group. Rows
            of a table have ``features`` float32 ``(batch, features)`` in place of ``image``.
        """
        self._check(split, limit=limit, part=(0, 1))
        texts = {"image_id": schema.FILENAME, "sha256": schema.SHA256}
        texts |= {f"group_{name}": schema.group_field(name) for name in self.groups}
        dataset = self._one_pass(split, batch_size, seeds=None, limit=limit, part=(0, 1), texts=texts)
        return self._finished(dataset, self._num_batches(split, batch_size, limit=limit, part=(0, 1)))

    def serialised(self, split: str, *, limit: int | None = None) -> tf.data.Dataset:
        """Reads the records of a split as they are stored, one string each, in the stored order.

        Args:
            split: ``"train"`` or ``"test"``.
            limit: Only the first so many.

        Raises:
            RecordsError: If there is no such split, or ``limit`` is out of range.
        """
        return self._serialised(split, seeds=None, limit=limit)

    def _split(self, split: str) -> Any:
        if split not in self.manifest.splits:
            raise RecordsError(f"{self.directory} has no split {split!r}; it has {', '.join(self.splits)}")
        return self.manifest.splits[split]

    def _limited(self, split: str, limit: int | None) -> int:
        if limit is not None and limit < 1:
            raise RecordsError(f"limit must be at least 1. Received: {limit}")
        return min(self.num_examples(split), limit or self.num_examples(split))

    def _check(self, split: str, *, limit: int | None, part: tuple[int, int]) -> None:
        """Refuses what cannot be read, before TensorFlow traces anything: it would wrap the error."""
        _ = self.input_shape, self._limited(split, limit)
        if not 0 <= part[0] < part[1]:
            raise RecordsError(f"part must be (index, number) with 0 <= index < number. Received: {part}")

    def _num_batches(self, split: str, batch_size: int, *, limit: int | None, part: tuple[int, int]) -> int:
        index, number = part
        num_pictures = len(range(index, self._limited(split, limit), number))
        return -(-num_pictures // batch_size)

    def _finished(self, dataset: tf.data.Dataset, cardinality: int) -> tf.data.Dataset:
        # Keras takes a data set whose length it does not know for one that ran out too early.
        known = dataset.apply(tf.data.experimental.assert_cardinality(cardinality))
        return known.prefetch(2).with_options(_options())

    def _serialised(self, split: str, *, seeds: tf.Tensor | None, limit: int | None) -> tf.data.Dataset:
        shards = [shard for shard in self._split(split).shards if shard.num_examples]
        files = tf.constant([str(self.directory / shard.name) for shard in shards])
        is_whole = self._limited(split, limit) == self.num_examples(split)
        if seeds is not None and is_whole:
            files = tf.random.experimental.stateless_shuffle(files, seed=seeds)
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            tf.data.TFRecordDataset,
            # The stored order, of which a limit takes the beginning, is one file after the other.
            cycle_length=min(NUM_FILES_AT_ONCE, len(shards)) if seeds is not None and is_whole else 1,
            num_parallel_calls=1,
            deterministic=True,
        )
        return records if is_whole else records.take(self._limited(split, limit))

    def _one_pass(
        self,
        split: str,
        batch_size: int,
        *,
        seeds: tf.Tensor | None,
        limit: int | None,
        part: tuple[int, int],
        texts: dict[str, str] | None = None,
        selection: Selection | None = None,
    ) -> tf.data.Dataset:
        records = self._serialised(split, seeds=seeds, limit=limit)
        if selection is not None:
            records = selection.repeat_rare(
                records, is_table=self.table is not None, window=self.window_size(split)
            )
        if part != (0, 1):
            records = records.shard(part[1], part[0])
        windows = records.batch(self.window_size(split)).enumerate()
        parsed = windows.map(
            lambda index, window: self._parse(window, texts or {}, seeds, index, selection=selection)
        ).prefetch(1)
        if self.table is not None:
            # Rows of a table need no decoding: a window stays whole until it is cut into batches.
            return parsed.map(_as_rows).rebatch(batch_size)
        # Four times as many as there are cores: decoding goes on while a batch is put together and scaled.
        num_calls = 4 * (os.cpu_count() or 1)
        pictures = parsed.unbatch().map(self._decode, num_parallel_calls=num_calls, deterministic=True)
        # Put together as uint8, a quarter of the size, and scaled at once, while part of it is in the cache.
        return pictures.batch(batch_size).map(_scaled_batch)

    def _parse(
        self,
        window: tf.Tensor,
        texts: dict[str, str],
        seeds: tf.Tensor | None,
        index: tf.Tensor,
        *,
        selection: Selection | None,
    ) -> Any:
        """Encoded pictures or features, labels and texts of a window, without what is left out."""
        left_out = selection.left_out if selection is not None else ()
        wanted = texts | ({_NAME: schema.FILENAME} if left_out else {})
        if self.table is None:
            parsed = parse_pictures(window, wanted, seeds, index)
        else:
            parsed = parse_table(window, wanted, seeds, index, num_features=self.table.num_features)
        if selection is None or not left_out:
            return parsed
        contents, label, values = parsed
        names = values.pop(_NAME)
        return selection.drop_left_out(names, (contents, label, values))

    def window_size(self, split: str) -> int:
        """How many records are read, and shuffled, at a time: what keeps memory bounded.

        Args:
            split: ``"train"`` or ``"test"``.
        """
        info = self._split(split)
        mean_bytes = sum(shard.size_bytes for shard in info.shards) / max(1, info.num_examples)
        least, most = _WINDOW_LIMITS
        return int(min(most, max(least, _WINDOW_BYTES // max(1.0, mean_bytes))))

    def _decode(self, encoded: tf.Tensor, label: tf.Tensor, texts: dict[str, tf.Tensor]) -> Any:
        image = tf.io.decode_image(encoded, channels=self.image_shape[2], expand_animations=False)
        image = tf.ensure_shape(image, self.image_shape)
        return {"image": image, "label": label, **texts} if texts else (image, label)


# Cast, multiplication and cast are one pass over the pixels in XLA, and three without it.
@tf.function(jit_compile=True, autograph=False)
def _scaled(images: tf.Tensor) -> tf.Tensor:
    """From uint8 to k / 255, rounded once to float32.

    XLA makes a division by a constant a multiplication with its reciprocal, which in float32 misses 126 of
    the 256 quotients by a bit. In float64 it misses none of them.
    """
    return tf.cast(tf.cast(images, tf.float64) * (1.0 / 255.0), tf.float32)


def _in_unit_interval(images: tf.Tensor) -> tf.Tensor:
    # What an attack found is stored as float32 in [0, 1] and is not to be touched.
    return _scaled(images) if images.dtype == tf.uint8 else images


def _scaled_batch(batch: Any, labels: tf.Tensor | None = None) -> Any:
    """A pair of images and labels, which comes as two arguments, or a dictionary, which comes as one."""
    if labels is None:
        return batch | {"image": _in_unit_interval(batch["image"])}
    return _in_unit_interval(batch), labels


def _as_rows(features: tf.Tensor, label: tf.Tensor, texts: dict[str, tf.Tensor]) -> Any:
    return {"features": features, "label": label, **texts} if texts else (features, label)


def open_records(directory: Path) -> Records:
    """Opens a records folder.

    Args:
        directory: A folder with a ``manifest.json``.

    Raises:
        RecordsError: If there is no manifest, or a shard is missing or has another size than it says.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    for split in manifest.splits.values():
        for shard in split.shards:
            path = directory / shard.name
            if not path.is_file():
                raise RecordsError(f"the shard {path} is missing; build the records again")
            if (size_bytes := path.stat().st_size) != shard.size_bytes:
                raise RecordsError(
                    f"the shard {path} has {size_bytes} bytes where the manifest says {shard.size_bytes}; "
                    "build the records again"
                )
    return Records(directory, manifest)


@contextlib.contextmanager
def explain_read_errors(records: Records) -> Iterator[None]:
    """Says which shard is damaged where TensorFlow fails while reading it.

    Raises:
        RecordsError: In place of TensorFlow's own error, if a shard is not what the manifest says.
    """
    try:
        yield
    except tf.errors.OpError as error:
        problems = verify(records.directory)
        if not problems:
            raise
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise RecordsError(f"{records.directory}: {problems[0]}{more}; build the records again") from error


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Autotuning deepens its buffers as long as the data last; fixed ones need the same memory for any amount.
    options.autotune.enabled = False
    return options
