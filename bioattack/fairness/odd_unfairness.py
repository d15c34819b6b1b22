"""EOU: whether a classifier is less confident of a class for some groups than for others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bioattack.errors import InputError
from bioattack.fairness.equal_treatment import true_classes
from bioattack.fairness.group_sample import as_categories, make_group_sample
from bioattack.fairness.group_scores import ScoreInput

if TYPE_CHECKING:
    from bioattack.fairness.group_sample import RowGroups

EOU = "EOU"
_SUM_TOLERANCE = 1e-3


def equalized_odd_unfairness(
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: "RowGroups",
    *,
    class_names: Sequence[str],
    has_all_pairs: bool = False,
    minimum_count: int = 0,
) -> list[ScoreInput]:
    """Asks for the largest difference of mean confidence between groups, within each true class.

    It is made of confidences, so that it differs from the equalised odds difference, which counts decisions.

    Args:
        probabilities: ``(rows, classes)``, or of two models ``(rows, 2, classes)``; each row sums to one.
        labels: The true classes, ``(rows,)``, places in ``class_names``.
        groups: The value of the protected attribute of each row.
        class_names: All classes.
        has_all_pairs: Ask for the confidence of every class within every true class; by default, of two
            classes for that of the second (the paper's ">50K"), of more for that of the true one.
        minimum_count: Leave out groups with fewer rows of a true class, there; 0 leaves out none.

    Returns:
        One per true class and class, named ``EOU(class | true class)``.

    Raises:
        InputError: If probabilities are none, or a group has no rows of a true class.

    Source:
        Sooksatra and Rivas 2022, definition 4; section IV.E for the true classes.

    >>> from bioattack.fairness.group_scores import score_groups
    >>> probabilities = np.array([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0.5, 0.5]])
    >>> asked = equalized_odd_unfairness(
    ...     probabilities, np.array([0, 0, 1, 1]), list("abab"), class_names=("<=50K", ">50K")
    ... )
    >>> [(one.name, score_groups(one).value) for one in asked]
    [('EOU(>50K | <=50K)', 0.25), ('EOU(>50K | >50K)', 0.25)]
    """
    check_probabilities(probabilities)
    if probabilities.shape[-1] != len(class_names):
        raise InputError(
            f"there are {probabilities.shape[-1]} probabilities a row for {len(class_names)} classes"
        )
    codes = as_categories(groups)
    found = []
    for true in true_classes(labels, class_names, minimum_count=minimum_count):
        is_own = labels == true
        asked = range(len(class_names)) if has_all_pairs else [1 if len(class_names) == 2 else true]
        for place in asked:
            sample = make_group_sample(
                probabilities[is_own][..., place],
                codes[is_own],
                minimum_count=minimum_count,
                rows=f"images of class {class_names[true]!r}",
            )
            name = f"{EOU}({class_names[place]} | {class_names[true]})"
            found.append(ScoreInput(name, (sample,)))
    return found


def check_probabilities(probabilities: np.ndarray) -> None:
    """Refuses what are no probabilities.

    Args:
        probabilities: ``(..., classes)``.

    Raises:
        InputError: If one is outside 0 to 1, or those of a row do not sum to one (to a thousandth: half
            precision rounds).

    >>> check_probabilities(np.array([[0.5, 0.5]]))
    """
    sums = np.asarray(probabilities, float).sum(axis=-1)
    is_odd = ~(np.abs(sums - 1) <= _SUM_TOLERANCE)
    if is_odd.any():
        row = np.unravel_index(int(np.argmax(is_odd)), is_odd.shape)
        raise InputError(
            f"the probabilities of row {int(row[0])} sum to {sums[row]:.4g}, not to 1; give the "
            "softmax of the logits"
        )
    if (probabilities < 0).any() or (probabilities > 1 + _SUM_TOLERANCE).any():
        raise InputError("probabilities must be from 0 to 1; give the softmax of the logits")
