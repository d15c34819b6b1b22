import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances import make_distance
from bioattack.distances import pieapp_mini as module
from bioattack.testing.check_distance import DistanceExpectations, check_distance


@pytest.fixture(scope="module")
def mini():
    return make_distance("pieapp-mini")


def pictures(number=3, *, shape=(91, 91, 3)):
    """Soft pictures, as far from noise as photographs are."""
    random = np.random.default_rng(0)
    coarse = random.uniform(0.1, 0.9, (number, 8, 8, shape[2]))
    return tf.image.resize(coarse, shape[:2], "bicubic").numpy().astype(np.float32)


def test_pieapp_mini_keeps_its_promises(mini):
    # Rectifiers and maxima have kinks within the steps of finite differences.
    expected = DistanceExpectations(gradient_tolerance=1e-2, float32_tolerance=2e-3)
    check_distance(mini, (64, 65, 3), expected=expected)


def test_the_weights_are_small_enough_to_ship():
    assert module._WEIGHTS.stat().st_size <= 3 * 2**20


def test_no_score_is_below_0_and_equal_images_score_0(mini):
    reference = pictures()
    np.testing.assert_array_equal(mini.score(reference, reference), 0)
    random = np.random.default_rng(1)
    for scale in (1e-3, 1e-2, 0.1, 0.5):
        for change in (random.normal(size=reference.shape), random.normal(size=(3, 1, 1, 3))):
            assert (mini.score(reference, np.float32(reference + scale * change)).numpy() >= 0).all()


def blurred(images, level):
    size = 1 + 2 * level
    return tf.nn.avg_pool2d(images, size, 1, "SAME").numpy()


@pytest.mark.parametrize(
    "damage",
    [
        lambda images, level: images + 0.02 * level * np.random.default_rng(2).normal(size=images.shape),
        lambda images, level: np.round(images * (32 >> level)) / (32 >> level),
        lambda images, level: blurred(images, 2 * level),
        lambda images, level: images + np.array((0.08, 0, -0.08)) * level,
    ],
    ids=["noise", "levels", "blur", "tint"],
)
def test_more_damage_is_further_away(mini, damage):
    reference = pictures()
    distances = [mini(reference, np.float32(np.clip(damage(reference, level), 0, 1))) for level in (1, 2, 3)]
    assert (np.diff(distances, axis=0) > 0).all()
    assert (distances[0].numpy() > 0).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_no_chunk_changes_value_or_gradient(dtype, tolerance):
    reference = pictures(2, shape=(120, 100, 3)).astype(dtype)
    waves = np.sin(np.arange(100, dtype=dtype))[:, None]
    images = tf.constant(np.clip(reference + dtype(0.05) * waves, 0, 1))
    found = []
    for chunk_size in (512, 6, 5, 4, 3, 2, 1):
        with tf.GradientTape() as tape:
            tape.watch(images)
            distances = make_distance("pieapp-mini", chunk_size=chunk_size)(reference, images)
        found.append((distances, tape.gradient(distances, images)))
    for one in found[1:]:
        for value, wanted in zip(one, found[0], strict=True):
            np.testing.assert_allclose(value, wanted, atol=tolerance * np.abs(wanted).max())
