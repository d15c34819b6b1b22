"""How unequal a classifier is, with and without an attack: accuracy, success rate and least epsilon by group.

By class these are the CAU, CRU_s and CRU_eps of the paper; by any other column they ask the same of groups.
All take one model's values, ``(rows,)``, or two models' on the same rows, ``(rows, 2)``, and give what
``score_groups`` scores or ``compare_groups`` compares.

Source: Sooksatra and Rivas 2022, section III, definitions 1 and 2.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from bioattack.errors import InputError
from bioattack.fairness.group_sample import as_categories, make_group_sample, make_rate_sample
from bioattack.fairness.group_scores import ScoreInput

if TYPE_CHECKING:
    from bioattack.fairness.group_sample import RowGroups

CAU, CRU_S, CRU_EPSILON, WORST_ACCURACY = "CAU", "CRU_s", "CRU_eps", "worst-group accuracy"
DENOMINATORS = ("correct", "all")


def accuracy_unfairness(
    is_right: np.ndarray,
    groups: "RowGroups",
    *,
    minimum_count: int = 0,
    what: str = "group",
) -> ScoreInput:
    """Asks for the largest difference of accuracy between groups: by class, CAU.

    Args:
        is_right: Whether each row is right, as it is or after an attack.
        groups: The class or group of each row.
        minimum_count: Leave out groups with fewer rows; 0 leaves out none.
        what: What a group is called in messages.

    Raises:
        InputError: If there are fewer than two groups, or one without rows.

    >>> from bioattack.fairness.group_scores import score_groups
    >>> score_groups(accuracy_unfairness(np.array([1, 1, 1, 0]), ["a", "a", "b", "b"])).value
    0.5
    """
    sample = make_group_sample(is_right, groups, minimum_count=minimum_count, what=what, rows="images")
    return ScoreInput(CAU, (sample,))


def worst_accuracy(
    is_right: np.ndarray,
    groups: "RowGroups",
    *,
    minimum_count: int = 0,
    what: str = "group",
) -> ScoreInput:
    """Asks for the accuracy of the worst group; arguments and errors are those of ``accuracy_unfairness``.

    Its ``corrected`` is larger than its value: the smallest of several accuracies is biased downwards.

    >>> from bioattack.fairness.group_scores import score_groups
    >>> score_groups(worst_accuracy(np.array([1, 1, 1, 0]), ["a", "a", "b", "b"])).value
    0.5
    """
    sample = make_group_sample(is_right, groups, minimum_count=minimum_count, what=what, rows="images")
    return ScoreInput(WORST_ACCURACY, (sample,), measure="worst")


def success_unfairness(
    is_fooled: np.ndarray,
    correct_clean: np.ndarray,
    groups: "RowGroups",
    *,
    denominator: str = "correct",
    minimum_count: int = 0,
    what: str = "group",
) -> ScoreInput:
    """Asks for the largest difference of an attack's success rate between groups: by class, CRU_s.

    Args:
        is_fooled: Whether the attack succeeded: right before, wrong after.
        correct_clean: Whether the row was right before.
        groups: The class or group of each row.
        denominator: ``"correct"`` divides by the rows that were right before, ``"all"`` by all rows; the
            paper does not say which.
        minimum_count: Leave out groups whose denominator is smaller; 0 leaves out none.
        what: What a group is called in messages.

    Raises:
        InputError: If there are fewer than two groups, or one whose denominator is 0.

    >>> from bioattack.fairness.group_scores import score_groups
    >>> rows = np.array([1, 0, 0, 0]), np.array([1, 1, 1, 0]), ["a", "a", "b", "b"]
    >>> score_groups(success_unfairness(*rows)).value
    0.5
    """
    if denominator not in DENOMINATORS:
        raise InputError(
            f"denominator must be one of {', '.join(DENOMINATORS)}. Received: denominator={denominator!r}"
        )
    fooled, right = np.asarray(is_fooled, bool), np.asarray(correct_clean, bool)
    named: dict[str, Any] = {"minimum_count": minimum_count, "what": what}
    name = CRU_S if denominator == "correct" else f"{CRU_S} (of all)"
    if denominator == "all":
        return ScoreInput(name, (make_group_sample(fooled, groups, rows="images", **named),))
    rows = "images that were right before the attack"
    codes = as_categories(groups)
    if fooled.ndim == 1:
        return ScoreInput(name, (make_group_sample(fooled[right], codes[right], rows=rows, **named),))
    for column in range(right.shape[1]):
        # Each model has a denominator of its own, which must not be 0 for either.
        make_group_sample(fooled[right[:, column], column], codes[right[:, column]], rows=rows, **named)
    return ScoreInput(name, (make_rate_sample(fooled, right, codes, **named),), measure="rate")


def epsilon_unfairness(
    least_epsilon: np.ndarray,
    groups: "RowGroups",
    *,
    minimum_count: int = 0,
    what: str = "group",
) -> ScoreInput:
    """Asks for the largest difference of the mean least epsilon that fools between groups: by class, CRU_eps.

    Args:
        least_epsilon: In the unit of the input; 0 for rows that were wrong already, the largest epsilon tried
            for rows that never fell (``result_rows`` counts these).
        groups: The class or group of each row.
        minimum_count: Leave out groups with fewer rows; 0 leaves out none.
        what: What a group is called in messages.

    Raises:
        InputError: If there are fewer than two groups, or one without rows.

    >>> from bioattack.fairness.group_scores import score_groups
    >>> score_groups(epsilon_unfairness(np.array([0.5, 1.0, 0.25, 0.75]), ["a", "a", "b", "b"])).value
    0.25
    """
    sample = make_group_sample(least_epsilon, groups, minimum_count=minimum_count, what=what, rows="images")
    return ScoreInput(CRU_EPSILON, (sample,))
