import keras
import numpy as np
import pytest

from bioattack.models.cortical import PRESETS, cortical
from bioattack.models.layers.cortical_fixation import CorticalFixation
from bioattack.models.layers.fixations import five_gazes
from bioattack.models.layers.retinal_sampling import RetinalSampling
from bioattack.models.resnet18 import resnet18
from bioattack.testing.check_model import check_model

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
    model = cortical((320, 320, 3), 10)
    assert model.count_params() == 22_227_522
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 22_200_010
    assert round(_num_multiply_adds(model) / 1e9, 3) == 1.839
    assert [view.shape for view in model.get_layer("views").output] == [(None, 40, 40, 3)] * 4
    # A head for ten classes on each of the four has 3,610 parameters.
    assert model.auxiliary_features == tuple(f"scale_{number}_features" for number in (1, 2, 3, 4))
    assert all(model.get_layer(name).output.shape == (None, 360) for name in model.auxiliary_features)


def test_published_network_for_cifar():
    model = cortical((32, 32, 3), 10, backbone="resnet20")
    assert model.count_params() == 1_032_954
    assert [view.shape for view in model.get_layer("views").output] == [(None, 15, 15, 3)] * 2
    assert not hasattr(model, "auxiliary_features")


@pytest.mark.parametrize(
    ("side", "backbone", "num_parameters"), [(320, "resnet18", 11_299_722), (32, "resnet20", 261_414)]
)
def test_as_many_parameters_as_the_baseline(side, backbone, num_parameters):
    assert cortical((side, side, 3), 10, backbone=backbone, match="params").count_params() == num_parameters


@pytest.mark.parametrize(("side", "ratio"), [(64, 1.12), (32, 0.82)])
def test_small_network_costs_what_the_baseline_does(side, ratio):
    model = cortical((side, side, 3), 10, **PRESETS["small"])
    baseline = resnet18(
        (side, side, 3), 10, width=8, stem_stride=None, pool_stride=None, batch_norm_momentum=0.9
    )
    assert _num_multiply_adds(model) / _num_multiply_adds(baseline) == pytest.approx(ratio, abs=0.02)


# As published: the box of the test, and the integers of training, the upper end left out.
@pytest.mark.parametrize(("side", "offset"), [(320, 40), (32, 1)])
def test_gazes(side, offset):
    gazes = cortical((side, side, 3), 10, **_NARROW, scales=[1]).get_layer("gazes")
    assert gazes.fixed == [list(gaze) for gaze in five_gazes(offset)]
    assert (gazes.lowest, gazes.highest) == (-offset, offset - 1)
    assert gazes.per_batch


def test_test_averages_the_logits_of_five_looks():
    model = cortical((48, 48, 3), 10, **_NARROW, seed=0)
    images = np.random.default_rng(0).random((3, 48, 48, 3), dtype="float32")
    one_look = keras.Model(model.get_layer("views").output, model.get_layer("classifier").output)
    fixation = CorticalFixation((9, 18, 27, 36), (1, 2, 3, 4))
    gazes = [np.tile(np.array(gaze, "float32"), (3, 1)) for gaze in five_gazes(6)]
    logits = [np.asarray(one_look(fixation(images, gaze))) for gaze in gazes]
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
    np.testing.assert_allclose(model(images), np.mean(logits, axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("merge", "num_features", "merged"),
    [("features", 64, np.hstack), ("mean", 32, np.mean), ("max", 32, np.max)],
)
def test_merges(merge, num_features, merged):
    model = cortical((32, 32, 3), 10, **_NARROW, merge=merge, seed=0)
    layers = [model.get_layer(name) for name in ("scale_1_features", "scale_2_features", "features")]
    outputs = keras.Model(model.input, [layer.output for layer in layers])
    *features, found = outputs(np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32"))
    assert found.shape == (2 * 5, num_features)
    options = {} if merge == "features" else {"axis": 0}
    np.testing.assert_allclose(found, merged([np.asarray(part) for part in features], **options), atol=1e-6)


def test_scales_can_be_left_out():
    model = cortical((64, 64, 3), 10, **_NARROW, scales=[4], auxiliary=False)
    views = model.get_layer("views")
    assert (views.crops, views.radii) == ([48], [4])
    assert model.get_layer("classifier").kernel.shape == (32, 10)
    assert not hasattr(model, "auxiliary_features")
    two = cortical((64, 64, 3), 10, **_NARROW, scales=(3, 1))
    assert two.get_layer("views").crops == [12, 36]
    assert two.auxiliary_features == ("scale_1_features", "scale_3_features")


# Vuyyuru et al. 2020, public code: crops 40, 80, 160 and 320, radii 1, 2, 4 and 8, gazes of 80 pixels.
def test_widest_scale_can_be_the_whole_image():
    model = cortical((320, 320, 3), 10, whole=True)
    views = model.get_layer("views")
    assert (views.crops, views.radii, views.num_still) == ([40, 80, 160, 320], [1, 2, 4, 8], 1)
    assert model.count_params() == 22_227_522
    assert model.get_layer("gazes").fixed == [list(gaze) for gaze in five_gazes(80)]
    assert cortical((64, 64, 3), 10, **_NARROW, whole=True, scales=[1, 2]).get_layer("views").num_still == 0


def test_whole_image_is_seen_the_same_from_every_gaze():
    model = cortical((64, 64, 3), 10, **_NARROW, whole=True)
    images = np.random.default_rng(0).random((2, 64, 64, 3), dtype="float32")
    *moving, still = keras.Model(model.input, model.get_layer("views").output)(images)
    (wanted,) = CorticalFixation((64,), (4,))(images, np.zeros((2, 2), "float32"))
    np.testing.assert_array_equal(still, np.repeat(wanted, 5, axis=0))
    for view in moving:
        assert not np.allclose(view[0], view[1])


def test_dropout_acts_in_training_only():
    options = {**_NARROW, "dropout": 0.75, "augmentation": "none", "seed": 0}
    model = cortical((32, 32, 3), 10, **options)
    assert model.get_layer("dropout").rate == 0.75
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")
    np.testing.assert_array_equal(model(images), model(images))
    without = cortical((32, 32, 3), 10, **{**options, "dropout": 0.0})
    np.testing.assert_array_equal(model(images), without(images))


def test_retina_comes_first_and_looks_at_the_same_points():
    model = cortical((48, 48, 3), 10, **_NARROW, scales=[4], retinal=True)
    images = np.random.default_rng(0).random((2, 48, 48, 3), dtype="float32")
    view = keras.Model(model.input, model.get_layer("views").output)(images)
    for place, gaze in enumerate(five_gazes(6)):
        gazes = np.tile(np.array(gaze, "float32"), (2, 1))
        (wanted,) = CorticalFixation((36,), (4,))(RetinalSampling(mode="nearest")(images, gazes), gazes)
        np.testing.assert_allclose(view[place::5], wanted, atol=1e-5)


@pytest.mark.slow
def test_network_keeps_its_promises():
    options = {**_NARROW, "scales": [4], "dropout": 0.5, "seed": 0}
    check_model(lambda: cortical((48, 52, 1), 3, **options))


def test_network_trains():
    model = cortical((32, 32, 3), 2, **_NARROW, dropout=0.5, seed=0)
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
        ((15, 15, 3), {}, "image_shape must be 16 x 16 or larger. Received: a side of 15"),
        ((32, 32, 3), {"match": "time"}, "match must be one of macs, params. Received: match='time'"),
        ((32, 32, 3), {"merge": "sum"}, "merge must be one of features, mean, max. Received: merge='sum'"),
        ((32, 32, 3), {"dropout": 1.0}, "dropout must be at least 0 and below 1. Received: dropout=1.0"),
        ((32, 32, 3), {"scales": (1, 3)}, r"scales must be different numbers from 1 to 2 at this image size"),
        ((32, 32, 3), {"scales": (1, 1)}, r"scales must be different numbers.*Received: scales=\(1, 1\)"),
        ((32, 32, 3), {"scales": ()}, r"scales must be different numbers.*Received: scales=\(\)"),
        ((32, 32, 3), {"backbone": "vgg"}, "backbone must be one of resnet18, resnet20. Received"),
        ((32, 40, 3), {"retinal": True}, "images must be square"),
    ],
)
def test_options_out_of_range_are_refused(image_shape, options, message):
    with pytest.raises(ValueError, match=message):
        cortical(image_shape, 10, **options)
