import keras
import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.training.batch_attack import BatchAttack, cost_name, make_request
from bioattack.training.options import DroOptions


@pytest.fixture(scope="module")
def model():
    """Logits are the means of the first two channels."""
    images = keras.Input((8, 8, 3))
    logits = keras.layers.Dense(2, use_bias=False)(keras.layers.GlobalAveragePooling2D()(images))
    model = keras.Model(images, logits)
    model.set_weights([10 * np.eye(3, 2, dtype=np.float32)])
    return model


def attack_with(model, **options):
    return BatchAttack(
        model, DroOptions(**options), image_shape=(8, 8, 3), num_classes=2, batch_size=4, seed=0
    )


def tinted(*tints):
    """Pictures whose first channel is brighter than the second by so much."""
    images = np.full((len(tints), 8, 8, 3), 0.5, np.float32)
    images[..., 0] += np.array(tints, np.float32)[:, np.newaxis, np.newaxis]
    return images


def test_starts_at_one_picture_and_measures_from_another(model):
    attack = attack_with(model, attack="pgd", norm="linf", epsilon=0.05, num_steps=5)
    references, starts = tinted(0.06, 0.3), tinted(0.02, 0.26)
    labels = np.array([0, 0])
    attacked = attack(starts, references, labels, ["a", "b"])
    # From 0.02 one step of a half of the ball is enough; from 0.06 it would not be.
    assert attacked.num_steps.tolist() == [1, 5]
    assert attacked.is_fooled.tolist() == [True, False]
    assert np.abs(attacked.images - references).max() <= 0.05 + 1e-6
    assert np.abs(attacked.images - starts).max() > 0.02
    np.testing.assert_allclose(attack.costs(references, attacked.images), 0.05, atol=1e-6)


def test_weights_of_the_moment_are_attacked_and_nothing_is_traced_again(model):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    attack = attack_with(copy, attack="lagrangian", distance="l2", distance_weight=0.0, step_length=0.2)
    images, labels = tinted(0.1, 0.1, 0.1), np.array([0, 0, 0])
    before = attack(images, images, labels, ["a", "b", "c"])
    compiled = dict(attack.classifier.compiled_attacks)
    copy.set_weights([np.float32([[0, 10], [10, 0], [0, 0]])])
    after = attack(images[:2], images[:2], labels[:2], ["a", "b"])
    assert before.is_correct.all()
    assert before.is_fooled.all()
    assert not after.is_correct.any()
    np.testing.assert_array_equal(after.images, images[:2])
    assert attack.classifier.compiled_attacks == compiled
    assert len(compiled) == 1


def test_wrong_by_less_than_the_confidence_is_attacked_on(model):
    images, labels = tinted(-0.01, -0.5, 0.1), np.array([0, 0, 0])
    for confidence, is_moved in ((0.0, [False, False, True]), (1.0, [True, False, True])):
        attack = attack_with(
            model, distance="l2", distance_weight=0.0, confidence=confidence, num_steps=30, step_length=0.1
        )
        attacked = attack(images, images, labels, ["a", "b", "c"])
        assert (attacked.num_steps > 0).tolist() == is_moved
        assert attacked.is_correct.tolist() == [False, False, True]
        assert attacked.is_fooled.tolist() == [False, False, True]
        logits = attacked.images.mean(axis=(1, 2)) @ model.get_weights()[0]
        assert (logits[:, 1] - logits[:, 0] > confidence).all()


def test_network_in_mixed_precision_is_attacked():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        images = keras.Input((8, 8, 3), dtype="float32")
        features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(images))
        mixed = keras.Model(images, keras.layers.Dense(2, dtype="float32")(features))
    finally:
        keras.config.set_dtype_policy("float32")
    pictures = tinted(0.1, -0.1)
    labels = np.asarray(mixed(pictures)).argmax(axis=1)
    attack = attack_with(mixed, attack="pgd", norm="linf", epsilon=0.3, num_steps=4)
    attacked = attack(pictures, pictures, labels, ["a", "b"])
    assert attacked.images.dtype == np.float32
    assert np.isfinite(attacked.losses).all()
    assert attacked.is_correct.all()
    assert 0 < np.abs(attacked.images - pictures).max() <= 0.3 + 1e-6


def test_requests_and_costs():
    ball = make_request(DroOptions(attack="pgd", norm="linf", epsilon=0.1, num_steps=10))
    assert (ball.norm, ball.epsilons, ball.relative_step, ball.has_random_start) == (
        "linf",
        (0.1,),
        0.25,
        False,
    )
    weighed = make_request(DroOptions(distance="ssim", distance_weight=3.0, confidence=1.0))
    assert (weighed.norm, weighed.distance_weight, weighed.confidence, weighed.num_steps) == (
        "ssim",
        3.0,
        1.0,
        20,
    )
    names = {
        ("lagrangian", "ssim"): "ssim",
        ("pgd-unbounded", "ssim"): "ssim",
        ("pgd", "ssim"): "l2",
        ("perc-al", "ssim"): "ciede2000",
    }
    for (attack, distance), name in names.items():
        assert cost_name(DroOptions(attack=attack, distance=distance)) == name


def test_distance_that_cannot_measure_such_pictures_is_refused(model):
    with pytest.raises(InputError, match="pieapp-mini needs images of"):
        attack_with(model, distance="pieapp-mini")
