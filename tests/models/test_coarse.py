import keras
import numpy as np
import pytest

from bioattack.models.coarse import PRESETS, coarse, coarse_geometry
from bioattack.models.resnet18 import resnet18
from bioattack.testing.check_model import check_model

_NARROW = {**PRESETS["small"], "width": 4}


def _images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def _num_multiply_adds(model):
    """Of the convolutions, for one look."""
    return sum(
        int(np.prod(layer.output.shape[1:3])) * int(np.prod(layer.kernel.shape))
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    )


# Counted on the original Keras model of Vuyyuru et al. 2020.
def test_published_network():
    model = coarse((320, 320, 3), 10)
    assert model.count_params() == 11_200_458
    assert round(_num_multiply_adds(model) / 1e9, 3) == 1.826
    assert model.get_layer("views").output.shape == (None, 224, 224, 3)


def test_published_network_for_cifar():
    model = coarse((32, 32, 3), 10, backbone="resnet20", width=16)
    assert model.count_params() == 274_442
    assert model.get_layer("views").output.shape == (None, 24, 24, 3)
    assert len(model.losses) == 21


@pytest.mark.parametrize("side", [64, 32, 16])
def test_small_network_is_that_of_the_baseline(side):
    model, baseline = (build((side, side, 3), 10, **PRESETS["small"]) for build in (coarse, resnet18))
    assert model.count_params() == baseline.count_params()
    assert _num_multiply_adds(model) < _num_multiply_adds(baseline)


# Side, variant, crop, offset of the gazes, side of what the network sees: as published.
@pytest.mark.parametrize(
    ("side", "options", "crop", "offset", "view"),
    [
        (320, {}, 224, 48, 224),
        (320, {"upsample": True}, 160, 80, 320),
        (320, {"blur": True}, 240, 40, 240),
        (32, {}, 24, 4, 24),
        (32, {"upsample": True}, 16, 8, 32),
        # Ours.
        (64, {}, 44, 10, 44),
        (48, {}, 34, 7, 34),
    ],
)
def test_variants(side, options, crop, offset, view):
    model = coarse((side, side, 3), 10, **{**_NARROW, **options})
    gazes, views = model.get_layer("gazes"), model.get_layer("views")
    assert views.crop == crop
    assert views.output.shape == (None, view, view, 3)
    o = float(offset)
    assert gazes.fixed == [[0, 0], [-o, o], [o, -o], [-o, -o], [o, o]]
    assert (gazes.lowest, gazes.highest) == (-offset, offset)
    assert views.sigma == (3 if options.get("blur") else None)


def test_test_averages_the_logits_of_five_windows():
    model = coarse((32, 32, 3), 10, **_NARROW, seed=0)
    images = _images(3, 32, 32, 3)
    one_look = keras.Model(model.get_layer("views").output, model.get_layer("classifier").output)
    windows = [(4, 4), (0, 8), (8, 0), (0, 0), (8, 8)]
    logits = [np.asarray(one_look(images[:, top : top + 24, left : left + 24])) for top, left in windows]
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
    np.testing.assert_allclose(model(images), np.mean(logits, axis=0), atol=1e-5)


def test_training_looks_once_at_the_same_place_in_all_images():
    model = coarse((32, 32, 3), 10, **_NARROW, augmentation="none", seed=0)
    look = keras.Model(model.input, model.get_layer("gazes").output)
    batches = [np.asarray(look(_images(5, 32, 32, 3), training=True)) for _ in range(200)]
    assert batches[0].shape == (5, 1, 2)
    assert all((gazes == gazes[0]).all() for gazes in batches)
    assert set(np.concatenate([gazes[0, 0] for gazes in batches])) == set(range(-4, 5))


def test_random_gazes_in_the_test_are_drawn_anew():
    model = coarse((32, 32, 3), 10, **_NARROW, when_tested="random", seed=0)
    look = keras.Model(model.input, model.get_layer("gazes").output)
    first, second = (np.asarray(look(_images(2, 32, 32, 3))) for _ in range(2))
    assert first.shape == (2, 5, 2)
    assert (first != second).any()
    assert (first[0] != first[1]).any()


@pytest.mark.slow
def test_network_keeps_its_promises():
    check_model(lambda: coarse((40, 36, 1), 3, **_NARROW, upsample=True, seed=0))


def test_network_learns():
    model = coarse((32, 32, 3), 2, **_NARROW, augmentation="none", seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Tracing would take longer than the steps.
    model.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=True)
    labels = np.arange(16) % 2
    # The one class is bright at the top, the other below.
    images = _images(16, 32, 32, 3) * 0.5
    images[labels == 0, :16] += 0.5
    images[labels == 1, 16:] += 0.5
    losses = model.fit(images, labels, batch_size=16, epochs=10, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((15, 32, 3), {}, "image_shape must be 16 x 16 or larger. Received: a side of 15"),
        ((32, 32, 3), {"upsample": True, "blur": True}, "upsample and blur must not both be True. Received"),
        ((32, 32, 3), {"when_tested": "never"}, "when_tested must be one of fixed, random. Received"),
        ((32, 32, 3), {"backbone": "vgg"}, "backbone must be one of resnet18, resnet20. Received"),
        ((32, 32, 3), {"stem_stride": 0}, "stem_stride must be an integer of 1 or more. Received"),
    ],
)
def test_options_out_of_range_are_refused(image_shape, options, message):
    with pytest.raises(ValueError, match=message):
        coarse(image_shape, 10, **options)


def test_crops_touch_the_corners_at_every_size():
    for side in range(16, 340):
        for options in ({}, {"upsample": True}, {"blur": True}):
            geometry = coarse_geometry(side, **options)
            assert geometry.crop % 2 == 0
            first = side // 2 - geometry.gaze_offset - geometry.crop // 2
            last = side // 2 + geometry.gaze_offset + geometry.crop // 2
            assert first == 0
            assert side - last == side % 2
