"""The largest of many differences: its upward bias corrected, and bounds that hold with ties and without.

The largest of several noisy differences is on average larger than the largest true one, the more so the
smaller the groups are and the more of them there are; where all groups are alike it is never 0. A percentile
interval of it then never contains the truth. The bounds here do, with the stated confidence: a difference is
first lowered by as much as chance may have raised the largest of those that could be it.
"""

import dataclasses

import numpy as np
from scipy.stats import norm

_MOST_NUMBERS_AT_ONCE = 4_000_000


@dataclasses.dataclass(frozen=True)
class LargestDifference:
    """What is known of the largest true difference.

    Args:
        corrected: Its estimate without the upward bias: as often too large as too small, at most.
        low: Lower bound.
        high: Upper bound.
    """

    corrected: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Estimates:
    """Estimated quantities whose differences are looked at, and how they scatter.

    Args:
        values: ``(quantities,)``.
        centres: The middles of their intervals, which for proportions of few rows are drawn to one half.
        variances: Of the values.
        draws: Bootstrap draws of the values less the values, ``(draws, quantities)``.
        num_rows: All rows from which they are made.
    """

    values: np.ndarray
    centres: np.ndarray
    variances: np.ndarray
    draws: np.ndarray
    num_rows: int


def bound_largest(
    estimates: Estimates, plus: np.ndarray, minus: np.ndarray, *, confidence: float = 0.95
) -> LargestDifference:
    """Bounds the largest of the differences ``values[plus] - values[minus]``.

    Args:
        estimates: The quantities.
        plus: Which is the first in each difference, ``(differences,)``.
        minus: Which is subtracted; -1 subtracts nothing.
        confidence: Of the interval from the lower to the upper bound.

    Source:
        Chernozhukov, Lee and Rosen 2013, "Intersection bounds", Algorithm 1: the differences that may be
        the largest are selected, and the quantile of the largest standardised error of those is subtracted;
        at one half, that makes the half-median-unbiased estimate.

    >>> draws = np.random.default_rng(0).normal(0, 0.01, (1000, 2))
    >>> groups = Estimates(np.array([0.9, 0.6]), np.array([0.9, 0.6]), np.full(2, 1e-4), draws, 5000)
    >>> found = bound_largest(groups, np.array([0, 1]), np.array([1, 0]))
    >>> round(found.corrected, 2), round(found.low, 2), round(found.high, 2)
    (0.3, 0.27, 0.33)
    """
    quantities = np.append(estimates.values, 0.0)
    centres = np.append(estimates.centres, 0.0)
    variances = np.append(estimates.variances, 0.0)
    values, middles = quantities[plus] - quantities[minus], centres[plus] - centres[minus]
    errors = np.sqrt(variances[plus] + variances[minus])
    gamma = 1 - 0.1 / np.log(max(estimates.num_rows, 3))
    slack = np.quantile(_largest_errors(estimates.draws, plus, minus, errors), gamma)
    may_be_largest = middles >= (middles - slack * errors).max() - 2 * slack * errors
    plus, minus = plus[may_be_largest], minus[may_be_largest]
    chosen = errors[may_be_largest]
    largest = _largest_errors(estimates.draws, plus, minus, chosen)
    half, whole = np.quantile(largest, (0.5, (1 + confidence) / 2))
    return LargestDifference(
        corrected=float((values[may_be_largest] - max(half, 0.0) * chosen).max()),
        low=float((middles[may_be_largest] - whole * chosen).max()),
        high=float((middles + norm.isf((1 - confidence) / 2) * errors).max()),
    )


def _largest_errors(draws: np.ndarray, plus: np.ndarray, minus: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The largest standardised error in each draw, ``(draws,)``."""
    safe = np.where(errors > 0, errors, np.inf)
    padded = np.hstack([draws, np.zeros((len(draws), 1))])
    step = max(1, _MOST_NUMBERS_AT_ONCE // len(plus))
    parts = [padded[start : start + step] for start in range(0, len(padded), step)]
    return np.concatenate([((part[:, plus] - part[:, minus]) / safe).max(axis=1) for part in parts])
