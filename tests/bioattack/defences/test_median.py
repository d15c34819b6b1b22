"""The median of a window: SciPy's own, and a gradient that goes to the pixels it was taken from."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import median_filter

from bioattack.defences import MedianSmoothing, defend
from bioattack.errors import InputError

IMAGES = np.random.default_rng(0).random((2, 9, 7, 3), dtype=np.float32)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7])
def test_it_is_scipys(size):
    expected = median_filter(IMAGES, size=(1, size, size, 1), mode="reflect")
    for call in (MedianSmoothing(size), tf.function(MedianSmoothing(size), autograph=False)):
        np.testing.assert_array_equal(call(IMAGES), expected)


# Four levels: most windows hold several values equal to their median.
@pytest.mark.parametrize("size", range(2, 10))
def test_of_equal_values_the_middle_one_of_a_stable_sort_gets_the_gradient(size):
    random = np.random.default_rng(size)
    image = random.integers(0, 4, (9, 9)).astype("float32") / 4
    upstream = random.random((9, 9), dtype="float32")
    images = tf.constant(image[None, :, :, None])
    with tf.GradientTape() as tape:
        tape.watch(images)
        smoothed = MedianSmoothing(size)(images, gradient="smooth")
        total = tf.reduce_sum(smoothed * upstream[None, :, :, None])
    margins = ((size // 2, size - 1 - size // 2),) * 2
    places, values = (
        np.lib.stride_tricks.sliding_window_view(np.pad(numbers, margins, "symmetric"), (size, size))
        for numbers in (np.arange(81).reshape(9, 9), image)
    )
    order = np.argsort(values.reshape(81, -1), axis=1, kind="stable")[:, size * size // 2]
    expected = np.zeros(81)
    np.add.at(expected, places.reshape(81, -1)[np.arange(81), order], upstream.ravel())
    np.testing.assert_allclose(tape.gradient(total, images).numpy().ravel(), expected, rtol=1e-5)
    np.testing.assert_array_equal(smoothed.numpy().ravel(), values.reshape(81, -1)[np.arange(81), order])


def test_its_gradient_counts_how_often_each_pixel_was_taken():
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        smoothed = MedianSmoothing(3)(images, gradient="smooth")
        total = tf.reduce_sum(smoothed)
    values, numbers = np.unique(smoothed.numpy(), return_counts=True)
    how_often = dict(zip(values.tolist(), numbers.tolist(), strict=True))
    expected = [how_often.get(value, 0) for value in IMAGES.ravel().tolist()]
    np.testing.assert_array_equal(tape.gradient(total, images).numpy().ravel(), expected)


@pytest.mark.parametrize("size", [0, 1, 10, 3.0, True])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(InputError, match="size must be a whole number"):
        MedianSmoothing(size)


def test_it_goes_by_name():
    from bioattack.classifier import load_classifier

    classifier = load_classifier(lambda images: images[:, 4, 4], name="middle", image_shape=(9, 7, 3))
    defended = defend(classifier, "median:3", gradient="smooth")
    assert defended.name == "middle+median:3"
    expected = median_filter(IMAGES, size=(1, 3, 3, 1), mode="reflect")[:, 4, 4]
    np.testing.assert_array_equal(defended.logits(IMAGES), expected)
