import csv
import dataclasses
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from bioattack.testing.check_source import check_source
from bioattack.testing.made_up_pictures import class_pictures, picture_bytes, write_files
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.folder import Folder, FolderOptions
from bioattack.tfrecords_builder.schema import parse
from bioattack.tfrecords_builder.tfrecord import read_records


def _folder(source, **options):
    return Folder(FolderOptions(source=source, output=source / "unused", **options))


def _labels(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_class_folders_below_split_folders(tmp_path):
    files = class_pictures({"set/train/ant": 3, "set/train/bee": 2, "set/val/ant": 1, "set/val/bee": 2})
    source = write_files(tmp_path / "source", files)
    counts = {"train": (3, 2), "test": (1, 2)}
    manifest = check_source("folder", {"source": source}, folder=tmp_path / "out", counts=counts)
    assert manifest.class_names == ("ant", "bee")
    assert manifest.class_ids is None
    assert manifest.image == dataclasses.replace(manifest.image, height=10, width=12, channels=3)


@pytest.mark.parametrize("form", ["zip", "tar", "gztar"])
def test_archives_give_the_same_records_as_the_folder(tmp_path, form):
    source = write_files(tmp_path / "source", class_pictures({"ant": 5, "bee": 10}))
    archive = shutil.make_archive(str(tmp_path / "packed"), form, source)
    counts = {"train": (4, 8), "test": (1, 2)}
    packed = check_source(
        "folder", {"source": tmp_path / archive, "size": 6}, folder=tmp_path / "out", counts=counts
    )
    options = FolderOptions(source=source, output=tmp_path / "plain", size=6, num_shards=3, quiet=True)
    assert build("folder", options).manifest.fingerprint == packed.fingerprint


def test_csv_of_labels_with_splits_and_groups(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({".": 6}, size=(9, 9)))
    rows = [["picture", "animal", "split", "country", "sex"]]
    rows += [[f"{n}.png", ["ant", "bee"][n % 2], "train" if n < 4 else "val", "KEN", "f"] for n in range(6)]
    arguments = {
        "source": source,
        "labels": _labels(tmp_path / "labels.csv", rows),
        "file_column": "picture",
        "label_column": "animal",
        "groups": ("country", "sex"),
    }
    counts = {"train": (2, 2), "test": (1, 1)}
    manifest = check_source("folder", arguments, folder=tmp_path / "out", counts=counts)
    assert manifest.groups == ("country", "sex")
    assert manifest.source["labels"]["name"] == "labels.csv"


def test_rows_without_a_label_and_pictures_without_a_row_are_counted(tmp_path):
    files = class_pictures({"a": 7}) | {"a/readme.md": b"x"}
    source = write_files(tmp_path / "source", files)
    rows = [
        ["file", "label"],
        ["0.png", "x"],
        ["a/1.png", "y"],
        ["2.png", ""],
        ["./a/3.png", "x"],
        ["a\\4.png", "y"],
    ]
    folder = _folder(source, labels=_labels(tmp_path / "l.csv", rows), test_fraction=0.0)
    assert [(item.key, item.label) for item in folder.items()] == [
        ("a/0.png", 0), ("a/1.png", 1), ("a/3.png", 0), ("a/4.png", 1),
    ]  # fmt: skip
    assert folder.left_out == {
        "files that are no pictures by their names": {"count": 1, "examples": ["a/readme.md"]},
        "rows without a label in the labels file": {"count": 1, "examples": ["2.png"]},
        "pictures without a row in the labels file": {"count": 2, "examples": ["a/5.png", "a/6.png"]},
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [["0.png", "x"], ["9.png", "y"]],
            r"l\.csv, line 3, names '9\.png', which is not among the pictures",
        ),
        (
            [["0.png", "x"], ["1.png", "y"], ["0.png", "x"]],
            r"two rows for '0\.png', lines 2 and 4; remove one",
        ),
        ([["0.png", "x"], ["a/0.png", "y"]], r"two rows for 'a/0\.png', lines 2 and 3"),
        (
            [],
            r"no picture of .* has a row in .*l\.csv \(column 'file'\); choose the column with --file-column",
        ),
        ([["0.png", "x"], ["1.png", "x"]], "has 1 class; a classifier needs two or more"),
    ],
)
def test_bad_labels_are_refused(tmp_path, rows, message):
    source = write_files(tmp_path / "source", class_pictures({"a": 3}))
    labels = _labels(tmp_path / "l.csv", [["file", "label"], *rows])
    with pytest.raises(RecordsError, match=message):
        _folder(source, labels=labels).items()


def test_unknown_split_is_refused(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({"a": 2}))
    labels = _labels(tmp_path / "l.csv", [["file", "label", "split"], ["0.png", "x", "fold 3"]])
    with pytest.raises(RecordsError, match=r"line 2: the split must be train or test.*Received: 'fold 3'"):
        _folder(source, labels=labels).items()


def test_some_pictures_with_a_split_and_some_without_are_refused(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({"a": 2}))
    rows = [["file", "label", "split"], ["0.png", "x", "train"], ["1.png", "y", ""]]
    with pytest.raises(RecordsError, match=r"a/1\.png has no split while a/0\.png is in train"):
        _folder(source, labels=_labels(tmp_path / "l.csv", rows)).items()


def test_names_that_occur_twice_need_their_path(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({"a": 1, "b": 1}))
    with pytest.raises(RecordsError, match=r"names '0\.png', which is not among the pictures"):
        _folder(source, labels=_labels(tmp_path / "l.csv", [["file", "label"], ["0.png", "x"]])).items()


def test_groups_need_labels(tmp_path):
    with pytest.raises(
        RecordsError, match=r"--groups names columns of a labels file; give that file with --labels"
    ):
        _folder(tmp_path, groups=("country",))


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["010", "9"], ("010", "9")),
        (["bee", "Ant"], ("Ant", "bee")),
    ],
)
def test_order_of_classes(tmp_path, names, order):
    source = write_files(tmp_path / "source", class_pictures(dict.fromkeys(names, 1)))
    folder = _folder(source)
    folder.items()
    assert folder.class_names == order


@pytest.mark.parametrize("split", ["", "train/", "val/"])
def test_class_folder_without_pictures_is_refused(tmp_path, split):
    files = {"": {"ant": 1, "bee": 1}}.get(split, {"train/ant": 1, "train/bee": 1, "val/ant": 1})
    source = write_files(tmp_path / "source", class_pictures(files))
    write_files(source, {f"{split}wasp/readme.txt": b"x"})
    with pytest.raises(
        RecordsError, match=r"the class folder 'wasp' in .*source holds no pictures; fill or remove it"
    ):
        _folder(source).items()


def test_class_without_training_pictures_is_refused(tmp_path):
    files = class_pictures({"train/ant": 1, "train/bee": 1, "test/ant": 1, "test/wasp": 1})
    with pytest.raises(RecordsError, match=r"no training pictures of wasp in"):
        _folder(write_files(tmp_path / "source", files)).items()


def test_source_without_pictures_is_refused(tmp_path):
    write_files(tmp_path / "source", {"ant/notes.txt": b"x", "train.tar": b"x"})
    with pytest.raises(
        RecordsError, match=r"there are no pictures in .*source; it must hold one folder per class"
    ):
        _folder(tmp_path / "source").items()


def test_pictures_in_no_class_folder_are_refused(tmp_path):
    source = write_files(
        tmp_path / "source", class_pictures({"ant": 1, "bee": 1}) | {"stray.png": picture_bytes(9)}
    )
    with pytest.raises(RecordsError, match=r"stray\.png in .* lies in no class folder; move it.*--labels"):
        _folder(source).items()


def test_different_sizes_without_size_are_refused(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({"ant": 2, "bee": 2}, size=(8, 6)))
    write_files(source, {"bee/odd.png": picture_bytes(9, size=(6, 8))})
    options = FolderOptions(source=source, output=tmp_path / "records", quiet=True)
    message = r"ant/0\.png has 8 x 6 pixels and bee/odd\.png has 6 x 8; give --size N to bring all to N x N"
    for skip_bad in (False, True):
        with pytest.raises(RecordsError, match=message):
            build("folder", dataclasses.replace(options, skip_bad=skip_bad))
    assert build("folder", dataclasses.replace(options, size=4)).manifest.image.width == 4


def test_pictures_smaller_than_the_crop_are_scaled_up(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({"ant": 1, "bee": 1}, size=(5, 3)))
    for crop in ("scaled", "center"):
        folder = _folder(source, size=32, crop=crop)
        picture = folder.load(folder.items()[0])
        assert (picture.width, picture.height) == (32, 32)


def test_crop_rules_differ_on_large_pictures(tmp_path):
    pixels = np.zeros((40, 40), np.uint8)
    pixels[10:30, 10:30] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    source = write_files(tmp_path / "source", {"a/0.png": buffer.getvalue(), "b/0.png": picture_bytes(0)})
    for crop, is_all_white in (("center", True), ("scaled", False)):
        folder = _folder(source, size=20, crop=crop)
        found = np.asarray(Image.open(io.BytesIO(folder.load(folder.items()[0]).encoded)))
        assert (found == 255).all() == is_all_white


def test_grey_set_is_read_as_three_channels(tmp_path):
    files = class_pictures({"ant": 3, "bee": 3}, mode="L")
    source = write_files(tmp_path / "source", files)
    counts = {"train": (2, 2), "test": (1, 1)}
    manifest = check_source("folder", {"source": source}, folder=tmp_path / "out", counts=counts)
    assert manifest.image.channels == 3
    kept = [
        parse(record)
        for path in (tmp_path / "out" / "one").glob("*.tfrecord")
        for record in read_records(path)
    ]
    assert {example.channels for example in kept} == {1}
    assert {example.encoded for example in kept} == set(files.values())


@pytest.mark.realdata
def test_tiny_imagenet(realdata, tmp_path):
    options = FolderOptions(
        source=realdata / "imagenet" / "tiny_imagenet10.zip",
        output=tmp_path / "records",
        limit=200,
        quiet=True,
    )
    manifest = build("folder", options).manifest
    assert {split: info.per_class for split, info in manifest.splits.items()} == {
        "train": (20,) * 10,
        "test": (20,) * 10,
    }
    assert (manifest.image.height, manifest.image.width) == (64, 64)


@pytest.mark.realdata
def test_dollar_street_with_countries(realdata, tmp_path):
    geo = realdata / "geo"
    arguments = {
        "source": geo / "dollar_street_sample.zip",
        "labels": geo / "dollar_street_sample.csv",
        "label_column": "category",
        "groups": ("country", "iso3"),
        "size": 64,
    }
    counts = {"train": (12, 11), "test": (3, 3)}
    manifest = check_source("folder", arguments, folder=tmp_path / "out", counts=counts)
    assert manifest.class_names == ("beds", "toothbrush")


CLASSES = [["index", "wnid", "name"], [0, "n1", "ant"], [1, "n2", "bee"], [2, "n3", "cat"], [3, "n4", "dog"]]


def test_a_list_of_classes_gives_their_order_and_those_that_are_not_shown(tmp_path):
    files = class_pictures({"train/n3": 3, "train/n1": 2, "train/n7": 1, "val/n4": 1})
    source = write_files(tmp_path / "source", files)
    arguments = {"source": source, "classes": _labels(tmp_path / "classes.csv", CLASSES)}
    manifest = check_source(
        "folder", arguments, folder=tmp_path / "out", counts={"train": (2, 0, 3, 0), "test": (0, 0, 0, 1)}
    )
    assert manifest.class_names == ("ant", "bee", "cat", "dog")
    assert manifest.class_ids == ("n1", "n2", "n3", "n4")
    assert manifest.left_out["pictures of other classes"]["count"] == 1
    assert manifest.source["classes"]["name"] == "classes.csv"


def test_labels_may_be_places_in_the_list_of_classes(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({".": 4}))
    rows = [["file", "true_index"], ["0.png", 3], ["1.png", 1], ["2.png", -1], ["3.png", 1]]
    arguments = {
        "source": source,
        "labels": _labels(tmp_path / "labels.csv", rows),
        "label_column": "true_index",
        "classes": _labels(tmp_path / "classes.csv", CLASSES),
        "test_fraction": 1.0,
    }
    manifest = check_source("folder", arguments, folder=tmp_path / "out", counts={"test": (0, 2, 0, 1)})
    assert tuple(manifest.splits) == ("test",)
    assert manifest.left_out["pictures of other classes"] == {"count": 1, "examples": ["2.png"]}


def test_a_list_of_other_classes_is_refused(tmp_path):
    source = write_files(tmp_path / "source", class_pictures({"x": 2, "y": 2}))
    folder = _folder(source, classes=_labels(tmp_path / "classes.csv", CLASSES))
    with pytest.raises(
        RecordsError, match=r"no picture of .* is of a class in .*classes\.csv: the folders or"
    ):
        folder.items()
