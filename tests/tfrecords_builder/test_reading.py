import dataclasses
import io
import itertools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bioattack.testing.made_up_pictures import class_pictures, write_files
from bioattack.tfrecords_builder import reading
from bioattack.tfrecords_builder.arrays import ArrayOptions
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.folder import FolderOptions
from bioattack.tfrecords_builder.gdp import INCOME_COLUMNS
from bioattack.tfrecords_builder.reading import explain_read_errors, open_records
from bioattack.tfrecords_builder.schema import parse
from bioattack.tfrecords_builder.synthetic import SyntheticOptions
from bioattack.tfrecords_builder.tfrecord import read_records

NUM_TRAIN, NUM_TEST, SIZE, NUM_SHARDS = 53, 20, 16, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("reading") / "records"
    options = SyntheticOptions(
        output=output, num_train=NUM_TRAIN, num_test=NUM_TEST, size=SIZE, num_shards=NUM_SHARDS, quiet=True
    )
    build("synthetic", options)
    return output


@pytest.fixture
def records(folder):
    return open_records(folder)


def stored(folder, split="train"):
    """The records in the stored order, read by Pillow and protobuf, without TensorFlow."""
    shards = sorted(folder.glob(f"{split}-*"))
    return [parse(record) for shard in shards for record in read_records(shard)]


def decoded(example):
    return np.asarray(Image.open(io.BytesIO(example.encoded)))


def together(dataset, num_batches=None):
    batches = list(dataset.take(-1 if num_batches is None else num_batches).as_numpy_iterator())
    return tuple(np.concatenate(part) for part in zip(*batches, strict=True))


def order(dataset, folder, split="train"):
    """The positions in the stored order of the pictures that a data set gives."""
    position = {decoded(example).tobytes(): index for index, example in enumerate(stored(folder, split))}
    images, _ = together(dataset)
    return [position[np.rint(image * 255).astype(np.uint8).tobytes()] for image in images]


def test_what_is_known_at_once(records):
    assert records.class_names[:3] == ("car", "chair", "fish")
    assert (records.num_classes, records.image_shape) == (10, (SIZE, SIZE, 3))
    assert (records.groups, records.splits) == (INCOME_COLUMNS, ("train", "test"))
    assert (records.num_examples("train"), records.num_examples("test")) == (NUM_TRAIN, NUM_TEST)
    # 53 = 3 * 16 + 5
    assert records.steps_per_epoch("train", 16) == 4
    assert records.steps_per_epoch("train", 16, limit=16) == 1
    assert records.steps_per_epoch("train", 16, limit=1000) == 4


def test_same_values_as_pillow_reads(records, folder):
    images, labels = together(records.dataset("train", batch_size=16))
    examples = stored(folder)
    assert (images.dtype, labels.dtype) == (np.float32, np.int32)
    assert images.shape == (NUM_TRAIN, SIZE, SIZE, 3)
    # The one float32 number next to k / 255, and no other.
    expected = np.stack([decoded(example) for example in examples]).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(labels, [example.label for example in examples])


@pytest.mark.parametrize("read", ["dataset", "examples", "training_dataset"])
def test_each_of_the_256_values_is_its_quotient(read, tmp_path):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    buffer = io.BytesIO()
    Image.fromarray(np.stack([values, values[::-1], values.T], axis=-1)).save(buffer, "PNG")
    # Three pictures in batches of two: two programs of XLA, one for each size of a batch.
    source = write_files(tmp_path / "source", {f"{name}/same.png": buffer.getvalue() for name in "abc"})
    build("folder", FolderOptions(source=source, output=tmp_path / "records", test_fraction=0.0, quiet=True))
    records = open_records(tmp_path / "records")
    options = {"seed": 0} if read == "training_dataset" else {}
    batches = list(getattr(records, read)("train", batch_size=2, **options).take(2).as_numpy_iterator())
    images = np.concatenate([batch["image"] if read == "examples" else batch[0] for batch in batches])
    quotients = np.array([np.float32(k) / np.float32(255) for k in range(256)]).reshape(16, 16)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(
        images, np.stack([np.stack([quotients, quotients[::-1], quotients.T], axis=-1)] * 3)
    )


def test_batches(records):
    sizes = [len(labels) for _, labels in records.dataset("train", batch_size=16)]
    assert sizes == [16, 16, 16, 5]
    images, labels = records.dataset("train", batch_size=16).element_spec
    assert images.shape.as_list() == [None, SIZE, SIZE, 3]
    assert labels.shape.as_list() == [None]


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_epoch_has_every_picture_once(records, folder, split):
    for epoch in range(3):
        found = order(records.dataset(split, batch_size=8, epoch_seed=(1, epoch)), folder, split)
        assert sorted(found) == list(range(records.num_examples(split)))


def test_labels_stay_with_their_pictures(records, folder):
    label_of = {decoded(example).tobytes(): example.label for example in stored(folder)}
    images, labels = together(records.dataset("train", batch_size=8, epoch_seed=(0, 0)))
    for image, label in zip(images, labels, strict=True):
        assert label_of[np.rint(image * 255).astype(np.uint8).tobytes()] == label


def test_order_is_a_function_of_seed_and_epoch_alone(folder):
    def read(seed, epoch, **more):
        dataset = open_records(folder).dataset("train", epoch_seed=(seed, epoch), **{"batch_size": 8} | more)
        return order(dataset, folder)

    tf.random.set_seed(1)
    first = read(3, 4)
    tf.random.set_seed(2)
    assert read(3, 4, batch_size=20) == first
    others = [read(3, 5), read(4, 4), read(4, 3), list(range(NUM_TRAIN))]
    assert first not in others
    assert len({tuple(other) for other in others}) == 4


def test_shuffled_order_is_far_from_the_stored_one(records, folder, monkeypatch):
    """Also where a window holds but a part of the pictures: the shards' own order and mixing do the rest."""
    monkeypatch.setattr(reading, "_WINDOW_LIMITS", (8, 8))
    found = np.array(
        [order(records.dataset("train", batch_size=8, epoch_seed=(0, epoch)), folder) for epoch in range(4)]
    )
    assert all(sorted(epoch) == list(range(NUM_TRAIN)) for epoch in found.tolist())
    # For a random permutation of 53 the mean distance is 53 / 3 = 17.7, its deviation over 4 epochs 0.8.
    distance = np.abs(found - np.arange(NUM_TRAIN)).mean()
    assert 12 < distance < 23


def test_training_begun_later_goes_on_alike(records):
    steps = records.steps_per_epoch("train", 16)
    images, labels = together(records.training_dataset("train", batch_size=16, seed=7), 3 * steps)
    for epoch in (0, 2):
        later = together(
            records.training_dataset("train", batch_size=16, seed=7, first_epoch=epoch), (3 - epoch) * steps
        )
        np.testing.assert_array_equal(later[0], images[epoch * NUM_TRAIN :])
        np.testing.assert_array_equal(later[1], labels[epoch * NUM_TRAIN :])
        alone = together(records.dataset("train", batch_size=16, epoch_seed=(7, epoch)))
        np.testing.assert_array_equal(alone[0], images[epoch * NUM_TRAIN : (epoch + 1) * NUM_TRAIN])


@pytest.mark.parametrize("limit", [1, 20, NUM_TRAIN, 1000])
def test_limit_takes_the_beginning_of_the_stored_order(records, folder, limit):
    expected = list(range(min(limit, NUM_TRAIN)))
    assert order(records.dataset("train", batch_size=8, limit=limit), folder) == expected
    shuffled = order(records.dataset("train", batch_size=8, limit=limit, epoch_seed=(0, 1)), folder)
    assert sorted(shuffled) == expected


def test_limited_training_sees_no_other_pictures(records):
    dataset = records.training_dataset("train", batch_size=8, seed=0, limit=12)
    images, _ = together(dataset, 3 * records.steps_per_epoch("train", 8, limit=12))
    assert len(images) == 36
    assert len(np.unique(images, axis=0)) == 12


@pytest.mark.parametrize(("number", "epoch_seed"), [(2, None), (3, (0, 2))])
def test_parts_are_disjoint_and_complete(records, folder, number, epoch_seed):
    parts = []
    for index in range(number):
        dataset = records.dataset("train", batch_size=8, epoch_seed=epoch_seed, part=(index, number))
        assert dataset.cardinality().numpy() == -(-len(range(index, NUM_TRAIN, number)) // 8)
        parts.append(order(dataset, folder))
    assert sorted(itertools.chain.from_iterable(parts)) == list(range(NUM_TRAIN))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_examples(records, folder):
    expected = stored(folder, "test")
    batches = list(records.examples("test", batch_size=8).as_numpy_iterator())
    assert [len(batch["label"]) for batch in batches] == [8, 8, 4]
    groups = {f"group_{name}" for name in INCOME_COLUMNS}
    assert set(batches[0]) == {"image", "label", "image_id", "sha256", *groups}
    found = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert (found["image"].dtype, found["label"].dtype) == (np.float32, np.int32)
    for index, example in enumerate(expected):
        np.testing.assert_array_equal(found["image"][index], decoded(example) / np.float32(255))
        assert found["label"][index] == example.label
        assert found["image_id"][index].decode() == example.filename
        assert found["sha256"][index].decode() == example.sha256
        assert found["group_country"][index].decode() == example.groups["country"]


def test_limited_examples_are_the_first(records, folder):
    found = records.examples("test", batch_size=3, limit=7)
    names = [name.decode() for batch in found.as_numpy_iterator() for name in batch["image_id"]]
    assert names == [example.filename for example in stored(folder, "test")[:7]]


def test_lengths_are_known(records):
    assert records.dataset("train", batch_size=16).cardinality() == 4
    assert records.dataset("train", batch_size=16, limit=16).cardinality() == 1
    assert records.examples("test", batch_size=8).cardinality() == 3
    endless = records.training_dataset("train", batch_size=16, seed=0)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY


def test_keras_does_not_miss_data(records):
    inputs = keras.Input(records.image_shape)
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs)))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(
            records.training_dataset("train", batch_size=16, seed=0),
            steps_per_epoch=4,
            shuffle=False,
            epochs=2,
            validation_data=records.dataset("test", batch_size=16),
            verbose=0,
        )


def test_files_of_every_kind_as_pillow_reads_them(tmp_path):
    """Grey and coloured, JPEG and PNG in one set; the two decoders of JPEG round differently."""
    files = class_pictures({"ant": 3}, size=(24, 16)) | class_pictures(
        {"bee": 3}, seed=9, size=(24, 16), mode="L"
    )
    for name, content in list(files.items()):
        with Image.open(io.BytesIO(content)) as image:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=95)
        files[name.replace(".png", "-again.jpg")] = buffer.getvalue()
    source = write_files(tmp_path / "source", files)
    build("folder", FolderOptions(source=source, output=tmp_path / "records", test_fraction=0.0, quiet=True))
    records = open_records(tmp_path / "records")
    assert records.image_shape == (16, 24, 3)
    images, labels = together(records.dataset("train", batch_size=5))
    examples = stored(tmp_path / "records")
    assert len(images) == 12
    assert {example.format for example in examples} == {"png", "jpeg"}
    for image, label, example in zip(images, labels, examples, strict=True):
        with Image.open(io.BytesIO(example.encoded)) as opened:
            expected = np.asarray(opened.convert("RGB")).astype(np.float32)
        difference = np.abs(image * 255 - expected)
        assert difference.max() < (0.001 if example.format == "png" else 16)
        assert difference.mean() < 4
        assert label == example.label


def test_one_channel(tmp_path):
    random = np.random.default_rng(0)
    arrays = {
        f"{kind}_{split}": random.integers(0, 256, (20, 28, 28), dtype=np.uint8)
        if kind == "x"
        else np.arange(20, dtype=np.uint8) % 10
        for split in ("train", "test")
        for kind in ("x", "y")
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    build("mnist", ArrayOptions(source=tmp_path / "mnist.npz", output=tmp_path / "records", quiet=True))
    records = open_records(tmp_path / "records")
    assert records.image_shape == (28, 28, 1)
    images, _ = together(records.dataset("train", batch_size=8))
    assert images.shape == (20, 28, 28, 1)
    found = {np.rint(image * 255).astype(np.uint8).tobytes() for image in images}
    assert found == {picture.tobytes() for picture in arrays["x_train"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "valid"}, r"has no split 'valid'; it has train, test$"),
        ({"limit": 0}, r"limit must be at least 1\. Received: 0"),
        ({"limit": -3}, r"limit must be at least 1\. Received: -3"),
        ({"part": (2, 2)}, r"part must be \(index, number\) with 0 <= index < number\. Received: \(2, 2\)"),
        ({"part": (-1, 2)}, r"part must be .* Received: \(-1, 2\)"),
        ({"part": (0, 0)}, r"part must be .* Received: \(0, 0\)"),
    ],
)
def test_bad_arguments_are_refused_at_once(records, options, message):
    options = {"split": "train", "batch_size": 8} | options
    with pytest.raises(RecordsError, match=message):
        records.dataset(**options)
    with pytest.raises(RecordsError, match=message):
        records.training_dataset(**options, seed=0)


def test_varied_sizes_are_named(records):
    varied = dataclasses.replace(
        records,
        manifest=dataclasses.replace(
            records.manifest, image=dataclasses.replace(records.manifest.image, height=None)
        ),
    )
    with pytest.raises(RecordsError, match="pictures of different sizes; build it again with --size"):
        varied.dataset("train", batch_size=8)


@pytest.fixture
def copied(folder, tmp_path):
    """A copy of the records to be damaged, and the path of one shard."""
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path, tmp_path / f"train-00002-of-{NUM_SHARDS:05d}.tfrecord"


def test_no_manifest(tmp_path):
    with pytest.raises(
        RecordsError, match=r"it has no manifest\.json; make one with bioattack-build-records"
    ):
        open_records(tmp_path)


def test_missing_shard(copied):
    directory, shard = copied
    shard.unlink()
    with pytest.raises(RecordsError, match=f"the shard {shard} is missing; build the records again"):
        open_records(directory)


def test_truncated_shard(copied):
    directory, shard = copied
    content = shard.read_bytes()
    shard.write_bytes(content[:-9])
    message = f"{shard} has {len(content) - 9} bytes where the manifest says {len(content)}; build the"
    with pytest.raises(RecordsError, match=message):
        open_records(directory)


@pytest.mark.parametrize("position", [0, 9, 200, -20, -1])
def test_flipped_bit_is_explained(copied, position):
    directory, shard = copied
    content = bytearray(shard.read_bytes())
    content[position] ^= 4
    shard.write_bytes(content)
    records = open_records(directory)
    message = f"{shard.name} was changed: .*; build the records again"
    with pytest.raises(RecordsError, match=message), explain_read_errors(records):
        together(records.dataset("train", batch_size=8, epoch_seed=(0, 0)))


def test_shard_that_vanishes_meanwhile_is_explained(copied):
    directory, shard = copied
    records = open_records(directory)
    shard.unlink()
    message = f"{shard.name} is missing; build the records again"
    with pytest.raises(RecordsError, match=message), explain_read_errors(records):
        together(records.dataset("train", batch_size=8))


def test_other_errors_are_not_blamed_on_the_records(records):
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine"), explain_read_errors(records):
        raise tf.errors.InvalidArgumentError(None, None, "mine")
