"""Demographic parity and equalised odds: Fairlearn's figures for two classes, plain NumPy's for more."""

import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.fairness.equal_treatment import (
    demographic_parity,
    equal_opportunity,
    equalized_odds,
    true_classes,
)
from bioattack.fairness.group_scores import compare_groups, score_groups

TWO = ("no", "yes")


def _rows(num_classes, seed=0, number=900):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, num_classes, number)
    groups = generator.choice(["a", "b", "c"], number, p=[0.6, 0.3, 0.1])
    predicted = np.where(generator.random(number) < 0.6, labels, generator.integers(0, num_classes, number))
    return predicted, labels, groups


@pytest.mark.parametrize("seed", range(5))
def test_two_classes_are_fairlearns(seed):
    metrics = pytest.importorskip("fairlearn.metrics", reason="pip install fairlearn")
    predicted, labels, groups = _rows(2, seed)
    theirs = {"y_true": labels, "y_pred": predicted, "sensitive_features": groups}
    ours = {"class_names": TWO}
    pairs = [
        (demographic_parity(predicted, groups, **ours), "demographic_parity_difference"),
        (demographic_parity(predicted, groups, measure="ratio", **ours), "demographic_parity_ratio"),
        (equalized_odds(predicted, labels, groups, **ours), "equalized_odds_difference"),
        (equalized_odds(predicted, labels, groups, measure="ratio", **ours), "equalized_odds_ratio"),
        (equal_opportunity(predicted, labels, groups, **ours), "equal_opportunity_difference"),
        (equal_opportunity(predicted, labels, groups, measure="ratio", **ours), "equal_opportunity_ratio"),
    ]
    for asked, name in pairs:
        assert score_groups(asked).value == pytest.approx(getattr(metrics, name)(**theirs), abs=1e-9), name


@pytest.mark.parametrize("num_classes", [2, 4])
def test_any_number_of_classes_is_plain_numpys(num_classes):
    predicted, labels, groups = _rows(num_classes)
    names = [str(place) for place in range(num_classes)]

    def gap(rows, outcome):
        shares = [(predicted[rows & (groups == name)] == outcome).mean() for name in "abc"]
        return max(shares) - min(shares)

    everything = np.ones(len(labels), bool)
    outcomes = range(num_classes)
    parity = max(gap(everything, outcome) for outcome in outcomes)
    odds = max(gap(labels == true, outcome) for true in outcomes for outcome in outcomes)
    chances = [gap(labels == true, true) for true in outcomes]
    opportunity = chances[1] if num_classes == 2 else max(chances)
    asked = {"class_names": names}
    assert score_groups(demographic_parity(predicted, groups, **asked)).value == pytest.approx(
        parity, abs=1e-9
    )
    assert score_groups(equalized_odds(predicted, labels, groups, **asked)).value == pytest.approx(
        odds, abs=1e-9
    )
    found = score_groups(equal_opportunity(predicted, labels, groups, **asked))
    assert found.value == pytest.approx(opportunity, abs=1e-9)


def test_ratio_of_many_classes_is_of_the_worst_and_one_can_be_named():
    predicted, _, groups = _rows(3)
    names = ("x", "y", "z")
    shares = np.array([[(predicted[groups == name] == place).mean() for place in range(3)] for name in "abc"])
    ratios = shares.min(axis=0) / shares.max(axis=0)
    worst = score_groups(demographic_parity(predicted, groups, class_names=names, measure="ratio"))
    assert worst.value == pytest.approx(ratios.min(), abs=1e-9)
    assert worst.outcome == names[int(ratios.argmin())]
    assert worst.low <= worst.value <= worst.corrected <= worst.high <= 1
    one = score_groups(demographic_parity(predicted, groups, class_names=names, measure="ratio", positive=2))
    assert one.value == pytest.approx(ratios[2], abs=1e-9)
    assert one.outcome is None


def test_constant_perfect_and_random_classifiers():
    labels, groups = np.tile([0, 1], 100), np.repeat(["a", "b"], 100)
    zeros = np.zeros(200, int)
    for predicted in (zeros, labels):
        for asked in (
            demographic_parity(predicted, groups, class_names=TWO),
            equalized_odds(predicted, labels, groups, class_names=TWO),
        ):
            score = score_groups(asked)
            assert (score.value, score.corrected, score.low, score.p_value) == (0, 0, 0, 1)
    assert score_groups(demographic_parity(zeros, groups, class_names=TWO, measure="ratio")).value == 1
    tossed = np.random.default_rng(3).integers(0, 2, 200)
    assert score_groups(equalized_odds(tossed, labels, groups, class_names=TWO)).p_value > 0.05


def test_two_models_are_compared_in_pairs():
    predicted, labels, groups = _rows(3)
    other = np.where(groups == "c", 0, predicted)
    both = np.stack([predicted, other], axis=1)
    asked = {"class_names": ("x", "y", "z")}
    found = compare_groups(equalized_odds(both, labels, groups, **asked))
    own = [score_groups(equalized_odds(part, labels, groups, **asked)).value for part in (predicted, other)]
    assert [found.first, found.second] == pytest.approx(own, abs=1e-12)
    assert found.p_value < 0.01


def test_group_without_positives_is_said():
    labels, groups = np.array([0, 1, 0, 0]), ["a", "a", "b", "b"]
    with pytest.raises(InputError, match="group 'b' has no images of class 'yes'; give some, or let"):
        equalized_odds(labels, labels, groups, class_names=TWO)
    labels, groups = np.array([0, 1, 0, 0, 0, 1]), list("aabbcc")
    asked = equalized_odds(labels, labels, groups, class_names=TWO, minimum_count=1)
    assert score_groups(asked).left_out == (("b", 0),)


def test_absent_class_is_said():
    with pytest.raises(InputError, match="class 'c' has no images; give some, or let --minimum-count 1"):
        true_classes(np.array([0, 1]), ("a", "b", "c"), minimum_count=0)


@pytest.mark.parametrize(
    ("predicted", "options", "message"),
    [
        ([0, 2], {}, "must hold places of the 2 classes. Received: 2"),
        ([0, 1], {"measure": "sum"}, "measure must be one of gap, ratio"),
    ],
)
def test_bad_arguments(predicted, options, message):
    with pytest.raises(InputError, match=message):
        demographic_parity(np.array(predicted), ["a", "b"], class_names=TWO, **options)
