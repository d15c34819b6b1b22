"""Regression of accuracy on the logarithm of GDP per capita, and how much each country decides it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bioattack.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# The diagonal of the errors' covariance, up to a factor that the residuals decide, by number of images.
COVARIANCES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "printed": lambda num_images: 1 / np.sqrt(num_images),
    "binomial": lambda num_images: 1 / num_images,
    "equal": lambda num_images: np.ones_like(num_images),
}
COVARIANCE_WORDS = {"printed": "1/√n", "binomial": "1/n", "equal": "1"}
LOGARITHMS: Mapping[str, Callable[[Any], Any]] = {"natural": np.log, "base10": np.log10}
LOGARITHM_WORDS = {"natural": "ln", "base10": "log10"}
LEAST_COUNTRIES = 3


@dataclasses.dataclass(frozen=True)
class IncomeRegression:
    """A line through accuracy against log GDP per capita, and the F test of its slope.

    Args:
        covariance: A key of ``COVARIANCES``.
        logarithm: A key of ``LOGARITHMS``; the slope is per unit of it.
        num_countries: Countries in the regression.
        num_images: Images of them all.
        slope: Change of accuracy, a fraction, per unit of log GDP.
        intercept: Accuracy where log GDP is 0.
        standard_error: Of the slope.
        low: Lower end of the slope's interval.
        high: Upper end of the slope's interval.
        confidence: Of this interval, such as 0.95.
        f_statistic: Of the hypothesis that the slope is 0.
        df_residual: Residual degrees of freedom; the test has 1 and these.
        p_value: Of the same test, two-sided.
        r_squared: Share of the weighted variance that the line explains.
        residual_scale: Estimated factor of the covariance.
    """

    covariance: str
    logarithm: str
    num_countries: int
    num_images: int
    slope: float
    intercept: float
    standard_error: float
    low: float
    high: float
    confidence: float
    f_statistic: float
    df_residual: int
    p_value: float
    r_squared: float
    residual_scale: float


def regress_on_income(
    countries: "pd.DataFrame",
    *,
    covariance: str = "printed",
    logarithm: str = "natural",
    confidence: float = 0.95,
) -> IncomeRegression:
    """Fits ``accuracy = intercept + slope * log(GDP per capita)`` by generalised least squares.

    Args:
        countries: One row per country: ``accuracy`` (a fraction), ``num_images`` and ``gdp_per_capita``.
        covariance: ``"printed"`` (1/sqrt(n), as in the paper), ``"binomial"`` (1/n, the rate at which the
            variance of a share of n images falls) or ``"equal"`` (ordinary least squares).
        logarithm: ``"natural"`` or ``"base10"``, whose slope is 2.303 times as large.
        confidence: Of the slope's interval, in (0, 1).

    Raises:
        InputError: If there are fewer than three countries, or they all have the same accuracy or GDP.

    Source:
        Hua et al. 2022, section 4.2.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"gdp_per_capita": [1e3, 1e4, 1e5, 1e4], "accuracy": [0.5, 0.62, 0.7, 0.58]})
    >>> round(regress_on_income(table.assign(num_images=50), logarithm="base10").slope, 3)
    0.1
    """
    check_countries(countries)
    fitted = _fit(countries, covariance=covariance, logarithm=logarithm)
    intercept, slope = map(float, fitted.params)
    low, high = map(float, fitted.conf_int(1 - confidence)[1])
    # Where the points lie on one line there is no residual, and F is infinite.
    with np.errstate(divide="ignore"):
        test = fitted.f_test(np.array([[0.0, 1.0]]))
    return IncomeRegression(
        covariance=covariance,
        logarithm=logarithm,
        num_countries=len(countries),
        num_images=int(countries["num_images"].sum()),
        slope=slope,
        intercept=intercept,
        standard_error=float(fitted.bse[1]),
        low=low,
        high=high,
        confidence=confidence,
        f_statistic=float(np.squeeze(test.fvalue)),
        df_residual=int(fitted.df_resid),
        p_value=float(np.squeeze(test.pvalue)),
        r_squared=float(fitted.rsquared),
        residual_scale=float(fitted.scale),
    )


def check_countries(countries: "pd.DataFrame") -> None:
    """Refuses tables that no line can be fitted to.

    Args:
        countries: As for ``regress_on_income``.

    Raises:
        InputError: If there are fewer than three countries, or they all have the same accuracy or GDP.
    """
    if len(countries) < LEAST_COUNTRIES:
        raise InputError(
            f"a regression on income needs at least {LEAST_COUNTRIES} countries with images and GDP; "
            f"{len(countries)} are left"
        )
    for column, words in (("accuracy", "accuracy"), ("gdp_per_capita", "GDP per capita")):
        values = countries[column].to_numpy(float)
        if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
            raise InputError(
                f"all {len(countries)} countries have the same {words}, {values[0]:.6g}: there is nothing "
                "that a regression on income could explain"
            )


def _fit(countries: "pd.DataFrame", *, covariance: str, logarithm: str) -> Any:
    import statsmodels.api as sm

    position = LOGARITHMS[logarithm](countries["gdp_per_capita"].to_numpy(float))
    variances = COVARIANCES[covariance](countries["num_images"].to_numpy(float))
    return sm.GLS(countries["accuracy"].to_numpy(float), _design(position), sigma=variances).fit()


def _design(position: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones_like(position), position])


def fitted_band(
    countries: "pd.DataFrame",
    gdp_per_capita: np.ndarray,
    *,
    covariance: str = "printed",
    logarithm: str = "natural",
    confidence: float = 0.95,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives the line and the interval of the mean accuracy around it.

    Args:
        countries: As for ``regress_on_income``.
        gdp_per_capita: ``(points,)``, where it is wanted.
        covariance: As for ``regress_on_income``.
        logarithm: As for ``regress_on_income``.
        confidence: Of the interval.

    Returns:
        The line, the lower and the upper end, ``(points,)`` each.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"gdp_per_capita": [1e3, 1e4, 1e5, 1e4], "accuracy": [0.5, 0.62, 0.7, 0.58]})
    >>> line, low, high = fitted_band(table.assign(num_images=50), np.array([1e4]))
    >>> bool(low[0] < line[0] < high[0])
    True
    """
    from scipy.stats import t

    fitted = _fit(countries, covariance=covariance, logarithm=logarithm)
    design = _design(LOGARITHMS[logarithm](np.asarray(gdp_per_capita, float)))
    line = design @ fitted.params
    errors = np.sqrt(np.einsum("ij,jk,ik->i", design, fitted.cov_params(), design))
    half = t.ppf(0.5 + confidence / 2, fitted.df_resid) * errors
    return line, line - half, line + half


def country_influence(
    countries: "pd.DataFrame", *, covariance: str = "printed", logarithm: str = "natural"
) -> "pd.DataFrame":
    """Says how much each country decides the slope.

    Args:
        countries: As for ``regress_on_income``; its other columns are kept.
        covariance: As for ``regress_on_income``.
        logarithm: As for ``regress_on_income``.

    Returns:
        The table with four more columns, the most influential country first: ``residual`` (accuracy above
        the line), ``leverage`` (0 to 1; they sum to 2), ``cooks_distance``, and ``slope_without``, the slope
        without this country, which does not exist (NaN) where the others all have the same GDP.

    Source:
        Cook 1977; leave-one-out formulae of linear regression, on rows divided by the root of their variance.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"gdp_per_capita": [1e3, 1e4, 1e5, 1e4], "accuracy": [0.5, 0.62, 0.7, 0.58]})
    >>> round(float(country_influence(table.assign(num_images=50))["leverage"].sum()), 6)
    2.0
    """
    fitted = _fit(countries, covariance=covariance, logarithm=logarithm)
    rows, residuals = fitted.model.wexog, fitted.wresid
    inverse = np.linalg.inv(rows.T @ rows)
    leverage = np.einsum("ij,jk,ik->i", rows, inverse, rows)
    kept = np.where(leverage < 1 - 1e-9, 1 - leverage, np.nan)
    scale = fitted.scale if fitted.scale > 0 else np.nan
    cooks = residuals**2 * leverage / (2 * scale * kept**2)
    without = fitted.params[1] - (rows @ inverse)[:, 1] * residuals / kept
    return countries.assign(
        residual=fitted.resid, leverage=leverage, cooks_distance=cooks, slope_without=without
    ).sort_values("cooks_distance", ascending=False, kind="stable")


def holm(p_values: list[float]) -> list[float]:
    """Corrects p values of several tests so that together they err as seldom as one (Holm 1979).

    >>> [round(float(p), 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]]
