import pytest
import tensorflow as tf

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.schema import (
    Example,
    RowExample,
    group_field,
    parse,
    parse_row,
    row_field,
    serialise,
    serialise_row,
)

EXAMPLE = Example(
    encoded=b"\x00\xffbytes",
    format="png",
    height=3,
    width=5,
    channels=3,
    label=7,
    class_name="Labrador retriever",
    filename="train/é.png",
    sha256="ab" * 32,
    groups={"country": "KEN", "sex": ""},
    class_id="n02099712",
)


def test_round_trip():
    assert parse(serialise(EXAMPLE)) == EXAMPLE


def test_tensorflow_reads_the_same():
    fields = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/class/text": tf.io.FixedLenFeature([], tf.string),
        "image/class/synset": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        group_field("country"): tf.io.FixedLenFeature([], tf.string),
        group_field("sex"): tf.io.FixedLenFeature([], tf.string),
    }
    read = {
        name: value.numpy() for name, value in tf.io.parse_single_example(serialise(EXAMPLE), fields).items()
    }
    assert read == {
        "image/encoded": b"\x00\xffbytes",
        "image/height": 3,
        "image/class/label": 7,
        "image/class/text": b"Labrador retriever",
        "image/class/synset": b"n02099712",
        "image/filename": "train/é.png".encode(),
        "image/group/country": b"KEN",
        "image/group/sex": b"",
    }


def test_written_as_tensorflow_writes():
    read_by_tensorflow = tf.train.Example.FromString(serialise(EXAMPLE))
    assert read_by_tensorflow.SerializeToString(deterministic=True) == serialise(EXAMPLE)


def test_what_is_no_record_is_refused():
    for content in (b"abc", b"", tf.train.Example().SerializeToString()):
        with pytest.raises(RecordsError, match="this is no record of a picture"):
            parse(content)


ROW = RowExample(
    features=(39.0, -0.5, 1_490_400.0),
    label=1,
    class_name=">50K",
    filename="train/00042",
    sha256="cd" * 32,
    groups={"race": "White", "sex": ""},
)


def test_round_trip_of_a_row():
    assert parse_row(serialise_row(ROW)) == ROW


def test_tensorflow_reads_the_same_row():
    fields = {
        "row/features": tf.io.FixedLenFeature([3], tf.float32),
        "row/class/label": tf.io.FixedLenFeature([], tf.int64),
        "row/class/text": tf.io.FixedLenFeature([], tf.string),
        "row/filename": tf.io.FixedLenFeature([], tf.string),
        row_field(group_field("race")): tf.io.FixedLenFeature([], tf.string),
    }
    read = tf.io.parse_single_example(serialise_row(ROW), fields)
    assert read.pop("row/features").numpy().tolist() == [39.0, -0.5, 1_490_400.0]
    assert {name: value.numpy() for name, value in read.items()} == {
        "row/class/label": 1,
        "row/class/text": b">50K",
        "row/filename": b"train/00042",
        "row/group/race": b"White",
    }


def test_a_row_is_no_picture_and_a_picture_no_row():
    with pytest.raises(RecordsError, match="this is no record of a picture"):
        parse(serialise_row(ROW))
    for content in (serialise(EXAMPLE), b"abc", b""):
        with pytest.raises(RecordsError, match="this is no record of a row"):
            parse_row(content)
