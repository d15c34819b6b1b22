"""What is reckoned from timed steps, and that a network can be timed at all."""

import dataclasses

import pytest

from bioattack.evaluation.reproduce.config import SCALES
from bioattack.evaluation.reproduce.dry_run import plan_lines
from bioattack.evaluation.reproduce.experiment import Variant
from bioattack.evaluation.reproduce.timing import (
    StepTimes,
    duration_words,
    evaluation_seconds,
    time_steps,
    training_seconds,
)

TIMES = StepTimes(training=0.01, attack=0.004, answer=0.001, num_parameters=10, batch_size=2)


def test_every_step_takes_some_time():
    times = time_steps(Variant("plain", "small_cnn"), SCALES["demo"], image_shape=(16, 16, 3), num_classes=3)
    assert min(times.training, times.attack, times.answer) > 0
    assert times.batch_size == 32
    assert times.num_parameters > 1000


def test_a_training_is_its_epochs_with_a_test_after_each():
    scale = dataclasses.replace(SCALES["demo"], epochs=5, train_limit=100)
    assert training_seconds(TIMES, scale, num_train=300, num_test=50) == pytest.approx(5 * (1.0 + 0.05))
    assert training_seconds(TIMES, scale, num_train=60, num_test=0) == pytest.approx(5 * 0.6)


def test_an_attack_takes_at_most_all_steps_at_all_epsilons():
    scale = dataclasses.replace(SCALES["demo"], epsilons=(0.01, 0.02), test_limit=10)
    assert evaluation_seconds(TIMES, scale, num_test=500) == pytest.approx(10 * (0.001 + 2 * 20 * 0.004))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1, "1 s"), (59, "59 s"), (61, "1 min"), (3600, "1.0 h"), (86400, "24.0 h"), (200_000, "2.3 days")],
)
def test_durations_have_a_unit_that_fits(seconds, words):
    assert duration_words(seconds) == words


def test_a_plan_is_said_in_lines():
    network = {
        "label": "stn",
        "num_parameters": 1234567,
        "training_step_seconds_per_image": 0.0123,
        "training_seconds": 7200,
        "evaluation_seconds_at_most": 60,
        "timed_batch_size": 2,
    }
    plan = {
        "experiments": ["figure12"],
        "output": "out",
        "pictures": {"image_shape": (64, 64, 3), "num_train": 3000, "num_test": 500, "is_assumed": True},
        "settings": {"preset": "small", "epochs": 12, "batch_size": 32, "epsilons": [0.01], "seeds": [0, 1]},
        "networks": [network],
        "seconds": 14400,
    }
    text = "\n".join(plan_lines(plan))
    assert "would make figure12 in out, preset small" in text
    assert "3,000 training and 500 test pictures that are assumed, 64 x 64 x 3" in text
    line = next(line for line in text.splitlines() if line.strip().startswith("stn"))
    assert line.split() == ["stn", "1,234,567", "12.3", "2.0", "h", "1", "min"]
    assert "about 4.0 h on this machine for all seeds" in text
    assert "what it trains and attacks" in "\n".join(plan_lines(plan | {"networks": []}))
