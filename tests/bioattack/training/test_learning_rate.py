import numpy as np
import pytest

from bioattack.training.learning_rate import learning_rate_schedule, paper_factor

# Vuyyuru et al. 2020, public code: 1 up to epoch 160, 0.1 for 161 to 240, 0.01 for 241 to 320, 0.001 for
# 321 to 360, 0.0005 for 361 to 399, and the same factors at 80 / 120 / 160 / 180 of 200 for CIFAR-10.
TABLE = [
    (400, 0, 1.0),
    (400, 160, 1.0),
    (400, 161, 0.1),
    (400, 240, 0.1),
    (400, 241, 0.01),
    (400, 320, 0.01),
    (400, 321, 0.001),
    (400, 360, 0.001),
    (400, 361, 0.0005),
    (400, 399, 0.0005),
    (200, 80, 1.0),
    (200, 81, 0.1),
    (200, 120, 0.1),
    (200, 121, 0.01),
    (200, 160, 0.01),
    (200, 161, 0.001),
    (200, 180, 0.001),
    (200, 181, 0.0005),
]


@pytest.mark.parametrize(("num_epochs", "epoch", "factor"), TABLE)
def test_paper_table(num_epochs, epoch, factor):
    assert paper_factor(epoch, num_epochs=num_epochs) == factor


@pytest.mark.parametrize(("num_epochs", "epoch", "factor"), TABLE)
@pytest.mark.parametrize("steps_per_epoch", [1, 7])
def test_paper_schedule_follows_the_table_at_first_and_last_step(num_epochs, epoch, factor, steps_per_epoch):
    schedule = learning_rate_schedule(
        "paper", learning_rate=1e-3, num_epochs=num_epochs, steps_per_epoch=steps_per_epoch
    )
    for step in (epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch - 1):
        assert float(schedule(step)) == pytest.approx(1e-3 * factor, rel=1e-6)


def test_short_schedule_warms_up_and_falls_to_nothing():
    schedule = learning_rate_schedule("short", learning_rate=0.01, num_epochs=10, steps_per_epoch=20)
    rates = [float(schedule(step)) for step in range(201)]
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == pytest.approx(0.01) == rates[20]
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    # Half way down the cosine is half of the largest rate.
    assert rates[110] == pytest.approx(0.005, rel=1e-4)
    assert rates[200] == pytest.approx(0, abs=1e-8)


def test_constant_schedule_is_plain_adam():
    # Sooksatra and Rivas 2022, section III: Adam at 1e-3, batch 250, 20 epochs.
    schedule = learning_rate_schedule("constant", learning_rate=1e-3, num_epochs=20, steps_per_epoch=200)
    assert {float(schedule(step)) for step in (0, 1, 1999, 3999, 4000)} == {float(np.float32(1e-3))}


@pytest.mark.parametrize("name", ["short", "paper", "constant"])
def test_one_epoch_of_one_step_has_a_rate(name):
    schedule = learning_rate_schedule(name, learning_rate=0.01, num_epochs=1, steps_per_epoch=1)
    assert 0 < float(schedule(0)) <= 0.01
