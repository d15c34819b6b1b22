import re

import pytest

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.labels import ClassList, LabelColumns, LabelRow, read_classes, read_labels


def _write(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_rows_are_read(tmp_path, separator, mark):
    text = f"{mark}file,label,split,country,more\r\n./a/1.jpg,bee,train,KEN,x\r\n\r\na\\2.jpg,,val,,y\r\n"
    rows = read_labels(_write(tmp_path, text.replace(",", separator)), LabelColumns(groups=("country",)))
    assert rows == [
        LabelRow(2, "a/1.jpg", "bee", "train", {"country": "KEN"}),
        LabelRow(4, "a/2.jpg", "", "val", {"country": ""}),
    ]


def test_other_columns_and_quotes(tmp_path):
    path = _write(tmp_path, 'name,wnid,about\n1.jpg,n01,"tabby, tabby cat"\n')
    assert read_labels(path, LabelColumns("name", "about"))[0].label == "tabby, tabby cat"


def test_country_is_read_where_it_is_asked_for(tmp_path):
    path = _write(tmp_path, "file,label,where\n1.jpg,bee,NA\n")
    (row,) = read_labels(path, LabelColumns(country="where"))
    assert (row.country, row.groups) == ("NA", {})
    assert read_labels(path, LabelColumns())[0].country == ""


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "file,wnid\n1,2\n",
            LabelColumns(),
            "has no column 'label'; its columns are file, wnid: choose with --label-column",
        ),
        (
            "name,label\n1,2\n",
            LabelColumns(),
            "has no column 'file'; its columns are name, label: choose with --file-column",
        ),
        ("file,label\n1,2\n", LabelColumns(groups=("country",)), "no column 'country'.*choose with --groups"),
        ("file,label\n1,2\n", LabelColumns(country="c"), "no column 'c'.*choose with --country-column"),
        ("file,label,label\n1,2,3\n", LabelColumns(), "has several columns 'label'"),
        ("", LabelColumns(), "has no column 'file'"),
        ("file,label\n1,2\n1,2,3\n", LabelColumns(), "line 3: 3 values under 2 column names"),
        ("file,label\n1\n", LabelColumns(), "line 2: 1 values under 2 column names"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, columns, message):
    with pytest.raises(RecordsError, match=rf"labels\.csv.*{message}"):
        read_labels(_write(tmp_path, text), columns)


def test_missing_and_binary_files_are_refused(tmp_path):
    with pytest.raises(RecordsError, match=re.escape("cannot read the labels file") + ".*No such file"):
        read_labels(tmp_path / "no.csv", LabelColumns())
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00file")
    with pytest.raises(RecordsError, match=r"b\.csv is not a csv file in UTF-8"):
        read_labels(tmp_path / "b.csv", LabelColumns())


def test_classes_are_read_in_their_order(tmp_path):
    path = _write(tmp_path, 'index,wnid,name\n0,n9,crane\n1,n3,"tench, Tinca"\n2,n5,crane\n')
    classes = read_classes(path)
    assert classes.names == ("crane (n9)", "tench, Tinca", "crane (n5)")
    assert classes.ids == ("n9", "n3", "n5")
    # Any column's value may stand for a class, unless it could be two.
    assert classes.index == {
        "0": 0, "n9": 0, "crane (n9)": 0,
        "1": 1, "n3": 1, "tench, Tinca": 1,
        "2": 2, "n5": 2, "crane (n5)": 2,
    }  # fmt: skip


def test_a_name_is_all_a_class_needs(tmp_path):
    classes = read_classes(_write(tmp_path, "name\nbee\nant\n"))
    assert classes == ClassList(("bee", "ant"), None, {"bee": 0, "ant": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class\nbee\nant\n", "has no column 'name'; its columns are class"),
        ("name\nbee\n", "lists 1 classes; a classifier needs two or more"),
        ("name\nbee\nbee\n", "line 3: every class needs a name of its own. Received: 'bee'"),
        ("name,id\nbee,1\n,2\n", "line 3: every class needs a name of its own. Received: ''"),
        (
            "index,name\n1,bee\n2,ant\n",
            "line 2: the classes must be in the order of their indices.*be 0. Rec",
        ),
        ("name,id\nbee\nant,1\n", "line 2: 1 values under 2 column names"),
    ],
)
def test_bad_lists_of_classes_are_refused(tmp_path, text, message):
    with pytest.raises(RecordsError, match=rf"labels\.csv.*{message}"):
        read_classes(_write(tmp_path, text))


def test_a_missing_list_of_classes_is_refused(tmp_path):
    with pytest.raises(RecordsError, match=r"cannot read the file of classes .*no\.csv: No such file"):
        read_classes(tmp_path / "no.csv")
