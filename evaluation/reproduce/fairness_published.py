"""What Sooksatra and Rivas 2022 print, as far as their text still has it; fractions, but for the radii."""

from collections.abc import Mapping

#: Section IV.A: accuracies of the two networks on clean samples, and of each on adversarial ones.
ACCURACIES: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "pictures": {
        "standard": {"clean": 0.7196, "adversarial": 0.0424},
        "robust": {"clean": 0.7243, "adversarial": 0.8312},
    },
    "rows": {
        "standard": {"clean": 0.7953, "adversarial": 0.143},
        "robust": {"clean": 0.7937, "adversarial": 0.9637},
    },
}

#: Section IV.B.
CAU: Mapping[str, Mapping[str, float]] = {
    "pictures": {"standard": 0.286, "robust": 0.344},
    "rows": {"standard": 0.0195, "robust": 0.0205},
}

#: Section IV.C; of rows the least radii are not printed.
CRU_EPSILON: Mapping[str, Mapping[str, float]] = {"pictures": {"standard": 0.0014, "robust": 0.005}}

#: Tables I and II, printed in percent.
CRU_SUCCESS: Mapping[str, Mapping[str, Mapping[float, float]]] = {
    "pictures": {
        "standard": {0.01: 0.1343, 0.012: 0.0845, 0.014: 0.0471},
        "robust": {0.01: 0.2585, 0.012: 0.1627, 0.014: 0.1056},
    },
    "rows": {
        "standard": {10.0: 0.0611, 15.0: 0.1081, 20.0: 0.107},
        "robust": {10.0: 0.1866, 15.0: 0.2338, 20.0: 0.2272},
    },
}

#: Table III: LUF, its mean over test samples, its mean over left-out samples; 100 left out, 10,000 tested.
LEAVE_ONE_OUT: Mapping[str, tuple[float, float, float]] = {
    "standard": (0.7694, 29.26, 2926.1),
    "robust": (0.7945, 29.35, 2934.89),
}

#: Table V: mean confidence of an income above 50K, by true class and race. Table IV has lost its figures.
RACES = ("White", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Black", "Other")
RACE_CONFIDENCES: Mapping[str, Mapping[int, tuple[float, ...]]] = {
    "standard": {0: (0.255, 0.24, 0.21, 0.203, 0.215), 1: (0.706, 0.688, 0.65, 0.639, 0.657)},
    "robust": {0: (0.233, 0.242, 0.148, 0.159, 0.149), 1: (0.754, 0.763, 0.64, 0.658, 0.642)},
}


def published_unfairness(label: str, true_class: int) -> float:
    """Gives the equalised odds unfairness that Table V implies: the largest less the smallest confidence.

    Args:
        label: ``"standard"`` or ``"robust"``.
        true_class: 0 or 1.

    >>> round(published_unfairness("standard", 0), 3), round(published_unfairness("robust", 1), 3)
    (0.052, 0.123)
    """
    found = RACE_CONFIDENCES[label][true_class]
    return max(found) - min(found)
