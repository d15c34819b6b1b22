"""Reading per-country counts from each layout, and refusing what cannot be used."""

import gzip

import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.fairness.country_tables import Setting, read_country_counts

RESULTS_HEADER = "image_id,model,attack,norm,epsilon,correct_clean,success,country,l2"
RESULTS = [
    "a,m,none,none,0.0,True,False,NA,0",
    "b,m,none,none,0.0,False,False,NA,0",
    "c,m,none,none,0.0,True,False,KEN,0",
    "a,m,pgd,linf,0.01,True,True,NA,1",
    "b,m,pgd,linf,0.01,False,False,NA,1",
    "c,m,pgd,linf,0.01,True,False,KEN,1",
    "a,m,pgd,linf,0.02,True,True,NA,1",
    "b,m,pgd,linf,0.02,False,False,NA,1",
    "c,m,pgd,linf,0.02,True,True,KEN,1",
]


def _write(folder, lines, name="table.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _rows(entry):
    return [tuple(row) for row in entry.rows.drop(columns="gdp_per_capita").itertuples(index=False)]


def test_one_row_per_image(tmp_path):
    path = _write(tmp_path, ["country,correct", "NA,1", "NA,0", " NA ,true", "KEN,False", ",1"])
    (entry,) = read_country_counts(path)
    assert _rows(entry) == [("", 1, 1), ("KEN", 1, 0), ("NA", 3, 2)]
    assert (entry.model, entry.pictures) == ("table", None)
    assert entry.rows["gdp_per_capita"].isna().all()


def test_one_row_per_country_with_models_and_gdp(tmp_path):
    lines = [
        "model,country,accuracy,n,gdp",
        "x,NA,0.5,10,4000",
        "x,KEN,0.25,4,",
        "y,NA,1,10,4000",
        "y,KEN,0,4,",
    ]
    first, second = read_country_counts(_write(tmp_path, lines))
    assert (first.model, second.model) == ("x", "y")
    assert _rows(first) == [("NA", 10, 5.0), ("KEN", 4, 1.0)]
    assert first.rows["gdp_per_capita"].fillna(-1).tolist() == [4000, -1]


@pytest.mark.parametrize(
    ("setting", "num_correct"),
    [(None, (1, 1)), (Setting("pgd", epsilon=0.01), (1, 0)), (Setting("pgd", "linf", 0.02), (0, 0))],
)
def test_results_table_at_a_setting(tmp_path, setting, num_correct):
    path = tmp_path / "results.csv.gz"
    path.write_bytes(gzip.compress("\n".join([RESULTS_HEADER, *RESULTS]).encode()))
    for source in (path, tmp_path):
        (entry,) = read_country_counts(source, setting=setting)
        assert _rows(entry) == [("KEN", 1, num_correct[0]), ("NA", 2, num_correct[1])]


def test_checksum_is_of_the_pictures_whatever_their_order(tmp_path):
    first = _write(tmp_path, [RESULTS_HEADER, *RESULTS], "first.csv")
    turned = _write(tmp_path, [RESULTS_HEADER, *RESULTS[::-1]], "turned.csv")
    others = _write(
        tmp_path, [RESULTS_HEADER, *(line.replace("c,m", "d,m") for line in RESULTS)], "others.csv"
    )
    found = [read_country_counts(path)[0].pictures for path in (first, turned, others)]
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,correct", "a,1"], "has no column 'country' .* it has image, correct"),
        (["country,right", "KEN,1"], "neither a column correct .* nor accuracy and n"),
        (["country,accuracy", "KEN,1"], "neither a column correct"),
        (["country,correct"], "has no rows"),
        (["country,correct", "KEN,yes"], "correct must be true or false .* Received: 'yes'"),
        (["country,accuracy,n", "KEN,50,10"], "accuracy must be a fraction from 0 to 1. Received: 50"),
        (["country,accuracy,n", "KEN,,10"], "accuracy must be a number. Received: ''"),
        (["country,accuracy,n", "KEN,0.5,0"], "n must be a whole number of images from 1. Received: 0"),
        (["country,accuracy,n", "KEN,0.5,2.5"], "from 1. Received: 2.5"),
        (["country,accuracy,n", "KEN,0.5,2", "KEN,0.6,2"], "has country 'KEN' twice"),
        (["country,accuracy,n,gdp", "KEN,0.5,2,many"], "gdp must be a number. Received: 'many'"),
        (["country,correct,gdp", "KEN,1,2", "KEN,1,3"], "'KEN' has 2 different values of GDP"),
        ([RESULTS_HEADER, RESULTS[0], RESULTS[0]], "has picture 'a' of m twice"),
        ([RESULTS_HEADER.replace("success", "s"), RESULTS[0]], "looks like a results table but .* success"),
        ([RESULTS_HEADER, *RESULTS[3:]], "nothing of attack 'none' .* pgd linf 0.01; pgd linf 0.02"),
        (["", ""], "cannot be read as CSV"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        read_country_counts(_write(tmp_path, lines))


def test_ambiguous_setting_is_refused(tmp_path):
    path = _write(tmp_path, [RESULTS_HEADER, *RESULTS])
    with pytest.raises(InputError, match=r"2 settings of attack 'pgd' .* pgd linf 0.01; pgd linf 0.02"):
        read_country_counts(path, setting=Setting("pgd"))


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no table .*nowhere.csv"):
        read_country_counts(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match=r"there is no table .*results.csv.gz"):
        read_country_counts(tmp_path)
    whole = gzip.compress(b"country,correct\n" + b"KEN,1\n" * 500)
    (tmp_path / "results.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_country_counts(tmp_path)


def test_another_column_can_hold_the_country(tmp_path):
    path = _write(tmp_path, ["where,correct", "KEN,1"])
    (entry,) = read_country_counts(path, column="where")
    assert isinstance(entry.rows, pd.DataFrame)
    assert _rows(entry) == [("KEN", 1, 1)]
