import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots
from bioattack.attacks.feature_attack import length_of
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import make_attack
from bioattack.testing.check_attack import made_up_classifier
from bioattack.testing.made_up_distances import MadeUpFeatures


def projected(distance, originals, images, *, bound, is_wanted=None):
    number = len(originals)
    slots = Slots(
        tf.constant(originals),
        tf.zeros([number], tf.int32),
        tf.fill([number], -1),
        tf.fill([number], np.float32(bound)),
        tf.zeros([number, 2], tf.int32),
    )
    attack = make_attack(AttackRequest("ppgd", distance=distance), num_classes=4)
    model = AttackedModel(made_up_classifier())
    state = {"features": distance.features(originals)}
    wanted = tf.ones([number], tf.bool) if is_wanted is None else tf.constant(is_wanted)
    project = tf.function(
        lambda images: attack.project(model, slots, state, images=images, is_wanted=wanted), autograph=False
    )
    return project(tf.constant(images)).numpy()


def some_pictures(number=6, size=8):
    generator = np.random.default_rng(3)
    return (
        generator.uniform(0, 1, (number, size, size, 3)).astype(np.float32),
        generator.uniform(-0.2, 1.2, (number, size, size, 3)).astype(np.float32),
    )


def test_everything_comes_within_the_radius_and_into_range():
    distance, (originals, images) = MadeUpFeatures(), some_pictures()
    found = projected(distance, originals, images, bound=0.5)
    assert found.min() >= 0
    assert found.max() <= 1
    lengths = distance(originals, found).numpy()
    assert (lengths <= 0.5).all()
    # Newton aims a tenth too near and goes a tenth too far, and no more.
    assert (lengths > 0.2).all()


def test_what_is_inside_stays_and_is_only_clipped():
    distance, (originals, images) = MadeUpFeatures(), some_pictures()
    near = originals + 0.02 * images
    found = projected(distance, originals, near, bound=5.0)
    np.testing.assert_array_equal(found, np.clip(near, 0, 1))


def test_what_is_not_wanted_is_not_touched():
    distance, (originals, images) = MadeUpFeatures(), some_pictures()
    is_wanted = [True, False] * 3
    found = projected(distance, originals, images, bound=0.5, is_wanted=is_wanted)
    np.testing.assert_array_equal(found[1::2], images[1::2])
    assert (distance(originals, found).numpy()[::2] <= 0.5).all()


class Staircase(MadeUpFeatures):
    """Features whose gradient is far too large, so that Newton's steps lead nowhere."""

    def features(self, images):
        images = tf.convert_to_tensor(images)
        flat = tf.reshape(images, (tf.shape(images)[0], -1))
        return flat + (1e4 * flat - tf.stop_gradient(1e4 * flat))


def test_where_newton_fails_bisection_finds_the_last_point_inside():
    distance, (originals, images) = Staircase(), some_pictures()
    inside = np.clip(images, 0, 1)
    bound = 0.3 * np.linalg.norm((inside - originals).reshape(6, -1), axis=1).min()
    found = projected(distance, originals, images, bound=bound)
    # On the straight line to the original, within a thousandth of it.
    lengths = np.linalg.norm((inside - originals).reshape(6, -1), axis=1)
    shares = np.linalg.norm((found - originals).reshape(6, -1), axis=1) / lengths
    np.testing.assert_allclose(
        found, originals + shares[:, None, None, None] * (inside - originals), atol=1e-5
    )
    assert (shares * lengths <= bound * (1 + 1e-6)).all()
    np.testing.assert_allclose(shares, bound / lengths, atol=2**-10)


def test_the_length_of_nothing_has_no_slope():
    rows = tf.Variable([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        lengths = length_of(rows)
    assert lengths.numpy().tolist() == [0.0, 5.0]
    np.testing.assert_allclose(tape.gradient(lengths, rows), [[0, 0], [0.6, 0.8]], rtol=1e-6)


def test_every_image_starts_with_its_own_noise():
    attack = make_attack(AttackRequest("lpa", distance=MadeUpFeatures()), num_classes=4)
    originals, _ = some_pictures(2)
    keys = tf.constant([[1, 2], [3, 4]])
    slots = Slots(tf.constant(originals), tf.zeros([2], tf.int32), tf.fill([2], -1), tf.ones([2]), keys)
    model = AttackedModel(made_up_classifier())
    noise = (attack.start(model, slots)["adversarial_images"] - originals).numpy()
    assert noise.std() == pytest.approx(0.01, rel=0.1)
    alone = Slots(*(value[1:] for value in slots))
    np.testing.assert_array_equal(
        (attack.start(model, alone)["adversarial_images"] - originals[1:]).numpy(), noise[1:]
    )
