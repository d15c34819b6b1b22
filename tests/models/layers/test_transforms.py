import keras
import numpy as np
import pytest

from bioattack.models.layers.fixations import five_gazes
from bioattack.models.layers.transforms import (
    TRANSFORM_KINDS,
    Transforms,
    initial_parameters,
    initial_windows,
    num_parameters,
)
from bioattack.testing.check_layer import LayerExpectations, check_layer

ATTENTION = ("attention", "attention_isotropic")


@pytest.mark.parametrize("kind", TRANSFORM_KINDS)
def test_layer_is_well_made(kind):
    numbers = np.random.default_rng(0).normal(size=(3, 5 * num_parameters(kind))).astype("float32")
    check_layer(
        Transforms,
        {"kind": kind, "num_branches": 5, "smallest_scale": 0.3},
        inputs=(numbers,),
        expected=LayerExpectations(output_shape=(5, 2, 3)),
    )


def test_affine_numbers_are_the_matrices():
    numbers = np.arange(24, dtype="float32").reshape(2, 12)
    matrices = Transforms(kind="affine", num_branches=2)(numbers)
    np.testing.assert_array_equal(matrices, numbers.reshape(2, 2, 2, 3))


def _squash(scale, shift):
    """Scale and shift from their free numbers, at a smallest scale of 0.2."""
    scale = 0.2 + 0.8 / (1 + np.exp(-scale))
    return scale, (1 - scale) * np.tanh(shift)


# The order is s_x, t_x, s_y, t_y; of three numbers s, t_x, t_y.
def test_order_of_the_numbers():
    (s_x, t_x), (s_y, t_y) = _squash(0.5, -0.3), _squash(-1.0, 2.0)
    found = np.asarray(Transforms(num_branches=1)(np.array([[0.5, -0.3, -1.0, 2.0]], "float32")))
    np.testing.assert_allclose(found[0, 0], [[s_x, 0, t_x], [0, s_y, t_y]], rtol=0, atol=1e-6)
    (s, t_x), (_, t_y) = _squash(0.5, -0.3), _squash(0.5, 2.0)
    layer = Transforms(kind="attention_isotropic", num_branches=1)
    found = np.asarray(layer(np.array([[0.5, -0.3, 2.0]], "float32")))
    np.testing.assert_allclose(found[0, 0], [[s, 0, t_x], [0, s, t_y]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ATTENTION)
@pytest.mark.parametrize("smallest_scale", [0.2, 0.9])
@pytest.mark.parametrize("deviation", [1.0, 10.0, 1e4, 1e30])
def test_windows_stay_inside_whatever_the_numbers(kind, smallest_scale, deviation):
    numbers = np.random.default_rng(0).normal(size=(500, 3 * num_parameters(kind))) * deviation
    layer = Transforms(kind=kind, num_branches=3, smallest_scale=smallest_scale)
    matrices = np.asarray(layer(numbers.astype("float32")))
    scales = matrices[..., [0, 1], [0, 1]]
    assert np.isfinite(matrices).all()
    assert not matrices[..., [0, 1], [1, 0]].any()
    # One unit in the last place: in float32 a sum of 1 may come out as that.
    assert scales.min() >= smallest_scale - 1e-7
    assert (np.abs(matrices[..., 2]) + scales).max() <= 1 + 1e-7


@pytest.mark.parametrize("kind", TRANSFORM_KINDS)
@pytest.mark.parametrize("num_branches", [1, 3, 5, 9])
def test_branches_start_with_their_windows(kind, num_branches):
    start = np.array([initial_parameters(kind, num_branches)], "float32")
    matrices = np.asarray(Transforms(kind=kind, num_branches=num_branches)(start))[0]
    for matrix, (scale, x, y) in zip(matrices, initial_windows(num_branches), strict=True):
        if kind == "affine":
            scale = 1.0 if num_branches == 1 else scale
        else:
            # tanh is 0.9 at most.
            x, y = 0.9 * x, 0.9 * y
        np.testing.assert_allclose(matrix, [[scale, 0, x], [0, scale, y]], rtol=0, atol=1e-6)


def test_windows_of_five_branches():
    windows = initial_windows(5)
    assert [scale for scale, _, _ in windows] == [0.7] * 5
    # As the five fixations go, row first there, x first here.
    assert [(y, x) for _, x, y in windows] == list(five_gazes(0.3))


@pytest.mark.parametrize("num_branches", [3, 5, 9])
def test_windows_are_all_different_and_inside(num_branches):
    windows = initial_windows(num_branches)
    assert len(set(windows)) == num_branches
    assert all(abs(shift) + scale <= 1 for scale, *shifts in windows for shift in shifts)
    assert windows[0] == (0.7, 0.0, 0.0)


def test_one_branch_starts_with_nearly_the_whole_image():
    assert initial_windows(1) == [(0.95, 0.0, 0.0)]
    assert initial_parameters("affine", 1) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("kind", ATTENTION)
def test_start_gives_way_to_a_greater_smallest_scale(kind):
    start = np.array([initial_parameters(kind, 5, smallest_scale=0.8)], "float32")
    matrices = np.asarray(Transforms(kind=kind, smallest_scale=0.8)(start))[0]
    np.testing.assert_allclose(matrices[:, 0, 0], 0.9, rtol=0, atol=1e-6)
    assert len(np.unique(matrices[:, :, 2].round(6), axis=0)) == 5


# Where the squashing is flat the branches could not learn.
@pytest.mark.parametrize("kind", ATTENTION)
def test_every_number_moves_its_window_at_the_start(kind):
    start = np.array([initial_parameters(kind, 9)], "float32")
    layer = Transforms(kind=kind, num_branches=9)
    for index in range(start.shape[1]):
        moved = start + 0.1 * np.eye(start.shape[1], dtype="float32")[index]
        assert np.abs(np.asarray(layer(moved)) - np.asarray(layer(start))).max() > 3e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Transforms(kind="attention_shear"),
            "transform must be one of affine, attention, attention_isotropic; rotation and shear are part of "
            "affine alone. Received: transform='attention_shear'",
        ),
        (lambda: initial_parameters("shear", 5), "transform must be one of .* Received: transform='shear'"),
        (lambda: initial_windows(4), "num_branches must be one of 1, 3, 5, 9. Received: num_branches=4"),
        (lambda: initial_windows(True), "num_branches must be one of .* Received: num_branches=True"),
        (lambda: Transforms(num_branches=0), "num_branches must be an integer of 1 or more. Received: .*=0"),
        (
            lambda: Transforms(smallest_scale=1.0),
            "smallest_scale must be a number between 0 and 1. Received: smallest_scale=1.0",
        ),
        (
            lambda: initial_parameters("attention", 5, smallest_scale=0.0),
            "smallest_scale must be a number between 0 and 1. Received: smallest_scale=0.0",
        ),
        # Attention with the six numbers of shear and rotation.
        (
            lambda: Transforms(kind="attention")(keras.Input((30,))),
            r"parameters must be \(batch, 20\), 4 for each of 5 branches. Received: input_shape=\(None, 30\)",
        ),
    ],
)
def test_what_does_not_exist_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
