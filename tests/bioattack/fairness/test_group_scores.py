"""Scores of one model and of two: tests keep their level, differences are those of the scores."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from bioattack.fairness.group_sample import make_group_sample, make_outcome_sample, make_rate_sample
from bioattack.fairness.group_scores import ScoreInput, compare_groups, score_groups
from bioattack.fairness.score_intervals import Drawing

GROUPS = np.repeat(["a", "b", "c"], [50, 30, 20])


def _truths(seed, shape=100, share=0.6):
    return np.random.default_rng(seed).random(shape) < share


def test_permutation_test_of_two_groups_is_fishers():
    right = np.repeat([1, 0, 1, 0], [38, 12, 16, 14])
    asked = ScoreInput("CAU", (make_group_sample(right, GROUPS[:80]),))
    score = score_groups(asked, Drawing(num_draws=50_000))
    # |difference| orders tables otherwise than their probability does, but these two tails are the same.
    assert score.p_value == pytest.approx(fisher_exact([[38, 12], [16, 14]]).pvalue, abs=0.006)
    assert score.value == pytest.approx(38 / 50 - 16 / 30)


@pytest.mark.parametrize("measure", ["gap", "worst", "ratio"])
def test_level_of_the_permutation_test(measure):
    p_values = []
    for seed in range(300):
        asked = ScoreInput("x", (make_group_sample(_truths(seed), GROUPS),), measure)
        p_values.append(score_groups(asked, Drawing(num_draws=199, seed=seed)).p_value)
    # Three standard errors of 300 tests; the test is a little conservative, its statistic being discrete.
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.09


def test_level_of_the_comparison_of_two_models():
    p_values, covered = [], []
    for seed in range(200):
        asked = ScoreInput("x", (make_group_sample(_truths(seed, (100, 2)), GROUPS),))
        found = compare_groups(asked, Drawing(num_draws=199, seed=seed))
        p_values.append(found.p_value)
        covered.append(found.low <= 0 <= found.high)
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.1
    assert np.mean(covered) >= 0.9


def test_paired_interval_covers_a_difference_that_is_there():
    covered = []
    groups = np.repeat(["a", "b"], 150)
    for seed in range(200):
        drawn = np.random.default_rng(seed).random(300)
        # The models answer from the same chance: their answers hang together.
        first, second = drawn < np.repeat([0.9, 0.7], 150), drawn < np.repeat([0.85, 0.45], 150)
        found = compare_groups(
            ScoreInput("x", (make_group_sample(np.stack([first, second], axis=1), groups),)),
            Drawing(num_draws=199, seed=seed),
        )
        covered.append(found.low <= 0.2 <= found.high)
    assert 0.9 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("measure", ["gap", "worst", "ratio"])
def test_difference_is_that_of_the_two_scores(measure):
    both = _truths(1, (100, 2))
    found = compare_groups(ScoreInput("x", (make_group_sample(both, GROUPS),), measure))
    scores = [
        score_groups(ScoreInput("x", (make_group_sample(both[:, place], GROUPS),), measure)).value
        for place in range(2)
    ]
    assert (found.first, found.second) == tuple(scores)
    assert found.difference == scores[1] - scores[0]
    assert found.low <= found.difference <= found.high


def test_difference_of_rates_is_that_of_the_two_scores():
    chances = _truths(2, (100, 2), 0.8)
    events = chances & _truths(3, (100, 2), 0.5)
    found = compare_groups(ScoreInput("x", (make_rate_sample(events, chances, GROUPS),), "rate"))
    for place, value in enumerate((found.first, found.second)):
        own = chances[:, place]
        asked = ScoreInput("x", (make_group_sample(events[own, place], GROUPS[own]),))
        assert value == pytest.approx(score_groups(asked).value, abs=1e-12)
    assert found.first > 0


def test_same_model_twice_does_not_differ():
    both = np.repeat(_truths(4)[:, None], 2, axis=1)
    found = compare_groups(ScoreInput("x", (make_group_sample(both, GROUPS),)))
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_where_the_score_is_made_is_said():
    shares = np.repeat([0, 1, 2, 0, 1, 2], [10, 10, 30, 25, 5, 0])
    samples = tuple(
        make_outcome_sample(part, GROUPS[:80], num_outcomes=3) for part in (np.zeros(80, int), shares)
    )
    asked = ScoreInput("x", samples, within=("first", "second"), outcomes=("red", "green", "blue"))
    score = score_groups(asked)
    assert (score.within, score.outcome, score.lowest, score.highest) == ("second", "red", "a", "b")
    assert score.value == pytest.approx(25 / 30 - 10 / 50)
    assert (score.num_rows, score.num_groups, score.least_rows) == (160, 2, 30)


def test_same_seed_same_score():
    asked = ScoreInput("x", (make_group_sample(_truths(5), GROUPS),))
    first, again, other = (score_groups(asked, Drawing(seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_real_values_are_scored_by_their_means():
    generator = np.random.default_rng(6)
    groups, values = generator.integers(0, 10, 100_000), generator.exponential(size=100_000)
    score = score_groups(ScoreInput("CRU_eps", (make_group_sample(values, groups),)), Drawing(num_draws=100))
    means = [values[groups == place].mean() for place in range(10)]
    assert score.value == pytest.approx(np.ptp(means), abs=1e-9)


@pytest.mark.parametrize("measure", ["gap", "worst", "ratio"])
def test_intervals_stay_where_scores_of_shares_can_be(measure):
    # Groups of three: an error is as large as the score itself.
    both = np.array([[1, 1], [1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [0, 0], [0, 1], [0, 1]])
    groups = np.repeat(["a", "b", "c"], 3)
    score = score_groups(ScoreInput("s", (make_group_sample(both[:, 0], groups),), measure))
    assert 0 <= score.low <= score.value <= score.high <= 1
    found = compare_groups(ScoreInput("s", (make_group_sample(both, groups),), measure))
    assert -1 <= found.low <= found.difference <= found.high <= 1
