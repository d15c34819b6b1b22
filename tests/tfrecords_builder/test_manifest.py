import dataclasses
import json

import pytest

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.manifest import (
    MANIFEST_NAME,
    NO_IMAGES,
    ImageSize,
    Manifest,
    Shard,
    SplitInfo,
    read_manifest,
)
from bioattack.tfrecords_builder.table import Attribute, Table

MANIFEST = Manifest(
    kind="folder",
    class_names=("ant", "bée"),
    image=ImageSize(None, None, 3),
    groups=("country",),
    splits={"train": SplitInfo(3, (1, 2), (Shard("a", 3, 10, "ab"),)), "test": SplitInfo(0, (0, 0), ())},
    source={"name": "x"},
    skipped=({"key": "k", "split": "train", "reason": "r"},),
    left_out={"why": {"count": 1, "examples": ["k"]}},
    duplicates={"num_pairs": 1, "examples": [["a", "b"]]},
    arguments={"seed": 0},
    versions={},
    plan_sha256="00",
    class_ids=("n1", "n2"),
)


def test_round_trip():
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST
    bare = dataclasses.replace(MANIFEST, class_ids=None)
    assert Manifest.from_json(bare.to_json()) == bare


def test_round_trip_of_a_set_of_rows():
    sex = Attribute("sex", "categorical", 0.0, 1.0, 0.7, 0.46, is_protected=True, categories=("f", "m"))
    age = Attribute("age", "continuous", 17.0, 90.0, 38.4, 13.1)
    rows = dataclasses.replace(MANIFEST, image=NO_IMAGES, table=Table((age, sex)))
    assert Manifest.from_json(rows.to_json()) == rows
    assert json.loads(rows.to_json())["table"]["attributes"][1]["categories"] == ["f", "m"]
    # Those of pictures are as they were before there were rows.
    assert "table" not in json.loads(MANIFEST.to_json())


def test_fingerprint_follows_the_shards_alone():
    renamed = dataclasses.replace(MANIFEST, source={}, arguments={})
    changed = dataclasses.replace(
        MANIFEST, splits=MANIFEST.splits | {"train": SplitInfo(3, (1, 2), (Shard("a", 3, 10, "ac"),))}
    )
    assert renamed.fingerprint == MANIFEST.fingerprint != changed.fingerprint
    # sha256 of "ab", by sha256sum.
    assert MANIFEST.fingerprint == "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"


def _changed(**changes):
    return json.dumps(json.loads(MANIFEST.to_json()) | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "cannot be read"),
        (_changed(format_version=2), "has format version 2, this program reads 1; build the records again"),
        (_changed(fingerprint="0"), "was changed after it was written"),
        (_changed(splits={"train": 3}), "cannot be read"),
        (_changed(surprise=1), "cannot be read"),
        (_changed(table={"attributes": [{"name": "age"}]}), "cannot be read"),
    ],
)
def test_bad_manifests_are_refused(tmp_path, text, message):
    (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(RecordsError, match=rf"{tmp_path}/manifest\.json: the manifest {message}"):
        read_manifest(tmp_path)


def test_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(RecordsError, match=r"is not a finished records folder: it has no manifest\.json"):
        read_manifest(tmp_path)
    with pytest.raises(RecordsError, match="is not a finished records folder"):
        read_manifest(tmp_path / "missing")
    (tmp_path / MANIFEST_NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(RecordsError, match="is damaged: it is not text"):
        read_manifest(tmp_path)
