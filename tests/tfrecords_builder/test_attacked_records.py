import hashlib

import numpy as np
import pytest
import tensorflow as tf

from bioattack.tfrecords_builder import schema
from bioattack.tfrecords_builder.attacked_records import (
    EXACT,
    Provenance,
    attacked_record,
    clean_record,
    label_of,
    name_of,
    read_provenance,
)
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.images import encode_png

PROVENANCE = Provenance("a.png", 515, 2, 3, '{"attack": "pgd"}', "ab" * 32, 17, 0.25)


@pytest.fixture
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    return pixels, schema.serialise(
        schema.Example(
            encode_png(pixels).encoded, "png", 4, 5, 3, 2, "bee", "a.png", "00", {"country": "KEN"}, "n1"
        )
    )


@pytest.fixture
def row():
    return schema.serialise_row(schema.RowExample((39.0, 1.0), 1, ">50K", "a", "00", {"sex": "Male"}))


def test_clean_record_is_the_record_with_weight_one(picture):
    _, record = picture
    clean = clean_record(record)
    assert schema.parse(clean) == schema.parse(record)
    assert read_provenance(clean) == Provenance("a.png")
    assert (name_of(clean), label_of(clean)) == ("a.png", 2)


def test_attacked_picture_keeps_every_bit_and_can_be_looked_at(picture):
    pixels, record = picture
    values = np.clip(
        pixels / np.float32(255) + np.random.default_rng(1).normal(0, 1e-3, pixels.shape), 0, 1
    ).astype(np.float32)
    attacked = attacked_record(clean_record(record), values, name="round-2/b", provenance=PROVENANCE)
    assert read_provenance(attacked) == PROVENANCE
    example = tf.train.Example.FromString(attacked)
    stored = np.frombuffer(example.features.feature[EXACT].bytes_list.value[0], "<f4")
    np.testing.assert_array_equal(stored.reshape(values.shape), values)
    seen = schema.parse(attacked)
    np.testing.assert_array_equal(
        tf.io.decode_png(seen.encoded).numpy(), np.round(values * 255).astype(np.uint8)
    )
    assert (seen.label, seen.class_name, seen.class_id, seen.groups) == (2, "bee", "n1", {"country": "KEN"})
    assert (seen.filename, seen.sha256) == ("round-2/b", hashlib.sha256(values.tobytes()).hexdigest())


def test_attacked_row_is_a_row(row):
    attacked = attacked_record(
        row, np.array([49.0, 1.0], np.float32), name="copy", provenance=Provenance("a", cost=10.0)
    )
    assert schema.parse_row(attacked).features == (49.0, 1.0)
    assert schema.parse_row(attacked).groups == {"sex": "Male"}
    assert read_provenance(attacked) == Provenance("a", cost=10.0)
    assert read_provenance(clean_record(row)) == Provenance("a")


@pytest.mark.parametrize("record", [b"no record", b""])
def test_something_else_is_refused(record):
    with pytest.raises(RecordsError, match="this is no record of a picture"):
        clean_record(record)


def test_record_of_no_adversarial_dataset_has_no_provenance(picture):
    with pytest.raises(RecordsError, match=r"record a\.png is not one of an adversarial dataset"):
        read_provenance(picture[1])
