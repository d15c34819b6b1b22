import hashlib
import re

import numpy as np
import pytest
import tensorflow as tf

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.weighted_shards import load_index, save_index, writing_shard

RECORDS = [b"first", b"", b"the third one"]


def write(path):
    with writing_shard(path, number=7) as shard:
        for place, record in enumerate(RECORDS):
            shard.append(record, weight=place + 1.0, origin=10 + place)
    return shard


def test_tensorflow_reads_a_shard_and_the_index_says_where(tmp_path):
    path = tmp_path / "one.tfrecord"
    shard = write(path)
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == RECORDS
    content = path.read_bytes()
    for row, record in zip(shard.index(), RECORDS, strict=True):
        assert content[int(row["offset"]) :][: int(row["length"])] == record
    assert shard.index()["weight"].tolist() == [1, 2, 3]
    assert shard.index()["origin"].tolist() == [10, 11, 12]
    assert set(shard.index()["shard"]) == {7}
    entry = shard.entry(path.name)
    assert (entry.num_examples, entry.size_bytes) == (3, len(content))
    assert entry.sha256 == hashlib.sha256(content).hexdigest()


def test_shard_that_is_not_finished_is_not_there(tmp_path):
    path = tmp_path / "one.tfrecord"

    def interrupted():
        with writing_shard(path, number=0) as shard:
            shard.append(b"first", weight=1.0, origin=0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_index_comes_back_and_has_the_same_bytes(tmp_path):
    index = write(tmp_path / "one.tfrecord").index()
    for name in ("a.npy", "b.npy"):
        save_index(tmp_path / name, index)
    np.testing.assert_array_equal(load_index(tmp_path / "a.npy"), index)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_no_index_a_damaged_one_and_one_of_another_version(tmp_path):
    path = tmp_path / "index.npy"
    with pytest.raises(RecordsError, match=re.escape(f"{tmp_path} is no adversarial dataset: it has no")):
        load_index(path)
    save_index(path, write(tmp_path / "one.tfrecord").index())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RecordsError, match=f"the index {path} is damaged"):
        load_index(path)
    np.save(path, np.ones(3))
    with pytest.raises(RecordsError, match=f"the index {path} is of another version"):
        load_index(path)
