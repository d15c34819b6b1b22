"""Attacks held against each other: outcomes made up for the statistics, real ones for the checks."""

import types

import numpy as np
import pytest
import tensorflow as tf

from bioattack.evaluation.audit_checks.evidence import LADDER, Attacked
from bioattack.evaluation.audit_checks.strength import (
    check_ball_inclusion,
    check_growing_epsilon,
    check_iterated,
    check_more_restarts,
    check_unbounded_epsilon,
    judge_strength,
    restart_runs,
)
from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS, UNDECIDED
from bioattack.testing.faulty_models import inflated_gradient, stopped_gradient, wearing_out


def _pictures(num_right, num_images):
    return types.SimpleNamespace(num_images=num_images, is_right=np.arange(num_images) < num_right)


def _judge(left, *, num_right=90, num_images=100):
    """Judges attacks of which the first n pictures are left."""
    evidence = _pictures(num_right, num_images)
    return judge_strength(
        evidence,
        [np.arange(num_images) < number for number in left],
        names=list("abcd"[: len(left)]),
        figures={},
        meaning="Fine.",
        remedy="mend it",
    )


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        ([50, 40], HOLDS),
        ([50, 50], HOLDS),
        ([50, 55], HOLDS),
        ([50, 70], FAILS),
        ([50, 40, 30], HOLDS),
        ([50, 70, 30], FAILS),
        ([50, 30, 45], FAILS),
        ([0, 0], HOLDS),
        ([90, 90], UNDECIDED),
    ],
)
def test_strength_must_not_fall(left, verdict):
    assert _judge(left).verdict == verdict


def test_the_worst_pair_is_named():
    finding = _judge([50, 20, 60])
    assert finding.sentence == "B fools 40 % more of the pictures than c: mend it."
    # 40 pictures, all against it.
    assert finding.figures["p_value"] == pytest.approx(0.5**40)


def test_too_few_pictures_right():
    assert _judge([0, 6], num_right=6).verdict == UNDECIDED
    assert "Only 6 pictures" in _judge([0, 6], num_right=6).sentence


def _with_ladder(num_left, *, num_right=100, num_images=100, num_classes=10):
    ladder = [Attacked(np.empty(0), np.empty(0), np.arange(num_images) < number) for number in num_left]
    return types.SimpleNamespace(
        num_images=num_images,
        is_right=np.arange(num_images) < num_right,
        ladder=ladder,
        logits=np.zeros((num_images, num_classes)),
        attack=lambda _: ladder[0],
    )


@pytest.mark.parametrize(
    ("num_left", "verdict"),
    [
        ([100, 90, 80, 60, 40, 20, 0, 0], HOLDS),
        ([100, 90, 80, 60, 40, 20, 20, 22], HOLDS),
        ([100, 90, 80, 20, 40, 60, 60, 80], FAILS),
        ([100] * 8, UNDECIDED),
    ],
)
def test_accuracy_must_fall_with_epsilon(num_left, verdict):
    finding = check_growing_epsilon(_with_ladder(num_left))
    assert finding.verdict == verdict
    assert finding.figures["accuracies"] == [1.0, *(number / 100 for number in num_left)]
    assert len(finding.figures["epsilons"]) == len(LADDER) + 1


def test_a_gain_over_the_best_of_the_smaller_epsilons_counts():
    # Each step is small; from 40 up to 64 it is not.
    assert check_growing_epsilon(_with_ladder([90, 40, 46, 52, 58, 64, 64, 64])).verdict == FAILS


@pytest.mark.parametrize(
    ("num_left", "num_right", "verdict"),
    [(0, 95, HOLDS), (12, 95, HOLDS), (40, 95, FAILS), (95, 95, FAILS), (0, 12, UNDECIDED)],
)
def test_nothing_but_chance_is_left_without_a_bound(num_left, num_right, verdict):
    assert check_unbounded_epsilon(_with_ladder([num_left], num_right=num_right)).verdict == verdict


def test_a_model_of_real_robustness_holds_however_large_it_is(evidence_on):
    """The class is the brightest of three channels by a wide margin: sound, and hard to fool."""

    def model(images):
        return 100 * tf.reduce_mean(images, (1, 2))

    evidence = evidence_on(model, 20)
    evidence.labels = evidence.logits.argmax(1).astype(np.int32)
    for check in (check_iterated, check_growing_epsilon, check_unbounded_epsilon, check_ball_inclusion):
        assert check(evidence).verdict == HOLDS


def test_without_gradient_nothing_can_be_compared(evidence_on, sound):
    evidence = evidence_on(stopped_gradient(sound), 20)
    assert check_iterated(evidence).verdict == UNDECIDED
    assert check_growing_epsilon(evidence).verdict == UNDECIDED
    assert check_unbounded_epsilon(evidence).verdict == FAILS


def test_the_larger_ball_is_searched_worse(evidence_on, sound):
    finding = check_ball_inclusion(evidence_on(inflated_gradient(sound), 32))
    assert finding.verdict == FAILS
    left = list(finding.figures["num_left"].values())
    assert left[1] > left[0]


def test_a_model_that_turns_away_who_asks_again(evidence_on, sound, sound_evidence):
    """Its gradient is there for the first attacks and gone for those that follow."""
    is_worn_out = tf.Variable(False)
    evidence = evidence_on(wearing_out(sound, is_worn_out))
    once, _ = restart_runs(evidence)
    evidence.attack(once)
    assert check_more_restarts(sound_evidence).verdict == HOLDS
    is_worn_out.assign(True)
    finding = check_more_restarts(evidence)
    assert finding.verdict == FAILS
    assert finding.sentence.startswith("One start fools ")
