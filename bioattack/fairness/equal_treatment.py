"""The usual scores of equal treatment, demographic parity and equalised odds, for any number of classes.

With two classes they are Fairlearn's figures of the same names. With more, each class that can be predicted
is looked at by itself and the worst one counts; "equal odds" then asks, within each true class, whether
every predicted class is as frequent in all groups, which is independence of prediction and group given the
true class.

Source: Hardt, Price and Srebro 2016, "Equality of opportunity in supervised learning".
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bioattack.errors import InputError
from bioattack.fairness.group_sample import GroupSample, as_categories, make_group_sample, make_outcome_sample
from bioattack.fairness.group_scores import ScoreInput

if TYPE_CHECKING:
    from bioattack.fairness.group_sample import RowGroups

MEASURES = ("gap", "ratio")
_NAMES = {"gap": "difference", "ratio": "ratio"}


def demographic_parity(
    predicted: np.ndarray,
    groups: "RowGroups",
    *,
    class_names: Sequence[str],
    measure: str = "gap",
    positive: int | None = None,
    minimum_count: int = 0,
) -> ScoreInput:
    """Asks how differently often the groups are given a class.

    Args:
        predicted: Places in ``class_names``, ``(rows,)`` or, for two models, ``(rows, 2)``.
        groups: The group of each row.
        class_names: All classes that can be predicted.
        measure: ``"gap"`` or ``"ratio"``.
        positive: Look at this class only; by default at the second of two, and at all of more.
        minimum_count: Leave out groups with fewer rows; 0 leaves out none.

    Raises:
        InputError: If there are fewer than two groups, or one without rows.

    >>> from bioattack.fairness.group_scores import score_groups
    >>> asked = demographic_parity(np.array([1, 1, 1, 0]), list("aabb"), class_names=("no", "yes"))
    >>> score_groups(asked).value
    0.5
    """
    _check(measure, predicted, class_names)
    sample = _shares(predicted, groups, class_names, positive, minimum_count=minimum_count, rows="images")
    name = f"demographic parity {_NAMES[measure]}"
    return ScoreInput(name, (sample,), measure, outcomes=_outcomes(class_names, positive))


def equalized_odds(
    predicted: np.ndarray,
    labels: np.ndarray,
    groups: "RowGroups",
    *,
    class_names: Sequence[str],
    measure: str = "gap",
    positive: int | None = None,
    minimum_count: int = 0,
) -> ScoreInput:
    """Asks how differently often the groups are given a class, within each true class.

    With two classes the two rates are the true and the false positive rate.

    Args:
        predicted: As for ``demographic_parity``.
        labels: The true classes, places in ``class_names``, ``(rows,)``.
        groups: The group of each row.
        class_names: All classes.
        measure: ``"gap"`` or ``"ratio"``.
        positive: As for ``demographic_parity``.
        minimum_count: Leave out groups with fewer rows of a true class, there; 0 leaves out none.

    Raises:
        InputError: If a group has no rows of a true class, or there are fewer than two groups.

    >>> from bioattack.fairness.group_scores import score_groups
    >>> labels, groups = np.array([0, 1, 0, 1]), list("aabb")
    >>> asked = equalized_odds(np.array([1, 1, 0, 1]), labels, groups, class_names=("no", "yes"))
    >>> score = score_groups(asked)
    >>> score.value, score.within
    (1.0, 'no')
    """
    _check(measure, predicted, class_names)
    codes = as_categories(groups)
    kept = true_classes(labels, class_names, minimum_count=minimum_count)
    samples = []
    for place in kept:
        is_own = labels == place
        rows = f"images of class {class_names[place]!r}"
        samples.append(
            _shares(
                predicted[is_own],
                codes[is_own],
                class_names,
                positive,
                minimum_count=minimum_count,
                rows=rows,
            )
        )
    return ScoreInput(
        f"equalised odds {_NAMES[measure]}",
        tuple(samples),
        measure,
        within=tuple(class_names[place] for place in kept),
        outcomes=_outcomes(class_names, positive),
    )


def equal_opportunity(
    predicted: np.ndarray,
    labels: np.ndarray,
    groups: "RowGroups",
    *,
    class_names: Sequence[str],
    measure: str = "gap",
    minimum_count: int = 0,
) -> ScoreInput:
    """Asks how differently often rows of a class are recognised in the groups: of two classes, of the second.

    Arguments and errors are those of ``equalized_odds``.

    >>> from bioattack.fairness.group_scores import score_groups
    >>> labels, groups = np.array([0, 1, 0, 1]), list("aabb")
    >>> asked = equal_opportunity(np.array([1, 1, 0, 1]), labels, groups, class_names=("no", "yes"))
    >>> score_groups(asked).value
    0.0
    """
    _check(measure, predicted, class_names)
    codes = as_categories(groups)
    kept = true_classes(labels, class_names, minimum_count=minimum_count)
    kept = [1] if len(class_names) == 2 and 1 in kept else kept
    samples = [
        make_group_sample(
            predicted[labels == place] == place,
            codes[labels == place],
            minimum_count=minimum_count,
            rows=f"images of class {class_names[place]!r}",
        )
        for place in kept
    ]
    within = tuple(class_names[place] for place in kept)
    return ScoreInput(f"equal opportunity {_NAMES[measure]}", tuple(samples), measure, within=within)


def true_classes(labels: np.ndarray, class_names: Sequence[str], *, minimum_count: int) -> list[int]:
    """Gives the places of the classes that rows are of.

    Raises:
        InputError: If there are no rows of a class, and ``minimum_count`` leaves out none.

    >>> true_classes(np.array([0, 2]), ("a", "b", "c"), minimum_count=1)
    [0, 2]
    """
    counts = np.bincount(labels, minlength=len(class_names))
    if minimum_count < 1 and (counts == 0).any():
        absent = class_names[int(np.argmin(counts))]
        raise InputError(f"class {absent!r} has no images; give some, or let --minimum-count 1 leave it out")
    return [place for place, count in enumerate(counts) if count]


def _check(measure: str, predicted: np.ndarray, class_names: Sequence[str]) -> None:
    if measure not in MEASURES:
        raise InputError(f"measure must be one of {', '.join(MEASURES)}. Received: measure={measure!r}")
    if len(predicted) and not 0 <= predicted.min() <= predicted.max() < len(class_names):
        raise InputError(
            f"predicted must hold places of the {len(class_names)} classes. Received: {predicted.max()}"
        )


def _the_positive(class_names: Sequence[str], positive: int | None) -> int | None:
    return 1 if positive is None and len(class_names) == 2 else positive


def _outcomes(class_names: Sequence[str], positive: int | None) -> tuple[str, ...]:
    return tuple(class_names) if _the_positive(class_names, positive) is None else ()


def _shares(
    predicted: np.ndarray,
    groups: "RowGroups",
    class_names: Sequence[str],
    positive: int | None,
    **named: Any,
) -> GroupSample:
    one = _the_positive(class_names, positive)
    if one is not None:
        return make_group_sample(predicted == one, groups, **named)
    return make_outcome_sample(predicted, groups, num_outcomes=len(class_names), **named)
