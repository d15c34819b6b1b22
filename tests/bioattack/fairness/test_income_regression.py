"""The regression on income, against statsmodels, published numbers and fits made again."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import f as f_distribution
from statsmodels.stats.outliers_influence import OLSInfluence

from bioattack.errors import InputError
from bioattack.fairness.income_regression import (
    COVARIANCES,
    country_influence,
    fitted_band,
    holm,
    regress_on_income,
)

NUM_COUNTRIES = 41


def _countries(*, seed=0, slope=0.02, number=NUM_COUNTRIES):
    generator = np.random.default_rng(seed)
    gdp = np.exp(generator.uniform(np.log(300), np.log(90000), number))
    num_images = generator.integers(5, 400, number)
    expected = 0.6 + slope * (np.log(gdp) - 8)
    return pd.DataFrame(
        {
            "country": [f"C{index:02d}" for index in range(number)],
            "gdp_per_capita": gdp,
            "num_images": num_images,
            "accuracy": generator.binomial(num_images, expected) / num_images,
        }
    )


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize(("logarithm", "log"), [("natural", np.log), ("base10", np.log10)])
def test_regression_is_weighted_least_squares_with_the_inverse_variances(covariance, logarithm, log):
    table = _countries()
    number = table["num_images"].to_numpy(float)
    weights = {"printed": np.sqrt(number), "binomial": number, "equal": np.ones_like(number)}[covariance]
    expected = sm.WLS(table["accuracy"], sm.add_constant(log(table["gdp_per_capita"])), weights=weights).fit()
    found = regress_on_income(table, covariance=covariance, logarithm=logarithm)
    assert [found.intercept, found.slope] == pytest.approx(list(expected.params), rel=1e-10)
    assert found.standard_error == pytest.approx(expected.bse.iloc[1], rel=1e-10)
    assert (found.low, found.high) == pytest.approx(tuple(expected.conf_int().iloc[1]), rel=1e-10)
    assert found.f_statistic == pytest.approx(expected.fvalue, rel=1e-10)
    assert found.p_value == pytest.approx(expected.f_pvalue, rel=1e-8)
    assert found.r_squared == pytest.approx(expected.rsquared, rel=1e-10)
    assert (found.num_countries, found.df_residual) == (NUM_COUNTRIES, NUM_COUNTRIES - 2)


def test_slope_per_log10_is_the_natural_one_times_ln_10_and_the_test_is_the_same():
    natural, base10 = (regress_on_income(_countries(), logarithm=name) for name in ("natural", "base10"))
    assert base10.slope == pytest.approx(np.log(10) * natural.slope)
    assert base10.p_value == pytest.approx(natural.p_value)


def test_published_f_test_is_that_of_41_countries():
    # Hua et al. 2022, section 4.2: F = 5.392 has p = 0.02554 with (1, 39) degrees of freedom.
    assert f_distribution.sf(5.392, 1, 39) == pytest.approx(0.02554, abs=5e-6)
    found = regress_on_income(_with_f_statistic(5.392))
    assert (found.f_statistic, found.df_residual) == (pytest.approx(5.392), 39)
    assert found.p_value == pytest.approx(0.02554, abs=5e-6)


def _with_f_statistic(f_statistic):
    """41 countries with residuals scaled so that F is what is asked for."""
    table = _countries(slope=0.0)
    weights = np.sqrt(table["num_images"].to_numpy(float))
    design = sm.add_constant(np.log(table["gdp_per_capita"].to_numpy()))
    flat = sm.WLS(table["accuracy"].to_numpy(), design, weights=weights).fit()
    # F grows with the square of the slope over unchanged residuals.
    slope = flat.bse[1] * np.sqrt(f_statistic)
    return table.assign(accuracy=flat.resid + design @ [0.4, slope])


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_influence_is_what_fits_without_each_country_give(covariance):
    table = _countries(number=12)
    found = country_influence(table, covariance=covariance).set_index("country")
    for code in table["country"]:
        without = regress_on_income(table[table["country"] != code], covariance=covariance)
        assert found.loc[code, "slope_without"] == pytest.approx(without.slope, rel=1e-9)
    roots = np.sqrt(COVARIANCES[covariance](table["num_images"].to_numpy(float)))
    design = sm.add_constant(np.log(table["gdp_per_capita"].to_numpy())) / roots[:, None]
    expected = OLSInfluence(sm.OLS(table["accuracy"].to_numpy() / roots, design).fit())
    found = found.loc[table["country"]]
    assert found["leverage"].to_numpy() == pytest.approx(expected.hat_matrix_diag)
    assert found["cooks_distance"].to_numpy() == pytest.approx(expected.cooks_distance[0])


def test_most_influential_country_comes_first():
    table = _countries()
    table.loc[0, ["gdp_per_capita", "accuracy", "num_images"]] = [90000.0, 0.05, 400]
    assert country_influence(table)["country"].iloc[0] == "C00"


def test_slope_without_a_country_does_not_exist_where_the_others_have_one_income():
    table = pd.DataFrame({"gdp_per_capita": [1e3, 1e3, 1e4], "accuracy": [0.5, 0.6, 0.7], "num_images": 9})
    found = country_influence(table.assign(country=["a", "b", "c"])).set_index("country")
    assert np.isnan(found.loc["c", "slope_without"])
    assert found.loc["c", "leverage"] == pytest.approx(1)


def test_band_is_that_of_statsmodels():
    table = _countries()
    at = np.array([400.0, 5000.0, 60000.0])
    weights = np.sqrt(table["num_images"].to_numpy(float))
    fitted = sm.WLS(
        table["accuracy"].to_numpy(),
        sm.add_constant(np.log(table["gdp_per_capita"].to_numpy())),
        weights=weights,
    ).fit()
    frame = fitted.get_prediction(sm.add_constant(np.log(at))).summary_frame(0.05)
    line, low, high = fitted_band(table, at)
    assert line == pytest.approx(frame["mean"].to_numpy())
    assert low == pytest.approx(frame["mean_ci_lower"].to_numpy())
    assert high == pytest.approx(frame["mean_ci_upper"].to_numpy())


def test_points_on_one_line_are_a_slope_without_doubt():
    table = pd.DataFrame({"gdp_per_capita": [1e2, 1e3, 1e4], "accuracy": [0.25, 0.5, 0.75], "num_images": 4})
    found = regress_on_income(table, logarithm="base10", covariance="equal")
    assert found.slope == pytest.approx(0.25)
    assert found.p_value < 1e-9


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"gdp_per_capita": [1e3, 1e4], "accuracy": [0.5, 0.6]}, "at least 3 countries .* 2 are left"),
        ({"gdp_per_capita": [1e3, 1e4, 1e5], "accuracy": [0.7] * 3}, "same accuracy, 0.7"),
        ({"gdp_per_capita": [1e3] * 3, "accuracy": [0.5, 0.6, 0.7]}, "same GDP per capita, 1000"),
    ],
)
def test_tables_that_no_line_can_be_fitted_to_are_refused(columns, message):
    with pytest.raises(InputError, match=message):
        regress_on_income(pd.DataFrame(columns).assign(num_images=10))


def test_holm_by_hand():
    # 0.01 * 3, then max with 0.02 * 2, then max with 0.04 * 1.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


@pytest.mark.realdata
def test_real_recalls_rise_with_income_as_published(realdata):
    # The folder's README gives 0.1305 (0.0226, r = 0.594) without weights, and 0.1521 with those below.
    path = realdata / "geo" / "dollarstreet_clip_recall_by_country.csv"
    table = pd.read_csv(path, keep_default_na=False).rename(
        columns={"images": "num_images", "recall": "accuracy", "gdp_per_capita_usd_2019": "gdp_per_capita"}
    )
    found = regress_on_income(table, covariance="equal", logarithm="base10")
    assert found.num_countries == 63
    assert (found.slope, found.standard_error) == pytest.approx((0.1305, 0.0226), abs=5e-5)
    assert np.sqrt(found.r_squared) == pytest.approx(0.594, abs=5e-4)
    spread = table["accuracy"] * (1 - table["accuracy"])
    weighted = table.assign(num_images=table["num_images"] / spread)
    found = regress_on_income(weighted, covariance="binomial", logarithm="base10")
    assert (found.slope, found.intercept) == pytest.approx((0.1521, -0.2565), abs=5e-5)
