"""Figures 4.1 and 4.2 of networks whose accuracies are made up, beside what was published."""

import json

import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.evaluation.findings import DASH
from bioattack.evaluation.reproduce import income_answer
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.run import reproduce
from bioattack.fairness.slope_comparison import compare_slopes
from bioattack.testing.made_up_countries import PLACES, write_country_table
from bioattack.testing.small_records import write_small_records

SLOPES = {"pretrained": 0.03, "perceptual": 0.0, "pgd": 0.012}
NUM_MODELS = 6


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes one of the figures of made-up networks."""
    data = write_small_records(tmp_path / "records", num_train=14, num_test=28, countries=PLACES)

    def table(name, models, seed):
        path = tmp_path / f"{name}.csv"
        return write_country_table(path, slope=SLOPES[name], models=models, num_images=300, seed=seed)

    def pretrained(_):
        return table("pretrained", ["pretrained"], 0)

    def trained(_, method):
        return table(method.label, [f"m-seed-{number}" for number in range(NUM_MODELS)], len(method.label))

    monkeypatch.setattr(income_answer, "pretrained_table", pretrained)
    monkeypatch.setattr(income_answer, "trained_models", trained)

    def run(name, **changes):
        config = ReproduceConfig(**{"name": name, "output": tmp_path / "out", "data": data} | changes)
        (section,) = reproduce(config)["sections"]
        json.dumps(section)
        for figure in section["figures"]:
            assert (config.output / figure["path"]).read_bytes().startswith(b"\x89PNG")
        assert section["title"] in (config.output / "report.md").read_text()
        return section, config.output

    return run


def test_the_f_test_stands_beside_the_published_one(make):
    section, output = make("figure4.1")
    measured, published = section["tables"][0]["rows"]
    # Hua et al. 2022, section 4.
    assert published == ["published", "41", DASH, "5.392", "1, 39", "0.02554", "87.5"]
    countries = pd.read_csv(output / "tables" / "figure4.1.csv")
    assert len(countries) == len(PLACES)
    assert measured[1] == str(len(PLACES))
    assert measured[4] == f"1, {len(PLACES) - 2}"
    accuracy = (countries["accuracy"] * countries["num_images"]).sum() / countries["num_images"].sum()
    assert measured[6] == f"{100 * accuracy:.1f}"
    # A slope this large is found, as the paper's is.
    assert not any("No slope was found" in warning for warning in section["warnings"])
    assert len(section["figures"]) == 1


def test_both_sets_and_their_tests_stand_beside_the_published_ones(make):
    section, output = make("figure4.2")
    sets, tests = section["tables"]
    assert [row[0] for row in sets["rows"]] == ["perceptual", "PGD (L2)", "pretrained"]
    assert [row[1] for row in sets["rows"]] == [str(NUM_MODELS), str(NUM_MODELS), "1"]
    # Hua et al. 2022, section 4.
    assert [row[-1] for row in sets["rows"]] == ["84.3", "79.7", "87.5"]
    assert tests["rows"][1][4:8] == ["3.852", "49", "0.00017", "dz = 0.54"]
    assert [row[0] for row in tests["rows"]] == ["paired t", "paired t", "Welch's t", "permutation"]
    rows = pd.read_csv(output / "tables" / "figure4.2.csv")
    slopes = [rows[rows["set"] == name]["slope"].tolist() for name in ("perceptual", "PGD (L2)")]
    assert tests["rows"][0][6] == f"{compare_slopes(*slopes).p_value:.4g}"
    assert section["values"]["comparison"]["paired_by"] == "number"


def test_few_pairs_and_another_order_are_warned_of(make, monkeypatch):
    section, _ = make("figure4.2")
    warnings = " ".join(section["warnings"])
    assert "6 pairs of networks find a difference as clear as the published one" in warnings
    assert "The slopes do not come" not in warnings
    monkeypatch.setitem(SLOPES, "perceptual", SLOPES["pgd"])
    monkeypatch.setitem(SLOPES, "pgd", 0.0)
    section, _ = make("figure4.2")
    assert any("here they come PGD (L2), perceptual, pretrained" in one for one in section["warnings"])


def test_the_report_of_both_sets_can_be_made_again_from_its_tables(make):
    _, output = make("figure4.2")
    folder = output / "income" / "seed-0"
    assert (folder / "answer" / "report.html").is_file()
    tables = pd.read_csv(folder / "countries" / "perceptual.csv")
    assert list(tables.columns) == ["model", "country", "accuracy", "n"]


def test_the_same_networks_twice_are_refused(make, monkeypatch):
    trained = income_answer.trained_models
    monkeypatch.setattr(income_answer, "trained_models", lambda place, _: trained(place, _Perceptual))
    with pytest.raises(InputError, match=r"figure4\.2: model 'm-seed-0' gives the same answers"):
        make("figure4.2")


class _Perceptual:
    label = "perceptual"
