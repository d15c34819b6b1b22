import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import ZeroGradientWarning, attack_images, make_attack
from bioattack.classifier import load_classifier
from bioattack.distances import Distance, make_distance
from bioattack.errors import InputError
from bioattack.testing.check_attack import AttackCase, check_attack, made_up_batch, made_up_classifier
from bioattack.testing.made_up_distances import MadeUpFeatures

FEW = {"num_steps": 40}
CASES = {
    "no distance": AttackCase(AttackRequest("pgd-unbounded", **FEW)),
    "l2": AttackCase(AttackRequest("lagrangian", distance="l2", **FEW)),
    "features": AttackCase(AttackRequest("lagrangian", distance=MadeUpFeatures(), **FEW)),
    "sure": AttackCase(AttackRequest("lagrangian", distance="l2", confidence=1.0, **FEW)),
    "sign": AttackCase(AttackRequest("pgd-unbounded", step_rule="sign", step_length=0.01, **FEW)),
    "raw": AttackCase(AttackRequest("lagrangian", distance="rms", step_rule="raw", step_length=1.0, **FEW)),
    "margin": AttackCase(AttackRequest("lagrangian-margin", distance="l2", **FEW)),
    "averaged": AttackCase(AttackRequest("lagrangian", distance="l2", num_draws=2, **FEW)),
}


@pytest.mark.parametrize("case", CASES)
def test_attack_keeps_its_promises(case):
    check_attack(CASES[case])


def by_hand(classifier, image, label, request, distance):
    """Algorithm 3.1 for one image, line by line, with one tape around model and distance."""
    original, moved = image[None], image[None]
    for num_steps in range(request.num_steps + 1):
        logits = classifier.logits(moved).numpy()[0]
        lead = np.delete(logits, label).max() - logits[label]
        if lead > request.confidence or num_steps == request.num_steps:
            break
        images = tf.constant(moved)
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits([label], classifier.logits(images))
            objective = loss - request.distance_weight * distance(original, images)
        gradient = tape.gradient(objective, images).numpy().astype(np.float64)
        step = {
            "normalised": gradient / np.linalg.norm(gradient),
            "raw": gradient,
            "sign": np.sign(gradient),
        }[request.step_rule]
        moved = np.clip(moved + request.step_length * step, 0, 1).astype(np.float32)
    return moved[0], num_steps, int(logits.argmax()) != label


@pytest.mark.parametrize(
    ("distance", "weight", "confidence", "rule", "length"),
    [
        ("l2", 0.0, 0.0, "normalised", 0.1),
        ("l2", 0.3, 1.0, "normalised", 0.1),
        (MadeUpFeatures(), 1.0, 0.5, "normalised", 0.05),
        (MadeUpFeatures(), 0.2, 0.0, "raw", 0.05),
        ("rms", 1.0, 0.5, "sign", 0.02),
    ],
)
def test_it_is_the_printed_algorithm(distance, weight, confidence, rule, length):
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier(), num_images=16)
    request = AttackRequest(
        "lagrangian",
        distance=distance,
        distance_weight=weight,
        confidence=confidence,
        step_rule=rule,
        step_length=length,
        num_steps=12,
    )
    attacked = attack_images(classifier, batch.images, batch.labels, request, batch_size=5)
    measure = distance if isinstance(distance, Distance) else make_distance(distance)
    places = np.flatnonzero(batch.is_attacked)
    found = [by_hand(classifier, batch.images[i], batch.labels[i], request, measure) for i in places]
    images, num_steps, is_fooled = (np.array(values) for values in zip(*found, strict=True))
    assert len(set(num_steps)) > 2
    np.testing.assert_array_equal(attacked.num_steps[0, places], num_steps)
    np.testing.assert_array_equal(attacked.is_fooled[0, places], is_fooled)
    # Where a gradient is nearly 0 its sign hangs on the last bit.
    is_near = np.abs(attacked.adversarial_images[0, places] - images) < 1e-4
    assert is_near.mean() > (0.99 if rule == "sign" else 0.99999)


def test_a_step_that_did_not_reach_the_confidence_still_counts_where_the_class_is_wrong():
    # One logit rises linearly: after three steps the class is wrong, the lead stays small.
    classifier = load_classifier(
        lambda images: tf.stack([tf.fill(tf.shape(images)[:1], 0.25), images[:, 0, 0, 0]], 1),
        image_shape=(1, 1, 1),
    )
    request = AttackRequest("pgd-unbounded", num_steps=3, confidence=5.0)
    attacked = attack_images(classifier, np.zeros((1, 1, 1, 1), np.float32), np.array([0]), request)
    assert attacked.adversarial_images.ravel() == pytest.approx(0.3, abs=1e-6)
    assert attacked.is_fooled.tolist() == [[True]]
    assert attacked.num_steps.tolist() == [[3]]
    less = dataclasses.replace(request, num_steps=2)
    assert not attack_images(classifier, np.zeros((1, 1, 1, 1), "f"), np.array([0]), less).is_fooled.any()


def test_the_weight_trades_distance_against_steps():
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier(), num_images=40)
    found = []
    for weight in (0.0, 0.1, 0.3):
        request = AttackRequest(
            "lagrangian", distance=MadeUpFeatures(), distance_weight=weight, num_steps=60, step_length=0.05
        )
        attacked = attack_images(classifier, batch.images, batch.labels, request, batch_size=64)
        assert attacked.is_fooled[0, batch.is_attacked].all()
        distances = MadeUpFeatures()(batch.images, attacked.adversarial_images[0]).numpy()
        found.append((distances.mean(), -attacked.num_steps.mean()))
    assert found == sorted(found, reverse=True)


def test_a_gradient_of_zero_moves_nothing_and_is_reported():
    # So sure that the cross-entropy's gradient is 0 in float32, unlike that of the margin.
    kernel = tf.constant(np.random.default_rng(0).normal(size=(12, 2)), tf.float32)

    def call(images):
        logits = tf.reshape(images, (-1, 12)) @ kernel
        return logits + tf.constant([[200.0, 0.0]])

    classifier = load_classifier(call, image_shape=(2, 2, 3))
    images = np.random.default_rng(1).uniform(0.2, 0.8, (3, 2, 2, 3)).astype(np.float32)
    for step_rule in ("normalised", "raw", "sign"):
        request = AttackRequest("lagrangian", distance="l2", num_steps=3, step_rule=step_rule)
        with pytest.warns(ZeroGradientWarning):
            attacked = attack_images(classifier, images, np.zeros(3, int), request)
        np.testing.assert_array_equal(attacked.adversarial_images[0], images)
        assert attacked.has_zero_gradient.all()
    request = AttackRequest("lagrangian-margin", distance="l2", num_steps=3)
    moved = attack_images(classifier, images, np.zeros(3, int), request)
    assert (moved.adversarial_images[0] != images).any((1, 2, 3)).all()


def test_what_is_saved_was_found_where_it_goes_by_8_bits():
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier(), num_images=24)
    images = np.round(batch.images * 255).astype(np.float32) / np.float32(255)
    labels = classifier.logits(images).numpy().argmax(1)
    request = AttackRequest("lagrangian", distance="l2", distance_weight=0.1, is_quantised=True)
    attacked = attack_images(classifier, images, labels, request, batch_size=7)
    on_grid = np.round(attacked.adversarial_images * 255).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(attacked.adversarial_images, on_grid)
    assert attacked.is_fooled.all()
    np.testing.assert_array_equal(attacked.logits_8bit.argmax(2) != labels, attacked.is_fooled)
    # Steps of 0.02 are below half a level in most values, and are not lost.
    small = dataclasses.replace(request, step_length=0.02, num_steps=200)
    assert attack_images(classifier, images, labels, small, batch_size=7).is_fooled.all()


def test_it_leads_to_a_target():
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier())
    request = AttackRequest("lagrangian", distance="l2", target=2, confidence=0.5)
    attacked = attack_images(classifier, batch.images, batch.labels, request)
    is_led = batch.is_attacked & (batch.labels != 2)
    np.testing.assert_array_equal(attacked.is_fooled[0], is_led)
    assert (attacked.logits[0, is_led].argmax(1) == 2).all()
    lead = np.sort(attacked.logits[0, is_led], axis=1)
    assert (lead[:, -1] - lead[:, -2] > 0.5).all()


class CountedDistance(MadeUpFeatures):
    """Counts the rows that are prepared and compared."""

    def __init__(self):
        super().__init__()
        self.num_prepared, self.num_compared = tf.Variable(0), tf.Variable(0)

    def prepare(self, reference):
        self.num_prepared.assign_add(tf.shape(reference)[0])
        return super().prepare(reference)

    def compare(self, prepared, images):
        self.num_compared.assign_add(tf.shape(images)[0])
        return super().compare(prepared, images)


def test_the_reference_is_prepared_once_and_only_what_moves_on_is_measured():
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier(), num_images=30)
    distance = CountedDistance()
    request = AttackRequest("lagrangian", distance=distance, confidence=1.0)
    attacked = attack_images(classifier, batch.images, batch.labels, request, batch_size=6)
    num_attacked = int(batch.is_attacked.sum())
    assert int(distance.num_prepared) == num_attacked
    # Not at the original, where the gradient is 0, and not where an image is left alone; but a pass in which
    # nothing is to be measured measures one row.
    num_wanted = int(attacked.num_steps.sum()) - num_attacked
    assert num_wanted <= int(distance.num_compared) <= num_wanted + attacked.statistics.num_passes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distance_weight": -1.0}, "distance_weight must be a number of at least 0. Received: .*-1.0"),
        ({"distance_weight": float("nan")}, "distance_weight must be a number of at least 0"),
        ({"confidence": -0.1}, "confidence must be a number of at least 0"),
        ({"step_length": 0.0}, "step_length must be above 0"),
        ({"step_rule": "long"}, "step_rule must be one of normalised, raw, sign"),
        ({"epsilons": (0.1,)}, "lagrangian keeps to no radius"),
        ({"least_epsilon_width": 0.1}, "lagrangian keeps to no ball of a norm"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        AttackRequest("lagrangian", **changes)


@pytest.mark.parametrize(
    ("attack", "changes", "message"),
    [
        ("lagrangian", {"relative_step": 0.1}, "lagrangian has no relative_step: leave that out"),
        ("lagrangian", {"judged": "last"}, "lagrangian has no judged"),
        ("lagrangian-dlr-targeted", {}, "no loss dlr-targeted here"),
        ("pgd-unbounded", {"distance": "l2"}, "pgd-unbounded has no distance; lagrangian has"),
        ("pgd", {"confidence": 1.0}, "pgd has no confidence"),
    ],
)
def test_settings_that_an_attack_does_not_have_are_refused(attack, changes, message):
    with pytest.raises(InputError, match=message):
        make_attack(AttackRequest(attack, **changes), num_classes=4)


def test_a_distance_that_cannot_measure_is_refused_in_one_sentence():
    batch = made_up_batch(made_up_classifier())

    class Large(MadeUpFeatures):
        least_size = 9

    request = AttackRequest("lagrangian", distance=Large())
    with pytest.raises(InputError, match=r"made-up needs images of 9 x 9 pixels or more. Received: 8 x 8"):
        attack_images(made_up_classifier(), batch.images, batch.labels, request)
    unknown = AttackRequest("lagrangian", distance="magic")
    with pytest.raises(InputError, match=r"distance must be one of l1, .* distance='magic'"):
        attack_images(made_up_classifier(), batch.images, batch.labels, unknown)
