"""How often the test of income errs, and how often it finds a slope, over simulated tables of countries."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from bioattack.fairness.income_regression import COVARIANCES, LOGARITHMS
from bioattack.fairness.power import SIGNIFICANCE

if TYPE_CHECKING:
    import pandas as pd

TRUTHS = ("counts", "printed", "binomial", "equal")


@dataclasses.dataclass(frozen=True)
class RejectionRate:
    """In how many simulated tables the F test found a slope.

    Args:
        covariance: Which the test assumed.
        truth: From what the tables were drawn.
        slope: The true slope; 0 makes the rate the size of the test, otherwise it is its power.
        num_tables: Tables drawn.
        num_rejected: Those in which p was below the level.
        rate: Their share.
        low: Lower end of the band in which 95 % of such shares lie where the level is kept.
        high: Upper end of this band.
    """

    covariance: str
    truth: str
    slope: float
    num_tables: int
    num_rejected: int
    rate: float
    low: float
    high: float

    @property
    def keeps_level(self) -> bool:
        """Whether the share is one that chance makes of a test of the stated level."""
        return self.low <= self.rate <= self.high


def simulate_rejections(
    countries: "pd.DataFrame",
    *,
    covariance: str = "printed",
    logarithm: str = "natural",
    truth: str = "counts",
    slope: float = 0.0,
    scale: float | None = None,
    num_tables: int = 2000,
    seed: int = 0,
) -> RejectionRate:
    """Draws tables with the incomes and numbers of images of a sample, and tests each.

    Args:
        countries: ``accuracy``, ``num_images`` and ``gdp_per_capita``; the mean accuracy over images is kept.
        covariance: That the test assumes, a key of ``COVARIANCES``.
        logarithm: Of GDP, a key of ``LOGARITHMS``.
        truth: ``"counts"`` draws how many of each country's images are right, so that accuracies scatter by
            the binomial rate and by nothing else; a key of ``COVARIANCES`` draws normal errors of that shape.
        slope: True slope per unit of log GDP; counts are drawn from shares that are kept within 0 and 1.
        scale: Factor of the covariance of normal errors; by default the binomial variance of one image.
        num_tables: Tables to draw.
        seed: Of the draws.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"gdp_per_capita": np.geomspace(500, 60000, 20), "accuracy": 0.7})
    >>> rate = simulate_rejections(table.assign(num_images=100), covariance="binomial", num_tables=500)
    >>> rate.keeps_level
    True
    """
    from scipy.stats import binom

    drawing: dict[str, Any] = {
        "logarithm": logarithm,
        "truth": truth,
        "slope": slope,
        "scale": scale,
        "seed": seed,
    }
    accuracies = draw_accuracies(countries, num_tables=num_tables, **drawing)
    p_values = slope_p_values(countries, accuracies, covariance=covariance, logarithm=logarithm)
    num_rejected = int((p_values < SIGNIFICANCE).sum())
    low, high = (float(end) / num_tables for end in binom.interval(0.95, num_tables, SIGNIFICANCE))
    return RejectionRate(
        covariance, truth, slope, num_tables, num_rejected, num_rejected / num_tables, low, high
    )


def draw_accuracies(
    countries: "pd.DataFrame",
    *,
    logarithm: str = "natural",
    truth: str = "counts",
    slope: float = 0.0,
    scale: float | None = None,
    num_tables: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Draws accuracies of countries, ``(num_tables, countries)``; see ``simulate_rejections``.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"gdp_per_capita": [1e3, 1e4], "accuracy": [0.5, 0.5], "num_images": [8, 8]})
    >>> draw_accuracies(table, num_tables=3).shape
    (3, 2)
    """
    if truth not in TRUTHS:
        raise ValueError(f"truth must be one of {', '.join(TRUTHS)}. Received: truth={truth!r}")
    generator = np.random.default_rng(seed)
    number = countries["num_images"].to_numpy(float)
    position = LOGARITHMS[logarithm](countries["gdp_per_capita"].to_numpy(float))
    middle = np.average(position, weights=number)
    mean = np.average(countries["accuracy"].to_numpy(float), weights=number)
    expected = mean + slope * (position - middle)
    if truth == "counts":
        share = np.clip(expected, 0.0, 1.0)
        return generator.binomial(number.astype(int), share, size=(num_tables, len(number))) / number
    spread = np.sqrt((mean * (1 - mean) if scale is None else scale) * COVARIANCES[truth](number))
    return np.asarray(expected + spread * generator.standard_normal((num_tables, len(number))))


def slope_p_values(
    countries: "pd.DataFrame", accuracies: np.ndarray, *, covariance: str, logarithm: str
) -> np.ndarray:
    """Gives the p values of the F test for many tables of the same countries at once.

    Args:
        countries: ``num_images`` and ``gdp_per_capita``.
        accuracies: ``(tables, countries)``.
        covariance: As for ``regress_on_income``.
        logarithm: As for ``regress_on_income``.

    Returns:
        ``(tables,)``; 1 where all accuracies are the same.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"gdp_per_capita": [1e3, 1e4, 1e5], "num_images": 50})
    >>> slope_p_values(table, np.full((1, 3), 0.5), covariance="printed", logarithm="natural")
    array([1.])
    """
    from scipy.stats import f

    roots = np.sqrt(COVARIANCES[covariance](countries["num_images"].to_numpy(float)))
    position = LOGARITHMS[logarithm](countries["gdp_per_capita"].to_numpy(float))
    design = np.column_stack([np.ones_like(position), position]) / roots[:, None]
    targets = accuracies / roots
    inverse = np.linalg.inv(design.T @ design)
    coefficients = targets @ design @ inverse
    residuals = ((targets - coefficients @ design.T) ** 2).sum(axis=1)
    df = len(position) - 2
    explained = coefficients[:, 1] ** 2 / inverse[1, 1]
    # Equal accuracies leave nothing but rounding on both sides.
    is_flat = np.ptp(accuracies, axis=1) <= 1e-12
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(is_flat, 1.0, f.sf(explained / (residuals / df), 1, df))
