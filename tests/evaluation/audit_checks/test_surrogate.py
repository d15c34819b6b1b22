"""The small copy answers as the model does, from nothing but its answers, the same every time."""

import dataclasses

import numpy as np
import tensorflow as tf

from bioattack.evaluation.audit_checks import surrogate
from bioattack.evaluation.audit_checks.evidence import Evidence
from bioattack.evaluation.audit_checks.surrogate import learn_surrogate
from bioattack.testing.healthy_models import draw_pictures


def test_it_answers_as_the_model_does(sound_evidence, sample):
    further = draw_pictures(400, seed=7).images
    evidence = Evidence(sound_evidence.classifier, dataclasses.replace(sample, further_images=further))
    copy = learn_surrogate(evidence, epsilon=0.03)
    unseen = draw_pictures(200, seed=8).images
    agreement = np.mean(evidence.logits_of(unseen).argmax(1) == copy.logits(unseen).numpy().argmax(1))
    # Five classes: a fifth by chance.
    assert agreement > 0.8


def test_it_learns_the_answers_and_not_the_truth(evidence_on, sound):
    """A model whose answers are all one class off is copied with its error."""
    evidence = evidence_on(lambda images: tf.roll(sound(images), 1, axis=1))
    copy = learn_surrogate(evidence, epsilon=0.03)
    answers = copy.logits(evidence.images).numpy().argmax(1)
    assert np.mean(answers == (evidence.labels + 1) % 5) > 0.8


def test_it_is_the_same_every_time(sound_evidence, monkeypatch):
    monkeypatch.setattr(surrogate, "_NUM_UPDATES", 20)
    logits = [learn_surrogate(sound_evidence, epsilon=0.03).logits(sound_evidence.images) for _ in range(2)]
    np.testing.assert_array_equal(logits[0], logits[1])
