"""What the checks look at, against gradients and outcomes worked out by hand."""

import numpy as np

from bioattack.classifier import load_classifier
from bioattack.evaluation.audit_checks import evidence as module
from bioattack.evaluation.audit_checks.evidence import LADDER, AttackRun, Evidence, Sample


def _brightness(threshold=0.5, slope=10.0):
    """Two classes, dark and bright: the logits are plus and minus the distance from a threshold."""
    import tensorflow as tf

    def model(images):
        distance = slope * (tf.reduce_mean(images, (1, 2, 3)) - threshold)
        return tf.stack([-distance, distance], axis=1)

    return load_classifier(model, name="brightness", image_shape=(4, 4, 1))


def _greys(*levels):
    levels = np.array(levels, np.float32)
    return Sample(np.broadcast_to(levels[:, None, None, None], (len(levels), 4, 4, 1)), (levels > 0.5) * 1)


def test_gradients_are_those_of_the_formula():
    evidence = Evidence(_brightness(), _greys(0.4, 0.55))
    # The margin of the true class is 2 * slope * |mean - threshold|; the mean has 16 parts.
    expected = np.array([1, -1])[:, None, None, None] * np.full((2, 4, 4, 1), 2 * 10 / 16)
    np.testing.assert_allclose(evidence.gradients(evidence.images, loss="margin"), expected, rtol=1e-5)
    probability_of_error = 1 / (1 + np.exp(2 * 10 * np.array([0.1, 0.05])))[:, None, None, None]
    np.testing.assert_allclose(
        evidence.gradients(evidence.images, loss="cross-entropy"), probability_of_error * expected, rtol=1e-4
    )


def test_the_ladder_is_what_each_epsilon_does_alone():
    # A grey picture falls exactly when epsilon is more than its distance from the threshold.
    distances = [0.006, 0.012, 0.024, 0.05, 0.4]
    evidence = Evidence(_brightness(), _greys(*(0.5 + distance for distance in distances)))
    expected = [[distance > epsilon for distance in distances] for epsilon in LADDER]
    assert [attacked.is_left.tolist() for attacked in evidence.ladder] == expected
    # Five are right; two and three are as near to half, and the larger epsilon is taken.
    assert evidence.middle_epsilon == LADDER[5]


def test_where_nothing_falls_the_middle_is_the_largest():
    evidence = Evidence(_brightness(threshold=-1.0), _greys(0.6, 0.7, 0.8))
    assert evidence.middle_epsilon == LADDER[-1]


def test_the_same_attack_is_made_once(monkeypatch):
    calls = []
    attack_images = module.attack_images

    def counted(*arguments, **how):
        calls.append(how)
        return attack_images(*arguments, **how)

    monkeypatch.setattr(module, "attack_images", counted)
    evidence = Evidence(_brightness(), _greys(0.45, 0.55))
    assert len(evidence.ladder) == len(LADDER)
    evidence.attack(AttackRun(LADDER[2]))
    evidence.attack(AttackRun(LADDER[2], relative_step=2.5 / 20))
    assert len(calls) == 1
    evidence.attack(AttackRun(LADDER[2], num_steps=5))
    evidence.attack(AttackRun(LADDER[2]), classifier=_brightness())
    assert len(calls) == 3


def test_wrong_pictures_are_not_left(sound_evidence):
    left = sound_evidence.attack(AttackRun(1e-6)).is_left
    np.testing.assert_array_equal(left, sound_evidence.is_right)


def test_other_pictures_than_the_sample_can_be_looked_at(sound_evidence):
    for number in (1, 3, 200):
        images = np.zeros((number, 16, 16, 3), np.float32)
        assert sound_evidence.logits_of(images).shape == (number, 5)
        assert sound_evidence.gradients(images, loss="margin").shape == images.shape
