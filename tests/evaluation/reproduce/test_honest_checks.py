"""Each warning is given where attacks contradict each other, and none where they do not."""

import numpy as np
import pandas as pd
import pytest

from bioattack.evaluation.reproduce.attacks import ENDS, FOOLBOX, LONG, RMS, STOPPED
from bioattack.evaluation.reproduce.honest_checks import PAPER, contradictions

NUM_IMAGES = 50
EPSILONS = (0.0, 0.001, 0.01)


def made_up(shares, epsilons=EPSILONS):
    places = np.arange(NUM_IMAGES) / NUM_IMAGES
    return pd.DataFrame({epsilon: places < share for epsilon, share in zip(epsilons, shares, strict=True)})


SOUND = {
    PAPER: made_up((0.8, 0.6, 0.2)),
    FOOLBOX: made_up((0.8, 0.64, 0.3)),
    LONG: made_up((0.8, 0.6, 0.1)),
    RMS: made_up((0.8, 0.5, 0.2)),
    STOPPED: made_up((0.8, 0.7, 0.2)),
    ENDS: made_up((0.8, 0.8, 0.0), (-1.0, 0.0, 0.5)),
}


def test_nothing_is_said_of_attacks_that_agree():
    assert contradictions(SOUND, title="ResNet") == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {RMS: made_up((0.8, 0.62, 0.2))},
            "ResNet: at ε = 0.001 RMS-L2 leaves 62.0 % and Linf 60.0 %, although every Linf change is"
            " within the RMS one: the RMS-L2 attack fails on at least 1 of 50 pictures.",
        ),
        (
            {ENDS: made_up((0.8, 0.8, 0.06), (-1.0, 0.0, 0.5))},
            "ResNet: 6.0 % withstand ε = 0.5, half of the pixel range",
        ),
        (
            {ENDS: made_up((0.8, 0.78, 0.0), (-1.0, 0.0, 0.5))},
            "ResNet: an attack that may change nothing changes 1 answers.",
        ),
        (
            {LONG: made_up((0.8, 0.6, 0.24))},
            "ResNet: at ε = 0.01 100 steps with restarts leave 24.0 % and 20 steps 20.0 %",
        ),
        (
            {STOPPED: made_up((0.8, 0.5, 0.2))},
            "ResNet: at ε = 0.001 an attack without the gradient through the choice of gazes leaves"
            " 50.0 % and one with it 60.0 %: that gradient misleads the attack",
        ),
        (
            {FOOLBOX: made_up((0.8, 0.3, 0.32))},
            "ResNet: under the attack 'foolbox' more pictures are right at ε = 0.01 than at 0.001",
        ),
    ],
)
def test_a_contradiction_is_said(changes, sentence):
    (found,) = contradictions(SOUND | changes, title="ResNet")
    assert found.startswith(sentence)


def test_attacks_that_were_not_made_are_not_missed():
    assert contradictions({PAPER: SOUND[PAPER]}, title="ResNet") == []
