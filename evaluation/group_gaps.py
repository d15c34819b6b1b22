"""The largest difference between any two groups, with what is to be made of it: interval, bias and test.

By class these are the scores CAU, CRU_s and CRU_eps of Sooksatra and Rivas 2022, definitions 1 and 2; by any
other column they ask the same of its groups. They are made by ``bioattack.fairness``, here and nowhere else
in an evaluation; ``bioattack-fairness`` makes them and many others from any results table.

``tables/gaps_by_COLUMN.csv`` and ``group_gaps`` of ``summary.json`` have the columns ``GAP_COLUMNS``:
``figure`` is ``accuracy``, ``success_rate`` (of those right before), ``success_rate_all`` (of all) or
``least_epsilon``; ``corrected`` is without the upward bias that a largest difference has where groups are
small, ``low`` and ``high`` are the ends of a 95 % interval, ``p_value`` is that of a permutation test of "no
difference", ``p_holm`` the same corrected (Holm) for being one of all those of the model here. Where a score
is not defined, as the success rate of a group with nothing right, ``value`` is empty and ``note``
says why.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bioattack.errors import InputError
from bioattack.evaluation.groups import LABEL, members
from bioattack.fairness.group_scores import ScoreInput, score_groups
from bioattack.fairness.income_regression import holm
from bioattack.fairness.unfairness import accuracy_unfairness, epsilon_unfairness, success_unfairness

ACCURACY, SUCCESS, SUCCESS_ALL, LEAST = "accuracy", "success_rate", "success_rate_all", "least_epsilon"
_SCORES = ("value", "corrected", "low", "high", "p_value", "lowest", "highest")
GAP_COLUMNS = ("model", "attack", "norm", "epsilon", "column", "figure", *_SCORES, "p_holm", "note")
_SEARCH_KEYS = ["model", "attack", "norm"]


def gap_table(results: pd.DataFrame, column: str, *, class_names: Sequence[str]) -> pd.DataFrame:
    """Computes the largest difference between groups of every figure, model and setting.

    Args:
        results: The long table (see ``bioattack.evaluation.results``).
        column: ``"label"``, or one of its columns of groups.
        class_names: Names by label.

    Returns:
        The columns ``GAP_COLUMNS``, in the table's order of models and settings.
    """
    rows = [
        setting | {"column": column, "figure": figure} | _score(values, what=column)
        for setting, figure, values in _asked(results.assign(_group=members(results, column, class_names)))
    ]
    table = pd.DataFrame(rows).reindex(columns=list(GAP_COLUMNS))
    for _, tested in table[table["p_value"].notna()].groupby("model"):
        table.loc[tested.index, "p_holm"] = holm(tested["p_value"].tolist())
    return table


def _asked(results: pd.DataFrame) -> Iterator[tuple[dict[str, Any], str, tuple[Any, ...]]]:
    """Every setting, the name of what is compared, and its values."""
    is_search = results["epsilon_high"].notna()
    keys = [*_SEARCH_KEYS, "epsilon"]
    for key, rows in results[~is_search].groupby(keys, sort=False):
        setting = dict(zip(keys, key, strict=True))
        right, fooled = (rows[name].to_numpy() for name in ("correct_clean", "success"))
        yield setting, ACCURACY, (right & ~fooled, rows["_group"])
        if setting["attack"] != "none":
            yield setting, SUCCESS, (fooled, right, rows["_group"])
            yield setting, SUCCESS_ALL, (fooled, rows["_group"])
    for key, rows in results[is_search].groupby(_SEARCH_KEYS, sort=False):
        largest = float(rows["epsilon"].max())
        least = rows["epsilon_high"].replace(np.inf, largest).to_numpy()
        yield dict(zip(_SEARCH_KEYS, key, strict=True)) | {"epsilon": largest}, LEAST, (least, rows["_group"])


def _score(values: tuple[Any, ...], *, what: str) -> dict[str, Any]:
    what = "class" if what == LABEL else what
    try:
        score = score_groups(_input(values, what))
    except InputError as error:
        return {"note": str(error)}
    return {name: getattr(score, name) for name in _SCORES}


def _input(values: tuple[Any, ...], what: str) -> ScoreInput:
    if len(values) == 3:
        fooled, right, groups = values
        return success_unfairness(fooled, right, groups.to_numpy(), what=what)
    figures, groups = values
    make = accuracy_unfairness if figures.dtype == bool else epsilon_unfairness
    return make(figures, groups.to_numpy(), what=what)
