import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances.ciede2000 import ColourDifference, lab_differences, rgb_to_lab
from bioattack.testing.check_distance import check_distance

# Sharma, Wu and Dalal 2005, table 1: L, a, b of two colours, and their difference.
PUBLISHED = np.array(
    [
        (50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425),
        (50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615),
        (50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412),
        (50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000),
        (50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000),
        (50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000),
        (50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669),
        (50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669),
        (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792),
        (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792),
        (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195),
        (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195),
        (50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045),
        (50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045),
        (50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461),
        (50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065),
        (50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492),
        (50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977),
        (50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030),
        (50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535),
        (50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000),
        (50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000),
        (50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000),
        (50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000),
        (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
        (63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630),
        (61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731),
        (35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645),
        (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
        (36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146),
        (90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441),
        (90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381),
        (6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377),
        (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
    ]
)


def test_colour_difference_keeps_its_promises():
    check_distance(ColourDifference(), (9, 8, 3))
    check_distance(ColourDifference(), (5, 7, 1))


def test_published_pairs():
    found = lab_differences(tf.constant(PUBLISHED[:, :3]), tf.constant(PUBLISHED[:, 3:6]))
    np.testing.assert_allclose(found, PUBLISHED[:, 6], atol=5.1e-5)


def test_difference_is_symmetric():
    found = lab_differences(tf.constant(PUBLISHED[:, 3:6]), tf.constant(PUBLISHED[:, :3]))
    np.testing.assert_allclose(found, PUBLISHED[:, 6], atol=5.1e-5)


def test_known_colours_in_lab():
    # Lindbloom's calculator, sRGB to Lab under D65 without adaptation, to the digits of the matrix.
    colours = tf.constant(
        [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)]
    )
    wanted = [(53.24, 80.09, 67.20), (87.73, -86.18, 83.18), (32.30, 79.19, -107.86), (100, 0, 0), (0, 0, 0)]
    np.testing.assert_allclose(rgb_to_lab(colours), wanted, atol=0.03)


def test_distance_is_the_length_of_the_map():
    images = np.random.default_rng(0).uniform(size=(2, 2, 5, 6, 3))
    distance = ColourDifference()
    found = distance.map(tf.constant(images[0]), tf.constant(images[1]))
    assert found.shape == (2, 5, 6)
    lengths = np.sqrt(np.sum(np.square(found), axis=(1, 2)))
    np.testing.assert_allclose(distance(images[0], images[1]), lengths, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_between_greys_and_near_them_is_finite(dtype):
    levels = np.linspace(0, 1, 6)
    pairs = [(one + tint, other) for one in levels for other in levels for tint in (0, 1e-30, 1e-12, 1e-6)]
    reference, images = np.array(pairs, dtype).T[..., None, None, None] * np.ones((1, 1, 3), dtype)
    reference[:, :, :, 0] += dtype(1e-7)
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        distances = ColourDifference()(reference, images)
    assert np.isfinite(tape.gradient(distances, images)).all()


def test_grey_pictures_of_one_channel_are_those_of_three():
    images = np.random.default_rng(0).uniform(size=(2, 2, 5, 6, 1))
    distance = ColourDifference()
    np.testing.assert_allclose(distance(*images), distance(*np.repeat(images, 3, -1)), rtol=1e-12)


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="ciede2000 needs images of 1 or 3 channels"):
        ColourDifference()(np.zeros((1, 4, 4, 2), "float32"), np.zeros((1, 4, 4, 2), "float32"))
