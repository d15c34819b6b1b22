"""The regressions and tests of accuracy on income, as rows of ``summary.json``."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bioattack.errors import InputError
from bioattack.evaluation.income_config import IncomeConfig
from bioattack.fairness.country_sample import CountrySample
from bioattack.fairness.income_regression import COVARIANCES, IncomeRegression, holm, regress_on_income
from bioattack.fairness.power import countries_needed, f_test_power, pairs_needed, smallest_slope
from bioattack.fairness.simulation import RejectionRate, simulate_rejections
from bioattack.fairness.slope_comparison import TESTS, compare_slopes

if TYPE_CHECKING:
    import pandas as pd

_MOST_LEFT_OUT_SINGLY = 3
_SENSITIVITY_FIELDS = ("slope", "standard_error", "low", "high", "f_statistic", "df_residual", "p_value")


def regression_rows(
    sets: Mapping[str, Sequence[str]], sample: CountrySample, config: IncomeConfig
) -> list[dict[str, Any]]:
    """Regresses every model; a row per model, with Holm's correction over them all.

    Args:
        sets: Models by set.
        sample: The countries.
        config: Covariance, logarithm, and the slope that is asked about.

    Raises:
        InputError: If no line can be fitted to a model's accuracies; it says what was left out.
    """
    rows = []
    for name, models in sets.items():
        for model in models:
            countries = sample.countries_of(model)
            found = _regress(sample, model, config)
            num_correct = float((countries["accuracy"] * countries["num_images"]).sum())
            row: dict[str, Any] = {"set": name, "model": model, "accuracy": num_correct / found.num_images}
            rows.append(row | _fields(found) | _power(found, config))
    for row, corrected in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return rows


def how_fitted(config: IncomeConfig) -> dict[str, Any]:
    """Returns covariance and logarithm, as ``regress_on_income`` takes them."""
    return {"covariance": config.covariance, "logarithm": config.logarithm}


def _regress(sample: CountrySample, model: str, config: IncomeConfig, **how: str) -> IncomeRegression:
    try:
        return regress_on_income(sample.countries_of(model), **(how_fitted(config) | how))
    except InputError as error:
        left_out = sample.left_out["reason"].value_counts()
        words = "".join(f"; {number} left out: {reason}" for reason, number in left_out.items())
        raise InputError(f"{model}: {error}{words}") from error


def _fields(found: IncomeRegression) -> dict[str, Any]:
    # JSON knows no infinity, which F is where all points lie on one line.
    return dataclasses.asdict(found) | {"f_statistic": finite(found.f_statistic)}


def finite(value: float) -> float | None:
    """Gives a number as JSON takes it: neither infinity nor NaN.

    >>> finite(1.5), finite(float("inf"))
    (1.5, None)
    """
    return value if math.isfinite(value) else None


def _power(found: IncomeRegression, config: IncomeConfig) -> dict[str, Any]:
    """What this sample could have found; nothing can be said where the points lie on one line."""
    power: dict[str, Any] = dict.fromkeys(
        ("smallest_slope", "power_at_stated_slope", "countries_for_stated_slope")
    )
    error, stated = found.standard_error, config.find_slope
    if error > 0:
        power["smallest_slope"] = smallest_slope(error, df_residual=found.df_residual)
    if error > 0 and stated is not None:
        power["power_at_stated_slope"] = f_test_power(stated, error, df_residual=found.df_residual)
        power["countries_for_stated_slope"] = countries_needed(
            stated, error, num_countries=found.num_countries
        )
    return power


def sensitivity_rows(
    sample: CountrySample, model: str, influence: "pd.DataFrame", config: IncomeConfig
) -> list[dict[str, Any]]:
    """Makes a regression again: with each covariance, and without each country that decides it most.

    Args:
        sample: The countries.
        model: One of the sample's.
        influence: Of its countries, the most influential first.
        config: Covariance and logarithm.
    """
    found = {f"covariance {name}": _regress(sample, model, config, covariance=name) for name in COVARIANCES}
    countries = sample.countries_of(model)
    for code in influence["country"].head(_MOST_LEFT_OUT_SINGLY):
        try:
            others = countries[countries["country"] != code]
            found[f"without {code}"] = regress_on_income(others, **how_fitted(config))
        except InputError:  # Three countries without one are too few: there is nothing to show.
            continue
    return [
        {"model": model, "variant": variant}
        | {name: value for name, value in _fields(regression).items() if name in _SENSITIVITY_FIELDS}
        for variant, regression in found.items()
    ]


def comparison_of(
    rows: Sequence[Mapping[str, Any]], paired_by: str | None, config: IncomeConfig
) -> dict[str, Any] | None:
    """Tests whether the first set's slopes are below the second's; ``None`` where there is one set.

    Args:
        rows: Of ``regression_rows``.
        paired_by: How the sets are paired; ``None`` where they are not.
        config: Names of the sets, the test that is asked for, and the difference that is asked about.

    Raises:
        InputError: If a set has fewer than two models, or the test is paired and the sets are of two sizes.
    """
    if not config.against:
        return None
    slopes = {name: [row["slope"] for row in rows if row["set"] == name] for name in config.set_names}
    first, second = slopes.values()
    names = [config.test, *(name for name in TESTS if name != config.test)]
    kept = [name for name in names if name in (config.test, "permutation", "welch") or paired_by]
    tests = [compare_slopes(first, second, test=name, seed=config.seed) for name in kept]
    return {
        "hypothesis": "mean slope of {} below that of {}".format(*config.set_names),
        "paired_by": paired_by,
        "chosen": config.test,
        "sets": [_set_row(name, rows) for name in dict.fromkeys(row["set"] for row in rows)],
        "tests": [dataclasses.asdict(test) for test in tests],
        "pairs_for_stated_difference": _pairs(first, second, config.find_difference),
    }


def _set_row(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    import numpy as np

    own = [row for row in rows if row["set"] == name]
    slopes = [row["slope"] for row in own]
    return {
        "name": name,
        "num_models": len(own),
        "mean_slope": float(np.mean(slopes)),
        "deviation": float(np.std(slopes, ddof=1)) if len(own) > 1 else None,
        "mean_accuracy": float(np.mean([row["accuracy"] for row in own])),
    }


def _pairs(first: Sequence[float], second: Sequence[float], difference: float | None) -> int | None:
    import numpy as np

    if difference is None or len(first) != len(second):
        return None
    return pairs_needed(difference, float(np.std(np.subtract(second, first), ddof=1)))


def simulation_rows(
    countries: "pd.DataFrame", row: Mapping[str, Any], config: IncomeConfig
) -> list[dict[str, Any]]:
    """Draws tables like a sample's, without a slope and with one, and counts where the F test finds one.

    Without a slope accuracies scatter either by the binomial rate alone or alike in all countries, and both
    covariances are tested; with one they scatter as the residuals of the sample do.

    Args:
        countries: Of one model.
        row: Its row of ``regression_rows``.
        config: The slope that is asked about; by default the smallest that is found in 80 % of samples.
    """
    if not config.simulations:
        return []
    how: dict[str, Any] = {
        "logarithm": config.logarithm,
        "num_tables": config.simulations,
        "seed": config.seed,
    }
    rates: list[RejectionRate] = [
        simulate_rejections(countries, covariance=covariance, truth=truth, **how)
        for truth in ("counts", "equal")
        for covariance in dict.fromkeys(("printed", "binomial", config.covariance))
    ]
    slope = config.find_slope or row["smallest_slope"]
    if slope:
        scale = row["residual_scale"]
        how |= {"slope": slope, "scale": scale, "truth": config.covariance}
        rates.append(simulate_rejections(countries, covariance=config.covariance, **how))
    return [
        dataclasses.asdict(rate) | {"keeps_level": rate.keeps_level if rate.slope == 0 else None}
        for rate in rates
    ]
