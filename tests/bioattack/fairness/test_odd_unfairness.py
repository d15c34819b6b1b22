"""EOU: the published confidences give the published differences; probabilities are checked."""

import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.fairness.group_scores import compare_groups, score_groups
from bioattack.fairness.odd_unfairness import check_probabilities, equalized_odd_unfairness

RACES = ("White", "Asian", "American Indian", "Black", "Other")
INCOMES = ("<=50K", ">50K")
# Sooksatra and Rivas 2022, Table V: mean confidence of ">50K" by race, within D_0 and D_1.
PUBLISHED = {
    "standard": ([0.255, 0.24, 0.21, 0.203, 0.215], [0.706, 0.688, 0.65, 0.639, 0.657]),
    "robust": ([0.233, 0.242, 0.148, 0.159, 0.149], [0.754, 0.763, 0.64, 0.658, 0.642]),
}


def _table(model, number=40):
    """Rows whose mean confidences are the published ones, ``number`` a race and class."""
    parts = [
        (mean + 0.1 * np.linspace(-1, 1, number), true, race)
        for true, means in enumerate(PUBLISHED[model])
        for race, mean in zip(RACES, means, strict=True)
    ]
    confidences = np.concatenate([part[0] for part in parts])
    labels = np.repeat([part[1] for part in parts], number)
    races = np.repeat([part[2] for part in parts], number)
    return np.stack([1 - confidences, confidences], axis=1), labels, races


@pytest.mark.parametrize(("model", "expected"), [("standard", (0.052, 0.067)), ("robust", (0.094, 0.123))])
def test_published_confidences_give_their_differences(model, expected):
    scores = [score_groups(one) for one in equalized_odd_unfairness(*_table(model), class_names=INCOMES)]
    assert [score.name for score in scores] == ["EOU(>50K | <=50K)", "EOU(>50K | >50K)"]
    assert [score.value for score in scores] == pytest.approx(expected, abs=1e-9)
    ends = {"standard": ("Black", "White"), "robust": ("American Indian", "Asian")}[model]
    assert (scores[0].lowest, scores[0].highest) == ends


def test_robust_model_is_compared_with_the_standard_one():
    both = np.stack([_table("standard")[0], _table("robust")[0]], axis=1)
    _, labels, races = _table("standard")
    found = [
        compare_groups(one) for one in equalized_odd_unfairness(both, labels, races, class_names=INCOMES)
    ]
    assert [one.difference for one in found] == pytest.approx([0.042, 0.056], abs=1e-9)


def test_many_classes_are_plain_numpys():
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(600, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels, groups = generator.integers(0, 4, 600), generator.choice(["f", "m"], 600)
    names = ("w", "x", "y", "z")
    asked = equalized_odd_unfairness(probabilities, labels, groups, class_names=names, has_all_pairs=True)
    assert len(asked) == 16
    expected = {
        f"EOU({names[place]} | {names[true]})": abs(
            np.subtract(*(probabilities[(labels == true) & (groups == sex), place].mean() for sex in "fm"))
        )
        for true in range(4)
        for place in range(4)
    }
    assert {one.name: score_groups(one).value for one in asked} == pytest.approx(expected, abs=1e-9)
    default = equalized_odd_unfairness(probabilities, labels, groups, class_names=names)
    assert [one.name for one in default] == [f"EOU({name} | {name})" for name in names]


def test_constant_classifier_is_fair():
    probabilities = np.full((8, 2), 0.5)
    labels, groups = np.tile([0, 1], 4), np.repeat(["a", "b"], 4)
    scores = [
        score_groups(one)
        for one in equalized_odd_unfairness(probabilities, labels, groups, class_names=INCOMES)
    ]
    assert all((score.value, score.low, score.high, score.p_value) == (0, 0, 0, 1) for score in scores)


def test_group_without_positives_is_said():
    probabilities, labels, races = _table("standard")
    is_kept = (races != "Other") | (labels == 0)
    rows = probabilities[is_kept], labels[is_kept], races[is_kept]
    with pytest.raises(InputError, match="group 'Other' has no images of class '>50K'"):
        equalized_odd_unfairness(*rows, class_names=INCOMES)
    found = equalized_odd_unfairness(*rows, class_names=INCOMES, minimum_count=1)
    assert [score_groups(one).left_out for one in found] == [(), (("Other", 0),)]


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[0.5, 0.5], [0.5, 0.6]], "row 1 sum to 1.1, not to 1; give the softmax"),
        ([[1.5, -0.5]], "must be from 0 to 1"),
        ([[np.nan, 0.5]], "row 0 sum to nan"),
    ],
)
def test_what_are_no_probabilities(probabilities, message):
    with pytest.raises(InputError, match=message):
        check_probabilities(np.array(probabilities))


def test_half_precision_sums_are_taken():
    logits = np.random.default_rng(2).normal(size=(1000, 10))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    check_probabilities(probabilities.astype(np.float16))


def test_number_of_classes_must_agree():
    with pytest.raises(InputError, match="2 probabilities a row for 3 classes"):
        equalized_odd_unfairness(
            np.full((2, 2), 0.5), np.array([0, 1]), ["a", "b"], class_names=("x", "y", "z")
        )
