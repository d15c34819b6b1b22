import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances.ssim import StructuralSimilarity
from bioattack.testing.check_distance import check_distance
from bioattack.testing.published_scores import published_pairs, rounded_greys


def images_like_photographs(shape, dtype=np.float32):
    random = np.random.default_rng(0)
    reference = random.uniform(size=shape)
    return reference.astype(dtype), np.clip(reference + 0.1 * random.normal(size=shape), 0, 1).astype(dtype)


@pytest.mark.parametrize("padding", ["valid", "symmetric"])
@pytest.mark.parametrize("grayscale", [False, True])
def test_ssim_keeps_its_promises(padding, grayscale):
    check_distance(StructuralSimilarity(padding=padding, grayscale=grayscale), (15, 14, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_score_is_that_of_tensorflow(channels):
    reference, images = images_like_photographs((3, 24, 31, channels))
    wanted = tf.image.ssim(tf.constant(reference), tf.constant(images), max_val=1.0)
    np.testing.assert_allclose(StructuralSimilarity().score(reference, images), wanted, atol=2e-6)


def test_small_changes_are_not_lost_in_rounding():
    # In float32, 1 - SSIM as a difference of numbers near 1 would be off by as much as it is.
    reference, images = images_like_photographs((1, 16, 16, 3), np.float64)
    images = reference + 1e-4 * (images - reference)
    wanted = StructuralSimilarity()(reference, images).numpy()
    assert wanted < 1e-6
    found = StructuralSimilarity()(reference.astype(np.float32), images.astype(np.float32))
    np.testing.assert_allclose(found, wanted, rtol=0.01)


def test_mirrored_windows_count_the_rim_as_much_as_the_middle():
    reference = np.full((2, 31, 31, 1), 0.5, np.float32)
    images = reference.copy()
    images[0, 0, 0] += 0.2
    images[1, 15, 15] += 0.2
    corner, middle = StructuralSimilarity(padding="symmetric")(reference, images).numpy()
    assert 0.25 < corner / middle < 4
    corner, middle = StructuralSimilarity()(reference, images).numpy()
    assert corner / middle < 0.01


def test_other_paddings_are_refused():
    with pytest.raises(ValueError, match="padding must be one of valid, symmetric"):
        StructuralSimilarity(padding="same")


@pytest.mark.realdata
def test_published_scores(realdata):
    pairs = published_pairs(realdata, "ssim")
    assert len(pairs) == 5
    for pair in pairs:
        greys = rounded_greys(pair.reference), rounded_greys(pair.distorted)
        found = StructuralSimilarity().score(*greys).numpy()[0]
        assert abs(found - pair.score) <= 5.1e-5, pair.name
        # Greys that are not rounded differ in the third digit.
        found = StructuralSimilarity(grayscale=True).score(pair.reference, pair.distorted).numpy()[0]
        assert abs(found - pair.score) <= 2e-3, pair.name
