"""Tables with a row per image: what is read, and what is said of those that cannot be."""

import gzip

import numpy as np
import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.fairness.row_tables import read_row_table, truths


def _write(folder, text, name="a.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_only_what_is_needed_is_read(tmp_path):
    path = _write(tmp_path, "label,predicted,p0,p1,p_value,sex,other\n1,0,0.5,0.5,x,f,y\n")
    table, file = read_row_table(path, column="sex")
    assert list(table) == ["label", "predicted", "p0", "p1", "sex"]
    assert file == path
    assert table["p0"].dtype == float


def test_empty_words_stay_words(tmp_path):
    path = _write(tmp_path, "label,correct,country\n1,1,NA\n0,1,\n")
    assert read_row_table(path, column="country")[0]["country"].tolist() == ["NA", ""]


def test_npz_is_a_table_too(tmp_path):
    path = tmp_path / "answers.npz"
    probabilities = np.array([[0.75, 0.25], [0.5, 0.5]])
    np.savez(path, probabilities=probabilities, label=np.array([0, 1]), sex=np.array(["f", "m"]))
    table, _ = read_row_table(path, column="sex")
    assert table[["p0", "p1"]].to_numpy().tolist() == probabilities.tolist()
    assert table["label"].tolist() == ["0", "1"]


def test_truths_are_words_or_digits():
    values = pd.Series(["True", "false", "1", "0.0"], dtype="category")
    assert truths(values, "x", file="f").tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "label,correct\n1,1\n",
            "no column 'sex' that says of which group an image is; it has label, correct",
        ),
        ("label,correct,sex\n", "has no rows"),
        ("label,correct_clean,sex\n1,1,f\n", "results table but has no column model, attack, norm, epsilon"),
        ("label,p0,p1,sex\n1,x,1,f\n", "p0 must be a number. Received: 'x'"),
        ("a,b\n1\n2,3,4\n", "cannot be read as CSV|no column"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_row_table(_write(tmp_path, text), column="sex")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(InputError, match=r"there is no table .*results\.csv\.gz"):
        read_row_table(tmp_path, column="sex")
    (tmp_path / "results.csv.gz").write_bytes(gzip.compress(b"label,sex\n" * 1000)[:30])
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_row_table(tmp_path, column="sex")
    _write(tmp_path, "no archive", "a.npz")
    with pytest.raises(InputError, match="cannot be read as NPZ"):
        read_row_table(tmp_path / "a.npz", column="sex")
    np.savez(tmp_path / "b.npz", label=np.arange(3), sex=np.arange(2))
    with pytest.raises(InputError, match="columns of equal length"):
        read_row_table(tmp_path / "b.npz", column="sex")
    with pytest.raises(InputError, match=r"correct must be true or false .* Received: 'maybe'"):
        truths(pd.Series(["maybe"], dtype="category"), "correct", file="f")
