import math

import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.eccentric_blur import EccentricBlur, PixelNoise, mirrored_blur_matrix
from bioattack.testing.check_layer import LayerExpectations, check_layer


@pytest.mark.parametrize(("init_kwargs", "shape"), [({}, (12, 10, 3)), ({"blur": 0.2}, (8, 8, 1))])
def test_layer_is_well_made(init_kwargs, shape):
    random = np.random.default_rng(0)
    images = random.random((3, *shape), dtype="float32")
    gaze = random.uniform(-3, 3, (3, 2)).astype("float32")
    check_layer(
        EccentricBlur, init_kwargs, inputs=(images, gaze), expected=LayerExpectations(output_shape=shape)
    )


def _see(image, gaze=(0.0, 0.0), **options):
    return np.asarray(EccentricBlur(**options)(image[None].astype("float32"), np.array([gaze], "float32")))[0]


def _acuity(eccentricity, spread):
    """Densities of a Laplace and of a Cauchy distribution, as in the public code of Shah and Raj 2023."""
    laplace = math.exp(-eccentricity / spread) / (2 * spread)
    cauchy = 1 / (math.pi * 2.5 * spread * (1 + (eccentricity / (2.5 * spread)) ** 2))
    return max(laplace, cauchy) * 2 * spread


@pytest.mark.parametrize("pixel", [(31, 31), (31, 40), (10, 45), (0, 63), (63, 3)])
def test_colour_and_kernel_of_a_pixel(pixel):
    """One bright pixel: its whole is the share of colour, its spread that of the wanted Gaussian."""
    gaze = (-0.5, -0.5)  # on pixel (31, 31)
    eccentricity = max(abs(pixel[0] - 31), abs(pixel[1] - 31)) / 64
    colour_weight = _acuity(eccentricity, 0.12)
    grey_weight = 0.12 * (1 - _acuity(eccentricity, 0.09))
    share = colour_weight / (colour_weight + grey_weight)
    # What reaches the pixel from each column, rows added up, is one image for each of them.
    columns = np.zeros((64, 64, 64, 3), "float32")
    columns[np.arange(64), :, np.arange(64), 0] = 1.0
    seen = np.asarray(EccentricBlur()(columns, np.tile(gaze, (64, 1)).astype("float32")))[:, *pixel, :]
    colour, grey = seen[:, 0] - seen[:, 1], 3 * seen[:, 1]
    assert colour.sum() == pytest.approx(share, abs=1e-5)
    assert grey.sum() == pytest.approx(1 - share, abs=1e-5)
    if 12 < pixel[1] < 52:  # no column is seen twice, mirrored
        offsets = np.arange(64) - pixel[1]
        for part, weight in ((colour, colour_weight), (grey, grey_weight)):
            if part.sum() > 1e-3:
                variance = np.sum(part * offsets**2) / part.sum()
                # Kernels end at three deviations and are read at whole pixels.
                wanted = (0.05 * 64 * (1 - weight)) ** 2
                assert variance == pytest.approx(wanted, rel=0.1, abs=0.02)


def test_gaze_is_seen_as_it_is():
    image = np.random.default_rng(0).random((65, 65, 3))
    seen = _see(image, (-10.0, 5.0))
    np.testing.assert_allclose(seen[22, 37], image[22, 37], atol=1e-6)
    assert np.abs(seen - image)[:, 60:].max() > 0.3


def test_periphery_is_blurred_and_grey():
    image = np.random.default_rng(0).random((64, 64, 3))
    seen = _see(image, (-31.5, -31.5))
    colourful = seen.max(axis=-1) - seen.min(axis=-1)
    rough = np.abs(np.diff(seen.mean(axis=-1), axis=1))
    for measure in (colourful, rough):
        near, middle, far = measure[:4, :4].mean(), measure[12:20, 12:20].mean(), measure[48:, 48:].mean()
        assert near > 5 * max(middle, far)


def test_constant_images_stay():
    for value in (0.0, 0.4, -3.0):
        image = np.full((20, 33, 3), value)
        np.testing.assert_allclose(_see(image, (3.0, 40.0), blur=0.3), image, atol=1e-5)


def test_far_gaze_does_no_harm():
    images = tf.constant(np.random.default_rng(0).random((1, 16, 16, 3), dtype="float32"))
    for gaze in ((0.5, 0.5), (1e4, -1e4)):
        gazes = tf.constant([gaze])
        with tf.GradientTape() as tape:
            tape.watch([images, gazes])
            seen = EccentricBlur()(images, gazes)
        assert np.isfinite(seen).all()
        assert all(np.isfinite(part).all() for part in tape.gradient(seen, [images, gazes]))


def test_blur_matrix_mirrors_the_axis():
    axis = np.random.default_rng(0).random(9)
    sigma, half = 1.3, 4
    kernel = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma**2))
    wanted = np.convolve(np.pad(axis, half, mode="reflect"), kernel / kernel.sum(), mode="valid")
    np.testing.assert_allclose(mirrored_blur_matrix(9, sigma=sigma) @ axis, wanted, atol=1e-12)
    # A kernel wider than the axis.
    np.testing.assert_allclose(mirrored_blur_matrix(3, sigma=5.0).sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blur": 0.0}, "blur must be above 0. Received: blur=0.0"),
        (
            {"colour_spread": 0.6},
            "colour_spread must be above 0 and at most 0.5. Received: colour_spread=0.6",
        ),
        ({"grey_spread": 0.0}, "grey_spread must be above 0 and at most 0.5. Received: grey_spread=0.0"),
        ({"grey_acuity": 1.5}, "grey_acuity must be from 0 to 1. Received: grey_acuity=1.5"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EccentricBlur(**options)


# Not with when_tested="random": the harness expects draws in training alone.
@pytest.mark.parametrize("when_tested", ["none", "fixed"])
def test_noise_is_well_made(when_tested):
    check_layer(
        PixelNoise,
        {"noise": 0.1, "when_tested": when_tested, "seed": 3},
        input_shape=(8, 6, 3),
        expected=LayerExpectations(output_shape=(8, 6, 3)),
    )


@pytest.mark.parametrize("when_tested", ["none", "fixed", "random"])
def test_noise_of_training_is_new_for_every_pixel(when_tested):
    layer = PixelNoise(0.25, when_tested=when_tested, seed=0)
    once, again = (np.asarray(layer(np.zeros((4, 32, 32, 3), "float32"), training=True)) for _ in range(2))
    for noise in (once, again):
        # Five standard errors of 12,288 draws.
        assert abs(noise.std() - 0.25) < 5 * 0.25 / math.sqrt(2 * noise.size)
        assert abs(noise.mean()) < 5 * 0.25 / math.sqrt(noise.size)
    assert abs(np.corrcoef(once.ravel(), again.ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(once[0].ravel(), once[1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("when_tested", ["none", "fixed", "random"])
def test_noise_of_the_test(when_tested):
    layer = PixelNoise(0.25, when_tested=when_tested, seed=0)
    once, again = (np.asarray(layer(np.zeros((2, 32, 32, 3), "float32"))) for _ in range(2))
    assert once.any() == (when_tested != "none")
    assert np.array_equal(once, again) == (when_tested != "random")
    assert np.array_equal(once[0], once[1]) == (when_tested != "random")
    if when_tested != "none":
        assert once.std() == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": -0.1}, "noise must be 0 or more. Received: noise=-0.1"),
        (
            {"noise": 0.1, "when_tested": "always"},
            "when_tested must be one of none, fixed, random. Received: when_tested='always'",
        ),
    ],
)
def test_wrong_noise_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PixelNoise(**arguments)
