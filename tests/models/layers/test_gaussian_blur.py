import keras
import numpy as np
import pytest

from bioattack.models.layers.gaussian_blur import GaussianBlur, gaussian_matrix
from bioattack.testing.check_layer import LayerExpectations, check_layer


def test_layer_is_well_made():
    check_layer(
        GaussianBlur,
        {"sigma": 0.8},
        input_shape=(10, 7, 3),
        expected=LayerExpectations(output_shape=(10, 7, 3)),
    )


# Side and squared centre weight of the kernels of the public code of Vuyyuru et al. 2020.
@pytest.mark.parametrize(
    ("sigma", "side", "centre"), [(0.5, 5, 0.618693), (1, 9, 0.159156), (2, 17, 0.039790), (3, 25, 0.017685)]
)
def test_kernels_are_the_published_ones(sigma, side, centre):
    kernel = gaussian_matrix(99, sigma=sigma)[49]
    assert np.count_nonzero(kernel) == side
    assert kernel[49] ** 2 == pytest.approx(centre, abs=1e-6)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("sigma", "stride", "first"), [(0.7, 1, 0), (1.5, 3, 1), (2.0, 4, 2)])
def test_matrix_convolves_with_zeros_around_and_keeps_some(sigma, stride, first):
    signal = np.random.default_rng(0).random(30)
    half = int(np.ceil(4 * sigma))
    taps = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma**2))
    wanted = np.convolve(signal, taps / taps.sum())[half:-half][first::stride]
    found = gaussian_matrix(30, sigma=sigma, stride=stride, first=first) @ signal
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_both_axes_are_blurred():
    images = np.zeros((1, 9, 11, 1), "float32")
    images[0, 4, 5] = 1
    outputs = np.asarray(GaussianBlur(0.5)(images))[0, :, :, 0]
    np.testing.assert_allclose(outputs, outputs[::-1, ::-1], atol=1e-7)
    np.testing.assert_allclose(outputs[2:7, 3:8], outputs[2:7, 3:8].T, atol=1e-7)
    assert outputs[4, 5] == pytest.approx(0.618693, abs=1e-6)
    assert outputs.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), float("inf"), True, "1"])
def test_wrong_sigma_is_refused(sigma):
    with pytest.raises(ValueError, match=r"sigma must be a number above 0, in pixels. Received: sigma="):
        GaussianBlur(sigma)


def test_images_of_unknown_size_are_refused():
    with pytest.raises(ValueError, match=r"fixed height and width. Received: input_shape=\(None, None, 8"):
        GaussianBlur(1.0)(keras.Input((None, 8, 3)))
