import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances.ms_ssim import MultiScaleStructuralSimilarity
from bioattack.testing.check_distance import check_distance
from bioattack.testing.published_scores import published_pairs, rounded_greys


@pytest.mark.parametrize("combination", ["mean", "product"])
def test_ms_ssim_keeps_its_promises(combination):
    check_distance(MultiScaleStructuralSimilarity(combination=combination), (161, 164, 1))


def test_product_is_that_of_tensorflow_where_that_is_defined():
    # At 176 pixels every scale has an even side, and positive contrasts need no bound.
    reference = np.random.default_rng(0).uniform(size=(2, 176, 192, 3)).astype(np.float32)
    images = np.clip(reference + 0.1 * np.random.default_rng(1).normal(size=reference.shape), 0, 1)
    images = images.astype(np.float32)
    wanted = tf.image.ssim_multiscale(tf.constant(reference), tf.constant(images), max_val=1.0)
    found = MultiScaleStructuralSimilarity(combination="product").score(reference, images)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_gradient_is_finite_where_contrasts_are_reversed():
    # TensorFlow's own has NaN there: a negative number raised to a fraction.
    reference = np.random.default_rng(0).uniform(size=(1, 161, 161, 3)).astype(np.float32)
    images = tf.constant(1 - reference)
    distance = MultiScaleStructuralSimilarity(combination="product", grayscale=True)
    with tf.GradientTape() as tape:
        tape.watch(images)
        found = distance(reference, images)
    assert np.isfinite(tape.gradient(found, images)).all()
    assert 0.99 < found.numpy()[0] <= 1


def test_other_combinations_are_refused():
    with pytest.raises(ValueError, match="combination must be one of mean, product"):
        MultiScaleStructuralSimilarity(combination="sum")


@pytest.mark.realdata
def test_published_scores(realdata):
    pairs = published_pairs(realdata, "ms_ssim")
    assert len(pairs) == 5
    for pair in pairs:
        greys = rounded_greys(pair.reference), rounded_greys(pair.distorted)
        found = MultiScaleStructuralSimilarity().score(*greys).numpy()[0]
        assert abs(found - pair.score) <= 5.1e-5, pair.name
    # The product of the paper is another number, for all that is published under the same name.
    greys = rounded_greys(pairs[0].reference), rounded_greys(pairs[0].distorted)
    product = MultiScaleStructuralSimilarity(combination="product").score(*greys).numpy()[0]
    assert abs(product - 0.6700) <= 5.1e-5
