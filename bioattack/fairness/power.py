"""What a sample could have found: power of the F test and of the t test, and the sample that finds more."""

import math
from collections.abc import Callable

SIGNIFICANCE, POWER = 0.05, 0.8
MOST_SAMPLES = 1_000_000


def f_test_power(
    slope: float, standard_error: float, *, df_residual: int, significance: float = SIGNIFICANCE
) -> float:
    """Gives the probability that the F test of a slope finds it.

    Args:
        slope: The true slope.
        standard_error: With which the sample measures slopes, in the same unit.
        df_residual: Residual degrees of freedom of the regression.
        significance: Level of the test.

    >>> round(f_test_power(0.0, 1.0, df_residual=39), 3)
    0.05
    """
    from scipy.stats import t

    # The F test with one degree of freedom is the two-sided t test, whose noncentral tails are stabler.
    critical = float(t.isf(significance / 2, df_residual))
    shift = abs(slope) / standard_error
    return min(1.0, _upper_tail(critical, df_residual, shift) + _upper_tail(critical, df_residual, -shift))


def t_test_power(
    difference: float, standard_error: float, *, df_residual: float, significance: float = SIGNIFICANCE
) -> float:
    """Gives the probability that a one-sided t test finds a difference of two means.

    Args:
        difference: The true difference; above 0 where the alternative holds.
        standard_error: With which the sample measures differences, in the same unit.
        df_residual: Degrees of freedom; those of Welch's test are no whole number.
        significance: Level of the test.

    >>> round(t_test_power(0.0, 1.0, df_residual=49), 3)
    0.05
    """
    from scipy.stats import t

    critical = float(t.isf(significance, df_residual))
    return _upper_tail(critical, df_residual, difference / standard_error)


def _upper_tail(critical: float, df_residual: float, shift: float) -> float:
    from scipy.stats import nct, norm

    # Far in the tails the noncentral t distribution is not to be had; the normal one is as good there.
    if abs(shift) > 30:
        return float(norm.sf(critical - shift))
    tail = float(nct.sf(critical, df_residual, shift))
    return tail if math.isfinite(tail) else float(norm.sf(critical - shift))


def smallest_slope(
    standard_error: float, *, df_residual: int, significance: float = SIGNIFICANCE, power: float = POWER
) -> float:
    """Gives the smallest slope that the F test of a sample finds with a stated probability.

    Args:
        standard_error: With which the sample measures slopes.
        df_residual: Residual degrees of freedom of the regression.
        significance: Level of the test.
        power: The probability.

    >>> round(smallest_slope(1.0, df_residual=39), 2)
    2.87
    """
    return standard_error * _least(
        lambda ratio: f_test_power(ratio, 1.0, df_residual=df_residual, significance=significance), power
    )


def smallest_difference(
    standard_error: float, *, df_residual: float, significance: float = SIGNIFICANCE, power: float = POWER
) -> float:
    """Gives the smallest difference of two means that a one-sided t test finds with a stated probability.

    Args:
        standard_error: With which the sample measures differences.
        df_residual: Degrees of freedom.
        significance: Level of the test.
        power: The probability.

    >>> round(smallest_difference(1.0, df_residual=49), 2)
    2.52
    """
    return standard_error * _least(
        lambda ratio: t_test_power(ratio, 1.0, df_residual=df_residual, significance=significance), power
    )


def _least(power_at: Callable[[float], float], power: float) -> float:
    from scipy.optimize import brentq

    upper = 4.0
    while power_at(upper) < power:
        upper *= 2
    return float(brentq(lambda ratio: power_at(ratio) - power, 0.0, upper, xtol=1e-9))


def countries_needed(
    slope: float,
    standard_error: float,
    *,
    num_countries: int,
    significance: float = SIGNIFICANCE,
    power: float = POWER,
) -> int | None:
    """Gives how many countries like those of a sample find a stated slope.

    Incomes, numbers of images per country and scatter are taken to stay as they are, so that the standard
    error falls with the root of the number of countries.

    Args:
        slope: The stated slope.
        standard_error: With which the present sample measures slopes.
        num_countries: Of the present sample.
        significance: Level of the test.
        power: Probability with which the slope is to be found.

    Returns:
        At least 3; ``None`` where more than a million would be needed.

    >>> countries_needed(2.88, 1.0, num_countries=41)
    41
    """

    def is_enough(number: int) -> bool:
        error = standard_error * math.sqrt(num_countries / number)
        return f_test_power(slope, error, df_residual=number - 2, significance=significance) >= power

    return _least_number(is_enough, start=3)


def pairs_needed(
    difference: float, deviation: float, *, significance: float = SIGNIFICANCE, power: float = POWER
) -> int | None:
    """Gives how many pairs of models the one-sided paired t test needs to find a stated difference.

    Args:
        difference: The stated mean difference within pairs, above 0.
        deviation: Standard deviation of the differences.
        significance: Level of the test.
        power: Probability with which the difference is to be found.

    Returns:
        At least 2; ``None`` where more than a million would be needed.

    >>> pairs_needed(0.5, 1.0)
    27
    """

    def is_enough(number: int) -> bool:
        error = deviation / math.sqrt(number)
        return t_test_power(difference, error, df_residual=number - 1, significance=significance) >= power

    return _least_number(is_enough, start=2)


def _least_number(is_enough: Callable[[int], bool], *, start: int) -> int | None:
    """The least whole number from which on a condition holds, by doubling and halving."""
    upper = start
    while not is_enough(upper):
        if upper > MOST_SAMPLES:
            return None
        upper *= 2
    lower = max(start, upper // 2)
    while lower < upper:
        middle = (lower + upper) // 2
        lower, upper = (lower, middle) if is_enough(middle) else (middle + 1, upper)
    return upper
