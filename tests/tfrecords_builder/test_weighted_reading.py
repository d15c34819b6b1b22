import re

import numpy as np
import pytest
import tensorflow as tf

from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.attacked_records import (
    Provenance,
    attacked_record,
    clean_record,
    label_of,
    name_of,
)
from bioattack.tfrecords_builder.drawing import draw_places, expected_weight
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.weighted_reading import WeightedRecords
from bioattack.tfrecords_builder.weighted_shards import writing_shard

NUM_CLEAN = 12


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve clean pictures in one shard, in another what noise made of them, with weights from 1 on."""
    folder = tmp_path_factory.mktemp("weighted")
    records = open_records(write_small_records(folder / "clean", num_train=NUM_CLEAN, num_test=0))
    clean = list(records.serialised("train").as_numpy_iterator())
    images = next(iter(records.dataset("train", batch_size=NUM_CLEAN)))[0].numpy()
    noisy = np.clip(images + np.random.default_rng(0).normal(0, 1e-3, images.shape), 0, 1).astype(np.float32)
    indexes = []
    with writing_shard(folder / "a", number=0) as shard:
        for place, record in enumerate(clean):
            shard.append(clean_record(record), weight=1.0, origin=place)
    indexes.append(shard.index())
    with writing_shard(folder / "b", number=1) as shard:
        for place, (record, values) in enumerate(zip(clean, noisy, strict=True)):
            written = attacked_record(
                record, values, name=f"noisy/{name_of(record)}", provenance=Provenance(name_of(record))
            )
            shard.append(written, weight=place + 1.0, origin=place)
    indexes.append(shard.index())
    weighted = WeightedRecords(folder, ["a", "b"], np.concatenate(indexes), (16, 16, 3))
    labels = np.array([label_of(record) for record in clean] * 2)
    return weighted, np.concatenate([images, noisy]), labels


def test_any_order_can_be_read_and_comes_back_to_the_bit(dataset):
    weighted, images, labels = dataset
    places = np.array([23, 0, 5, 5, 12, 23, 11])
    read = list(weighted.dataset_at(places, batch_size=3))
    assert [len(its_labels) for _, its_labels, _ in read] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([one for one, _, _ in read]), images[places])
    np.testing.assert_array_equal(np.concatenate([one for _, one, _ in read]), labels[places])
    (stored,) = weighted.serialised_at(places, batch_size=9).as_numpy_iterator()
    assert [name_of(record) for record in stored[[1, 4]]] == ["train/00000.png", "noisy/train/00000.png"]


@pytest.mark.parametrize(("is_proportional", "is_weighted"), [(True, True), (True, False), (False, True)])
def test_draws_and_their_weights(dataset, is_proportional, is_weighted):
    weighted, images, _ = dataset
    drawn = weighted.drawn_dataset(
        batch_size=7, num_draws=20, seed=5, is_proportional=is_proportional, is_weighted=is_weighted
    )
    batches = list(drawn.take(6))
    assert [len(labels) for _, labels, _ in batches] == [7, 7, 6] * 2
    places = np.concatenate(
        [
            draw_places(weighted.weights, 20, seeds=(5, epoch), is_proportional=is_proportional)
            for epoch in (0, 1)
        ]
    )
    np.testing.assert_array_equal(np.concatenate([one for one, _, _ in batches]), images[places])
    scale = expected_weight(weighted.weights, is_proportional=is_proportional)
    expected = weighted.weights[places] / scale if is_weighted else np.ones(40)
    np.testing.assert_allclose(np.concatenate([one for _, _, one in batches]), expected, rtol=1e-6)


def test_later_epoch_is_what_it_would_have_been(dataset):
    weighted, _, _ = dataset
    whole = list(weighted.drawn_dataset(batch_size=5, num_draws=10, seed=1).take(4))[2:]
    later = list(weighted.drawn_dataset(batch_size=5, num_draws=10, seed=1, first_epoch=1).take(2))
    for one, other in zip(whole, later, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_parts_are_the_whole(dataset):
    weighted, _, _ = dataset
    whole, *parts = (
        np.concatenate([one for one, _, _ in dataset.take(2)])
        for dataset in (
            weighted.drawn_dataset(batch_size=5, num_draws=10, seed=1),
            *(weighted.drawn_dataset(batch_size=3, num_draws=10, seed=1, part=(one, 2)) for one in (0, 1)),
        )
    )
    np.testing.assert_array_equal(parts[0], whole[0::2])
    np.testing.assert_array_equal(parts[1], whole[1::2])


def test_damage_is_named(dataset, tmp_path):
    weighted, _, _ = dataset
    for name in ("a", "b"):
        content = bytearray((weighted.directory / name).read_bytes())
        if name == "b":
            content[int(weighted.index["offset"][20]) + 40] ^= 1
        (tmp_path / name).write_bytes(content)
    other = WeightedRecords(tmp_path, ["a", "b"], weighted.index, weighted.input_shape)
    assert len(other.read(np.arange(20))) == 20
    with pytest.raises(RecordsError, match=re.escape(f"the adversarial shard {tmp_path / 'b'} is damaged")):
        other.read(np.array([20]))
    (tmp_path / "a").unlink()
    with pytest.raises(RecordsError, match=re.escape(f"{tmp_path / 'a'} cannot be read (No such file")):
        other.read(np.array([3]))


def test_weights_are_looked_at_when_it_is_opened(dataset):
    weighted, _, _ = dataset
    index = weighted.index.copy()
    index["weight"][4] = np.inf
    with pytest.raises(RecordsError, match=r"the weight of record 4 of .* is inf"):
        WeightedRecords(weighted.directory, weighted.shard_names, index, weighted.input_shape)
