"""Groups of rows, and what drawing them again does: held against plain resampling of the rows."""

import numpy as np
import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.fairness.group_sample import (
    as_categories,
    group_codes,
    make_group_sample,
    make_outcome_sample,
    make_rate_sample,
)

GROUPS = np.repeat(["a", "b", "c"], [40, 15, 5])


def _values(kind):
    generator = np.random.default_rng(7)
    number = 60 if kind != "many" else 6000
    values = generator.exponential(size=number) if kind != "truths" else generator.random(number) < 0.3
    return values, np.repeat(GROUPS, number // 60)


def _plain_means(values, groups):
    return np.array([values[groups == name].mean() for name in "abc"])


@pytest.mark.parametrize("kind", ["truths", "reals", "many"])
def test_bootstrap_has_the_moments_of_drawing_rows_again(kind):
    values, groups = _values(kind)
    drawn = make_group_sample(values, groups).resample(4000, np.random.default_rng(0))[:, :, 0, 0]
    expected = _plain_means(values, groups)
    errors = np.array([values[groups == name].std() / np.sqrt((groups == name).sum()) for name in "abc"])
    np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=4 * errors.max() / np.sqrt(4000) + 1e-12)
    np.testing.assert_allclose(drawn.std(axis=0), errors, rtol=0.06)
    # Groups are drawn one by one: their means do not hang together.
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.08


@pytest.mark.parametrize("kind", ["truths", "reals", "many"])
def test_permutation_has_the_law_of_shuffled_rows(kind):
    values, groups = _values(kind)
    drawn = make_group_sample(values, groups).permute(3000, np.random.default_rng(1))[:, :, 0, 0]
    generator = np.random.default_rng(2)
    plain = np.array([_plain_means(generator.permutation(values), groups) for _ in range(3000)])
    sizes = np.array([(groups == name).sum() for name in "abc"])
    np.testing.assert_allclose(drawn @ sizes / sizes.sum(), values.mean(), rtol=1e-9)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(plain.T), atol=0.08 * np.cov(plain.T).max())
    ours, others = (np.quantile(np.ptp(part, axis=1), (0.5, 0.9, 0.95)) for part in (drawn, plain))
    np.testing.assert_allclose(ours, others, rtol=0.08)


@pytest.mark.parametrize("kind", ["truths", "reals", "many"])
def test_exchange_has_the_law_of_tossed_coins(kind):
    values, groups = _values(kind)
    pairs = np.stack([values, np.random.default_rng(3).permutation(values)], axis=1).astype(float)
    drawn = make_group_sample(pairs, groups).exchange(3000, np.random.default_rng(4))[:, :, :, 0]
    np.testing.assert_allclose(drawn.sum(axis=2), np.tile(_plain_means(pairs.sum(axis=1), groups), (3000, 1)))
    generator = np.random.default_rng(5)
    halves = (pairs[:, 1] - pairs[:, 0]) / 2
    plain = np.array(
        [_plain_means(halves * generator.choice([-1, 1], len(halves)), groups) for _ in range(3000)]
    )
    ours = (drawn[:, :, 1] - drawn[:, :, 0]) / 2
    np.testing.assert_allclose(ours.std(axis=0), plain.std(axis=0), rtol=0.08)
    np.testing.assert_allclose(ours.mean(axis=0), 0, atol=4 * plain.std(axis=0).max() / np.sqrt(3000))


def test_outcomes_are_shares_of_classes():
    predicted = np.random.default_rng(6).integers(0, 4, (60, 2))
    sample = make_outcome_sample(predicted, GROUPS, num_outcomes=5)
    assert sample.shape == (2, 5)
    for place, name in enumerate("abc"):
        for model in range(2):
            shares = np.bincount(predicted[name == GROUPS, model], minlength=5) / (name == GROUPS).sum()
            np.testing.assert_allclose(sample.means[place, model], shares, atol=1e-15)
    assert sample.is_of_counts


def test_rates_have_a_denominator_of_each_models_own():
    generator = np.random.default_rng(8)
    chances = generator.random((60, 2)) < 0.7
    events = chances & (generator.random((60, 2)) < 0.4)
    means = make_rate_sample(events, chances, GROUPS).means
    rates = means[..., 0] / means[..., 1]
    for model in range(2):
        own = [events[n == GROUPS, model].sum() / chances[n == GROUPS, model].sum() for n in "abc"]
        np.testing.assert_allclose(rates[:, model], own, rtol=1e-12)


def test_categories_keep_their_order_and_know_the_empty_ones():
    groups = pd.Categorical(["x", "y"], categories=["y", "x", "z"])
    assert group_codes(groups)[0] == ["y", "x", "z"]
    assert list(as_categories(np.array([3, 1])).cat.categories) == ["1", "3"]
    with pytest.raises(InputError, match="class 'z' has no images; give some, or let --minimum-count 1"):
        make_group_sample(np.ones(2), groups, what="class", rows="images")
    sample = make_group_sample(np.ones(2), groups, minimum_count=1)
    assert (sample.names, sample.left_out) == (("y", "x"), (("z", 0),))


def test_small_groups_are_left_out_where_asked_and_listed():
    sample = make_group_sample(np.ones(60), GROUPS, minimum_count=10)
    assert sample.names == ("a", "b")
    assert sample.left_out == (("c", 5),)
    assert make_group_sample(np.ones(60), GROUPS).left_out == ()


@pytest.mark.parametrize(
    ("values", "groups", "options", "message"),
    [
        ([1, 0], ["a", "a"], {}, "needs two groups; there is 'a' with 2"),
        (
            [1, 0],
            ["a", "b"],
            {"minimum_count": 2},
            "two groups of 2 or more rows; there is 'a' with 1, 'b' with 1",
        ),
        ([1, np.nan], ["a", "b"], {}, "row 1 has no finite value"),
        ([1, 0], pd.Categorical(["a", None]), {}, "row 1 has no group"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, groups, options, message):
    with pytest.raises(InputError, match=message):
        make_group_sample(np.array(values, float), groups, **options)
