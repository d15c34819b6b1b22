"""How the groups of an evaluation fare, as they are and under attack: one row per model, setting and group.

``tables/by_COLUMN.csv`` and ``by_group`` of ``summary.json`` have the columns ``GROUP_COLUMNS``. ``low`` and
``high`` are the ends of 95 % intervals: Wilson's of shares, Student's of the mean least epsilon.

- ``attack == "none"``: the pictures as they are; ``accuracy`` is then that of these, and there is no success.
- An attack at an epsilon: ``accuracy`` is ``1 - (M + A) / N``; ``success_rate`` is A over those right before
  (the project's rule), ``success_rate_all`` is A over all N, because not every paper says which it means.
- A search for the least epsilon has ``least_epsilon``, the mean over all N images of the group: an image that
  was wrong before counts 0, one that never fell the largest epsilon tried, and ``num_withstood`` says how
  many those are. ``epsilon`` is that largest one, and the other columns say how many fell up to there.

No group is left out, however small: ``num_images`` and ``num_correct`` are the denominators. A share of
nothing is empty.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from bioattack.errors import InputError

LABEL = "label"
GROUP_COLUMNS = (
    *("model", "attack", "norm", "epsilon", "column", "group", "num_images", "num_correct", "num_success"),
    *("accuracy", "low", "high"),
    *("success_rate", "success_low", "success_high"),
    *("success_rate_all", "success_all_low", "success_all_high"),
    *("num_withstood", "least_epsilon", "least_low", "least_high"),
)
_KEYS = ["model", "attack", "norm", "epsilon"]


class Share(NamedTuple):
    """A count over another one, with its 95 % Wilson interval; all NaN where there is nothing to share."""

    value: float
    low: float
    high: float


def share(count: int, number: int) -> Share:
    """Divides a count by a number.

    >>> share(1, 2).value, round(share(1, 2).low, 3)
    (0.5, 0.095)
    """
    if number == 0:
        return Share(float("nan"), float("nan"), float("nan"))
    low, high = proportion_confint(count, number, alpha=0.05, method="wilson")
    value = count / number
    # At 0 and 1 rounding puts an end of the interval a hair beyond the share itself.
    return Share(value, float(np.clip(min(low, value), 0, 1)), float(np.clip(max(high, value), 0, 1)))


class Mean(NamedTuple):
    """A mean with its 95 % Student interval, whose ends are NaN where one value is all there is."""

    value: float
    low: float
    high: float


def mean_interval(values: np.ndarray, *, largest: float) -> Mean:
    """Averages numbers from 0 to ``largest``, which the interval does not leave.

    >>> [round(number, 3) for number in mean_interval(np.array([0.2, 0.4]), largest=1.0)]
    [0.3, 0.0, 1.0]
    """
    mean, number = float(values.mean()), len(values)
    if number < 2:
        return Mean(mean, float("nan"), float("nan"))
    half = float(student.ppf(0.975, number - 1) * values.std(ddof=1) / np.sqrt(number))
    return Mean(mean, max(0.0, mean - half), min(largest, mean + half))


def group_table(results: pd.DataFrame, column: str, *, class_names: Sequence[str]) -> pd.DataFrame:
    """Computes how each group fares under every model and setting.

    Args:
        results: The long table (see ``bioattack.evaluation.results``).
        column: ``"label"``, or one of its columns of groups.
        class_names: Names by label.

    Returns:
        The columns ``GROUP_COLUMNS``: models and settings in the table's order, groups by label or name.

    Raises:
        InputError: If the table has no such column, or all its images are of one group.
    """
    names = _groups(results, column, class_names)
    results = results.assign(_group=members(results, column, class_names))
    is_search = results["epsilon_high"].notna()
    ladder = results[~is_search].groupby([*_KEYS, "_group"], sort=False)
    found = {key: _row(rows) for key, rows in ladder}
    # A search has an epsilon for each image; the largest of all that were tried names it.
    searches: dict[Any, dict[str, Any]] = {}
    for key, rows in results[is_search].groupby(["model", "attack", "norm"], sort=False):
        largest = float(rows["epsilon"].max())
        for group, its_rows in rows.groupby("_group", sort=False):
            searches[(*key, largest, group)] = _row(its_rows) | _least(its_rows, largest)
    table = pd.DataFrame(
        [
            dict(zip(_KEYS, setting, strict=True))
            | {"column": column, "group": name}
            | part[(*setting, name)]
            for part in (found, searches)
            for setting in dict.fromkeys(key[:-1] for key in part)
            for name in names
            if (*setting, name) in part
        ]
    )
    return table.reindex(columns=list(GROUP_COLUMNS))


def _groups(results: pd.DataFrame, column: str, class_names: Sequence[str]) -> list[str]:
    if column not in results.columns:
        raise InputError(f"--group-by: the results have no column {column!r}")
    if column == LABEL:
        names = [class_names[label] for label in sorted(results[LABEL].unique())]
    else:
        names = sorted(results[column].unique())
    if len(names) < 2:
        raise InputError(
            f"--group-by {column}: everything under test is of one group ({', '.join(names)}), and there is "
            "nothing to compare; take more of the records or another column"
        )
    return names


def members(results: pd.DataFrame, column: str, class_names: Sequence[str]) -> "pd.Series[Any]":
    """Names the group of each row of the long table; arguments as for ``group_table``."""
    if column == LABEL:
        return results[LABEL].map(dict(enumerate(class_names)))
    return results[column]


def _row(rows: pd.DataFrame) -> dict[str, Any]:
    """The shares of one group under one setting."""
    number, correct = len(rows), int(rows["correct_clean"].sum())
    success = int(rows["success"].sum())
    content: dict[str, Any] = {"num_images": number, "num_correct": correct, "num_success": success}
    content |= dict(zip(("accuracy", "low", "high"), share(correct - success, number), strict=True))
    if (rows["attack"] == "none").all():
        return content
    of_right, of_all = share(success, correct), share(success, number)
    content |= dict(zip(("success_rate", "success_low", "success_high"), of_right, strict=True))
    names = ("success_rate_all", "success_all_low", "success_all_high")
    return content | dict(zip(names, of_all, strict=True))


def _least(rows: pd.DataFrame, largest: float) -> dict[str, Any]:
    """The mean least epsilon of one group."""
    least = rows["epsilon_high"].to_numpy()
    has_withstood = np.isinf(least)
    least = np.where(has_withstood, largest, least)
    names = ("least_epsilon", "least_low", "least_high")
    return {
        "num_withstood": int(has_withstood.sum()),
        **dict(zip(names, mean_interval(least, largest=largest), strict=True)),
    }
