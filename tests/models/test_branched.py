import keras
import numpy as np
import pytest

from bioattack.models.branched import PRESETS, branched
from bioattack.models.resnet18 import resnet18

_NARROW = {**PRESETS["small"], "width": 4}


def _num_multiply_adds(model):
    """Of the convolutions, for one look."""
    return sum(
        int(np.prod(layer.output.shape[1:3])) * int(np.prod(layer.kernel.shape))
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    )


# Counted on the original Keras model of Vuyyuru et al. 2020.
def test_published_network():
    model = branched((320, 320, 3), 10)
    assert model.count_params() == 8_074_122
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 8_057_410
    assert round(_num_multiply_adds(model) / 1e9, 3) == 1.814
    assert model.get_layer("views").output.shape == (None, 224, 224, 3)


@pytest.mark.parametrize(("side", "ratio"), [(64, 1.07), (32, 1.17)])
def test_small_network_costs_what_the_baseline_does(side, ratio):
    model = branched((side, side, 3), 10, **PRESETS["small"])
    baseline = resnet18((side, side, 3), 10, **{**PRESETS["small"], "width": 8, "stem_width": None})
    assert _num_multiply_adds(model) / _num_multiply_adds(baseline) == pytest.approx(ratio, abs=0.02)


def test_branches_differ_and_see_the_same():
    model = branched((32, 32, 3), 10, **_NARROW, seed=0)
    kernels = [np.asarray(model.get_layer(f"branch_{number}_conv1").kernel) for number in (1, 2, 3, 4)]
    assert all(np.abs(kernels[0] - kernel).max() > 0.01 for kernel in kernels[1:])
    assert model.get_layer("features").output.shape == (None, 4 * 8 * 4)


def test_test_averages_the_logits_of_five_windows():
    model = branched((32, 32, 3), 10, **_NARROW, seed=0)
    images = np.random.default_rng(0).random((3, 32, 32, 3), dtype="float32")
    one_look = keras.Model(model.get_layer("views").output, model.get_layer("classifier").output)
    windows = [(4, 4), (0, 8), (8, 0), (0, 0), (8, 8)]
    logits = [np.asarray(one_look(images[:, top : top + 24, left : left + 24])) for top, left in windows]
    np.testing.assert_allclose(model(images), np.mean(logits, axis=0), atol=1e-5)


def test_one_branch_needs_no_merging():
    model = branched((64, 64, 3), 3, **_NARROW, num_branches=1)
    assert model.get_layer("classifier").kernel.shape == (32, 3)


def test_network_trains():
    model = branched((32, 32, 3), 2, **_NARROW, num_branches=2, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Tracing would take longer than the steps.
    model.compile("adam", loss, run_eagerly=True)
    images = np.random.default_rng(0).random((8, 32, 32, 3), dtype="float32")
    before = [np.asarray(weight) for weight in model.trainable_weights]
    losses = model.fit(images, np.arange(8) % 2, batch_size=4, epochs=1, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    unchanged = [
        weight.path
        for weight, value in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(weight, value)
    ]
    assert not unchanged


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((32, 15, 3), {}, "image_shape must be 16 x 16 or larger. Received: a side of 15"),
        ((32, 32, 3), {"num_branches": 0}, "num_branches must be an integer of 1 or more. Received"),
    ],
)
def test_options_out_of_range_are_refused(image_shape, options, message):
    with pytest.raises(ValueError, match=message):
        branched(image_shape, 10, **options)
