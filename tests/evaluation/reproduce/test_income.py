"""The experiments on income from beginning to end, at their smallest: two networks of each kind."""

import dataclasses
import json

import pandas as pd
import pytest

from bioattack.evaluation.findings import DASH
from bioattack.evaluation.reproduce import income_networks, income_sizes
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.income import figure4_2
from bioattack.evaluation.reproduce.income_sections import slopes_section
from bioattack.evaluation.reproduce.run import reproduce
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.fairness.income_regression import regress_on_income
from bioattack.fairness.slope_comparison import compare_slopes
from bioattack.tfrecords_builder.synthetic_countries import GDP_PER_CAPITA_USD

pytestmark = pytest.mark.slow

TINY = dataclasses.replace(
    income_sizes.SIZES["demo"],
    image_size=32,
    num_train=320,
    num_test=200,
    epochs=6,
    batch_size=16,
    rounds=1,
    samples=48,
    passes=1,
    num_models=2,
    jobs=1,
    num_steps=5,
    # So much of a distance that the two kinds of attacks cannot come to the same.
    distance_weight=100.0,
    weights=(0.1, 10.0),
    swept_samples=8,
    swept_steps=2,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All but the known bias, which draws pictures of its own."""
    output = tmp_path_factory.mktemp("income") / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(income_sizes.SIZES, "demo", TINY)
        sections = {}
        for name in ("images-per-country", "figure4.1", "figure4.2", "transport"):
            config = ReproduceConfig(name, output, quiet=True)
            (sections[name],) = reproduce(config)["sections"]
        yield config, sections


def test_the_f_test_stands_beside_the_published_one(made):
    config, sections = made
    (table,) = sections["figure4.1"]["tables"]
    measured, published = table["rows"]
    # Hua et al. 2022, section 4.
    assert published == ["published", "41", DASH, "5.392", "1, 39", "0.02554", "87.5"]
    countries = pd.read_csv(config.output / "tables" / "figure4.1.csv")
    expected = regress_on_income(countries)
    row = sections["figure4.1"]["values"]["regression"]
    assert row["slope"] == pytest.approx(expected.slope)
    assert row["p_value"] == pytest.approx(expected.p_value)
    assert measured[4] == f"1, {len(countries) - 2}"
    # As the pictures' bias was drawn, and not as the built-in table has it.
    assert all(
        row.gdp_per_capita == GDP_PER_CAPITA_USD[row.country] for row in countries.itertuples(index=False)
    )


def test_both_sets_and_their_tests_stand_beside_the_published_ones(made):
    config, sections = made
    sets, tests = sections["figure4.2"]["tables"]
    assert [row[0] for row in sets["rows"]] == ["perceptual", "PGD (L2)", "pretrained"]
    assert [row[1] for row in sets["rows"]] == ["2", "2", "1"]
    assert [row[-1] for row in sets["rows"]] == ["84.3", "79.7", "87.5"]
    assert tests["rows"][1][4:8] == ["3.852", "49", "0.00017", "dz = 0.54"]
    rows = pd.read_csv(config.output / "tables" / "figure4.2.csv")
    slopes = [rows[rows["set"] == name]["slope"].tolist() for name in ("perceptual", "PGD (L2)")]
    assert tests["rows"][0][6] == f"{compare_slopes(*slopes).p_value:.4g}"
    assert any("2 pairs of networks" in warning for warning in sections["figure4.2"]["warnings"])


def test_networks_of_one_seed_are_a_pair_and_differ_from_the_other_seed(made):
    config, sections = made
    comparison = sections["figure4.2"]["values"]["comparison"]
    assert comparison["paired_by"] == "number"
    folder = config.output / "income" / "seed-0"
    for label in ("perceptual", "pgd"):
        models = pd.read_csv(folder / f"{label}-models" / "countries.csv")
        assert [name.rpartition("-")[2] for name in models["model"].unique()] == ["0", "1"]
    assert (folder / "answer" / "report.html").is_file()


def test_the_sweep_has_a_line_for_each_lambda(made):
    config, sections = made
    (table,) = sections["transport"]["tables"]
    assert [row[0] for row in table["rows"]] == ["0.1", "10"]
    found = pd.read_csv(config.output / "tables" / "transport.csv")
    assert (found["implied_radius"] > 0).all()
    surrogate = found["worst_case_loss"] - found["distance_weight"] * found["implied_radius"]
    assert found["robust_surrogate"].tolist() == pytest.approx(surrogate.tolist())


def test_every_section_has_its_figure_and_is_json(made):
    config, sections = made
    for section in sections.values():
        (figure,) = section["figures"]
        assert (config.output / figure["path"]).read_bytes().startswith(b"\x89PNG")
        json.dumps(section)
    report = (config.output / "report.md").read_text()
    assert all(f"## {section['title']}" in report for section in sections.values())


def test_nothing_is_made_twice(made, monkeypatch):
    config, sections = made
    from bioattack.training import dro_maker, many_workshop

    def refuse(*_, **__):
        raise AssertionError("again")

    monkeypatch.setattr(income_networks, "train", refuse)
    monkeypatch.setattr(dro_maker.DatasetMaker, "make", refuse)
    monkeypatch.setattr(many_workshop.Workshop, "_train", refuse)
    again = slopes_section(Workplace(config, config.scale()), figure4_2(config.scale())[0])
    assert [list(row) for row in again.tables[0].rows] == sections["figure4.2"]["tables"][0]["rows"]
