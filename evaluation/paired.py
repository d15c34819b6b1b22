"""Models compared on the same pictures, read off the long table."""

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from bioattack.evaluation.findings import Point

if TYPE_CHECKING:
    import pandas as pd


class Comparison(NamedTuple):
    """How two models differ, picture by picture, and how likely such a difference is by chance alone.

    ``p_value`` is that of McNemar's exact test: the pictures that only one of the two gets right, against a
    fair coin.
    """

    first: str
    second: str
    num_both: int
    num_only_first: int
    num_only_second: int
    num_neither: int
    p_value: float


def compare_models(results: "pd.DataFrame", point: Point | None) -> list[Comparison]:
    """Compares every two models under one setting of an attack, or without an attack.

    Args:
        results: The long table (``results.read_results``).
        point: The setting; None compares the pictures as they are.

    Source:
        McNemar 1947; the exact two-sided binomial version.
    """
    from scipy.stats import binomtest

    setting = point or Point("none", "none", 0.0)
    rows = results[
        (results.attack == setting.attack)
        & (results.norm == setting.norm)
        & (results.epsilon == setting.epsilon)
    ]
    is_right = rows.assign(is_right=rows.correct_clean & ~rows.success).pivot(
        index="image_id", columns="model", values="is_right"
    )
    comparisons = []
    for first, second in combinations(dict.fromkeys(rows.model), 2):
        a, b = is_right[first].astype(bool), is_right[second].astype(bool)
        only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
        discordant = only_first + only_second
        p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
        both, neither = int((a & b).sum()), int((~a & ~b).sum())
        comparisons.append(Comparison(first, second, both, only_first, only_second, neither, p_value))
    return comparisons
