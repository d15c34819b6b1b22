import pytest

from bioattack.tfrecords_builder.layout import (
    TEST_FOLDERS,
    Layout,
    Place,
    find_layout,
    is_picture_name,
    split_of,
)


@pytest.mark.parametrize(
    ("paths", "prefix", "split_folders"),
    [
        (["ant/1.png", "bee/1.png"], (), {}),
        (["set/ant/1.png", "set/bee/1.png"], ("set",), {}),
        (["a/b/ant/1.png", "a/b/bee/deep/1.png"], ("a", "b"), {}),
        (["ant/1.png", "ant/2.png"], (), {}),
        (["train/ant/1.png", "test/ant/1.png"], (), {"train": "train", "test": "test"}),
        (
            ["x/Training/ant/1.png", "x/Validation/ant/1.png"],
            ("x",),
            {"Training": "train", "Validation": "test"},
        ),
        (["train/ant/1.png", "train/bee/1.png"], ("train",), {}),
        (["train/ant/1.png", "val/1.png"], (), {"train": "train", "val": "test"}),
        (["train/a/1.png", "val/a/1.png", "test/a/1.png"], (), {"train": "train", "test": "test"}),
        (["1.png", "2.png"], (), {}),
    ],
)
def test_layouts(paths, prefix, split_folders):
    assert find_layout(paths) == Layout(prefix, split_folders)


def test_preferred_test_folder():
    paths = ["train/a/1.png", "val/a/1.png", "test/1.png"]
    layout = find_layout(paths, test_folders=("val", "test"))
    assert layout.split_folders == {"train": "train", "val": "test"}
    assert layout.place("test/1.png").is_outside


def test_places():
    layout = Layout(("set",), {"train": "train", "val": "test"})
    assert layout.place("set/train/ant/deep/1.png") == Place("train", "ant")
    assert layout.place("set/val/1.png") == Place("test", None)
    assert layout.place("set/val/bee", is_folder=True) == Place("test", "bee")
    assert layout.place("set/docs/bee/1.png").is_outside
    assert layout.place("other/1.png").is_outside
    assert layout.place("set", is_folder=True).is_outside
    assert layout.without_prefix("set/val/1.png") == "val/1.png"


def test_words_for_splits():
    assert [split_of(word) for word in ("train", " Training ", "", "fold1")] == ["train", "train", None, None]
    assert {split_of(word.upper()) for word in TEST_FOLDERS} == {"test"}


def test_picture_names():
    assert [is_picture_name(name) for name in ("a.JPEG", "b.png", "a.txt", "jpg", "x.jpg.md5")] == [
        True, True, False, False, False,
    ]  # fmt: skip
