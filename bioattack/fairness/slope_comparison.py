"""Whether one set of models depends less on income than another: tests on their slopes."""

import dataclasses
import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from bioattack.errors import InputError
from bioattack.fairness.power import SIGNIFICANCE, smallest_difference

TESTS = ("paired", "welch", "permutation")
NUM_PERMUTATIONS = 9999
_MOST_EXACT_PAIRS = 13


@dataclasses.dataclass(frozen=True)
class SlopeTest:
    """One test of "the mean slope of the first set is below that of the second".

    Args:
        test: ``"paired"``, ``"welch"`` or ``"permutation"``.
        num_first: Models in the first set.
        num_second: Models in the second set.
        difference: Mean slope of the second set minus that of the first; above 0 where the hypothesis holds.
        low: Lower end of its two-sided interval; of the permutation test, that of the t test on which it is.
        high: Upper end.
        confidence: Of this interval.
        statistic: t; for the permutation test, the difference.
        df_residual: Degrees of freedom of t; ``None`` for the permutation test.
        p_value: One-sided.
        effect_size: The difference in standard deviations: of the pairs' differences where the models are
            paired (``dz``), otherwise pooled within the sets and corrected for small samples (Hedges' ``g``).
        effect_name: ``"dz"`` or ``"g"``.
        smallest_difference: That this sample finds with a probability of 80 % at 5 %; ``None`` for the
            permutation test.
        num_permutations: Of the permutation test; ``None`` for the others.
    """

    test: str
    num_first: int
    num_second: int
    difference: float
    low: float
    high: float
    confidence: float
    statistic: float
    df_residual: float | None
    p_value: float
    effect_size: float
    effect_name: str
    smallest_difference: float | None
    num_permutations: int | None = None


def compare_slopes(
    first: Sequence[float], second: Sequence[float], *, test: str = "paired", seed: int = 0
) -> SlopeTest:
    """Tests whether the mean of the first slopes is below the mean of the second ones.

    Args:
        first: Slopes of the first set of models.
        second: Slopes of the second set; for the paired test, in the order of the first: models of one place
            share what they are paired by, such as the seed.
        test: ``"paired"`` (the paper's), ``"welch"`` (no pairs, unequal variances), or ``"permutation"``:
            of the signs within pairs where the sets are of one size, all of them up to 13 pairs and 9,999
            draws beyond.
        seed: Of the draws.

    Raises:
        InputError: If a set has fewer than two models, sizes differ in a paired test, or all slopes or all
            differences within pairs are equal.

    Source:
        Hua et al. 2022, section 4.2; the published p value is a paired test's, with 49 degrees of freedom.

    >>> result = compare_slopes([0.01, 0.02, 0.03], [0.03, 0.05, 0.04])
    >>> round(result.difference, 3), round(result.p_value, 3)
    (0.02, 0.037)
    """
    ours, others = np.asarray(first, float), np.asarray(second, float)
    if min(len(ours), len(others)) < 2:
        raise InputError(
            f"a test of two sets of models needs two or more in each; there are {len(ours)} and {len(others)}"
        )
    if test == "paired" and len(ours) != len(others):
        raise InputError(
            f"a paired test needs as many models in the first set as in the second, {len(ours)} and "
            f"{len(others)} here; give as many, or take the test welch"
        )
    is_unpaired = test == "welch" or len(ours) != len(others)
    result = _welch(ours, others) if is_unpaired else _paired(others - ours)
    return result if test != "permutation" else _permutation(result, ours, others, seed=seed)


def _paired(differences: np.ndarray) -> SlopeTest:
    number = len(differences)
    deviation = float(differences.std(ddof=1))
    _check_spread(deviation, differences)
    result = _t_test(
        float(differences.mean()), deviation / math.sqrt(number), number - 1, sizes=(number, number)
    )
    return dataclasses.replace(
        result, test="paired", effect_size=result.difference / deviation, effect_name="dz"
    )


def _welch(first: np.ndarray, second: np.ndarray) -> SlopeTest:
    parts = [float(slopes.var(ddof=1)) / len(slopes) for slopes in (first, second)]
    error = math.sqrt(sum(parts))
    _check_spread(error, np.concatenate([first, second]))
    sizes = (len(first), len(second))
    df = sum(parts) ** 2 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    result = _t_test(float(second.mean() - first.mean()), error, df, sizes=sizes)
    total = sum(sizes) - 2
    pooled = math.sqrt(
        ((first - first.mean()) ** 2).sum() / total + ((second - second.mean()) ** 2).sum() / total
    )
    correction = 1 - 3 / (4 * total - 1)
    return dataclasses.replace(result, effect_size=correction * result.difference / pooled)


def _check_spread(deviation: float, values: np.ndarray) -> None:
    if deviation <= 1e-12 * float(np.abs(values).max(initial=1e-300)):
        raise InputError(
            "the models' slopes, or their differences within pairs, are all the same: nothing tells chance "
            "from difference; are these the same models twice?"
        )


def _t_test(difference: float, error: float, df: float, *, sizes: tuple[int, int]) -> SlopeTest:
    from scipy.stats import t

    half = float(t.isf(SIGNIFICANCE / 2, df)) * error
    return SlopeTest(
        test="welch",
        num_first=sizes[0],
        num_second=sizes[1],
        difference=difference,
        low=difference - half,
        high=difference + half,
        confidence=1 - SIGNIFICANCE,
        statistic=difference / error,
        df_residual=df,
        p_value=float(t.sf(difference / error, df)),
        effect_size=math.nan,
        effect_name="g",
        smallest_difference=smallest_difference(error, df_residual=df),
    )


def _permutation(result: SlopeTest, first: np.ndarray, second: np.ndarray, *, seed: int) -> SlopeTest:
    if len(first) == len(second):
        differences, is_exact = _with_signs_changed(second - first, seed=seed)
    else:
        differences, is_exact = _with_models_exchanged(first, second, seed=seed), False
    # Sums in another order differ in the last bits: what is equal must count as equal.
    slack = 1e-12 * float(np.abs(differences).max())
    num_as_large = int((differences >= result.difference - slack).sum())
    number = len(differences)
    return dataclasses.replace(
        result,
        test="permutation",
        statistic=result.difference,
        df_residual=None,
        p_value=num_as_large / number if is_exact else (num_as_large + 1) / (number + 1),
        smallest_difference=None,
        num_permutations=number,
    )


def _with_signs_changed(differences: np.ndarray, *, seed: int) -> tuple[np.ndarray, bool]:
    """Mean differences with pairs turned round: in all ways where there are few, else drawn."""
    number = len(differences)
    is_exact = number <= _MOST_EXACT_PAIRS
    if is_exact:
        signs = np.array(list(product((1.0, -1.0), repeat=number)))
    else:
        signs = np.random.default_rng(seed).choice((1.0, -1.0), size=(NUM_PERMUTATIONS, number))
    return signs @ differences / number, is_exact


def _with_models_exchanged(first: np.ndarray, second: np.ndarray, *, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    everything = np.tile(np.concatenate([first, second]), (NUM_PERMUTATIONS, 1))
    shuffled = generator.permuted(everything, axis=1)
    return np.asarray(shuffled[:, len(first) :].mean(axis=1) - shuffled[:, : len(first)].mean(axis=1))
