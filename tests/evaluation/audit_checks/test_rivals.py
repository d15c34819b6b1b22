"""Attacks that do not use the model's own gradient."""

import pytest

from bioattack.classifier import load_classifier
from bioattack.evaluation.audit_checks.evidence import Evidence
from bioattack.evaluation.audit_checks.rivals import check_black_box, check_transfer
from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS
from bioattack.testing.faulty_models import stopped_gradient


@pytest.fixture
def surrogate(convolutional):
    return load_classifier(convolutional, name="its twin")


def test_the_twin_of_a_masked_model_unmasks_it(sound, sample, surrogate):
    masked = load_classifier(stopped_gradient(sound), name="m", image_shape=(16, 16, 3))
    finding = check_transfer(Evidence(masked, sample, surrogates=[surrogate]))
    assert finding.verdict == FAILS
    assert finding.sentence.startswith("A change made for its twin fools ")
    left = finding.figures["num_left"]
    assert left["its own gradient"] > left["a change made for its twin"]


def test_the_twin_of_a_sound_model_finds_no_more(sound, sample, surrogate, linear):
    model = load_classifier(sound, name="m", image_shape=(16, 16, 3))
    others = [load_classifier(linear, name="linear"), surrogate]
    finding = check_transfer(Evidence(model, sample, surrogates=others))
    assert finding.verdict == HOLDS
    left = finding.figures["num_left"]
    assert left["its own gradient"] <= left["a change made for its twin"] < left["a change made for linear"]


def test_a_search_without_gradient_is_asked_where_there_is_one(sound_evidence):
    assert check_black_box(sound_evidence).verdict == HOLDS
