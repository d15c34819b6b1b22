import keras
import numpy as np
import pytest

from bioattack.models.layers.eccentric_blur import EccentricBlur
from bioattack.models.layers.fixations import five_gazes
from bioattack.models.r_blur import r_blur
from bioattack.models.registry import build_model
from bioattack.testing.check_model import check_model

# Narrow, for 32 pixels.
SMALL = {"width": 16, "stem_stride": 2, "pool_stride": None, "batch_norm_momentum": 0.9, "seed": 0}


def _images(num=3):
    return np.random.default_rng(0).random((num, 32, 32, 3), dtype="float32")


@pytest.mark.parametrize(
    ("size", "preset", "num_parameters"),
    # The paper's noise is one image.
    [
        (320, "paper", 11_200_458 + 320 * 320 * 3),
        (64, "paper", 11_200_458 + 64 * 64 * 3),
        (32, "small", None),
    ],
)
def test_network_is_that_of_the_baseline(size, preset, num_parameters):
    model = build_model("r_blur", image_shape=(size, size, 3), num_classes=10, preset=preset)
    assert num_parameters is None or model.count_params() == num_parameters
    gazes = model.get_layer("gazes")
    assert gazes.fixed == [list(gaze) for gaze in five_gazes(size / 4)]
    assert (gazes.lowest, gazes.highest, gazes.per_batch) == (-size // 4, size // 4 - 1, False)
    assert model.get_layer("views").output.shape == (None, size, size, 3)


@pytest.mark.slow
def test_network_with_fixed_noise_keeps_its_promises():
    check_model(lambda: r_blur((32, 32, 3), 4, noise_when_tested="fixed", **SMALL))


def test_logits_are_the_mean_over_the_fixations():
    model = r_blur((32, 32, 3), 4, **SMALL)
    images = _images(2)
    parts = [model.get_layer(name).output for name in ("gazes", "views", "classifier")]
    gazes, views, by_gaze = (np.asarray(part) for part in keras.Model(model.input, parts)(images))
    np.testing.assert_allclose(model(images), by_gaze.reshape(2, 5, 4).mean(axis=1), atol=1e-6)
    wanted = EccentricBlur()(np.repeat(images, 5, axis=0), gazes.reshape(-1, 2))
    np.testing.assert_allclose(views, wanted, atol=1e-5)


def test_noise_comes_before_the_blur():
    model = r_blur((32, 32, 3), 4, augmentation="none", noise=0.3, **SMALL)
    noisy, views = keras.Model(model.input, [model.get_layer(name).output for name in ("noise", "views")])(
        _images(2), training=True
    )
    assert np.std(noisy - _images(2)) == pytest.approx(0.3, rel=0.1)
    assert views.shape == noisy.shape
    assert np.std(views) < np.std(noisy)


def test_it_trains():
    model = r_blur((32, 32, 3), 4, **SMALL)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Two steps are done sooner than a graph is made of them.
    model.compile(keras.optimizers.Adam(1e-3), loss, run_eagerly=True)
    before = [np.asarray(weight) for weight in model.trainable_weights]
    history = model.fit(_images(16), np.arange(16) % 4, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for one, other in zip(before, model.trainable_weights, strict=True):
        assert not np.array_equal(one, other), other.path


def test_randomness_in_the_test_is_asked_for():
    for options, is_random in (
        ({}, False),
        ({"noise_when_tested": "fixed"}, False),
        ({"noise_when_tested": "random"}, True),
        ({"when_tested": "random"}, True),
    ):
        model = r_blur((32, 32, 3), 4, **SMALL, **options)
        assert np.array_equal(model(_images()), model(_images())) != is_random


def test_grey_and_oblong_images_are_seen():
    assert r_blur((28, 40, 1), 3, **SMALL)(np.zeros((2, 28, 40, 1), "float32")).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -1.0}, "noise must be 0 or more. Received: noise=-1.0"),
        ({"blur": 0.0}, "blur must be above 0. Received: blur=0.0"),
        ({"num_fixations": 2}, "num_fixations must be one of 1, 3, 5, 9. Received: num_fixations=2"),
        ({"noise_when_tested": "yes"}, "noise_when_tested must be one of none, fixed, random. Received"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        r_blur((32, 32, 3), 4, **{**SMALL, **options})
