"""Whether a bias that was put in is found, and how often one is found where none is."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bioattack.evaluation.reproduce import income_sizes
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.income import known_bias
from bioattack.evaluation.reproduce.income_known_bias import chain_warnings, known_bias_section
from bioattack.evaluation.reproduce.run import reproduce
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.fairness.simulation import simulate_rejections
from bioattack.tfrecords_builder.synthetic_countries import GDP_PER_CAPITA_USD

TINY = dataclasses.replace(
    income_sizes.SIZES["demo"],
    image_size=16,
    num_train=64,
    num_test=200,
    epochs=1,
    num_attacked=150,
    known_biases=(1.0,),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    config = ReproduceConfig("known-bias", tmp_path_factory.mktemp("known") / "out", quiet=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(income_sizes.SIZES, "demo", TINY)
        (section,) = reproduce(config)["sections"]
        yield config, section


def test_the_chain_has_a_line_with_and_one_without_attack(made):
    config, section = made
    chain, rates = section["tables"]
    assert [row[:2] for row in chain["rows"]] == [["1", "as they are"], ["1", "attacked"]]
    rows = section["values"]["chain"]
    assert [row["num_images"] for row in rows] == [150] * 2
    # An attack leaves no more pictures right than there were.
    assert rows[1]["accuracy"] <= rows[0]["accuracy"]
    assert all(" of 200: " in row[3] for row in rates["rows"])
    (figure,) = section["figures"]
    assert (config.output / figure["path"]).read_bytes().startswith(b"\x89PNG")


def test_nothing_is_trained_or_attacked_twice(made, monkeypatch):
    config, section = made
    from bioattack.evaluation import evaluate
    from bioattack.evaluation.reproduce import income_networks

    def refuse(*_, **__):
        raise AssertionError("again")

    monkeypatch.setattr(income_networks, "train", refuse)
    monkeypatch.setattr(evaluate, "_measure", refuse)
    again = known_bias_section(Workplace(config, config.scale()), known_bias(config.scale())[0])
    assert [list(row) for row in again.tables[0].rows] == section["tables"][0]["rows"]


@pytest.mark.parametrize(
    ("bias", "p_value", "slope", "words"),
    [
        (0.0, 0.4, 0.01, []),
        (0.0, 0.01, 0.02, ["A slope was found on pictures attacked although none was put in (p = 0.01)"]),
        (1.0, 0.01, 0.02, []),
        (1.0, 0.4, 0.02, ["The bias of 1 was not found on pictures attacked (p = 0.4)."]),
        (1.0, 0.01, -0.02, ["The bias of 1 was not found"]),
    ],
)
def test_false_alarms_and_misses_are_said(bias, p_value, slope, words):
    row = {"bias": bias, "pictures": "attacked", "p_value": p_value, "slope": slope}
    found = chain_warnings([row])
    assert len(found) == len(words)
    assert all(warning.startswith(start) for warning, start in zip(found, words, strict=True))


def countries(num_images):
    gdp = np.array(list(GDP_PER_CAPITA_USD.values()), float)
    return pd.DataFrame({"gdp_per_capita": gdp, "num_images": num_images, "accuracy": 0.6})


@pytest.mark.parametrize("covariance", ["printed", "binomial"])
def test_over_200_tables_the_size_is_within_the_band_of_5_percent(covariance):
    # As many images of each country as the demonstration draws on average.
    number = income_sizes.SIZES["demo"].num_test // len(GDP_PER_CAPITA_USD)
    rate = simulate_rejections(countries(number), covariance=covariance, num_tables=200)
    low, high = stats.binom.interval(0.95, 200, 0.05)
    assert low <= rate.num_rejected <= high


def test_over_200_tables_the_power_is_that_of_the_noncentral_f():
    table = countries(48)
    slope = 0.02
    scale = 0.6 * 0.4
    rate = simulate_rejections(table, truth="binomial", covariance="binomial", slope=slope, num_tables=200)
    position = np.log(table["gdp_per_capita"])
    error = (scale / 48 / ((position - position.mean()) ** 2).sum()) ** 0.5
    df = len(table) - 2
    power = stats.ncf.sf(stats.f.isf(0.05, 1, df), 1, df, (slope / error) ** 2)
    low, high = stats.binom.interval(0.999, 200, power)
    assert low <= rate.num_rejected <= high


@pytest.mark.slow
def test_the_chain_finds_the_bias_where_it_is_and_only_there(tmp_path):
    (section,) = reproduce(ReproduceConfig("known-bias", tmp_path / "out", quiet=True))["sections"]
    rows = {(row["bias"], row["pictures"]): row for row in section["values"]["chain"]}
    assert rows[0.0, "as they are"]["p_value"] > 0.05
    assert rows[0.0, "attacked"]["p_value"] > 0.05
    assert rows[1.0, "as they are"]["p_value"] < 0.05
    assert rows[1.0, "as they are"]["slope"] > 0
    by_truth = [row for row in section["values"]["simulation"] if row["slope"] == 0]
    assert all(row["keeps_level"] for row in by_truth if row["truth"] == "counts")
