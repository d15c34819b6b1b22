import json

import numpy as np
import pytest

from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.attacked_records import Provenance, attacked_record, clean_record
from bioattack.tfrecords_builder.exact_records import open_exact_records
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.selection import select
from bioattack.tfrecords_builder.weighted_shards import writing_shard


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six clean pictures, each with one behind it that was moved by less than 8 bits can hold."""
    folder = tmp_path_factory.mktemp("exact") / "records"
    records = open_records(write_small_records(folder, num_train=6, num_test=0))
    clean = list(records.serialised("train").as_numpy_iterator())
    images = next(iter(records.dataset("train", batch_size=6)))[0].numpy()
    manifest = json.loads((folder / "manifest.json").read_text())
    path = folder / manifest["splits"]["train"]["shards"][0]["name"]
    with writing_shard(path, number=0) as shard:
        for place, (record, image) in enumerate(zip(clean, images, strict=True)):
            shard.append(clean_record(record), weight=1.0, origin=place)
            values = np.minimum(image + np.float32(0.001), 1)
            moved = attacked_record(record, values, name=f"moved/{place}", provenance=Provenance(str(place)))
            shard.append(moved, weight=1.0, origin=place)
    read = records.manifest
    split = read.splits["train"]
    split = type(split)(12, tuple(2 * number for number in split.per_class), (shard.entry(path.name),))
    text = type(read)(**(vars(read) | {"splits": {"train": split}})).to_json()
    (folder / "manifest.json").write_text(text)
    return folder, images


def test_pictures_come_with_the_numbers_of_the_attack(folder):
    path, images = folder
    exact, seen = (
        next(iter(opened.dataset("train", batch_size=12)))[0].numpy()
        for opened in (open_exact_records(path), open_records(path))
    )
    np.testing.assert_array_equal(exact[::2], images)
    np.testing.assert_array_equal(exact[1::2], np.minimum(images + np.float32(0.001), 1))
    np.testing.assert_array_equal(seen[1::2], images)


def test_examples_and_selections_are_as_of_any_records(folder):
    path, images = folder
    records = open_exact_records(path)
    (batch,) = records.examples("train", batch_size=12).as_numpy_iterator()
    assert set(batch) == {"image", "label", "image_id", "sha256"}
    assert batch["image_id"][1] == b"moved/0"
    selection = select(records, "train", left_out=["moved/0", "train/00000.png"])
    data = records.training_dataset("train", batch_size=10, seed=0, selection=selection)
    read = next(iter(data))[0].numpy()
    assert not (read == images[0]).all(axis=(1, 2, 3)).any()
    assert (read == images[1]).all(axis=(1, 2, 3)).sum() == 1
