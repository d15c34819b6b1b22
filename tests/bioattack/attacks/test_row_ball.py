import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.row_ball import RowBall
from bioattack.attacks.row_bounds import RowBounds

LARGEST = 1_484_705


def made_up_bounds(random):
    number = int(random.integers(1, 7))
    lowest = np.round(random.uniform(-50, 50, number))
    is_moved = random.uniform(size=number) < 0.7
    is_moved[random.integers(number)] = True
    return RowBounds(
        tuple(f"attribute {place}" for place in range(number)),
        tuple(lowest.tolist()),
        tuple((lowest + random.choice([1, 20, LARGEST], number)).tolist()),
        tuple(is_moved.tolist()),
        tuple((random.uniform(size=number) < 0.5).tolist()),
    )


def made_up_rows(random, bounds, number=16):
    low, high = np.array(bounds.lowest), np.array(bounds.highest)
    rows = random.uniform(low, high, (number, len(low)))
    # Some stand outside their range before the attack.
    rows = np.where(random.uniform(size=rows.shape) < 0.1, high + random.uniform(1, 9, rows.shape), rows)
    return np.where(bounds.is_whole, np.round(rows), rows).astype(np.float32)


def check_inside(rows, originals, epsilon, bounds, *, is_rounded):
    """What every point of the ball has to be, in double precision and without the ball's own functions."""
    rows, originals = np.asarray(rows, np.float64), np.asarray(originals, np.float64)
    is_moved, is_whole = np.array(bounds.is_moved), np.array(bounds.is_whole)
    assert (rows == originals)[:, ~is_moved].all()
    # What float32 resolves, where the original is no whole number.
    sizes = np.maximum(np.maximum(np.abs(rows), np.abs(originals)), np.asarray(epsilon)[:, None])
    slack = np.where(is_whole, 0.0, 2.0**-23 * sizes)
    assert (np.abs(rows - originals) <= np.asarray(epsilon)[:, None] + slack).all()
    assert (rows >= np.minimum(originals, np.float32(bounds.lowest))).all()
    assert (rows <= np.maximum(originals, np.float32(bounds.highest))).all()
    if is_rounded:
        assert (rows == np.round(rows))[:, is_whole].all()


@pytest.mark.parametrize("seed", range(60))
def test_rows_stay_valid(seed):
    random = np.random.default_rng(seed)
    bounds = made_up_bounds(random)
    originals = made_up_rows(random, bounds)
    epsilon = random.choice([0.0, 0.4, 1.0, 2.5, 10.0, 33.3], len(originals)).astype(np.float32)
    ball = RowBall(bounds)
    wild = (originals + random.normal(0, 20, originals.shape)).astype(np.float32)
    inside = ball.project(wild, originals, epsilon)
    check_inside(inside, originals, epsilon, bounds, is_rounded=False)
    check_inside(ball.rounded(inside, originals, epsilon), originals, epsilon, bounds, is_rounded=True)
    again = ball.project(inside, originals, epsilon)
    np.testing.assert_array_equal(inside, again)


def test_projection_is_the_nearest_point():
    bounds = RowBounds(("age", "sex"), (17.0, 0.0), (90.0, 1.0), (True, False), (True, True))
    moved = RowBall(bounds).project([[45.2, 0.9], [3.0, 0.0], [88.5, 1.0]], [[39.0, 1.0]] * 3, [5.0, 30, 60])
    # Clipped to epsilon, to the range, and not at all.
    np.testing.assert_array_equal(moved, np.array([[44.0, 1.0], [17.0, 1.0], [88.5, 1.0]], np.float32))


@pytest.mark.parametrize(
    ("epsilon", "rounded"),
    [(0.9, 39.0), (1.0, 40.0), (1.49, 40.0), (10.0, 49.0), (10.999, 49.0), (200.0, 90.0)],
)
def test_whole_numbers_use_the_whole_ball_and_no_more(epsilon, rounded):
    ball = RowBall(RowBounds(("age",), (17.0,), (90.0,), (True,), (True,)))
    inside = ball.project([[1e6]], [[39.0]], [epsilon])
    assert ball.rounded(inside, [[39.0]], [epsilon]).numpy()[0, 0] == rounded


def test_sums_of_large_numbers_are_not_rounded_out_of_the_ball():
    # 1,000,001 + 0.97 is 1,000,002 in float32.
    bounds = RowBounds(("weight",), (0.0,), (2e6,), (True,), (True,))
    originals, epsilon = np.full((1, 1), 1_000_001, np.float32), np.array([0.97], np.float32)
    assert originals + epsilon[0] == 1_000_002
    inside = RowBall(bounds).project(originals + 5, originals, epsilon)
    assert originals < inside.numpy() < 1_000_002
    assert RowBall(bounds).rounded(inside, originals, epsilon).numpy() == originals


def test_draws_fill_the_ball_and_follow_the_key():
    bounds = RowBounds(tuple("abc"), (0.0,) * 3, (9.0,) * 3, (True, False, True), (True,) * 3)
    keys = tf.constant(np.random.default_rng(0).integers(-(2**31), 2**31, (4000, 2)), tf.int32)
    drawn = RowBall(bounds).draw(keys, (3,)).numpy()
    assert (drawn[:, 1] == 0).all()
    np.testing.assert_allclose(drawn[:, [0, 2]].mean(0), 0, atol=0.04)
    np.testing.assert_allclose(drawn[:, [0, 2]].var(0), 1 / 3, atol=0.02)
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1]) < 0.05
    np.testing.assert_array_equal(RowBall(bounds).draw(keys[7:9], (3,)), drawn[7:9])


def test_rows_have_no_8_bits():
    ball = RowBall(RowBounds(("a",), (0.0,), (9.0,), (True,), (True,)))
    with pytest.raises(ValueError, match="not saved with 8 bits"):
        ball.round_to_8_bits([[1.0]], [[1.0]], [1.0])
