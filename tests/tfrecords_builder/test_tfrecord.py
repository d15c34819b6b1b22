import pytest
import tensorflow as tf

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.tfrecord import frame, read_records

RECORDS = [b"", b"one", bytes(range(256)) * 50]


@pytest.fixture
def path(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for record in RECORDS:
            writer.write(record)
    return tmp_path / "a.tfrecord"


def test_framed_as_tensorflow_does(path):
    framed = b"".join(head + record + tail for record in RECORDS for head, tail in [frame(record)])
    assert framed == path.read_bytes()


def test_reads_what_tensorflow_wrote(path):
    assert list(read_records(path)) == RECORDS


@pytest.mark.parametrize("position", [0, 7, 9, 20, 33, 40, 1000, -1])
def test_flipped_bit_is_found(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)
    with pytest.raises(RecordsError, match=r"a\.tfrecord is damaged"):
        list(read_records(path))


@pytest.mark.parametrize("missing", [1, 5, 12_000, 12_820])
def test_truncation_is_found(path, missing):
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(RecordsError, match=r"a\.tfrecord is damaged"):
        list(read_records(path))
