"""Power, against statsmodels' solvers and against simulated tests."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from bioattack.fairness.power import (
    countries_needed,
    f_test_power,
    pairs_needed,
    smallest_difference,
    smallest_slope,
    t_test_power,
)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 2.0, 4.0])
@pytest.mark.parametrize("df", [1, 5, 39])
def test_f_test_power_is_the_noncentral_f_distribution(ratio, df):
    expected = stats.ncf.sf(stats.f.isf(0.05, 1, df), 1, df, ratio**2) if ratio else 0.05
    assert f_test_power(ratio, 1.0, df_residual=df) == pytest.approx(expected, abs=1e-6)
    assert f_test_power(-3 * ratio, 3.0, df_residual=df) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("effect", [0.1, 0.3, 0.8])
def test_t_test_power_is_statsmodels(effect):
    expected = TTestPower().power(effect, nobs=50, alpha=0.05, alternative="larger")
    assert t_test_power(effect, 1 / np.sqrt(50), df_residual=49) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("df", [1, 3, 39, 500])
def test_smallest_slope_has_the_stated_power(df):
    slope = smallest_slope(0.01, df_residual=df)
    assert f_test_power(slope, 0.01, df_residual=df) == pytest.approx(0.8, abs=1e-6)
    assert smallest_slope(0.02, df_residual=df) == pytest.approx(2 * slope)


def test_smallest_difference_is_statsmodels():
    expected = TTestPower().solve_power(nobs=50, alpha=0.05, power=0.8, alternative="larger")
    assert smallest_difference(1 / np.sqrt(50), df_residual=49) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("effect", [0.1, 0.5, 2.0])
def test_pairs_needed_is_statsmodels(effect):
    expected = TTestPower().solve_power(effect, alpha=0.05, power=0.8, alternative="larger")
    assert pairs_needed(3 * effect, 3.0) == int(np.ceil(expected))


@pytest.mark.parametrize("slope", [0.01, 0.02, 0.1])
def test_countries_needed_is_the_least_number_that_is_enough(slope):
    number = countries_needed(slope, 0.008, num_countries=41)
    assert number is not None

    def power(count):
        return f_test_power(slope, 0.008 * np.sqrt(41 / count), df_residual=count - 2)

    assert power(number) >= 0.8
    assert number == 3 or power(number - 1) < 0.8


def test_hopeless_questions_have_no_number():
    assert countries_needed(1e-9, 1.0, num_countries=41) is None
    assert pairs_needed(1e-9, 1.0) is None


def test_certain_questions_are_answered_where_the_distribution_is_out_of_reach():
    assert f_test_power(1.0, 1e-6, df_residual=5) == pytest.approx(1)
    assert t_test_power(-1.0, 1e-6, df_residual=5) == pytest.approx(0)
