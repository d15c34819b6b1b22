"""What Hua, Xu, Blanchet and Nguyen report in section 4, and how it compares with what was measured."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bioattack.evaluation.income_words import SIGNIFICANCE, p_words
from bioattack.fairness.power import POWER, pairs_needed, t_test_power

#: The F test of the pretrained network, section 4.
F_STATISTIC, DF_RESIDUAL, F_P_VALUE = 5.392, 39, 0.02554
#: The t test of 50 pairs of slopes, one-sided.
T_STATISTIC, NUM_PAIRS, T_P_VALUE = 3.852, 50, 0.00017
#: Test accuracies in percent, by what income_networks calls the networks.
ACCURACIES = {"pretrained": 87.5, "perceptual": 84.3, "pgd": 79.7}
#: The published difference of slopes in standard deviations of the pairs' differences.
EFFECT_SIZE = T_STATISTIC / math.sqrt(NUM_PAIRS)


def published_power(num_pairs: int) -> float:
    """Gives how surely a paired test of so many pairs finds a difference as clear as the published one.

    >>> round(published_power(50), 2), round(published_power(5), 2)
    (0.98, 0.27)
    """
    return t_test_power(EFFECT_SIZE, 1 / math.sqrt(num_pairs), df_residual=num_pairs - 1)


def pretrained_warnings(row: Mapping[str, Any]) -> list[str]:
    """Says where the F test comes out otherwise than the paper's.

    Args:
        row: The pretrained network's row of ``regressions``.
    """
    if row["p_value"] < SIGNIFICANCE:
        return [] if row["slope"] > 0 else ["Accuracy falls with income, where in the paper it rises."]
    found = row["smallest_slope"]
    least = "" if found is None else f"; a slope below {found:.4f} would often have been missed"
    return [
        f"No slope was found here ({p_words(row['p_value'])}), where the paper finds one "
        f"(p = {F_P_VALUE}){least}."
    ]


def order_warnings(sets: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[str]:
    """Says where slopes or accuracies do not come in the paper's order.

    Args:
        sets: Those of ``comparison`` in a summary.
        labels: What ``income_networks`` calls each set.
    """
    by_label = {labels[row["name"]]: row for row in sets}
    warnings = []
    for key, words, order in (
        ("mean_slope", "slopes", ("perceptual", "pgd", "pretrained")),
        ("mean_accuracy", "accuracies", ("pgd", "perceptual", "pretrained")),
    ):
        found = sorted(order, key=lambda label: by_label[label][key])
        if tuple(found) != order:
            names = {label: row["name"] for label, row in by_label.items()}
            warnings.append(
                f"The {words} do not come in the paper's order, from the smallest "
                f"{', '.join(names[label] for label in order)}: here they come "
                f"{', '.join(names[label] for label in found)}."
            )
    return warnings


def pairs_warnings(test: Mapping[str, Any]) -> list[str]:
    """Says where there are too few pairs of networks to find what the paper found.

    Args:
        test: One of ``tests`` of ``comparison`` in a summary.
    """
    number = min(test["num_first"], test["num_second"])
    power = published_power(number)
    if power >= POWER:
        return []
    return [
        f"{number} pairs of networks find a difference as clear as the published one ({EFFECT_SIZE:.2f} "
        f"standard deviations) in {100 * power:.0f} % of cases; {pairs_needed(EFFECT_SIZE, 1.0)} pairs find "
        f"it in {100 * POWER:.0f} %: --seeds trains more."
    ]
