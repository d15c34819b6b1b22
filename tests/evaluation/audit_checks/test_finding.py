"""When a difference counts, against values worked out by hand and SciPy's own tests."""

import numpy as np
import pytest
from scipy.stats import binomtest

from bioattack.evaluation.audit_checks.finding import (
    FEWEST_PICTURES,
    MARGIN,
    SIGNIFICANCE,
    is_more_than,
    paired_gap,
    share,
)


def _left(*, both=0, only_weaker=0, only_stronger=0, neither=0):
    """Pictures left by two attacks: fallen to both, to the weaker only, to the stronger only, to none."""
    counts = [both, only_weaker, only_stronger, neither]
    return np.repeat([False, False, True, True], counts), np.repeat([False, True, False, True], counts)


def test_pairs_are_counted():
    gap = paired_gap(*_left(both=5, only_weaker=9, only_stronger=2, neither=4))
    assert gap[:3] == (20, 9, 2)
    assert gap.gap == pytest.approx(7 / 20)
    assert gap.p_value == pytest.approx(binomtest(9, 11, alternative="greater").pvalue)


def test_nothing_differs():
    gap = paired_gap(*_left(both=5, neither=4))
    assert (gap.p_value, gap.gap) == (1.0, 0.0)
    assert not gap.contradicts()


def test_the_fewest_pictures_that_can_be_significant():
    # 1/2 to the power of 6 is 0.0156, of 7 is 0.0078.
    assert FEWEST_PICTURES == 7
    assert not paired_gap(*_left(only_weaker=6, neither=4)).contradicts()
    assert paired_gap(*_left(only_weaker=7, neither=4)).contradicts()


def test_what_is_significant_but_small_does_not_count():
    gap = paired_gap(*_left(only_weaker=10, neither=990))
    assert gap.p_value < SIGNIFICANCE
    assert gap.gap < MARGIN
    assert not gap.contradicts()


def test_the_other_direction_never_counts():
    assert not paired_gap(*_left(only_stronger=50)).contradicts()


def test_many_comparisons_ask_for_more():
    gap = paired_gap(*_left(only_weaker=8, neither=20))
    assert gap.contradicts()
    assert not gap.contradicts(num_comparisons=3)


@pytest.mark.parametrize("count", range(0, 30, 3))
def test_more_than_a_tolerated_share_is_a_binomial_test(count):
    p_value = binomtest(count, 100, 0.05, alternative="greater").pvalue
    assert is_more_than(count, 100, tolerated=0.05) == (p_value < SIGNIFICANCE)


def test_healthy_attacks_contradict_each_other_rarely():
    random = np.random.default_rng(0)
    falls = random.random((2, 2000, 128)) < 0.5
    found = sum(paired_gap(one, other).contradicts() for one, other in zip(*falls, strict=True))
    assert found / 2000 <= SIGNIFICANCE


def test_shares_in_words():
    assert [share(1, 3), share(0, 7), share(0, 0)] == ["33.3 %", "0 %", "none"]
