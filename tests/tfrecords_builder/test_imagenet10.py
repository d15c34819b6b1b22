import csv

import pytest

from bioattack.testing.check_source import check_source
from bioattack.testing.made_up_pictures import class_pictures, picture_bytes, write_files
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.imagenet10 import ImageNet10, ImageNet10Options
from bioattack.tfrecords_builder.images import Crop, read_picture

# Burhanpurkar 2021, section 2.1, in its order.
WNIDS = (
    "n01742172", "n02099712", "n02123045", "n01644373", "n01665541",
    "n01855672", "n02510455", "n01484850", "n01981276", "n02206856",
)  # fmt: skip


def _source(source, **options):
    return ImageNet10(ImageNet10Options(source=source, output=source / "unused", **options))


def _labels(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label"], *rows])
    return path


def test_options_default_to_the_papers_size():
    assert ImageNet10Options(source="s", output="o").size == 320


def test_folders_of_wordnet_ids(tmp_path):
    folders = {f"train/{wnid}": 2 for wnid in (*WNIDS, "n00000001")} | {f"val/{wnid}": 1 for wnid in WNIDS}
    files = class_pictures(folders) | {"test/unlabelled.png": picture_bytes(99)}
    source = write_files(tmp_path / "source", files)
    manifest = check_source(
        "imagenet10",
        {"source": source, "size": 16},
        folder=tmp_path / "out",
        counts={"train": (2,) * 10, "test": (1,) * 10},
    )
    assert manifest.class_ids == WNIDS
    assert manifest.class_names == (
        "boa constrictor", "Labrador retriever", "tabby cat", "tree frog", "leatherback turtle",
        "goose", "giant panda", "great white shark", "king crab", "bee",
    )  # fmt: skip
    assert manifest.left_out["pictures of other classes"]["count"] == 2
    assert manifest.left_out["pictures outside the split folders"]["examples"] == ["test/unlabelled.png"]


def test_flat_validation_pictures_have_their_labels_from_a_csv(tmp_path):
    flat = {f"val/ILSVRC2012_val_{number:08d}.png": picture_bytes(number) for number in range(12)}
    source = write_files(tmp_path / "source", class_pictures({f"train/{wnid}": 1 for wnid in WNIDS}) | flat)
    rows = [
        [f"ILSVRC2012_val_{number:08d}.png", (*WNIDS, "n00000001", "n00000002")[number]]
        for number in range(12)
    ]
    rows += [
        ["ILSVRC2012_val_00049999.png", "n00000003"]
    ]  # of a class that was not asked for: need not be there
    source = _source(source, labels=_labels(tmp_path / "val.csv", rows), size=8)
    items = source.items()
    assert [(item.key, item.label) for item in items if item.split == "test"] == [
        (f"val/ILSVRC2012_val_{number:08d}.png", number) for number in range(10)
    ]
    assert sum(item.split == "train" for item in items) == 10
    assert source.left_out["pictures of other classes"]["count"] == 2


def test_flat_validation_pictures_without_labels_are_refused(tmp_path):
    files = class_pictures({f"train/{wnid}": 1 for wnid in WNIDS}) | {"val/1.png": picture_bytes(0)}
    with pytest.raises(RecordsError, match=r"val/1\.png in .* lies in no class folder.*--labels"):
        _source(write_files(tmp_path / "source", files)).items()


@pytest.mark.parametrize("is_empty", [True, False])
def test_missing_classes_are_named(tmp_path, is_empty):
    source = write_files(tmp_path / "source", class_pictures(dict.fromkeys((*WNIDS[:8], "n00000001"), 1)))
    if is_empty:
        (source / WNIDS[8]).mkdir()
    message = (
        r"lacks 2 of the ten ImageNet10 classes: n01981276 \(king crab\), n02206856 \(bee\); .* kind folder"
    )
    with pytest.raises(RecordsError, match=message):
        _source(source).items()


def test_pictures_are_cropped_by_the_papers_rule(tmp_path):
    files = class_pictures(dict.fromkeys(WNIDS, 1), size=(41, 37))
    source = _source(write_files(tmp_path / "source", files), size=16)
    item = source.items()[0]
    assert source.load(item) == read_picture(files[item.key], "", crop=Crop(16, "center"))


@pytest.mark.realdata
def test_stand_ins_are_refused_by_name(realdata):
    with pytest.raises(RecordsError, match="lacks 5 of the ten ImageNet10 classes") as caught:
        _source(realdata / "imagenet" / "tiny_imagenet10.zip").items()
    missing = ["n01644373", "n01665541", "n02510455", "n01484850", "n01981276"]
    assert [wnid for wnid in WNIDS if wnid in str(caught.value)] == missing


@pytest.mark.realdata
def test_natural_pictures(realdata, tmp_path):
    imagenet = realdata / "imagenet"
    manifest = check_source(
        "imagenet10",
        {
            "source": imagenet / "imagenet_natural.zip",
            "labels": imagenet / "imagenet_natural.csv",
            "label_column": "wnid",
        },
        folder=tmp_path / "out",
        counts={"train": (1, 1, 1, 1, 1, 1, 5, 1, 1, 5), "test": (0, 0, 0, 0, 0, 0, 1, 0, 0, 1)},
    )
    assert (manifest.image.height, manifest.image.width) == (320, 320)
    assert manifest.left_out["pictures of other classes"]["count"] == 100
