"""Intervals hold the true score as often as they say: with groups apart, alike, small, and of real values."""

import numpy as np
import pytest

from bioattack.evaluation import scores_config
from bioattack.fairness.group_sample import make_group_sample
from bioattack.fairness.group_scores import ScoreInput, score_groups
from bioattack.fairness.score_intervals import INTERVALS, Drawing, most_unequal, which_outcome

# (true means, rows a group, kind of values, measure): the first have one largest difference, in the second
# several groups are alike.
APART = [
    ((0.9, 0.6), 50, "truths", "gap"),
    ((0.9, 0.8, 0.5), 100, "truths", "gap"),
    ((1.0, 1.2, 2.0), 100, "reals", "gap"),
    ((0.9, 0.6), 50, "truths", "worst"),
    ((0.9, 0.6), 50, "truths", "ratio"),
]
ALIKE = [
    ((0.7,) * 10, 50, "truths", "gap"),
    ((0.9,) * 5 + (0.8,) * 5, 100, "truths", "gap"),
    ((0.98,) * 3, 10, "truths", "gap"),
    ((1.0,) * 5, 40, "reals", "gap"),
    ((0.8,) * 5, 50, "truths", "worst"),
    ((0.8,) * 5, 50, "truths", "ratio"),
]


def _truth(means, measure):
    return {"gap": max(means) - min(means), "worst": min(means), "ratio": min(means) / max(means)}[measure]


def _coverage(case, *, num_tables, interval="bounds"):
    means, number, kind, measure = case
    generator = np.random.default_rng(11)
    groups = np.repeat(np.arange(len(means)), number)
    truth, covered, corrected = _truth(means, measure), [], []
    for seed in range(num_tables):
        rows = [
            generator.random(number) < mean if kind == "truths" else generator.exponential(mean, number)
            for mean in means
        ]
        asked = ScoreInput("score", (make_group_sample(np.concatenate(rows), groups),), measure)
        score = score_groups(asked, Drawing(num_draws=200, seed=seed, interval=interval))
        covered.append(score.low <= truth <= score.high)
        corrected.append(score.corrected)
    return np.mean(covered), np.median(corrected) - truth


@pytest.mark.slow
@pytest.mark.parametrize("case", APART)
def test_bounds_cover_at_their_rate_where_groups_are_apart(case):
    coverage, _ = _coverage(case, num_tables=300)
    # Three standard errors of 300 tables are 3.8 points.
    assert 0.95 - 0.038 <= coverage <= 0.95 + 0.038


@pytest.mark.slow
@pytest.mark.parametrize("case", ALIKE)
def test_bounds_cover_at_least_at_their_rate_where_groups_are_alike(case):
    coverage, bias = _coverage(case, num_tables=200)
    assert coverage >= 0.95 - 0.046
    # The plain score is off by 0.05 to 0.4 here.
    assert abs(bias) < 0.035


def test_plain_bootstrap_fails_where_groups_are_alike_and_bounds_do_not():
    case = ALIKE[0]
    assert _coverage(case, num_tables=40, interval="percentile")[0] == 0
    assert _coverage(case, num_tables=40, interval="bca")[0] == 0
    assert _coverage(case, num_tables=40)[0] >= 0.9


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_plain_bootstrap_is_right_where_groups_are_apart(interval):
    coverage, _ = _coverage(APART[0], num_tables=150, interval=interval)
    assert 0.95 - 0.06 <= coverage <= 1.0


def test_bca_is_that_of_scipy_for_one_mean():
    """Of one skewed group beside a constant one the gap is a mean, for which SciPy has the interval."""
    from scipy.stats import bootstrap

    values = np.random.default_rng(12).exponential(1.0, 80)
    rows = np.concatenate([values, np.zeros(80)])
    asked = ScoreInput("mean", (make_group_sample(rows, np.repeat(["a", "b"], 80)),))
    found = score_groups(asked, Drawing(num_draws=20_000, interval="bca"))
    expected = bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=0).confidence_interval
    assert found.low == pytest.approx(expected.low, abs=0.01)
    assert found.high == pytest.approx(expected.high, abs=0.02)


def test_measures_of_several_samples_and_outcomes():
    means = np.array([[[0.9, 0.1]], [[0.5, 0.5]]])
    other = np.array([[[0.8, 0.2]], [[0.8, 0.2]]])
    assert most_unequal([means, other], "gap") == pytest.approx([0.4])
    assert most_unequal([means, other], "ratio") == pytest.approx([-0.2])
    assert which_outcome(means, "ratio") == 1
    never = np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    assert most_unequal([never], "ratio") == pytest.approx([-1.0])


def test_command_offers_these_intervals():
    assert scores_config.INTERVALS == INTERVALS
