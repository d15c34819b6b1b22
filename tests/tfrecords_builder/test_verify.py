import dataclasses

import pytest

from bioattack.testing.made_up_pictures import class_pictures, write_files
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.folder import FolderOptions
from bioattack.tfrecords_builder.manifest import MANIFEST_NAME, read_manifest
from bioattack.tfrecords_builder.verify import verify

SHARD = "train-00001-of-00002.tfrecord"


@pytest.fixture
def records(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({"ant": 8, "bee": 8}))
    build("folder", FolderOptions(source=source, output=tmp_path / "records", num_shards=2, quiet=True))
    return tmp_path / "records"


def test_whole_records(records):
    assert verify(records) == []


def test_missing_shard(records):
    (records / SHARD).unlink()
    assert verify(records) == [f"{SHARD} is missing"]


def test_truncated_shard(records):
    content = (records / SHARD).read_bytes()
    (records / SHARD).write_bytes(content[:-7])
    assert verify(records) == [f"{SHARD} has {len(content) - 7:,} bytes instead of {len(content):,}"]


@pytest.mark.parametrize("position", [0, 100, -1])
def test_flipped_bit(records, position):
    content = bytearray((records / SHARD).read_bytes())
    content[position] ^= 1
    (records / SHARD).write_bytes(content)
    assert verify(records) == [f"{SHARD} was changed: its sha256 is not the manifest's"]


def test_all_problems_are_named(records):
    (records / SHARD).unlink()
    (records / "test-00000-of-00002.tfrecord").write_bytes(b"")
    (records / "train-00000-of-00009.tfrecord").write_bytes(b"")
    assert [problem.split()[0] for problem in verify(records)] == [
        SHARD,
        "test-00000-of-00002.tfrecord",
        "train-00000-of-00009.tfrecord",
    ]


def test_wrong_counts_in_the_manifest(records):
    manifest = read_manifest(records)
    train = manifest.splits["train"]
    for wrong, message in (
        (dataclasses.replace(train, per_class=train.per_class[::-1], num_examples=99), "split train has"),
        (
            dataclasses.replace(
                train, shards=(dataclasses.replace(train.shards[0], num_examples=99), *train.shards[1:])
            ),
            "records instead of 99",
        ),
    ):
        changed = dataclasses.replace(manifest, splits=manifest.splits | {"train": wrong})
        (records / MANIFEST_NAME).write_text(changed.to_json())
        assert message in verify(records)[0]


def test_what_is_no_records_folder_is_refused(tmp_path):
    with pytest.raises(RecordsError, match="is not a finished records folder"):
        verify(tmp_path)
