"""What a model answers: twice, alone, beside the grid, and against its card."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.evaluation.audit_checks.evidence import Evidence
from bioattack.evaluation.audit_checks.outputs import (
    check_card_accuracy,
    check_companions,
    check_probabilities,
    check_quantisation,
    check_randomness,
)
from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS, UNDECIDED
from bioattack.testing.faulty_models import RandomGain, centred_on_batch, random_input, sees_the_grid


def test_a_random_number_in_the_last_bit_is_no_dice(evidence_on, sound):
    shaking = random_input(sound, deviation=1e-7)
    assert check_randomness(evidence_on(shaking)).verdict == HOLDS


def test_dice_are_found_and_counted(evidence_on, sound):
    finding = check_randomness(evidence_on(random_input(sound, deviation=0.3)))
    assert finding.verdict == FAILS
    assert finding.figures["num_changed_answers"] > 0
    assert finding.figures["largest_relative_difference"] > 0.01


def test_a_keras_layer_that_draws_only_in_training_is_no_dice(evidence_on, convolutional):
    noise = keras.layers.GaussianNoise(0.5, seed=0)
    model = keras.Sequential([keras.Input((16, 16, 3)), noise, convolutional])
    assert check_randomness(evidence_on(model)).verdict == HOLDS
    model = keras.Sequential([keras.Input((16, 16, 3)), RandomGain(), convolutional])
    assert check_randomness(evidence_on(model)).verdict == FAILS


def test_a_picture_with_other_companions(evidence_on, sound):
    assert check_companions(evidence_on(sound)).verdict == HOLDS
    assert check_companions(evidence_on(centred_on_batch(sound))).verdict == FAILS
    assert check_companions(evidence_on(random_input(sound))).verdict == UNDECIDED


def test_batch_normalisation_in_training_is_found(evidence_on, convolutional):
    model = keras.Sequential([keras.layers.BatchNormalization(), convolutional])
    model.build((None, 16, 16, 3))
    assert check_companions(evidence_on(model)).verdict == HOLDS
    assert check_companions(evidence_on(lambda images: model(images, training=True))).verdict == FAILS


def test_probabilities_in_half_precision_are_found(evidence_on, sound):
    half = evidence_on(lambda images: tf.cast(tf.cast(tf.nn.softmax(sound(images)), tf.float16), tf.float32))
    assert check_probabilities(half).verdict == FAILS
    assert check_probabilities(evidence_on(sound)).verdict == HOLDS
    # All of them in [0, 1], but not adding up to 1.
    assert check_probabilities(evidence_on(lambda images: tf.sigmoid(sound(images)))).verdict == HOLDS


def test_the_logarithm_of_probabilities_is_no_probability(evidence_on, sound):
    assert check_probabilities(evidence_on(lambda images: tf.nn.log_softmax(sound(images)))).verdict == HOLDS


def _with_card(evidence, accuracy, *, split="test", fingerprint="f"):
    classifier = evidence.classifier
    classifier.card = {"accuracy": accuracy, "data": {"fingerprint": "f"}}
    sample = dataclasses.replace(evidence.sample, split=split, fingerprint=fingerprint)
    return Evidence(classifier, sample)


@pytest.mark.parametrize(
    ("claimed", "verdict"),
    [
        (0.0, HOLDS),
        (-0.03, HOLDS),
        (-0.4, FAILS),
    ],
)
def test_accuracy_is_held_against_the_card(evidence_on, sound, claimed, verdict):
    evidence = evidence_on(sound)
    accuracy = evidence.is_right.mean()
    card = {"test": float(accuracy + claimed), "num_test": 10_000}
    finding = check_card_accuracy(_with_card(evidence, card))
    assert finding.verdict == verdict
    assert finding.figures["accuracy"] == accuracy


def test_a_card_from_few_pictures_claims_little(evidence_on, sound):
    evidence = evidence_on(sound)
    card = {"test": float(evidence.is_right.mean() - 0.4), "num_test": 3}
    assert check_card_accuracy(_with_card(evidence, card)).verdict == HOLDS


@pytest.mark.parametrize(
    ("accuracy", "where"),
    [
        ({"test": 0.1, "num_test": 100}, {"split": "train"}),
        ({"test": 0.1, "num_test": 100}, {"fingerprint": "other"}),
        ({"train": 0.1}, {}),
        ({"test": None, "num_test": 0}, {}),
    ],
)
def test_a_card_of_other_pictures_says_nothing(evidence_on, sound, accuracy, where):
    assert check_card_accuracy(_with_card(evidence_on(sound), accuracy, **where)).verdict == UNDECIDED


def test_no_card_says_nothing(sound_evidence):
    assert check_card_accuracy(sound_evidence).verdict == UNDECIDED


def test_answers_beside_the_grid(evidence_on, sound, sound_evidence):
    finding = check_quantisation(sound_evidence)
    assert finding.verdict == HOLDS
    assert finding.num_images == len(sound_evidence.images)
    finding = check_quantisation(evidence_on(sees_the_grid(sound)))
    assert finding.verdict == FAILS
    assert finding.figures == {
        "num_changed_by_rounding": 0,
        "num_changed_beside_the_grid": finding.num_images,
    }


def test_pictures_that_do_not_lie_on_the_grid(sound, sample):
    # Half a step aside: what sees the grid changes its mind as they are saved.
    aside = dataclasses.replace(sample, images=np.clip(sample.images + 0.4 / 255, 0, 1))
    from bioattack.classifier import load_classifier

    classifier = load_classifier(sees_the_grid(sound), name="m", image_shape=(16, 16, 3))
    finding = check_quantisation(Evidence(classifier, aside))
    assert finding.figures["num_changed_by_rounding"] == finding.num_images
