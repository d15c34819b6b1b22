"""CAU, CRU_s, CRU_eps and worst accuracy against plain NumPy, and of classifiers whose scores are known."""

import numpy as np
import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.fairness.group_scores import compare_groups, score_groups
from bioattack.fairness.unfairness import (
    accuracy_unfairness,
    epsilon_unfairness,
    success_unfairness,
    worst_accuracy,
)

NUM_CLASSES = 10


@pytest.fixture(params=range(3))
def rows(request):
    """Labels, what was right, what was fooled, least epsilons."""
    generator = np.random.default_rng(request.param)
    labels = generator.integers(0, NUM_CLASSES, 700)
    right = generator.random(700) < np.linspace(0.9, 0.6, NUM_CLASSES)[labels]
    fooled = right & (generator.random(700) < 0.5)
    return labels, right, fooled, np.where(right, generator.exponential(0.01, 700), 0)


def _largest_difference(values, labels):
    """Definition 1 and 2 of the paper, pair by pair."""
    means = [values[labels == label].sum() / (labels == label).sum() for label in np.unique(labels)]
    return max(abs(one - other) for one in means for other in means)


def test_scores_are_plain_numpys(rows):
    labels, right, fooled, least = rows
    close = {"abs": 1e-9}
    assert score_groups(accuracy_unfairness(right, labels)).value == pytest.approx(
        _largest_difference(right, labels), **close
    )
    assert score_groups(worst_accuracy(right, labels)).value == pytest.approx(
        min(right[labels == label].mean() for label in range(NUM_CLASSES)), **close
    )
    assert score_groups(success_unfairness(fooled, right, labels)).value == pytest.approx(
        _largest_difference(fooled[right], labels[right]), **close
    )
    assert score_groups(success_unfairness(fooled, right, labels, denominator="all")).value == pytest.approx(
        _largest_difference(fooled, labels), **close
    )
    assert score_groups(epsilon_unfairness(least, labels)).value == pytest.approx(
        _largest_difference(least, labels), **close
    )


def test_denominators_are_shown(rows):
    labels, right, fooled, _ = rows
    correct = score_groups(success_unfairness(fooled, right, labels))
    everything = score_groups(success_unfairness(fooled, right, labels, denominator="all"))
    assert (correct.num_rows, everything.num_rows) == (right.sum(), 700)
    assert correct.least_rows == min(right[labels == label].sum() for label in range(NUM_CLASSES))
    assert (correct.name, everything.name) == ("CRU_s", "CRU_s (of all)")


def test_perfect_classifier_is_fair():
    labels = np.arange(200) % NUM_CLASSES
    score = score_groups(accuracy_unfairness(np.ones(200), labels))
    assert (score.value, score.corrected, score.low, score.p_value) == (0, 0, 0, 1)
    # That all of 20 images are right does not show that all of a million would be.
    assert 0 < score.high < 0.5
    assert score_groups(worst_accuracy(np.ones(200), labels)).value == 1


def test_constant_classifier_is_as_unfair_as_can_be():
    labels = np.arange(200) % NUM_CLASSES
    right = labels == 3
    score = score_groups(accuracy_unfairness(right, labels))
    assert (score.value, score.highest) == (1, "3")
    assert score.low > 0.5
    assert score.p_value < 0.01
    assert score_groups(worst_accuracy(right, labels)).value == 0
    with pytest.raises(InputError, match="class '0' has no images that were right before the attack"):
        success_unfairness(right, right, pd.Categorical(labels.astype(str)), what="class")


def test_random_classifier_is_not_shown_to_be_unfair():
    generator = np.random.default_rng(9)
    labels = generator.integers(0, NUM_CLASSES, 5000)
    score = score_groups(accuracy_unfairness(generator.integers(0, NUM_CLASSES, 5000) == labels, labels))
    assert score.value > 0.02
    assert score.p_value > 0.05
    assert score.low == 0
    assert score.corrected < 0.6 * score.value


def test_two_models_have_denominators_of_their_own(rows):
    labels, right, fooled, _ = rows
    other = right & (labels != 2) | (labels == 2) & (np.arange(700) % 3 == 0)
    both_right = np.stack([right, other], axis=1)
    both_fooled = np.stack([fooled, other & (np.arange(700) % 2 == 0)], axis=1)
    found = compare_groups(success_unfairness(both_fooled, both_right, labels))
    expected = [
        _largest_difference(both_fooled[both_right[:, place], place], labels[both_right[:, place]])
        for place in range(2)
    ]
    assert [found.first, found.second] == pytest.approx(expected, abs=1e-9)
    assert found.difference == pytest.approx(expected[1] - expected[0], abs=1e-9)


def test_denominator_is_one_of_two():
    with pytest.raises(InputError, match="denominator must be one of correct, all"):
        success_unfairness(np.ones(2), np.ones(2), ["a", "b"], denominator="some")


def test_published_differences_are_those_of_the_published_classes():
    """Adult of the paper: 15,060 test rows of two classes, CAU 0.0195 and 0.0205, cannot be told apart.

    Class sizes 11,360 and 3,700 are those of adult.test; accuracies near the published 79.53 % are set to
    give the published CAU.
    """
    labels = np.repeat(["<=50K", ">50K"], [11_360, 3_700])
    rights = []
    for gap in (0.0195, 0.0205):
        counts = [round(11_360 * 0.80), round(3_700 * (0.80 - gap))]
        rights.append(
            np.concatenate(
                [np.arange(size) < count for size, count in zip((11_360, 3_700), counts, strict=True)]
            )
        )
    standard, robust = (score_groups(accuracy_unfairness(right, labels)) for right in rights)
    assert (standard.value, robust.value) == pytest.approx((0.0195, 0.0205), abs=2e-4)
    assert standard.low < robust.value < standard.high
    assert standard.p_value < 0.05
