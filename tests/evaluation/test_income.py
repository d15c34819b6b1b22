"""The whole answer to a question about income, from tables to notes."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from bioattack.errors import InputError
from bioattack.evaluation.income import answer_income
from bioattack.evaluation.income_config import IncomeConfig
from bioattack.fairness.slope_comparison import compare_slopes
from bioattack.testing.made_up_countries import PLACES, write_country_table
from bioattack.tfrecords_builder.countries import find_country
from bioattack.tfrecords_builder.gdp import built_in_gdp

RISING = 0.012


def _config(*results, **options):
    return IncomeConfig(tuple(results), results[0].parent / "out", **{"simulations": 0} | options)


def _sets(folder, *, number=6, second=RISING, names=("dro-{}", "pgd-{}")):
    files = []
    for place, (name, slope) in enumerate(zip(names, (0.0, second), strict=True)):
        models = [name.format(index) for index in range(number)]
        path = folder / f"set{place}.csv"
        files.append(write_country_table(path, slope=slope, models=models, seed=place))
    return files


def test_answer_is_the_regression_on_the_built_in_gdp(tmp_path):
    path = write_country_table(tmp_path / "table.csv", slope=RISING)
    answer = answer_income(_config(path, covariance="binomial", logarithm="base10"))
    table = pd.read_csv(path, keep_default_na=False)
    gdp = [built_in_gdp().gdp_per_capita[find_country(place).iso3] for place in PLACES]
    expected = sm.WLS(table["accuracy"], sm.add_constant(np.log10(gdp)), weights=table["n"]).fit()
    (row,) = answer.summary["regressions"]
    assert row["slope"] == pytest.approx(expected.params.iloc[1])
    assert row["p_value"] == pytest.approx(expected.pvalues.iloc[1])
    assert row["p_holm"] == row["p_value"]
    assert row["accuracy"] == pytest.approx(np.average(table["accuracy"], weights=table["n"]))
    assert answer.summary["data"]["num_images"] == table["n"].sum()
    assert answer.summary["data"]["gdp_source"].endswith(f", {built_in_gdp().year}")
    groups = answer.summary["income_groups"]
    assert [row["income_group"] for row in groups][0::3] == ["Low income", "High income"]
    assert sum(row["num_images"] for row in groups) == table["n"].sum()


def test_bias_is_found_where_it_is_and_only_there(tmp_path):
    biased = write_country_table(tmp_path / "biased.csv", slope=RISING, num_images=400)
    fair = write_country_table(tmp_path / "fair.csv", num_images=400)
    rows = answer_income(_config(biased, fair)).summary["regressions"]
    assert [row["p_value"] < 0.01 for row in rows] == [True, False]
    # Two tests: the smaller p is doubled.
    assert rows[0]["p_holm"] == pytest.approx(2 * rows[0]["p_value"])


def test_two_sets_are_compared_in_pairs(tmp_path):
    first, second = _sets(tmp_path)
    pretrained = write_country_table(tmp_path / "start.csv", slope=RISING, seed=9)
    options = {"against": (second,), "pretrained": pretrained, "find_difference": 0.01, "find_slope": 0.02}
    summary = answer_income(_config(first, **options)).summary
    comparison = summary["comparison"]
    slopes = [
        [row["slope"] for row in summary["regressions"] if row["set"] == name]
        for name in ("first set", "second set")
    ]
    assert [test["test"] for test in comparison["tests"]] == ["paired", "welch", "permutation"]
    assert comparison["tests"][0]["p_value"] == compare_slopes(*slopes).p_value
    assert comparison["tests"][0]["p_value"] < 0.01
    assert (comparison["paired_by"], summary["drawn"]) == ("number", ["start"])
    assert comparison["pairs_for_stated_difference"] >= 2
    assert [row["num_models"] for row in comparison["sets"]] == [6, 6, 1]
    assert all(0 < row["power_at_stated_slope"] <= 1 for row in summary["regressions"])


def test_pairs_follow_the_numbers_in_the_names(tmp_path):
    first, second = _sets(tmp_path)
    lines = second.read_text().splitlines()
    blocks = [lines[1:][start : start + len(PLACES)] for start in range(0, len(lines) - 1, len(PLACES))]
    turned = tmp_path / "turned.csv"
    turned.write_text("\n".join([lines[0], *(line for block in blocks[::-1] for line in block)]) + "\n")
    p_values = [
        answer_income(_config(first, against=(path,))).summary["comparison"]["tests"][0]["p_value"]
        for path in (second, turned)
    ]
    assert p_values[0] == p_values[1]


def test_sets_without_numbers_are_paired_in_order_and_it_is_said(tmp_path):
    first, second = _sets(tmp_path, number=3, names=("{}a", "{}b"))
    summary = answer_income(_config(first, against=(second,))).summary
    assert summary["comparison"]["paired_by"] == "order"
    assert any("paired in the order given" in note for note in summary["notes"])
    assert any("Of 6 models one, first set/0a, is drawn" in note for note in summary["notes"])


def test_welch_takes_sets_of_two_sizes_and_the_paired_test_does_not(tmp_path):
    first, _ = _sets(tmp_path, number=3)
    (tmp_path / "more").mkdir()
    _, second = _sets(tmp_path / "more", number=5)
    with pytest.raises(InputError, match="3 and 5 here"):
        answer_income(_config(first, against=(second,)))
    summary = answer_income(_config(first, against=(second,), test="welch")).summary
    assert [test["test"] for test in summary["comparison"]["tests"]] == ["welch", "permutation"]


def test_what_is_left_out_and_merged_is_said(tmp_path):
    places = (*PLACES, "Atlantis", "Ivory Coast", "CIV", "North Korea")
    path = write_country_table(tmp_path / "table.csv", places=places)
    summary = answer_income(_config(path)).summary
    assert summary["merged"] == {"CIV": ["CIV", "Ivory Coast"]}
    reasons = {row["spellings"][0]: row["reason"] for row in summary["left_out"]}
    assert reasons["North Korea"] == "no figure"
    assert reasons["Atlantis"].startswith("not a country")
    text = " ".join(summary["notes"])
    assert "Atlantis" in text
    assert "CIV and Ivory Coast were counted as one country, CIV" in text


def test_own_gdp_table_and_column(tmp_path):
    path = write_country_table(tmp_path / "table.csv", slope=RISING)
    gdp = tmp_path / "gdp.csv"
    rows = [f"{find_country(place).iso3},{1000 * 2**index}" for index, place in enumerate(PLACES)]
    gdp.write_text("\n".join(["iso3,gdp_per_capita", *rows]) + "\n")
    from_file = answer_income(_config(path, gdp=gdp)).summary
    lines = path.read_text().splitlines()
    own = tmp_path / "own.csv"
    cells = [f"{line},{1000 * 2**index}" for index, line in enumerate(lines[1:])]
    own.write_text("\n".join([f"{lines[0]},gdp", *cells]) + "\n")
    from_column = answer_income(_config(own)).summary
    assert from_file["regressions"][0]["slope"] == pytest.approx(from_column["regressions"][0]["slope"])
    assert (from_file["data"]["gdp_source"], from_column["data"]["gdp_source"]) == (
        "gdp.csv",
        "column of own.csv",
    )


def test_simulation_says_where_the_test_errs(tmp_path):
    path = write_country_table(tmp_path / "table.csv", slope=RISING)
    summary = answer_income(_config(path, simulations=500)).summary
    sizes = [row for row in summary["simulation"] if row["slope"] == 0]
    assert [(row["truth"], row["covariance"]) for row in sizes] == [
        *(("counts", name) for name in ("printed", "binomial")),
        *(("equal", name) for name in ("printed", "binomial")),
    ]
    (power,) = (row for row in summary["simulation"] if row["slope"] != 0)
    # The slope is the one that is found in 80 % of samples: three standard errors of 500 draws.
    assert power["rate"] == pytest.approx(0.8, abs=3 * np.sqrt(0.16 / 500))
    assert power["keeps_level"] is None


def test_one_image_per_country_is_said(tmp_path):
    lines = [f"{place},{index % 3 > 0:d}" for index, place in enumerate(PLACES)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["country,correct", *lines]) + "\n")
    assert any(
        "14 of 14 countries have a single image" in note
        for note in answer_income(_config(path)).summary["notes"]
    )
    with pytest.raises(
        InputError, match=r"at least 3 countries .* 0 are left; 14 left out: fewer than 2 images"
    ):
        answer_income(_config(path, minimum_images=2))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["KEN,0.5,9", "PER,0.6,9"], "at least 3 countries"),
        (["KEN,0.5,9", "PER,0.5,9", "FRA,0.5,9"], "same accuracy, 0.5"),
        (["red,0.5,9", "blue,0.6,9", "green,0.7,9"], "holds no country's code or English name, but 'red'"),
        (["KEN,0.5,9", "PER,0.6,9", "PRK,0.7,9"], "2 are left; 1 left out: no figure"),
    ],
)
def test_samples_that_say_nothing_are_refused(tmp_path, lines, message):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["country,accuracy,n", *lines]) + "\n")
    with pytest.raises(InputError, match=message):
        answer_income(_config(path))


def test_the_same_model_twice_and_another_dataset_are_refused(tmp_path):
    first, second = _sets(tmp_path, number=3)
    copy = tmp_path / "copy.csv"
    copy.write_text(first.read_text())
    with pytest.raises(InputError, match=r"'dro-0' gives the same answers .* stands in both sets"):
        answer_income(_config(first, against=(copy,)))
    with pytest.raises(InputError, match="'dro-0' comes twice"):
        answer_income(_config(first, copy))
    with pytest.raises(InputError, match="is given twice"):
        _config(first, first)
    other = write_country_table(tmp_path / "other.csv", models=["pgd-0", "pgd-1", "pgd-2"], num_images=61)
    with pytest.raises(InputError, match="was tested on other pictures"):
        answer_income(_config(first, against=(other,)))
    with pytest.raises(InputError, match="holds 3 models; give one of one"):
        answer_income(_config(first, pretrained=second))
