import keras
import numpy as np
import pytest

from bioattack.models.blur import PRESETS, blur, retinal_sigma
from bioattack.models.layers.gaussian_blur import GaussianBlur
from bioattack.models.layers.retinal_sampling import RetinalSampling
from bioattack.models.resnet18 import resnet18

_NARROW = {**PRESETS["small"], "width": 4}


@pytest.mark.parametrize(
    ("side", "preset", "num_parameters"),
    [(320, "paper", 11_200_458), (64, "small", 179_266), (32, "small", 179_266)],
)
def test_network_is_the_baseline(side, preset, num_parameters):
    model = blur((side, side, 3), 10, **PRESETS[preset])
    assert model.count_params() == num_parameters
    assert model.get_layer("views").output.shape == (None, side, side, 3)
    assert model.get_layer("views").sigma == retinal_sigma(side)


def test_network_for_cifar():
    assert blur((32, 32, 3), 10, backbone="resnet20", width=16).count_params() == 274_442


# 79.7 % of the pixels are read at the central gaze, measured on the public code of Vuyyuru et al. 2020, and
# about 66 % at the others, where 5.5 % lie outside what is seen at all. Rounding misses some that the spacing
# would allow.
def test_sigma_is_half_the_spacing_of_the_samples():
    shares = [0.797] + 4 * [0.66 / 0.945]
    assert retinal_sigma(320) == pytest.approx(np.mean(shares) ** -0.5 / 2, rel=0.03)


def test_sigma_follows_from_the_samples_at_small_sizes():
    # In NumPy, from where the layer reads: the area of the source that goes to each target pixel.
    side, gaze = 64, (16.0, -16.0)
    areas, weights = [], []
    for row, column in ((0.0, 0.0), gaze, gaze, gaze, gaze):
        sources = RetinalSampling().source_positions(np.array([[row, column]], "float32"), size=side)
        rows, columns = (np.asarray(part, "float64")[0] for part in sources)
        (row_down, row_right), (column_down, column_right) = np.gradient(rows), np.gradient(columns)
        area = row_down * column_right - row_right * column_down
        is_inside = (abs(rows - 31.5) <= 32) & (abs(columns - 31.5) <= 32)
        areas.append(np.minimum(1.0, 1.0 / area[is_inside]) @ area[is_inside])
        weights.append(area[is_inside].sum())
    assert retinal_sigma(side) == pytest.approx((sum(areas) / sum(weights)) ** -0.5 / 2, rel=0.01)


def test_blur_comes_before_the_network():
    options = {**_NARROW, "augmentation": "none", "seed": 0}
    model = blur((32, 32, 3), 10, **options, sigma_fraction=0.05)
    baseline = resnet18((32, 32, 3), 10, **options)
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")
    np.testing.assert_allclose(model(images), baseline(GaussianBlur(1.6)(images)), atol=1e-5)
    assert np.abs(np.asarray(model(images)) - np.asarray(baseline(images))).max() > 1e-3


def test_network_trains():
    model = blur((32, 32, 3), 2, **_NARROW, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Tracing would take longer than the steps.
    model.compile("adam", loss, run_eagerly=True)
    images = np.random.default_rng(0).random((8, 32, 32, 3), dtype="float32")
    losses = model.fit(images, np.arange(8) % 2, batch_size=4, epochs=1, verbose=0).history["loss"]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("sigma_fraction", [0.0, -0.1, float("inf"), True])
def test_wrong_fraction_is_refused(sigma_fraction):
    with pytest.raises(
        ValueError, match=r"sigma_fraction must be a number above 0. Received: sigma_fraction="
    ):
        blur((32, 32, 3), 10, sigma_fraction=sigma_fraction)
