"""The page and the folder: whole, self-contained, and only ever its own."""

import json
import re

import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.evaluation.income import answer_income
from bioattack.evaluation.income_config import IncomeConfig
from bioattack.evaluation.income_output import check_income_output, write_income
from bioattack.testing.made_up_countries import PLACES, write_country_table

ODD = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Two sets of models, with a place whose name is markup."""
    folder = tmp_path_factory.mktemp("report")
    places = (*PLACES, ODD)
    first, second = (
        write_country_table(
            folder / f"{name}.csv",
            slope=slope,
            places=places,
            models=[f"{name}-{index}" for index in range(4)],
            seed=index,
        )
        for index, (name, slope) in enumerate([("a&b", 0.0), ("c", 0.012)])
    )
    config = IncomeConfig(
        (first,), folder / "out", against=(second,), find_difference=0.01, find_slope=0.02, simulations=50
    )
    write_income(config.output, answer_income(config))
    return config.output


def test_folder_holds_what_is_promised(output):
    assert sorted(path.name for path in output.iterdir()) == [
        "figures",
        "report.html",
        "summary.json",
        "tables",
    ]
    assert sorted(path.name for path in (output / "tables").iterdir()) == [
        "comparison.csv",
        "countries.csv",
        "income_groups.csv",
        "influence.csv",
        "left_out.csv",
        "regressions.csv",
        "sensitivity.csv",
        "simulation.csv",
    ]
    assert sorted(path.name for path in (output / "figures").iterdir()) == [
        "accuracy-1.png",
        "images-per-country.png",
        "slopes.png",
    ]


def test_summary_and_tables_say_the_same(output):
    summary = json.loads((output / "summary.json").read_text())
    assert summary["kind"] == "income"
    assert {"pandas", "statsmodels", "bioattack"} <= set(summary["versions"])
    table = pd.read_csv(output / "tables" / "regressions.csv")
    assert table["slope"].tolist() == pytest.approx([row["slope"] for row in summary["regressions"]])
    countries = pd.read_csv(output / "tables" / "countries.csv", keep_default_na=False)
    assert len(countries) == 8 * len(PLACES)
    (left_out,) = summary["left_out"]
    assert (left_out["spellings"], left_out["num_images"]) == ([ODD], 60 + 14 * 7 % 23)


def test_page_stands_alone_and_escapes_names(output):
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', page)
    assert page.count("data:image/png;base64,") == 3
    assert page.rstrip().endswith("</html>")


def test_page_says_what_was_found(output):
    page = (output / "report.html").read_text(encoding="utf-8")
    summary = json.loads((output / "summary.json").read_text())
    test = summary["comparison"]["tests"][0]
    assert f"dz = {test['effect_size']:.2f}" in page
    assert f"{summary['regressions'][0]['slope']:.4f}" in page
    assert "What this sample could have found" in page
    assert "Left out" in page
    assert f"takes {summary['comparison']['pairs_for_stated_difference']} pairs" in page


def test_command_on_the_page_asks_the_same_question(output):
    summary = json.loads((output / "summary.json").read_text())
    command = re.search(r"<pre><code>(.*?)</code></pre>", (output / "report.html").read_text(), re.DOTALL)
    assert command is not None
    for words in ("--against", "--seed 0", "--find-slope 0.02", "--covariance printed", "--simulations 50"):
        assert words in command[1]
    assert summary["settings"]["simulations"] == 50


def test_only_its_own_folder_is_replaced(output, tmp_path):
    assert check_income_output(tmp_path / "new") is False
    identity = json.loads((output / "summary.json").read_text())["identity"]
    assert check_income_output(output, identity) is True
    with pytest.raises(InputError, match="holds the answer for other tables or settings"):
        check_income_output(output, "other")
    assert check_income_output(output, "other", overwrite=True) is False
    (tmp_path / "holiday.jpg").touch()
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is not empty and holds no answer"):
            check_income_output(tmp_path, "x", overwrite=overwrite)
    with pytest.raises(InputError, match="is not a folder"):
        check_income_output(tmp_path / "holiday.jpg")


def test_many_models_of_one_set_are_listed(tmp_path):
    path = write_country_table(
        tmp_path / "t.csv", models=[f"model {index}" for index in range(6)], slope=0.01
    )
    config = IncomeConfig((path,), tmp_path / "out", simulations=0)
    write_income(config.output, answer_income(config))
    page = (config.output / "report.html").read_text(encoding="utf-8")
    assert "corrects for the 6 tests made" in page
    assert "How often would this test err here?" not in page
    assert not (config.output / "figures" / "slopes.png").exists()
