"""The tests of two sets of slopes, against SciPy and published numbers."""

import itertools

import numpy as np
import pytest
from scipy import stats

from bioattack.errors import InputError
from bioattack.fairness.slope_comparison import NUM_PERMUTATIONS, compare_slopes


def _slopes(number, *, seed=0, shift=0.003):
    generator = np.random.default_rng(seed)
    common = 0.02 + 0.003 * generator.standard_normal(number)
    first = common + 0.002 * generator.standard_normal(number)
    return first, common + shift + 0.004 * generator.standard_normal(number)


def test_published_t_test_is_paired_with_49_degrees_of_freedom():
    # Hua et al. 2022, section 4.2: t = 3.852 with p = 0.00017, over 50 and 50 models.
    first, second = _slopes(50)
    differences = second - first
    scaled = differences - differences.mean()
    scaled += 3.852 * scaled.std(ddof=1) / np.sqrt(50)
    found = compare_slopes(first, first + scaled)
    assert (found.statistic, found.df_residual) == (pytest.approx(3.852), 49)
    assert found.p_value == pytest.approx(0.00017, abs=5e-6)
    # With the 98 degrees of freedom of a pooled test it would be another p.
    assert stats.t.sf(3.852, 98) == pytest.approx(0.000105, abs=5e-7)


def test_paired_test_is_scipys():
    first, second = _slopes(20)
    expected = stats.ttest_rel(first, second, alternative="less")
    found = compare_slopes(first, second)
    assert found.p_value == pytest.approx(expected.pvalue)
    # Theirs is of the first less the second.
    assert found.statistic == pytest.approx(-expected.statistic)
    interval = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    differences = second - first
    assert found.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))


@pytest.mark.parametrize("sizes", [(20, 20), (5, 12)])
def test_welch_is_scipys(sizes):
    first, second = _slopes(sizes[0])[0], _slopes(sizes[1], seed=1)[1]
    expected = stats.ttest_ind(first, second, equal_var=False, alternative="less")
    found = compare_slopes(first, second, test="welch")
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.df_residual == pytest.approx(expected.df)
    assert (found.num_first, found.num_second, found.effect_name) == (*sizes, "g")


def test_effect_of_unpaired_sets_is_hedges_g():
    # By hand: means 2 and 4, both variances 1, so d = 2; the correction for 4 degrees is 1 - 3 / 15.
    found = compare_slopes([1.0, 2.0, 3.0], [3.0, 4.0, 5.0], test="welch")
    assert found.effect_size == pytest.approx(2 * 0.8)


def test_permutation_of_few_pairs_counts_all_signs():
    first, second = _slopes(6)
    differences = second - first
    means = [np.mean(differences * signs) for signs in itertools.product((1, -1), repeat=6)]
    expected = np.mean(np.array(means) >= differences.mean() - 1e-15)
    found = compare_slopes(first, second, test="permutation")
    assert found.p_value == pytest.approx(expected)
    assert (found.num_permutations, found.df_residual) == (64, None)


@pytest.mark.parametrize(("sizes", "kind"), [((30, 30), "samples"), ((9, 25), "independent")])
def test_permutation_of_many_agrees_with_scipys(sizes, kind):
    first, second = (
        _slopes(sizes[0])[0],
        _slopes(sizes[1], seed=0 if kind == "samples" else 4, shift=0.001)[1],
    )
    expected = stats.permutation_test(
        (second, first),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        permutation_type=kind,
        alternative="greater",
        n_resamples=9999,
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    found = compare_slopes(first, second, test="permutation")
    # Both are drawn: three standard errors of the difference of two such shares.
    slack = 3 * np.sqrt(2 * expected.pvalue * (1 - expected.pvalue) / NUM_PERMUTATIONS) + 2e-4
    assert found.p_value == pytest.approx(expected.pvalue, abs=slack)
    assert found == compare_slopes(first, second, test="permutation")


def test_hypothesis_has_a_direction():
    first, second = _slopes(20)
    assert compare_slopes(first, second).p_value < 0.05
    assert compare_slopes(second, first).p_value > 0.95


@pytest.mark.parametrize(
    ("first", "second", "test", "message"),
    [
        ([0.1], [0.2], "paired", "two or more in each; there are 1 and 1"),
        ([0.1, 0.2], [0.2, 0.3, 0.4], "paired", "2 and 3 here"),
        ([0.1, 0.2], [0.1, 0.2], "paired", "same models twice"),
        ([0.1, 0.2], [0.2, 0.3], "paired", "all the same"),
        ([0.1, 0.1], [0.1, 0.1], "welch", "all the same"),
    ],
)
def test_sets_that_cannot_be_tested_are_refused(first, second, test, message):
    with pytest.raises(InputError, match=message):
        compare_slopes(first, second, test=test)


def test_the_test_errs_at_its_level():
    generator = np.random.default_rng(3)
    for test in ("paired", "welch"):
        p_values = [
            compare_slopes(*generator.standard_normal((2, 10)), test=test).p_value for _ in range(400)
        ]
        low, high = stats.binom.interval(0.99, 400, 0.05)
        assert low <= sum(np.array(p_values) < 0.05) <= high
