"""The barrier distance against a slow exact search, and what it makes of pictures that are easy to judge."""

import heapq

import numpy as np
import pytest

from bioattack.evaluation.minimum_barrier import _barriers, _lab, minimum_barrier_saliency


def lowest_barriers(values):
    """Dijkstra's search, as Strand et al. 2013: nearly exact, for it keeps one path to each pixel."""
    height, width = values.shape
    done = np.zeros(values.shape, bool)
    distance = np.full(values.shape, np.inf)
    queue = [
        (0.0, row, column, values[row, column], values[row, column])
        for row in range(height)
        for column in range(width)
        if row in (0, height - 1) or column in (0, width - 1)
    ]
    heapq.heapify(queue)
    while queue:
        barrier, row, column, high, low = heapq.heappop(queue)
        if done[row, column]:
            continue
        done[row, column], distance[row, column] = True, barrier
        for near, side in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= near < height and 0 <= side < width and not done[near, side]:
                value = values[near, side]
                its_high, its_low = max(high, value), min(low, value)
                heapq.heappush(queue, (its_high - its_low, near, side, its_high, its_low))
    return distance


def smooth_values(seed, size=(17, 23)):
    random = np.random.default_rng(seed)
    rows, columns = np.indices(size) / max(size)
    waves = random.normal(size=(4, 3))
    return sum(np.sin(9 * (a * rows + b * columns) + c) for a, b, c in waves)


@pytest.mark.parametrize("seed", range(4))
def test_the_sweeps_find_nearly_the_lowest_barriers(seed):
    values = smooth_values(seed)
    found, expected = _barriers(values), lowest_barriers(values)
    rim = np.ones(values.shape, bool)
    rim[1:-1, 1:-1] = False
    assert (found[rim] == 0).all()
    assert np.abs(found - expected).mean() < 0.1 * expected.mean()


def test_planes_do_not_depend_on_each_other():
    planes = np.stack([smooth_values(seed) for seed in range(6)]).reshape(2, 3, 17, 23)
    together = _barriers(planes)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(together[place], _barriers(planes[place]))


def test_an_object_stands_out_and_a_slow_change_of_light_does_not():
    picture = np.linspace(0.2, 0.8, 40)[None, :, None] * np.ones((30, 1, 3))
    picture[10:20, 15:25] = (0.9, 0.2, 0.1)
    found = minimum_barrier_saliency(picture[None])[0]
    assert found.shape == (30, 40)
    inside = np.zeros((30, 40), bool)
    inside[10:20, 15:25] = True
    assert found[inside].min() > 0.8
    assert found[~inside].max() < 0.2
    assert (found.min(), found.max()) == (0, 1)


def test_what_the_rim_cuts_is_not_an_object():
    picture = np.full((1, 30, 30, 1), 0.5)
    picture[0, 8:14, :10] = 0.9
    picture[0, 18:24, 12:18] = 0.8
    found = minimum_barrier_saliency(picture)[0]
    assert found[10, 5] == 0
    assert found[20, 15] == 1


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_one_colour_has_no_salience(value, channels):
    assert not minimum_barrier_saliency(np.full((1, 9, 9, channels), value)).any()


def test_a_slight_change_shifts_it_slightly():
    picture = np.clip(0.5 + 0.2 * np.stack([smooth_values(seed) for seed in range(3)], -1), 0, 1)[None]
    noise = np.random.default_rng(0).uniform(-1e-4, 1e-4, picture.shape)
    moved = np.abs(minimum_barrier_saliency(picture + noise) - minimum_barrier_saliency(picture))
    assert moved.max() < 0.05


# CIE Lab of sRGB under D65 (Lindbloom's calculator).
@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((1, 1, 1), (100, 0, 0)),
    ],
)
def test_lab(colour, expected):
    np.testing.assert_allclose(_lab(np.array([[[colour]]], float))[0, 0, 0], expected, atol=0.05)
