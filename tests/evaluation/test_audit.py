"""The audit as a whole: every seeded fault is found by the checks that must find it, sound models by none."""

import json
import re

import pytest
import tensorflow as tf

from bioattack.classifier import load_classifier
from bioattack.evaluation.audit import audit, failed_checks
from bioattack.evaluation.audit_checks.evidence import Sample
from bioattack.evaluation.audit_checks.registry import CHECKS
from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS, UNDECIDED
from bioattack.testing.faulty_models import FAULTS
from bioattack.testing.healthy_models import SIZE


def _audit(model, sample, **how):
    return audit(load_classifier(model, name="m", image_shape=(SIZE, SIZE, 3)), sample, **how)


def _verdicts(found):
    return {entry["key"]: entry["verdict"] for entry in found["checks"]}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_found(name, sound, sample):
    fault = FAULTS[name]
    found = _audit(fault.make(sound), sample, checks=fault.caught_by[:1])
    assert _verdicts(found) == {fault.caught_by[0]: FAILS}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if len(fault.caught_by) > 1])
def test_every_fault_is_found_by_all_that_must_find_it(name, sound, sample):
    fault = FAULTS[name]
    found = _audit(fault.make(sound), sample, checks=fault.caught_by)
    assert _verdicts(found) == dict.fromkeys(fault.caught_by, FAILS)


@pytest.mark.parametrize("name", ["convolutional", pytest.param("linear", marks=pytest.mark.slow)])
def test_sound_models_are_found_sound(name, sample, request):
    found = _audit(request.getfixturevalue(name), sample)
    assert failed_checks({"models": [found]}) == []
    verdicts = _verdicts(found)
    assert set(verdicts) == {check.key for check in CHECKS}
    assert [key for key, verdict in verdicts.items() if verdict == UNDECIDED] == ["card-accuracy"]
    json.dumps(found)


def test_what_fails_comes_first_and_is_counted(sound, sample):
    keys = ("companions", "probabilities", "card-accuracy", "randomness")
    found = _audit(FAULTS["softmax"].make(sound), sample, checks=keys)
    assert [entry["verdict"] for entry in found["checks"]] == [FAILS, UNDECIDED, HOLDS, HOLDS]
    assert found["checks"][0]["key"] == "probabilities"
    assert (found["model"], found["num_images"], found["num_failed"]) == ("m", len(sample.images), 1)


def test_every_sentence_is_one(sound, sample):
    keys = ("randomness", "companions", "probabilities", "card-accuracy", "quantisation", "zero-gradient")
    for name in ("softmax", "random-layer", "rounded-images"):
        for entry in _audit(FAULTS[name].make(sound), sample, checks=keys)["checks"]:
            assert re.fullmatch(r"[A-Z0-9].*[^.]\.", entry["sentence"])
            assert ". " not in entry["sentence"]


def test_a_model_that_no_attack_takes_is_still_told_what_is_wrong(sample, sound):
    def without_gradient(images):
        return sound(tf.stop_gradient(images))

    found = _audit(without_gradient, sample, checks=("zero-gradient", "iterated", "growing-epsilon"))
    verdicts = _verdicts(found)
    assert verdicts == {"zero-gradient": FAILS, "iterated": UNDECIDED, "growing-epsilon": UNDECIDED}
    (sentence,) = {entry["sentence"] for entry in found["checks"] if entry["verdict"] == UNDECIDED}
    assert "no gradient with respect to the pictures" in sentence


def test_few_pictures_decide_nothing(sound, pictures):
    few = Sample(pictures.images[:4], pictures.labels[:4])
    found = _audit(FAULTS["noisy-gradient"].make(sound), few, checks=("rising-loss", "iterated"))
    assert set(_verdicts(found).values()) == {UNDECIDED}


def test_the_same_seed_finds_the_same(sound, sample):
    keys = ("finite-differences", "quantisation")
    first, second = (_audit(FAULTS["shattered"].make(sound), sample, checks=keys) for _ in range(2))
    assert first["checks"] == second["checks"]


def test_unknown_checks_are_refused(sound, sample):
    with pytest.raises(ValueError, match=r"checks must be among randomness, .*Received: luck"):
        _audit(sound, sample, checks=("luck",))
