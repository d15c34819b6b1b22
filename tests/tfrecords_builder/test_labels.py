import re

import pytest

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.labels import LabelColumns, LabelRow, read_labels


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
