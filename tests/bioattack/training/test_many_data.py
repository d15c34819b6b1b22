import itertools

import numpy as np
import pytest
import tensorflow as tf

from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder import reading
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.selection import select
from bioattack.tfrecords_builder.synthetic import SyntheticOptions
from bioattack.training import many_data
from bioattack.training.many_data import _taken_in_turn, as_images, read_split

WHITE = tf.constant(255.0)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """50 pictures: 17, 17 and 16 of the three classes."""
    return open_records(
        write_small_records(tmp_path_factory.mktemp("many") / "records", num_train=50, size=8)
    )


def epoch_from_files(records, epoch, *, limit=None, selection=None):
    total = selection.num_examples if selection else limit or records.num_examples("train")
    batches = records.training_dataset(
        "train", batch_size=9, seed=3, first_epoch=epoch, limit=limit, selection=selection
    ).take(-(-total // 9))
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("limit", [None, 30])
@pytest.mark.parametrize("is_balanced", [False, True])
@pytest.mark.parametrize("left_out", [(), ("train/00005.png", "train/00008.png")])
def test_order_is_that_of_the_files(records, monkeypatch, epoch, limit, is_balanced, left_out):
    monkeypatch.setattr(reading, "_WINDOW_LIMITS", (7, 7))
    split = read_split(records, "train", limit=limit, is_balanced=is_balanced)
    selection = select(records, "train", left_out=left_out, is_balanced=is_balanced, limit=limit)
    images, labels = epoch_from_files(records, epoch, limit=limit, selection=selection)
    order = split.order(3, epoch, left_out=left_out)
    np.testing.assert_array_equal(as_images(tf.gather(split.contents, order), WHITE), images)
    np.testing.assert_array_equal(tf.gather(split.labels, order), labels)
    assert split.counts(left_out).sum() == len(labels)


def test_order_of_several_shards_is_that_of_the_files(tmp_path):
    options = SyntheticOptions(output=tmp_path / "records", num_train=40, num_test=5, size=16, quiet=True)
    build("synthetic", options)
    records = open_records(options.output)
    split = read_split(records, "train")
    images, _ = epoch_from_files(records, 2)
    np.testing.assert_array_equal(as_images(tf.gather(split.contents, split.order(3, 2)), WHITE), images)


def test_parts_are_taken_in_turn_as_tensorflow_does():
    random = np.random.default_rng(0)
    for num_parts in (1, 7, 8, 9, 23):
        sizes = random.integers(1, 9, num_parts)
        starts = np.cumsum([0, *sizes]).tolist()
        dataset = tf.data.Dataset.range(num_parts).interleave(
            lambda part, starts=starts: tf.data.Dataset.range(
                tf.gather(tf.constant(starts, tf.int64), part),
                tf.gather(tf.constant(starts, tf.int64), part + 1),
            ),
            cycle_length=min(8, num_parts),
            num_parallel_calls=1,
            deterministic=True,
        )
        parts = [range(start, stop) for start, stop in itertools.pairwise(starts)]
        np.testing.assert_array_equal(_taken_in_turn(parts), list(dataset.as_numpy_iterator()))


def test_pictures_take_a_byte_a_value_and_are_exact(records):
    split = read_split(records, "test")
    assert split.contents.dtype == tf.uint8
    images, labels = next(iter(records.dataset("test", batch_size=15)))
    np.testing.assert_array_equal(as_images(split.contents, WHITE), images)
    np.testing.assert_array_equal(split.labels, labels)


def test_large_splits_are_not_kept(records, monkeypatch):
    monkeypatch.setattr(many_data, "MOST_BYTES", 50 * 8 * 8 * 3 - 1)
    assert read_split(records, "train") is None
    assert read_split(records, "train", limit=49) is not None


def test_what_is_left_out_must_be_there(records):
    split = read_split(records, "train", limit=10)
    with pytest.raises(RecordsError, match=r"has no record named 'train/00049.png'"):
        split.order(0, 0, left_out=("train/00049.png",))
