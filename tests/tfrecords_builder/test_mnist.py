import gzip
import io
import shutil
import struct

import numpy as np
import pytest
from PIL import Image

from bioattack.testing.check_source import check_source
from bioattack.tfrecords_builder.arrays import ArrayOptions
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.mnist import Mnist

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x_train": RANDOM.integers(0, 256, (20, 28, 28), np.uint8),
    "y_train": np.uint8([*range(10)] * 2),
    "x_test": RANDOM.integers(0, 256, (10, 28, 28), np.uint8),
    "y_test": np.uint8(range(10)),
}
NAMES = {
    "train-images-idx3-ubyte": "x_train",
    "train-labels-idx1-ubyte": "y_train",
    "t10k-images-idx3-ubyte": "x_test",
    "t10k-labels-idx1-ubyte": "y_test",
}
COUNTS = {"train": (2,) * 10, "test": (1,) * 10}


def _idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def _write(tmp_path, form):
    if form == "npz":
        np.savez(tmp_path / "mnist.npz", **ARRAYS)
        return tmp_path / "mnist.npz"
    folder = tmp_path / "mnist" / "raw"
    folder.mkdir(parents=True)
    for name, key in NAMES.items():
        if form == "packed":
            (folder / f"{name}.gz").write_bytes(gzip.compress(_idx(ARRAYS[key])))
        else:
            (folder / (name.replace("-idx", ".idx") if form == "dotted" else name)).write_bytes(
                _idx(ARRAYS[key])
            )
    if form == "zip":
        return tmp_path / shutil.make_archive(str(tmp_path / "packed"), "zip", folder.parent)
    return folder.parent


def _source(path):
    return Mnist(ArrayOptions(source=path, output=path.parent / "unused"))


@pytest.mark.parametrize("form", ["npz", "packed", "plain", "dotted", "zip"])
def test_every_form_gives_the_same_pictures(tmp_path, form):
    source = _source(_write(tmp_path, form))
    items = source.items()
    for split in ("train", "test"):
        members = [item for item in items if item.split == split]
        assert [item.label for item in members] == ARRAYS[f"y_{split}"].tolist()
        found = [np.asarray(Image.open(io.BytesIO(source.load(item).encoded))) for item in members]
        assert np.array_equal(found, ARRAYS[f"x_{split}"])


def test_harness(tmp_path):
    source = _write(tmp_path, "packed")
    manifest = check_source("mnist", {"source": source}, folder=tmp_path / "out", counts=COUNTS)
    assert (manifest.image.height, manifest.image.width, manifest.image.channels) == (28, 28, 1)
    assert manifest.class_names == tuple("0123456789")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"\x1f\x8bnot gzip", "is damaged"),
        (_idx(ARRAYS["x_train"])[:-1], r"its header says shape \(20, 28, 28\), 15,679 bytes follow"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00", "no idx file of unsigned bytes"),
        (_idx(ARRAYS["x_train"].reshape(20, 784)), "the images must be uint8 of shape"),
        (_idx(ARRAYS["x_test"]), "one whole number as label for each of 10 images"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, content, message):
    folder = _write(tmp_path, "plain")
    (folder / "raw" / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(RecordsError, match=message):
        _source(folder).items()


def test_truncated_gzip_is_refused(tmp_path):
    folder = _write(tmp_path, "packed")
    path = folder / "raw" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RecordsError, match=r"train-images-idx3-ubyte\.gz in .* is damaged"):
        _source(folder).items()


def test_missing_files_are_named(tmp_path):
    folder = _write(tmp_path, "plain")
    (folder / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        RecordsError, match=r"is no MNIST: it lacks t10k-labels \(idx files\); give the \.npz of Keras"
    ):
        _source(folder).items()


def test_download_without_a_network_is_explained(tmp_path, monkeypatch):
    def download(_):
        raise OSError("no route to host")

    monkeypatch.setattr(Mnist, "download", download)
    with pytest.raises(RecordsError, match=r"Keras could not download Mnist \(no route to host\)"):
        Mnist(ArrayOptions(output=tmp_path / "records")).items()


@pytest.mark.realdata
def test_bundled_set(realdata, tmp_path):
    options = ArrayOptions(
        source=realdata / "mnist" / "mnist.npz", output=tmp_path / "records", limit=50, quiet=True
    )
    manifest = build("mnist", options).manifest
    assert manifest.splits["test"].per_class == (5,) * 10
    # The published sizes of the whole set.
    items = Mnist(options).items()
    assert (sum(item.split == "train" for item in items), len(items)) == (60_000, 70_000)
