"""Our sampler beside tensorflow-addons', from arrays that ``reference/write_arrays.py`` wrote there.

The ordinary tests read the committed arrays; ``make reference`` names freshly written ones in
BIOATTACK_REFERENCE and holds both against ours.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.bilinear_sampling import sample_bilinearly

COMMITTED = Path(__file__).resolve().parents[2] / "data" / "reference_sampling.npz"
FRESH = os.environ.get("BIOATTACK_REFERENCE")
FILES = [COMMITTED, *([Path(FRESH)] if FRESH else [])]
CASES = (
    "points_inside_noise",
    "points_inside_smooth",
    "points_on_quarters",
    "points_across_noise",
    "points_across_smooth",
    "warp_inside_noise",
    "warp_across_smooth",
    "smallest_image",
)
# float32, values up to 1: the largest difference seen is 3e-7. The reference's positions are rounded once
# more, as it counts them from the corner of the padded image or as distances from a pixel.
TOLERANCE = 1e-6


@pytest.fixture(params=FILES, ids=["committed", "fresh"][: len(FILES)])
def arrays(request):
    """Arrays by case and name."""
    with np.load(request.param) as file:
        return dict(file)


def _ours(images, positions):
    """Values, and the gradients of half the sum of their squares."""
    images, positions = tf.constant(images), tf.constant(positions)
    with tf.GradientTape() as tape:
        tape.watch([images, positions])
        values = sample_bilinearly(images, positions[..., 0], positions[..., 1])
        loss = tf.reduce_sum(values**2) / 2
    return values, *tape.gradient(loss, [images, positions])


def test_every_case_is_known(arrays):
    assert {key.split("/")[0] for key in arrays} == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_the_reference(arrays, case):
    values, *gradients = _ours(arrays[f"{case}/images"], arrays[f"{case}/positions"])
    found = dict(zip(("values", "image_gradients", "position_gradients"), (values, *gradients), strict=True))
    positions = arrays[f"{case}/positions"]
    # On whole positions there is no derivative; the reference gives 0, ours that of the pixels further on.
    is_whole = positions == np.floor(positions)
    assert is_whole.any() == (case == "points_on_quarters")
    for name, ours in found.items():
        expected = arrays[f"{case}/{name}"]
        if name == "position_gradients":
            assert not expected[is_whole].any()
            ours = np.where(is_whole, 0, ours)
        assert np.abs(expected).max() > 0.1, "the reference says nothing"
        np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE, err_msg=name)


def test_cases_cross_the_border(arrays):
    for case in CASES:
        positions, (height, width) = arrays[f"{case}/positions"], arrays[f"{case}/images"].shape[1:3]
        is_outside = (positions < 0) | (positions > (height - 1, width - 1))
        assert is_outside.any() == ("inside" not in case and "quarters" not in case)


@pytest.mark.skipif(not FRESH, reason="make reference writes the arrays afresh")
def test_committed_arrays_are_what_the_reference_writes():
    with np.load(COMMITTED) as committed, np.load(FRESH) as fresh:
        assert committed.keys() == fresh.keys()
        for key in committed:
            np.testing.assert_allclose(committed[key], fresh[key], rtol=0, atol=1e-6, err_msg=key)
