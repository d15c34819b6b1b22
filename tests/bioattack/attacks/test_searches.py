"""Searches against an oracle that knows at which epsilon an image falls, and on a network."""

import math

import numpy as np
import pytest

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.attacks.searches import (
    UNTARGETED,
    Attempts,
    EpsilonLadder,
    Finding,
    LeastEpsilon,
    NoRadius,
    Trial,
)
from bioattack.errors import InputError
from bioattack.testing.check_attack import made_up_batch, made_up_classifier


def finding(trial, *, is_fooled, is_fooled_8bit=False, length=None, margin=0.0):
    length = trial.epsilon if length is None else length
    image = np.zeros((1, 1, 1), np.float32)
    return Finding(
        trial,
        is_fooled,
        length,
        margin,
        1.0,
        5,
        False,
        0.5,
        np.zeros(2, np.float32),
        image,
        is_fooled_8bit=is_fooled_8bit,
    )


ONCE = Attempts()


def play(
    search,
    falls,
    *,
    survives_rounding=lambda _: True,
    attempts=ONCE,
    fallen_at=math.inf,
    margin=lambda _: 0.0,
):
    """Follows a search to its end; ``falls`` says of a trial whether the image falls, or at what length.

    ``margin`` is what is left at an epsilon of the clean image's margin, which is 1.
    """
    listed = attempts.list(np.array([3.0, 1.0, 2.0, 0.0]), 0)
    findings = []
    while (trial := search.next_trial(findings, listed, fallen_at)) is not None:
        length = falls(trial)
        found = length if isinstance(length, float) else trial.epsilon
        in_8bit = search.goes_by_8_bits and bool(length) and survives_rounding(trial)
        left = -0.01 if length else margin(trial.epsilon)
        findings.append(
            finding(trial, is_fooled=bool(length), is_fooled_8bit=in_8bit, length=found, margin=left)
        )
        assert len(findings) < 200
    return findings, search.outcomes(findings, listed, fallen_at)


LADDER = EpsilonLadder((0.0, 1.0, 2.0, 4.0))


@pytest.mark.parametrize(
    ("least", "tried", "fooled"),
    [
        (0.5, [1.0], [False, True, True, True]),
        (1.5, [1.0, 2.0], [False, False, True, True]),
        (9.0, [1.0, 2.0, 4.0], [False, False, False, False]),
    ],
)
def test_ladder_stops_where_the_image_falls(least, tried, fooled):
    findings, outcomes = play(LADDER, lambda trial: trial.epsilon >= least)
    assert [found.trial.epsilon for found in findings] == tried
    assert [outcome.is_fooled for outcome in outcomes] == fooled
    assert [outcome.epsilon for outcome in outcomes] == list(LADDER.epsilons)
    # Steps are counted where they were made, and nowhere twice.
    assert [outcome.num_steps for outcome in outcomes] == [5 * (e in tried) for e in LADDER.epsilons]
    assert outcomes[0].finding is None


def test_where_rounding_undoes_the_image_the_ladder_goes_on():
    # It falls from 1 on, but only what is found at 4 can be saved.
    ladder = EpsilonLadder((1.0, 2.0, 4.0, 8.0))
    findings, outcomes = play(ladder, lambda _: True, survives_rounding=lambda trial: trial.epsilon == 4.0)
    assert [found.trial.epsilon for found in findings] == [1.0, 2.0, 4.0]
    assert [outcome.is_fooled for outcome in outcomes] == [True] * 4
    # The first image stands until there is one that withstands rounding, and that one from there on.
    assert [outcome.finding for outcome in outcomes] == [findings[0], findings[0], findings[2], findings[2]]
    assert [outcome.num_steps for outcome in outcomes] == [5, 5, 5, 0]


def test_fallen_once_is_fallen_though_a_later_trial_fails():
    ladder = EpsilonLadder((1.0, 2.0))
    findings, outcomes = play(ladder, lambda trial: trial.epsilon == 1.0, survives_rounding=lambda _: False)
    assert [found.trial.epsilon for found in findings] == [1.0, 2.0]
    assert [outcome.is_fooled for outcome in outcomes] == [True, True]
    assert outcomes[1].finding is findings[0]


@pytest.mark.parametrize("search", [EpsilonLadder((1.0,)), EpsilonLadder((1.0, 2.0), is_independent=True)])
def test_where_no_epsilon_stands_for_another_nothing_is_judged_in_between(search):
    assert not search.goes_by_8_bits


def test_independent_ladder_goes_on():
    search = EpsilonLadder(LADDER.epsilons, is_independent=True)
    findings, outcomes = play(search, lambda trial: trial.epsilon == 2.0)
    assert [found.trial.epsilon for found in findings] == [1.0, 2.0, 4.0]
    assert [outcome.is_fooled for outcome in outcomes] == [False, False, True, False]


def test_ladder_tries_restarts_of_each_target_before_the_next_epsilon():
    attempts = Attempts(num_restarts=2, num_targets=2)
    findings, _ = play(EpsilonLadder((1.0, 2.0)), lambda _: False, attempts=attempts)
    # The likeliest wrong classes of logits 3, 1, 2, 0 are 2 and 1.
    tried = [(0, 2), (0, 1), (1, 2), (1, 1)]
    assert [found.trial for found in findings] == [
        Trial(epsilon, *one) for epsilon in (1.0, 2.0) for one in tried
    ]
    findings, _ = play(EpsilonLadder((1.0,)), lambda trial: trial.target == 1, attempts=attempts)
    assert [(found.trial.restart, found.trial.target) for found in findings] == tried[:2]


def test_attempts():
    logits = np.array([0.0, 2.0, 2.0, 1.0])
    assert Attempts().list(logits, 3) == [(0, UNTARGETED)]
    assert Attempts(target=3).list(logits, 0) == [(0, 3)]
    assert Attempts(num_targets=9).list(logits, 3) == [(0, 1), (0, 2), (0, 0)]


def test_ladder_reports_the_closest_attempt_where_none_succeeds():
    listed = Attempts(num_restarts=2).list(np.zeros(2), 0)
    findings = [
        finding(Trial(1.0, restart), is_fooled=False, margin=margin)
        for restart, margin in enumerate((0.3, 0.1))
    ]
    assert EpsilonLadder((1.0,)).outcomes(findings, listed, math.inf)[0].finding is findings[1]


def test_nothing_is_tried_from_where_the_image_has_fallen_already():
    findings, outcomes = play(LADDER, lambda _: False, fallen_at=2.0)
    assert [found.trial.epsilon for found in findings] == [1.0]
    assert [outcome.epsilon for outcome in outcomes] == [0.0, 1.0]


# What is left of a margin of 1 at a share of the least epsilon, and how many epsilons may be tried to a
# thousandth: halving takes eleven, and no margins, however misleading, more than thirty.
MARGINS = {
    "a straight line": (lambda share: 1 - share, 10),
    "falling faster": (lambda share: 1 - share**2, 30),
    "falling slower": (lambda share: (1 - share) ** 2, 30),
    "none left": (lambda _: 0.0, 30),
    "hardly falling": (lambda share: 1 - 1e-6 * share, 30),
    "unchanged": (lambda _: 1.0, 11),
    "rising": (lambda share: 1 + share, 11),
    "unknown": (lambda _: math.nan, 11),
}


@pytest.mark.parametrize("least", [0.013, 0.4, 0.5, 0.77, 0.999, 1.0])
@pytest.mark.parametrize("num_restarts", [1, 3])
@pytest.mark.parametrize("margin", MARGINS)
def test_least_epsilon_is_bracketed(least, num_restarts, margin):
    left, most = MARGINS[margin]
    findings, [outcome] = play(
        LeastEpsilon(1.0, 0.001),
        lambda trial: trial.epsilon >= least,
        attempts=Attempts(num_restarts=num_restarts),
        margin=lambda epsilon: left(epsilon / least),
    )
    assert outcome.epsilon_low < least <= outcome.epsilon_high
    assert 0 < outcome.epsilon_high - outcome.epsilon_low <= 0.001
    assert outcome.epsilon == outcome.epsilon_high
    assert outcome.is_fooled
    assert len({found.trial.epsilon for found in findings}) <= most
    failed = [found.trial.epsilon for found in findings if not found.is_fooled]
    assert all(failed.count(epsilon) == num_restarts for epsilon in failed)


def test_where_margins_fall_in_a_straight_line_the_bracket_closes_at_once():
    findings, [outcome] = play(
        LeastEpsilon(1.0, 0.001), lambda trial: trial.epsilon >= 0.3, margin=lambda epsilon: 1 - epsilon / 0.3
    )
    tried = [found.trial.epsilon for found in findings]
    # Halved until one is withstood; half a width above where the line ends; a width below that.
    assert tried == pytest.approx([1.0, 0.5, 0.25, 0.3005, 0.2995], abs=1e-6)
    assert (outcome.epsilon_low, outcome.epsilon_high) == pytest.approx((0.2995, 0.3005), abs=1e-6)


def test_least_epsilon_goes_on_from_the_nearest_image_that_fools():
    findings, [outcome] = play(
        LeastEpsilon(1.0, 0.1), lambda trial: trial.epsilon >= 0.28 and 0.3, margin=lambda _: 1.0
    )
    assert [found.trial.epsilon for found in findings] == pytest.approx([1.0, 0.15, 0.225])
    assert (outcome.epsilon_low, outcome.epsilon_high) == pytest.approx((0.225, 0.3))
    assert outcome.finding is findings[0]


def test_least_epsilon_is_censored_where_the_largest_is_withstood():
    findings, [outcome] = play(LeastEpsilon(1.0, 0.1), lambda _: False)
    assert [found.trial.epsilon for found in findings] == [1.0]
    assert (outcome.epsilon_low, outcome.epsilon_high) == (1.0, math.inf)
    assert not outcome.is_fooled
    assert outcome.epsilon == 1.0


def test_an_attack_that_fails_above_where_it_succeeded_proves_nothing():
    search, listed = LeastEpsilon(1.0, 0.1), Attempts().list(np.zeros(2), 0)
    findings = [
        finding(Trial(1.0), is_fooled=True, length=0.8),
        finding(Trial(0.4), is_fooled=False),
        finding(Trial(0.6), is_fooled=True, length=0.35),
    ]
    [outcome] = search.outcomes(findings, listed, math.inf)
    assert (outcome.epsilon_low, outcome.epsilon_high) == (0.0, 0.35)


@pytest.mark.parametrize(
    ("largest", "width"), [(1.0, 0.0), (1.0, 1.0), (1.0, 2.0), (math.inf, 0.1), (0.0, 0.1)]
)
def test_impossible_widths_are_refused(largest, width):
    with pytest.raises(InputError, match="0 < width < largest"):
        LeastEpsilon(largest, width)


@pytest.mark.parametrize("how", [{}, {"norm": "l2"}, {"num_restarts": 2}, {"attack": "mifgsm"}])
def test_the_least_epsilon_of_every_image_is_certified(how):
    classifier = made_up_classifier()
    batch = made_up_batch(classifier, num_images=24)
    largest, width = (0.3, 2e-3) if how.get("norm") == "l2" else (0.03, 2e-4)
    settings = {"num_steps": 8, "has_random_start": False} | how

    def attacked_at(places, **more):
        return attack_images(
            classifier,
            batch.images[places],
            batch.labels[places],
            AttackRequest(**(settings | more)),
            image_ids=[batch.image_ids[place] for place in places],
            batch_size=5,
        )

    attacked = attacked_at(np.arange(24), epsilons=(largest,), least_epsilon_width=width)
    low, high, is_attacked = attacked.epsilon_low, attacked.epsilon_high, batch.is_attacked
    assert np.isnan(low[~is_attacked]).all()
    assert np.isnan(high[~is_attacked]).all()
    fell = attacked.is_fooled[0]
    assert fell.any()
    assert (is_attacked & ~fell).any()
    np.testing.assert_array_equal(low[is_attacked & ~fell], largest)
    np.testing.assert_array_equal(high[is_attacked & ~fell], math.inf)
    assert (high[fell] - low[fell] <= width).all()
    assert (low[fell] < high[fell]).all()
    # At high: the image that was found is so near, and the network is wrong about it.
    perturbations = (attacked.adversarial_images[0] - batch.images).astype(np.float64).reshape(24, -1)
    length = np.linalg.norm(perturbations, axis=1, ord=2 if how.get("norm") == "l2" else np.inf)
    assert (length[fell] <= high[fell] * (1 + 1e-6)).all()
    seen = classifier.logits(attacked.adversarial_images[0]).numpy().argmax(1)
    assert (seen != batch.labels)[fell].all()
    # At low: the attack, run on its own, fails.
    for place in np.flatnonzero(fell & (low > 0))[:5]:
        assert not attacked_at(np.array([place]), epsilons=(float(low[place]),)).is_fooled[0, 0]


def without_radius(attempts, *, fooling, fallen_at=math.inf):
    """Follows the search, in which the trial number ``fooling`` fools; gives the trials and the outcomes."""
    listed = attempts.list(np.array([3.0, 1.0, 2.0, 0.0]), 0)
    findings = []
    while (trial := NoRadius().next_trial(findings, listed, fallen_at)) is not None:
        findings.append(finding(trial, is_fooled=len(findings) == fooling, length=1.0, margin=-len(findings)))
    return [one.trial for one in findings], NoRadius().outcomes(findings, listed, fallen_at)


def test_without_a_radius_there_is_one_trial_and_one_outcome():
    trials, (outcome,) = without_radius(ONCE, fooling=0)
    assert trials == [Trial(math.inf)]
    assert (outcome.epsilon, outcome.is_fooled, outcome.num_steps) == (math.inf, True, 5)
    assert math.isnan(outcome.epsilon_high)
    assert NoRadius().reported_epsilons == (math.inf,)


def test_without_a_radius_attempts_go_on_until_one_fools():
    three = Attempts(num_restarts=3)
    trials, (outcome,) = without_radius(three, fooling=1)
    assert [trial.restart for trial in trials] == [0, 1]
    assert (outcome.is_fooled, outcome.num_steps, outcome.finding.trial.restart) == (True, 10, 1)
    trials, (outcome,) = without_radius(three, fooling=None)
    # Of those that do not fool the one that came closest.
    assert (len(trials), outcome.is_fooled, outcome.finding.trial.restart) == (3, False, 2)


def test_without_a_radius_what_has_fallen_is_left_alone():
    assert without_radius(ONCE, fooling=0, fallen_at=0.5) == ([], [])
    assert without_radius(Attempts(target=0), fooling=0)[0] == []
