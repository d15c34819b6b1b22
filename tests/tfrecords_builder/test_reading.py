import dataclasses
import io
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bioattack.testing.made_up_pictures import class_pictures, write_files
from bioattack.tfrecords_builder import reading, tfrecord
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.folder import FolderOptions
from bioattack.tfrecords_builder.manifest import ImageSize
from bioattack.tfrecords_builder.reading import Records, explain_read_errors, open_records
from bioattack.tfrecords_builder.schema import parse
from bioattack.tfrecords_builder.synthetic import Synthetic, SyntheticOptions

NUM_TRAIN, NUM_TEST, NUM_SHARDS, BATCH_SIZE = 50, 20, 3, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("reading") / "records"
    sizes = {"num_train": NUM_TRAIN, "num_test": NUM_TEST, "size": 16, "num_shards": NUM_SHARDS}
    build("synthetic", SyntheticOptions(output=output, quiet=True, **sizes))
    return output


@pytest.fixture(scope="module")
def records(folder):
    return open_records(folder)


@pytest.fixture
def copied(folder, tmp_path):
    return write_files(tmp_path / "copy", {path.name: path.read_bytes() for path in folder.iterdir()})


@pytest.fixture
def small_windows(monkeypatch):
    """Windows of five pictures, so that a pass over the split has ten of them."""
    monkeypatch.setattr(reading, "_WINDOW_LIMITS", (5, 5))


def stored(folder, split):
    """The stored examples, read without TensorFlow: one shard after the other."""
    shards = sorted(folder.glob(f"{split}-*.tfrecord"))
    return [parse(record) for shard in shards for record in tfrecord.read_records(shard)]


def decoded(example):
    return np.asarray(Image.open(io.BytesIO(example.encoded))).astype(np.float32) / np.float32(255)


def batches(dataset, number=None):
    return [(images.numpy(), labels.numpy()) for images, labels in itertools.islice(dataset, number)]


def bytes_of(read):
    """Every picture with its label as bytes, in the order in which they came."""
    return [
        image.tobytes() + label.tobytes()
        for images, labels in read
        for image, label in zip(images, labels, strict=True)
    ]


def order(dataset, number=None):
    return bytes_of(batches(dataset, number))


def test_what_is_known_of_the_records(records):
    assert records.num_classes == 10
    assert records.class_names[:2] == ("car", "chair")
    assert records.image_shape == (16, 16, 3)
    assert records.groups == ("country",)
    assert set(records.splits) == {"train", "test"}
    assert (records.num_examples("train"), records.num_examples("test")) == (NUM_TRAIN, NUM_TEST)


@pytest.mark.parametrize(
    ("batch_size", "limit", "steps"), [(8, None, 7), (10, None, 5), (64, None, 1), (8, 16, 2), (8, 17, 3)]
)
def test_steps_per_epoch(records, batch_size, limit, steps):
    assert records.steps_per_epoch("train", batch_size, limit=limit) == steps
    dataset = records.dataset("train", batch_size=batch_size, limit=limit)
    assert dataset.cardinality().numpy() == len(batches(dataset)) == steps


def test_values_are_those_that_pillow_decodes(records, folder):
    (images, labels) = batches(records.dataset("train", batch_size=NUM_TRAIN))[0]
    assert (images.dtype, labels.dtype) == (np.float32, np.int32)
    examples = stored(folder, "train")
    np.testing.assert_array_equal(labels, [example.label for example in examples])
    # Equal, not close: every value is k / 255 rounded once, so that 8 bits give k back.
    np.testing.assert_array_equal(images, [decoded(example) for example in examples])


def test_every_value_is_k_over_255(tmp_path):
    ramp = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB").save(ramp, "PNG")
    source = write_files(tmp_path / "source", {f"{name}/0.png": ramp.getvalue() for name in ("ant", "bee")})
    build("folder", FolderOptions(source=source, output=tmp_path / "records", test_fraction=0, quiet=True))
    ((images, _),) = batches(open_records(tmp_path / "records").dataset("train", batch_size=2))
    expected = np.arange(256, dtype=np.float32).reshape(16, 16) / np.float32(255)
    np.testing.assert_array_equal(images[0, ..., 1], expected)


def test_examples_carry_everything(records, folder):
    read = list(records.examples("test", batch_size=6).as_numpy_iterator())
    assert set(read[0]) == {"image", "label", "image_id", "sha256", "group_country"}
    assert read[0]["image"].dtype == np.float32
    assert read[0]["label"].dtype == np.int32
    joined = {name: np.concatenate([batch[name] for batch in read]) for name in read[0]}
    examples = stored(folder, "test")
    for name, values in {
        "image": [decoded(example) for example in examples],
        "label": [example.label for example in examples],
        "image_id": [example.filename.encode() for example in examples],
        "sha256": [example.sha256.encode() for example in examples],
        "group_country": [example.groups["country"].encode() for example in examples],
    }.items():
        np.testing.assert_array_equal(joined[name], values)


def test_a_limit_takes_the_beginning_of_the_stored_order(records):
    whole = order(records.dataset("train", batch_size=BATCH_SIZE))
    assert order(records.dataset("train", batch_size=BATCH_SIZE, limit=20)) == whole[:20]
    assert order(records.dataset("train", batch_size=BATCH_SIZE, limit=1000)) == whole
    assert sum(len(batch["label"]) for batch in records.examples("train", batch_size=8, limit=11)) == 11
    shuffled = order(records.dataset("train", batch_size=BATCH_SIZE, limit=20, epoch_seed=(0, 0)))
    assert shuffled != whole[:20]
    assert sorted(shuffled) == sorted(whole[:20])


@pytest.mark.usefixtures("small_windows")
def test_an_epoch_has_every_picture_once(records):
    whole = sorted(order(records.dataset("train", batch_size=BATCH_SIZE)))
    assert len(set(whole)) == NUM_TRAIN
    for epoch in range(3):
        shuffled = order(records.dataset("train", batch_size=BATCH_SIZE, epoch_seed=(7, epoch)))
        assert sorted(shuffled) == whole


@pytest.mark.usefixtures("small_windows")
def test_the_order_follows_from_seed_and_epoch_alone(records):
    def of(seed, epoch):
        return order(records.dataset("train", batch_size=BATCH_SIZE, epoch_seed=(seed, epoch)))

    once = of(1, 0)
    for global_seed in (0, 5):
        keras.utils.set_random_seed(global_seed)
        assert of(1, 0) == once
    orders = [once, of(1, 1), of(2, 0), of(0, 1), order(records.dataset("train", batch_size=BATCH_SIZE))]
    assert all(one != other for one, other in itertools.combinations(orders, 2))


@pytest.mark.usefixtures("small_windows")
def test_the_order_does_not_depend_on_the_batch_size(records):
    small, large = (
        order(records.dataset("train", batch_size=batch_size, epoch_seed=(3, 4))) for batch_size in (7, 50)
    )
    assert small == large


def test_the_order_mixes_far_apart_pictures(records):
    """In a shuffled epoch a picture's place tells hardly anything about its place in the stored order."""
    place = {content: index for index, content in enumerate(order(records.dataset("train", batch_size=8)))}
    places = [
        [place[content] for content in order(records.dataset("train", batch_size=8, epoch_seed=(0, epoch)))]
        for epoch in range(4)
    ]
    correlations = [np.corrcoef(one, range(NUM_TRAIN))[0, 1] for one in places]
    # The standard deviation of a mean of four correlations of 50 independent pairs is 0.07.
    assert abs(np.mean(correlations)) < 0.3


@pytest.mark.usefixtures("small_windows")
def test_training_goes_through_epoch_after_epoch(records):
    steps = records.steps_per_epoch("train", BATCH_SIZE)
    endless = records.training_dataset("train", batch_size=BATCH_SIZE, seed=3)
    assert endless.cardinality().numpy() == tf.data.INFINITE_CARDINALITY
    read = batches(endless, 3 * steps)
    for epoch in range(3):
        of_epoch = batches(records.dataset("train", batch_size=BATCH_SIZE, epoch_seed=(3, epoch)))
        assert bytes_of(read[epoch * steps : (epoch + 1) * steps]) == bytes_of(of_epoch)
    assert [len(labels) for _, labels in read[:steps]] == [8, 8, 8, 8, 8, 8, 2]


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("limit", [None, 20])
def test_a_resumed_training_sees_what_an_uninterrupted_one_sees(records, limit):
    options = {"batch_size": BATCH_SIZE, "seed": 0, "limit": limit}
    steps = records.steps_per_epoch("train", BATCH_SIZE, limit=limit)
    uninterrupted = order(records.training_dataset("train", **options), 4 * steps)
    resumed = order(records.training_dataset("train", **options, first_epoch=2), 2 * steps)
    assert resumed == uninterrupted[len(uninterrupted) // 2 :]


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("epoch_seed", [None, (0, 1)])
def test_parts_divide_a_pass_among_readers(records, epoch_seed):
    options = {"batch_size": BATCH_SIZE, "epoch_seed": epoch_seed}
    whole = order(records.dataset("train", **options))
    parts = [order(records.dataset("train", **options, part=(index, 3))) for index in range(3)]
    assert sorted(map(len, parts)) == [16, 17, 17]
    assert sorted(itertools.chain(*parts)) == sorted(whole)


def test_several_passes_over_one_dataset_are_alike(records):
    dataset = records.dataset("train", batch_size=BATCH_SIZE, epoch_seed=(0, 0))
    assert order(dataset) == order(dataset)


def test_grey_pictures(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({"ant": 3, "bee": 3}, mode="L"))
    build("folder", FolderOptions(source=source, output=tmp_path / "records", test_fraction=0, quiet=True))
    records = open_records(tmp_path / "records")
    ((images, _),) = batches(records.dataset("train", batch_size=6))
    assert images.shape == (6, *records.image_shape)


def test_pictures_of_several_sizes_are_refused_with_the_remedy(records):
    varied = dataclasses.replace(records.manifest, image=ImageSize(None, None, 3))
    records = Records(records.directory, varied)
    with pytest.raises(RecordsError, match="pictures of different sizes; build it again with --size"):
        records.training_dataset("train", batch_size=1, seed=0)


def test_no_records(tmp_path):
    with pytest.raises(RecordsError, match="is not a finished records folder"):
        open_records(tmp_path)


def test_missing_shard(copied):
    (copied / "test-00001-of-00003.tfrecord").unlink()
    with pytest.raises(RecordsError, match=r"the shard \S+test-00001-of-00003.tfrecord is missing; build"):
        open_records(copied)


def test_truncated_shard(copied):
    shard = copied / "train-00002-of-00003.tfrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    sizes = f"has {len(content) - 1} bytes where the manifest says {len(content)}"
    with pytest.raises(RecordsError, match=rf"train-00002-of-00003.tfrecord {sizes}"):
        open_records(copied)


@pytest.mark.parametrize("position", [0, 9, 500, -1])
def test_flipped_bit_is_found_while_reading_and_its_shard_named(copied, position):
    shard = copied / "train-00001-of-00003.tfrecord"
    content = bytearray(shard.read_bytes())
    content[position] ^= 4
    shard.write_bytes(content)
    records = open_records(copied)
    with (
        pytest.raises(RecordsError, match=r"train-00001-of-00003.tfrecord was changed.*build"),
        explain_read_errors(records),
    ):
        batches(records.training_dataset("train", batch_size=BATCH_SIZE, seed=0), 7)
    # The other split is whole.
    assert len(order(records.dataset("test", batch_size=BATCH_SIZE))) == NUM_TEST


def test_errors_of_whole_records_stay_what_they_are(records):
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="not of the records"),
        explain_read_errors(records),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "not of the records")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "validation"}, "has no split 'validation'; it has t"),
        ({"limit": 0}, "limit must be at least 1. Received: 0"),
        ({"part": (2, 2)}, r"part must be \(index, number\) with 0 <= index < number. Received: \(2, 2\)"),
    ],
)
def test_bad_arguments(records, options, message):
    options = {"split": "train", "batch_size": 4} | options
    with pytest.raises(RecordsError, match=message):
        records.dataset(**options)
    with pytest.raises(RecordsError, match=message):
        records.training_dataset(**options, seed=0)


def test_the_source_and_the_records_agree(records):
    source = Synthetic(
        SyntheticOptions(output=records.directory, num_train=NUM_TRAIN, num_test=NUM_TEST, size=16)
    )
    listed = {item.key: item for item in source.items() if item.split == "test"}
    for batch in records.examples("test", batch_size=NUM_TEST).as_numpy_iterator():
        for image_id, label, country in zip(
            batch["image_id"], batch["label"], batch["group_country"], strict=True
        ):
            item = listed.pop(image_id.decode())
            assert (item.label, item.groups["country"]) == (label, country.decode())
    assert not listed
