"""Intervals of how two models' scores differ hold the truth where the plain bootstrap's do not."""

import numpy as np
import pytest

from bioattack.fairness.difference_bounds import Contrasts, bound_difference, contrasts_of
from bioattack.fairness.group_sample import make_group_sample, make_rate_sample
from bioattack.fairness.group_scores import ScoreInput, compare_groups
from bioattack.fairness.score_intervals import Drawing, most_unequal

APART = ((0.9, 0.6), (0.85, 0.45))
FAIR_AND_UNFAIR = ((0.8,) * 10, (0.9, *(0.8,) * 8, 0.6))
BOTH_FAIR = ((0.8,) * 3, (0.8,) * 3)


def _coverage(means, number, *, num_tables, interval="bounds", measure="gap"):
    generator = np.random.default_rng(13)
    groups = np.repeat(np.arange(len(means[0])), number)
    scores = {"gap": np.ptp, "worst": np.min}[measure]
    truth, covered = scores(means[1]) - scores(means[0]), []
    for seed in range(num_tables):
        drawn = generator.random(len(groups))
        # Half of the images are equally easy for both models.
        other = np.where(generator.random(len(groups)) < 0.5, drawn, generator.random(len(groups)))
        both = np.stack([drawn < np.repeat(means[0], number), other < np.repeat(means[1], number)], axis=1)
        asked = ScoreInput("score", (make_group_sample(both, groups),), measure)
        found = compare_groups(asked, Drawing(num_draws=400, seed=seed, interval=interval))
        covered.append(found.low <= truth <= found.high)
    return np.mean(covered)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["gap", "worst"])
def test_bounds_cover_at_their_rate_where_groups_are_apart(measure):
    # Three standard errors of 400 tables are 3.3 points.
    assert 0.95 - 0.033 <= _coverage(APART, 100, num_tables=400, measure=measure) <= 0.95 + 0.035


@pytest.mark.slow
@pytest.mark.parametrize(
    ("means", "number"), [(FAIR_AND_UNFAIR, 50), (FAIR_AND_UNFAIR[::-1], 50), (BOTH_FAIR, 20)]
)
def test_bounds_cover_at_least_at_their_rate_where_groups_are_alike(means, number):
    assert _coverage(means, number, num_tables=100) >= 0.95 - 0.06


def test_plain_bootstrap_of_a_fair_model_beside_an_unfair_one_fails_and_bounds_do_not():
    assert _coverage(FAIR_AND_UNFAIR, 50, num_tables=30, interval="percentile") < 0.5
    assert _coverage(FAIR_AND_UNFAIR, 50, num_tables=30) >= 0.86


def test_one_contrast_each_is_the_percentile_interval_of_their_difference():
    draws = np.random.default_rng(0).normal(0, 0.02, (4000, 2, 1))
    draws[:, 1] += 0.8 * draws[:, 0]
    low, high = bound_difference(Contrasts(np.array([[0.1], [0.3]]), draws, np.zeros((2, 1)), 10_000))
    spread = draws[:, 1, 0] - draws[:, 0, 0]
    # Errors are mirrored, as those of a pivot are.
    assert (low, high) == pytest.approx(0.2 - np.quantile(spread, (0.975, 0.025)), abs=1e-9)


@pytest.mark.parametrize("measure", ["gap", "worst", "ratio", "rate"])
def test_scores_are_the_largest_contrasts(measure):
    generator = np.random.default_rng(1)
    groups = np.repeat(["a", "b", "c"], [30, 20, 10])
    chances = generator.random((60, 2)) < 0.8
    events = chances & (generator.random((60, 2)) < 0.6)
    sample = (
        make_rate_sample(events, chances, groups) if measure == "rate" else make_group_sample(events, groups)
    )
    drawn = sample.resample(50, generator)
    found = contrasts_of([sample], [drawn], measure=measure)
    np.testing.assert_allclose(found.values.max(axis=1), most_unequal([sample.means], measure), rtol=1e-12)
    largest = (found.draws + found.values).max(axis=2)
    np.testing.assert_allclose(largest, most_unequal([drawn], measure), rtol=1e-12)


def test_very_many_groups_are_compared_by_those_that_matter():
    generator = np.random.default_rng(2)
    groups = np.repeat(np.arange(60), 20)
    both = generator.random((1200, 2)) < np.repeat(np.linspace(0.9, 0.5, 60), 20)[:, None]
    sample = make_group_sample(both, groups)
    found = contrasts_of([sample], [sample.resample(50, generator)], measure="gap")
    assert found.values.shape[1] == 300
    np.testing.assert_allclose(found.values.max(axis=1), most_unequal([sample.means], "gap"))
