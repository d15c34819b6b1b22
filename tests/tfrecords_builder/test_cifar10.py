import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from bioattack.testing.check_source import check_source
from bioattack.tfrecords_builder.arrays import ArrayOptions
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.cifar10 import Cifar10
from bioattack.tfrecords_builder.errors import RecordsError

BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
RANDOM = np.random.default_rng(0)
# The published layout: 1,024 red, then green, then blue values, row by row.
DATA = {name: RANDOM.integers(0, 256, (4, 3072), np.uint8) for name in BATCHES}
LABELS = {name: [(index * 4 + n) % 10 for n in range(4)] for index, name in enumerate(BATCHES)}
COUNTS = {"train": (2,) * 10, "test": (1, 1, 1, 1, 0, 0, 0, 0, 0, 0)}


def _tar(path, contents):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _python_batches():
    # Protocol 2, as the originals; their keys are Python 2's strings, which arrive as bytes.
    return {
        name: pickle.dumps({b"data": DATA[name], b"labels": LABELS[name], b"batch_label": b"x"}, protocol=2)
        for name in BATCHES
    } | {"readme.html": b"x", "batches.meta": b"x"}


def _binary_batches():
    return {
        f"{name}.bin": np.column_stack([np.uint8(LABELS[name]), DATA[name]]).tobytes() for name in BATCHES
    }


def _images(name):
    return np.stack([row.reshape(3, 32, 32).transpose(1, 2, 0) for row in DATA[name]])


def _keras_arrays():
    return {
        "x_train": np.concatenate([_images(name) for name in BATCHES[:5]]),
        "y_train": np.uint8([[label] for name in BATCHES[:5] for label in LABELS[name]]),
        "x_test": _images("test_batch"),
        "y_test": np.uint8([[label] for label in LABELS["test_batch"]]),
    }


def _npz(path, arrays):
    np.savez(path, **arrays)
    return path


def _write(tmp_path, form):
    if form == "npz":
        return _npz(tmp_path / "source.npz", _keras_arrays())
    if form in ("python.tar.gz", "binary.tar.gz"):
        batches = _python_batches() if form.startswith("python") else _binary_batches()
        return _tar(tmp_path / form, batches)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in (_python_batches() if form == "python folder" else _binary_batches()).items():
        (folder / name).write_bytes(content)
    return folder


def _source(path):
    return Cifar10(ArrayOptions(source=path, output=path.parent / "unused"))


def test_harness(tmp_path):
    source = _write(tmp_path, "python.tar.gz")
    manifest = check_source("cifar10", {"source": source}, folder=tmp_path / "out", counts=COUNTS)
    assert manifest.class_names == (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    assert manifest.source["name"] == "python.tar.gz"


@pytest.mark.parametrize("form", ["npz", "python.tar.gz", "binary.tar.gz", "python folder", "binary folder"])
def test_every_form_gives_the_same_pictures(tmp_path, form):
    source = _source(_write(tmp_path, form))
    items = source.items()
    assert [item.key for item in items[:2] + items[-1:]] == ["train/00000", "train/00001", "test/00003"]
    expected = [
        (image, label) for name in BATCHES for image, label in zip(_images(name), LABELS[name], strict=True)
    ]
    for item, (image, label) in zip(items, expected, strict=True):
        assert item.label == label
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(source.load(item).encoded))), image)


def test_part_of_the_set_keeps_its_places(tmp_path):
    arrays = _keras_arrays() | {"train_index": np.arange(20) * 7, "class_names": np.array(list("ab"))}
    items = _source(_npz(tmp_path / "a.npz", arrays)).items()
    assert [item.key for item in items[:3]] == ["train/00000", "train/00007", "train/00014"]


class Evil:
    def __reduce__(self):
        return os.system, ("echo caught > /tmp/never",)


@pytest.mark.parametrize("thing", [Evil(), np.array([Evil()], object), os.path.join, io.BytesIO])
def test_pickles_that_ask_for_more_than_arrays_are_refused(tmp_path, thing):
    batches = _python_batches() | {"data_batch_3": pickle.dumps({b"data": thing}, protocol=2)}
    with pytest.raises(
        RecordsError, match=r"data_batch_3 is damaged or not CIFAR-10 \(it asks for \w+\.\w+, which"
    ):
        _source(_tar(tmp_path / "a.tar.gz", batches)).items()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_batch_2": b""}, "data_batch_2 is damaged or not CIFAR-10"),
        (
            {"data_batch_2": pickle.dumps({b"data": DATA["test_batch"]}, protocol=2)},
            "data_batch_2 is damaged",
        ),
        (
            {
                "data_batch_2": pickle.dumps(
                    {b"data": np.zeros((4, 9), np.uint8), b"labels": [0] * 4}, protocol=2
                )
            },
            r"data_batch_2 has images of uint8 and shape \(4, 9\), not CIFAR-10's",
        ),
        (
            {"test_batch": pickle.dumps({b"data": DATA["test_batch"], b"labels": [0, 1, 2, 10]}, protocol=2)},
            "test: the labels must be 0 to 9. Received: 0 to 10",
        ),
    ],
)
def test_damaged_batches_are_refused(tmp_path, change, message):
    with pytest.raises(RecordsError, match=message):
        _source(_tar(tmp_path / "a.tar.gz", _python_batches() | change)).items()


def test_missing_batch_is_named(tmp_path):
    batches = _binary_batches()
    del batches["data_batch_4.bin"]
    with pytest.raises(
        RecordsError, match=r"is no CIFAR-10: it lacks data_batch_4\.bin; give the \.npz of Keras"
    ):
        _source(_tar(tmp_path / "a.tar.gz", batches)).items()


def test_truncated_archive_is_refused(tmp_path):
    path = _write(tmp_path, "python.tar.gz")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(RecordsError, match=r"cannot read .*python\.tar\.gz: .*; fetch it again"):
        _source(path).items()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, r"a\.npz lacks y_test; it holds x_train, y_train, x_test"),
        (
            {"x_train": np.zeros((20, 32, 32), np.uint8)},
            r"train: the images must be uint8 of shape \(count, 32, 32, 3\)",
        ),
        ({"x_train": np.zeros((20, 32, 32, 3), np.float32)}, "Received: float32 of shape"),
        (
            {"x_test": np.zeros((0, 32, 32, 3), np.uint8), "y_test": np.zeros(0, int)},
            r"shape \(0, 32, 32, 3\)",
        ),
        ({"y_train": np.zeros(19, np.int64)}, "one whole number as label for each of 20 images"),
        ({"y_train": np.zeros(20)}, "Received: float64"),
        ({"y_train": np.full(20, -1)}, "the labels must be 0 to 9. Received: -1 to -1"),
        ({"y_train": np.full(20, None)}, r"cannot read .*a\.npz: Object arrays cannot be loaded"),
        ({"train_index": np.zeros(20, int)}, "the index must give each image a whole number of its own"),
    ],
)
def test_bad_npz_is_refused(tmp_path, change, message):
    arrays = {name: array for name, array in (_keras_arrays() | change).items() if array is not None}
    with pytest.raises(RecordsError, match=message):
        _source(_npz(tmp_path / "a.npz", arrays)).items()


def test_truncated_npz_is_refused(tmp_path):
    path = _write(tmp_path, "npz")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(RecordsError, match=r"cannot read .*source\.npz"):
        _source(path).items()


def test_missing_source_is_refused(tmp_path):
    with pytest.raises(RecordsError, match=r"there is no file or folder .*nothing"):
        _source(tmp_path / "nothing").items()


def test_download(tmp_path, monkeypatch, capsys):
    arrays = _keras_arrays()

    def download(_):
        print("Downloading")
        return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])

    monkeypatch.setattr(Cifar10, "download", download)
    options = ArrayOptions(output=tmp_path / "records", workers=2, quiet=True)
    manifest = build("cifar10", options).manifest
    assert manifest.splits["train"].per_class == COUNTS["train"]
    assert manifest.source["name"] == "keras.datasets"
    assert "Downloading" not in capsys.readouterr().out


def test_download_without_a_network_is_explained(tmp_path, monkeypatch):
    def download(_):
        raise Exception("URL fetch failure on https://www.cs.toronto.edu: None --\n no route")

    monkeypatch.setattr(Cifar10, "download", download)
    message = (
        r"Keras could not download Cifar10 \(URL fetch failure on .* no route\); fetch it .* with --source"
    )
    with pytest.raises(RecordsError, match=message):
        Cifar10(ArrayOptions(output=tmp_path / "records")).items()


@pytest.mark.realdata
def test_bundled_part(realdata, tmp_path):
    source = realdata / "cifar10" / "cifar10_20k_5k.npz"
    options = ArrayOptions(source=source, output=tmp_path / "records", limit=100, quiet=True)
    manifest = build("cifar10", options).manifest
    assert {split: info.per_class for split, info in manifest.splits.items()} == {
        "train": (10,) * 10,
        "test": (10,) * 10,
    }
    with np.load(source) as archive:
        assert tuple(archive["class_names"]) == manifest.class_names
