"""An archive of ImageNet pictures with its list, as records."""

import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.listed_pictures import build_listed, class_names_of
from bioattack.testing.made_up_pictures import picture_bytes

COLUMNS = ("file", "true_index", "true_name")
ROWS = (("a.png", "3", "tiger shark, Galeocerdo cuvieri"), ("b.jpg", "134", "crane"), ("c.png", "-1", "x"))


@pytest.fixture
def write(tmp_path):
    """Writes an archive of pictures of 20 x 16 pixels, and its list."""

    def write(rows=ROWS, columns=COLUMNS, members=("a.png", "b.jpg", "c.png")):
        archive = tmp_path / "pictures.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for seed, name in enumerate(members):
                kind = "JPEG" if name.endswith("jpg") else "PNG"
                file.writestr(f"inner/{name}", picture_bytes(seed, file_format=kind, size=(20, 16)))
        with archive.with_suffix(".csv").open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        return archive

    return write


def build(archive, tmp_path, **how):
    return build_listed(archive, tmp_path / "records", **{"size": 12, "weights": None, "quiet": True} | how)


def test_listed_pictures_become_records_of_1000_classes(write, tmp_path):
    records = build(write(), tmp_path)
    assert (records.num_classes, records.image_shape, records.splits) == (1000, (12, 12, 3), ("test",))
    (batch,) = records.examples("test", batch_size=8).as_numpy_iterator()
    found = dict(zip(batch["image_id"], batch["label"].tolist(), strict=True))
    assert found == {b"a.png": 3, b"b.jpg": 134}
    assert records.class_names[3] == "tiger shark"
    assert records.manifest.left_out["none of the 1,000 classes"]["count"] == 1


def test_a_picture_of_the_right_size_stays_as_it_is(write, tmp_path):
    archive = write(rows=ROWS[:1])
    with zipfile.ZipFile(archive, "w") as file:
        content = picture_bytes(7, size=(12, 12))
        file.writestr("a.png", content)
    records = build(archive, tmp_path)
    (batch,) = records.examples("test", batch_size=8).as_numpy_iterator()
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(np.round(batch["image"][0] * 255).astype(int), pixels)


def test_the_same_archive_is_not_built_twice(write, tmp_path):
    archive = write()
    first = build(archive, tmp_path)
    assert build(archive, tmp_path).manifest.fingerprint == first.manifest.fingerprint


def test_class_names_come_from_the_weights_folder_and_are_told_apart(write, tmp_path):
    archive = write()
    with (tmp_path / "imagenet_classes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("index", "wnid", "name"), (134, "n1", "crane"), (517, "n2", "crane, lift")]
        )
    names = class_names_of(archive, tmp_path)
    assert (names[134], names[517], names[0]) == ("crane", "crane (517)", "class 0")


def test_without_a_list_it_is_refused(write, tmp_path):
    archive = write()
    archive.with_suffix(".csv").unlink()
    with pytest.raises(InputError, match=r"has no list beside it: pictures\.csv, with the columns"):
        build(archive, tmp_path)


def test_a_list_without_the_class_is_refused(write, tmp_path):
    archive = write(columns=("file", "index", "name"))
    with pytest.raises(InputError, match="needs the columns file and true_index or ilsvrc_index"):
        build(archive, tmp_path)


def test_a_picture_that_is_not_there_is_refused(write, tmp_path):
    archive = write(members=("a.png",))
    with pytest.raises(InputError, match=r"does not hold b\.jpg, which its list names"):
        build(archive, tmp_path)


def test_what_is_no_archive_is_refused(write, tmp_path):
    archive = write()
    archive.write_text("no zip")
    with pytest.raises(InputError, match=r"cannot be read as a \.zip file"):
        build(archive, tmp_path)
