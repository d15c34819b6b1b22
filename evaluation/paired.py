"""Models compared on the same pictures, read off the long table."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from bioattack.evaluation.findings import Point

if TYPE_CHECKING:
    import pandas as pd

_WITHIN_95_PERCENT = 1.959963984540054


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


class PairedDifference(NamedTuple):
    """How two models, each trained from the same seeds, differ on the same pictures.

    ``difference`` is the first one's mean accuracy minus the second one's, ``by_seed`` the same for each
    seed; ``low`` and ``high`` are the ends of its 95 % interval over the choice of pictures.
    ``num_more_first`` pictures are right after more seeds with the first model than with the second.
    """

    first: str
    second: str
    num_images: int
    by_seed: tuple[float, ...]
    num_more_first: int
    num_more_second: int
    difference: float
    low: float
    high: float
    p_value: float

    @property
    def is_of_one_sign(self) -> bool:
        """Whether the same model is ahead after every seed."""
        return all(one > 0 for one in self.by_seed) or all(one < 0 for one in self.by_seed)


def compare_models(results: "pd.DataFrame", point: Point | None) -> list[Comparison]:
    """Compares every two models under one setting of an attack, or without an attack.

    Args:
        results: The long table (``results.read_results``).
        point: The setting; None compares the pictures as they are.

    Source:
        McNemar 1947; the exact two-sided binomial version.
    """
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
        both, neither = int((a & b).sum()), int((~a & ~b).sum())
        p_value = mcnemar_p_value(only_first, only_second)
        comparisons.append(Comparison(first, second, both, only_first, only_second, neither, p_value))
    return comparisons


def mcnemar_p_value(num_only_first: int, num_only_second: int) -> float:
    """Gives the two-sided p value of McNemar's exact test; 1 where the two never differ.

    Args:
        num_only_first: Pictures that only the first model gets right.
        num_only_second: Pictures that only the second model gets right.

    >>> mcnemar_p_value(0, 5)
    0.0625
    """
    from statsmodels.stats.contingency_tables import mcnemar

    return float(mcnemar([[0, num_only_first], [num_only_second, 0]], exact=True).pvalue)


def compare_over_seeds(
    first: "pd.DataFrame", second: "pd.DataFrame", *, names: tuple[str, str]
) -> PairedDifference:
    """Compares two models that were each trained from several seeds, on the same pictures.

    A picture counts once however many seeds there are, because its answers after different seeds are not
    independent: it speaks for the model that gets it right after more seeds, and for neither where both do so
    equally often. McNemar's exact test is made on these counts, which with one seed is the ordinary test. The
    interval too takes the pictures as what was drawn by chance. Both speak of these trainings only; whether
    other seeds would say the same is seen by ``by_seed``.

    Args:
        first: One row per picture and one column per seed, whether the model is right.
        second: The same pictures and seeds, in the same order, for the other model.
        names: Of the two models.

    Raises:
        ValueError: If pictures or seeds differ.

    Source:
        McNemar 1947; Agresti and Min 2005 for the interval (half a picture is added to each kind of pair).

    >>> import pandas as pd
    >>> first, second = pd.DataFrame({0: [True, True, False]}), pd.DataFrame({0: [True, False, False]})
    >>> compare_over_seeds(first, second, names=("a", "b")).num_more_first
    1
    """
    if list(first.index) != list(second.index) or list(first.columns) != list(second.columns):
        raise ValueError(f"first and second must have the same pictures and seeds. Received: {names}")
    differences = first.astype(float) - second.astype(float)
    by_picture = differences.mean(axis=1)
    more_first, more_second = int((by_picture > 0).sum()), int((by_picture < 0).sum())
    low, high = _interval(by_picture.tolist())
    return PairedDifference(
        *names,
        num_images=len(by_picture),
        by_seed=tuple(float(mean) for mean in differences.mean(axis=0)),
        num_more_first=more_first,
        num_more_second=more_second,
        difference=float(by_picture.mean()),
        low=low,
        high=high,
        p_value=mcnemar_p_value(more_first, more_second),
    )


def _interval(differences: Sequence[float]) -> tuple[float, float]:
    """The mean's 95 % interval; half a picture is added for each model and a whole one for neither."""
    number = len(differences) + 2
    mean = sum(differences) / number
    squares = sum(difference**2 for difference in differences) + 1
    half = _WITHIN_95_PERCENT * ((squares / number - mean**2) / number) ** 0.5
    return max(-1.0, mean - half), min(1.0, mean + half)
