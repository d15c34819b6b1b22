"""Gradients that are not there, not finite or not the model's, and those that are all three."""

import numpy as np
import pytest
import tensorflow as tf

from bioattack.evaluation.audit_checks import gradients
from bioattack.evaluation.audit_checks.gradients import (
    check_finite,
    check_finite_differences,
    check_rising_loss,
    check_zero_gradient,
)
from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS, UNDECIDED
from bioattack.testing.faulty_models import (
    flat_logits,
    nan_when_noisy,
    nan_when_white,
    noisy_gradient,
    rounded_logits,
    saturated,
    stopped_gradient,
    wrong_sign,
)


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        (nan_when_white, "black, white and grey"),
        (nan_when_noisy, "random corners"),
    ],
)
def test_the_place_of_a_nan_is_named(evidence_on, sound, fault, place):
    finding = check_finite(evidence_on(fault(sound)))
    assert finding.verdict == FAILS
    assert finding.figures["num_bad"]["the pictures themselves"] == 0
    assert finding.figures["num_bad"][place] > 0
    assert f" of {place}" in finding.sentence


def test_a_nan_on_the_way_of_an_attack_is_found(evidence_on, sound, monkeypatch):
    """Where two classes are nearly as likely, which is where every attack has to pass."""

    def model(images):
        logits = sound(images)
        first, second = tf.unstack(tf.math.top_k(logits, 2).values, axis=1)
        return tf.where((first - second < 0.5)[:, None], np.nan, logits)

    evidence = evidence_on(model)
    is_sound = np.isfinite(evidence.logits).all(1)
    evidence.images, evidence.labels = evidence.images[is_sound], evidence.labels[is_sound]
    del evidence.logits
    # Other places that are as near, which are looked at first, are left out.
    monkeypatch.setattr(gradients, "_places", lambda _: [("the pictures themselves", evidence.images)])
    finding = check_finite(evidence)
    assert finding.verdict == FAILS
    number = finding.num_images
    assert finding.figures["num_bad"] == {"the pictures themselves": 0, "adversarial pictures": number}


def test_infinity_is_as_bad_as_nan(evidence_on, sound):
    finding = check_finite(
        evidence_on(lambda images: sound(images) / tf.reduce_mean(images, (1, 2, 3))[:, None])
    )
    assert finding.verdict == FAILS


def test_which_loss_has_no_gradient(evidence_on, sound, sound_evidence):
    assert check_zero_gradient(sound_evidence).figures == {
        "num_without_any": 0,
        "num_without_cross_entropy_only": 0,
    }
    finding = check_zero_gradient(evidence_on(saturated(sound)))
    assert finding.verdict == FAILS
    assert finding.figures["num_without_any"] == 0
    assert "margin" in finding.sentence
    finding = check_zero_gradient(evidence_on(stopped_gradient(sound)))
    assert finding.verdict == FAILS
    assert finding.figures["num_without_any"] == finding.num_images
    assert "gradient is lost" in finding.sentence


def test_one_picture_without_gradient_is_tolerated(evidence_on, sound, sample):
    dead = tf.constant(sample.images[0])

    def model(images):
        is_dead = tf.reduce_max(tf.abs(images - dead), (1, 2, 3))[:, None] == 0
        logits = sound(images)
        return tf.where(is_dead, tf.stop_gradient(logits), logits)

    finding = check_zero_gradient(evidence_on(model))
    assert finding.figures["num_without_any"] == 1
    assert finding.verdict == HOLDS


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_an_honest_gradient_is_that_of_finite_differences_on_any_scale(evidence_on, sound, scale):
    finding = check_finite_differences(evidence_on(lambda images: scale * sound(images)))
    assert finding.verdict == HOLDS
    assert min(finding.figures["median_along"]) < 0.02
    assert min(finding.figures["median_across"]) < 0.02


def test_a_smooth_model_has_no_kinks_to_tolerate(evidence_on):
    """The sum of cubes: its central difference is off by step squared, which is nothing."""

    def model(images):
        score = tf.reduce_sum(images**3, (1, 2, 3)) / 100
        return tf.stack([score, -score, 0 * score], axis=1)

    finding = check_finite_differences(evidence_on(model))
    assert min(finding.figures["median_along"]) < 1e-3


@pytest.mark.parametrize(
    ("fault", "least"),
    [(wrong_sign, 1.99), (noisy_gradient, 0.8), (stopped_gradient, 0.99), (rounded_logits, 0.5)],
)
def test_a_false_gradient_is_not(evidence_on, sound, fault, least):
    finding = check_finite_differences(evidence_on(fault(sound)))
    assert finding.verdict == FAILS
    medians = (finding.figures[f"median_{name}"] for name in ("along", "across"))
    assert max(min(values) for values in medians if None not in values) > least


def test_scores_that_never_change_tell_nothing(evidence_on):
    flat = evidence_on(lambda images: tf.zeros((tf.shape(images)[0], 5)) + tf.range(5.0))
    assert check_finite_differences(flat).verdict == UNDECIDED


def test_the_loss_rises_where_the_gradient_is_right(sound_evidence):
    finding = check_rising_loss(sound_evidence)
    assert finding.verdict == HOLDS
    assert finding.figures["num_risen"] == finding.num_images == sound_evidence.is_right.sum()
    losses = finding.figures["median_loss"]
    assert losses == sorted(losses)


def test_the_loss_falls_where_it_points_the_wrong_way(evidence_on, sound):
    finding = check_rising_loss(evidence_on(wrong_sign(sound), 20))
    assert finding.verdict == FAILS
    assert finding.figures["num_risen"] == 0


def test_the_loss_of_flat_logits_does_not_rise(evidence_on, sound):
    assert check_rising_loss(evidence_on(flat_logits(sound, step=2.0), 20)).verdict == FAILS
