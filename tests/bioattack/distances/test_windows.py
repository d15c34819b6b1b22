import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import correlate1d

from bioattack.distances.windows import blur, blur_transposed, gaussian_window


def test_window_is_a_normal_distribution():
    # fspecial('gaussian', 11, 1.5) of Matlab, the middle row over its sum.
    window = gaussian_window()
    assert window.sum() == pytest.approx(1, abs=1e-15)
    np.testing.assert_allclose(window[5:8], [0.266012, 0.213006, 0.109361], atol=1e-6)
    np.testing.assert_array_equal(window, window[::-1])


@pytest.mark.parametrize("padding", ["valid", "symmetric"])
def test_blur_is_that_of_scipy(padding):
    images = np.random.default_rng(0).uniform(size=(2, 13, 16, 3))
    wanted = images
    for axis in (1, 2):
        wanted = correlate1d(wanted, gaussian_window(), axis=axis, mode="reflect")
    wanted = wanted[:, 5:-5, 5:-5] if padding == "valid" else wanted
    np.testing.assert_allclose(
        blur(tf.constant(images), gaussian_window(), padding=padding), wanted, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("padding", "size"),
    [("symmetric", 5), ("symmetric", 11), ("symmetric", 23), ("valid", 11), ("valid", 23)],
)
def test_transpose_is_the_gradient(padding, size):
    # <G x, y> = <x, G'y> for all x and y, at sizes where mirrors overlap as well.
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(2, size, 14, 3)))
    with tf.GradientTape() as tape:
        tape.watch(images)
        means = blur(images, gaussian_window(), padding=padding)
        values = tf.constant(random.normal(size=means.shape))
        product = tf.reduce_sum(means * values)
    wanted = tape.gradient(product, images)
    found = blur_transposed(values, gaussian_window(), padding=padding)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)


def test_out_of_range_windows_are_refused():
    with pytest.raises(ValueError, match="window_size must be odd"):
        gaussian_window(10)
    with pytest.raises(ValueError, match="sigma must be above 0"):
        gaussian_window(11, 0.0)
    with pytest.raises(ValueError, match="padding must be one of valid, symmetric"):
        blur(tf.ones((1, 12, 12, 1)), gaussian_window(), padding="same")
