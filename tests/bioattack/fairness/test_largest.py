"""Bounds of a largest difference: half-median-unbiased, and right where one difference stands alone."""

import numpy as np
import pytest
from scipy.stats import norm

from bioattack.fairness.largest import Estimates, bound_largest


def _estimates(values, error, seed=0, num_draws=4000):
    values = np.asarray(values, float)
    draws = np.random.default_rng(seed).normal(0, error, (num_draws, len(values)))
    return Estimates(values, values, np.full(len(values), error**2), draws, 10_000)


def _pairs(number):
    return np.nonzero(~np.eye(number, dtype=bool))


def test_one_difference_far_ahead_has_its_normal_interval():
    found = bound_largest(_estimates([0.9, 0.5, 0.1], 0.01), *_pairs(3))
    half = norm.isf(0.025) * np.hypot(0.01, 0.01)
    assert found.corrected == pytest.approx(0.8, abs=0.001)
    # The quantile is that of 4,000 draws.
    assert found.low == pytest.approx(0.8 - half, abs=0.002)
    assert found.high == pytest.approx(0.8 + half)


def test_equal_quantities_are_corrected_to_their_median():
    """Of ten equal means the largest difference is 0.03 on average; half the corrected ones are below 0."""
    generator = np.random.default_rng(1)
    found = [
        bound_largest(_estimates(generator.normal(0.5, 0.01, 10), 0.01, seed, 400), *_pairs(10))
        for seed in range(200)
    ]
    share_above = np.mean([one.corrected > 0 for one in found])
    assert 0.4 < share_above < 0.6
    assert np.mean([one.low <= 0 <= one.high for one in found]) > 0.94


def test_nothing_is_subtracted_where_minus_says_so():
    found = bound_largest(_estimates([-0.6, -0.9], 0.01), np.array([0, 1]), np.array([-1, -1]))
    assert found.corrected == pytest.approx(-0.6, abs=0.001)
    assert found.low < -0.6 < found.high


def test_exact_quantities_have_no_interval():
    found = bound_largest(_estimates([1.0, 0.0], 0.0), *_pairs(2))
    assert (found.corrected, found.low, found.high) == (1.0, 1.0, 1.0)
