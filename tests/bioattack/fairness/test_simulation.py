"""The size and the power of the F test over simulated tables."""

import numpy as np
import pandas as pd
import pytest

from bioattack.fairness.income_regression import regress_on_income
from bioattack.fairness.power import f_test_power
from bioattack.fairness.simulation import draw_accuracies, simulate_rejections, slope_p_values

NUM_TABLES = 2000


def _countries(*, seed=0):
    """41 countries, as in the paper, with from 10 to 800 images."""
    generator = np.random.default_rng(seed)
    gdp = np.geomspace(300, 90000, 41)
    num_images = np.exp(generator.uniform(np.log(10), np.log(800), 41)).astype(int)
    return pd.DataFrame({"gdp_per_capita": gdp, "num_images": num_images, "accuracy": 0.8})


@pytest.mark.parametrize("covariance", ["printed", "binomial", "equal"])
@pytest.mark.parametrize("logarithm", ["natural", "base10"])
def test_p_values_of_many_tables_are_those_of_each(covariance, logarithm):
    table = _countries()
    accuracies = draw_accuracies(table, logarithm=logarithm, num_tables=4)
    found = slope_p_values(table, accuracies, covariance=covariance, logarithm=logarithm)
    how = {"covariance": covariance, "logarithm": logarithm}
    expected = [regress_on_income(table.assign(accuracy=row), **how).p_value for row in accuracies]
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("covariance", ["printed", "binomial"])
@pytest.mark.parametrize("num_tables", [200, NUM_TABLES])
def test_size_is_5_percent_where_accuracies_scatter_as_assumed(covariance, num_tables):
    rate = simulate_rejections(
        _countries(), covariance=covariance, truth=covariance, num_tables=num_tables, seed=1
    )
    assert rate.keeps_level, rate


def test_size_is_5_percent_for_counts_with_the_binomial_covariance():
    assert simulate_rejections(_countries(), covariance="binomial", num_tables=NUM_TABLES).keeps_level


@pytest.mark.parametrize(
    ("least_at", "low", "high"),
    [("extremes", 0.065, 0.11), ("middle", 0.0, 0.015), ("nowhere", 0.044, 0.056)],
)
def test_printed_covariance_errs_for_counts_as_incomes_and_images_go_together(least_at, low, high):
    # Counts scatter as 1/n. The printed 1/sqrt(n) gives countries with few images too much weight: where they
    # are the poorest and the richest, it cries wolf; where they are in between, it takes too much for chance.
    edge = np.abs(np.arange(41) - 20) / 20
    by_place = {
        "extremes": 800 * (10 / 800) ** edge,
        "middle": 10 * (800 / 10) ** edge,
        "nowhere": 100 + 0 * edge,
    }
    table = _countries().assign(num_images=by_place[least_at].astype(int))
    printed = simulate_rejections(table, covariance="printed", num_tables=10_000)
    assert low < printed.rate < high
    assert 0.043 < simulate_rejections(table, covariance="binomial", num_tables=10_000).rate < 0.057


@pytest.mark.parametrize(("covariance", "slope"), [("printed", 0.03), ("binomial", 0.009)])
def test_power_over_tables_is_the_computed_one(covariance, slope):
    table, scale = _countries(), 0.3
    rate = simulate_rejections(
        table, covariance=covariance, truth=covariance, slope=slope, scale=scale, num_tables=NUM_TABLES
    )
    number = table["num_images"].to_numpy(float)
    weights = (np.sqrt(number) if covariance == "printed" else number) / scale
    position = np.log(table["gdp_per_capita"].to_numpy())
    error = 1 / np.sqrt((weights * (position - np.average(position, weights=weights)) ** 2).sum())
    expected = f_test_power(slope, error, df_residual=39)
    assert 0.1 < expected < 0.95
    assert rate.rate == pytest.approx(expected, abs=3 * np.sqrt(0.25 / NUM_TABLES))


def test_a_strong_bias_in_counts_is_found():
    rate = simulate_rejections(_countries(), slope=0.04, num_tables=200)
    assert rate.rate > 0.95
    assert not rate.keeps_level


def test_counts_have_the_binomial_mean_and_variance():
    table = _countries()
    drawn = draw_accuracies(table, num_tables=20_000)
    assert drawn.mean(axis=0) == pytest.approx(np.full(41, 0.8), abs=5 * np.sqrt(0.16 / 10 / 20_000))
    expected = 0.16 / table["num_images"].to_numpy()
    assert drawn.var(axis=0) == pytest.approx(expected, rel=0.06)


def test_same_seed_same_tables():
    first, again, other = (draw_accuracies(_countries(), num_tables=3, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_unknown_truth_is_refused():
    with pytest.raises(ValueError, match=r"truth must be one of .* Received: truth='normal'"):
        draw_accuracies(_countries(), truth="normal")
