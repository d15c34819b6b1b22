import pytest
import tensorflow as tf

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.schema import Example, group_field, parse, serialise

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
