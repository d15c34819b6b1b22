import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.lengths import lengths
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.testing.check_attack import (
    AttackCase,
    check_attack,
    made_up_batch,
    made_up_classifier,
)

EPSILON = {"linf": 0.05, "l2": 0.4, "rms": 0.03, "l1": 5.0}


def request(attack="pgd", norm="linf", **changes):
    return AttackRequest(attack, norm, **({"epsilons": (EPSILON[norm],), "num_steps": 10} | changes))


CASES = {
    f"{attack} {norm}": AttackCase(request(attack, norm, num_steps=None))
    for attack in ("bim", "pgd", "mifgsm")
    for norm in EPSILON
} | {
    "fgsm linf": AttackCase(request("fgsm", num_steps=1)),
    "fgsm l2": AttackCase(request("fgsm", "l2", num_steps=1, epsilons=(0.8,))),
    "last iterate": AttackCase(request(judged="last", relative_step=0.25)),
    "three starts": AttackCase(request(num_restarts=3, num_steps=3)),
    "margin": AttackCase(request("pgd-margin")),
    "dlr": AttackCase(request("pgd-dlr")),
    "targeted dlr": AttackCase(request("pgd-dlr-targeted")),
    "averaged": AttackCase(request(num_draws=2)),
}


@pytest.mark.parametrize("case", CASES)
def test_attack_keeps_its_promises(case):
    check_attack(CASES[case])


def linear_classifier(weight):
    """Two classes; the gradient of class 1's cross-entropy has the direction of -weight everywhere."""
    kernel = tf.constant(np.stack([np.zeros(weight.size), weight.ravel()], 1), tf.float32)
    return load_classifier(
        lambda images: tf.reshape(images, (-1, weight.size)) @ kernel, image_shape=weight.shape
    )


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
def test_linear_model_is_attacked_exactly(norm):
    # On a linear model the best perturbation is known: epsilon sign(w), epsilon w / |w|.
    weight = np.abs(np.random.default_rng(0).normal(size=(6, 6, 3)))
    direction = {
        "linf": np.sign(weight),
        "l2": weight / np.linalg.norm(weight),
        "rms": weight / np.sqrt(np.mean(weight**2)),
    }[norm]
    images = np.full((3, 6, 6, 3), 0.5, np.float32)
    asked = AttackRequest("bim", norm, (0.1,), num_steps=20, judged="last")
    outcome = attack_images(linear_classifier(weight), images, np.ones(3, int), asked)
    np.testing.assert_allclose(
        outcome.adversarial_images[0] - images, -0.1 * np.stack([direction] * 3), atol=1e-5
    )


def test_linear_model_at_the_bounds_is_clipped():
    weight = np.abs(np.random.default_rng(0).normal(size=(6, 6, 3)))
    images = np.random.default_rng(1).uniform(size=(3, 6, 6, 3)).astype(np.float32)
    asked = AttackRequest("bim", "linf", (0.2,), num_steps=20, judged="last")
    outcome = attack_images(linear_classifier(weight), images, np.ones(3, int), asked)
    np.testing.assert_allclose(outcome.adversarial_images[0], np.clip(images - 0.2, 0, 1), atol=1e-6)


def least_steps_by_hand(classifier, batch, *, epsilon, steps):
    """The basic iterative method of Foolbox 2, one image at a time, in NumPy but for the gradient."""
    found = []
    for image, label in zip(batch.images, batch.labels, strict=True):
        step = 0
        x, first_fooling = image[None].copy(), 0
        while not first_fooling and (step := step + 1) <= steps:
            tensor = tf.constant(x)
            with tf.GradientTape() as tape:
                tape.watch(tensor)
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits([label], classifier.logits(tensor))
            x = x + np.float32(epsilon / 3) * np.sign(tape.gradient(loss, tensor).numpy())
            x = np.clip(image + np.clip(x - image, -epsilon, epsilon), 0, 1).astype(np.float32)
            first_fooling = step if classifier.logits(x).numpy().argmax() != label else 0
        found.append((first_fooling, x[0]))
    return found


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_any_iterate_stops_each_image_at_its_first_fooling_iterate(batch_size):
    classifier = made_up_classifier()
    batch, epsilon = made_up_batch(classifier), 0.03
    asked = AttackRequest("bim", "linf", (epsilon,), num_steps=20, relative_step=1 / 3)
    outcome = attack_images(classifier, batch.images, batch.labels, asked, batch_size=batch_size)
    by_hand = least_steps_by_hand(classifier, batch, epsilon=epsilon, steps=20)
    kinds = set()
    for place in np.flatnonzero(batch.is_attacked):
        step, image = by_hand[place]
        kinds.add(step > 0)
        assert outcome.is_fooled[0, place] == (step > 0)
        assert outcome.num_steps[0, place] == (step if step > 0 else 20)
        np.testing.assert_allclose(outcome.adversarial_images[0, place], image, atol=1e-6)
    assert kinds == {True, False}


@pytest.mark.parametrize("norm", EPSILON)
def test_any_iterate_finds_at_least_what_the_last_does(norm):
    classifier = made_up_classifier()
    batch = made_up_batch(classifier, num_images=40)
    epsilons = tuple(EPSILON[norm] * part for part in (0.25, 0.5, 1))
    fooled = {
        judged: attack_images(
            classifier,
            batch.images,
            batch.labels,
            request(norm=norm, epsilons=epsilons, judged=judged, is_independent=True, relative_step=1 / 3),
        ).is_fooled
        for judged in ("any", "last")
    }
    assert (fooled["any"] | ~fooled["last"]).all()
    assert fooled["any"].any(1).all()


def test_momentum_is_that_of_dong_et_al():
    # Their algorithm 1 by hand: g <- g + gradient / |gradient|_1, then a step of epsilon / 10 along sign g.
    classifier = made_up_classifier()
    batch, epsilon = made_up_batch(classifier), 0.02
    place = int(np.flatnonzero(batch.is_attacked)[0])
    image, label = batch.images[place], batch.labels[place]
    x, momentum = image[None].copy(), np.zeros_like(image[None])
    for _ in range(10):
        tensor = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits([label], classifier.logits(tensor))
        gradient = tape.gradient(loss, tensor).numpy()
        momentum = momentum + gradient / np.abs(gradient).sum()
        x = np.clip(image + np.clip(x + epsilon / 10 * np.sign(momentum) - image, -epsilon, epsilon), 0, 1)
        x = x.astype(np.float32)
    asked = AttackRequest("mifgsm", "linf", (epsilon,), judged="last")
    outcome = attack_images(classifier, image[None], np.array([label]), asked)
    np.testing.assert_allclose(outcome.adversarial_images[0], x, atol=1e-6)


def test_targets_are_reached():
    classifier = made_up_classifier()
    batch = made_up_batch(classifier, num_images=20)
    asked = request(target=2, epsilons=(0.3,), num_steps=20, relative_step=0.1)
    outcome = attack_images(classifier, batch.images, batch.labels, asked)
    is_open = batch.is_attacked & (batch.labels != 2)
    assert outcome.is_fooled[0][is_open].all()
    assert (outcome.logits[0].argmax(1)[is_open] == 2).all()


@pytest.mark.parametrize("norm", EPSILON)
def test_what_is_found_on_the_grid_of_8_bits_fools_once_saved(norm):
    classifier = made_up_classifier()
    batch = made_up_batch(classifier, num_images=40)
    images = np.round(batch.images * 255).astype(np.float32) / np.float32(255)
    labels = classifier.logits(images).numpy().argmax(1)
    asked = request(norm=norm, is_quantised=True, num_steps=20)
    outcome = attack_images(classifier, images, labels, asked)
    levels = outcome.adversarial_images[0].astype(np.float64) * 255
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    assert outcome.is_fooled.any()
    assert (outcome.logits_8bit[0].argmax(1) != labels)[outcome.is_fooled[0]].all()
    sizes = [lengths(change)[norm] for change in outcome.adversarial_images[0] - images]
    assert max(sizes) <= EPSILON[norm] * (1 + 1e-5)


def test_a_search_among_8_bit_pictures_begins_at_one():
    classifier = made_up_classifier()
    batch = made_up_batch(classifier)
    with pytest.raises(InputError, match="image 0 has values between the steps of 8 bits"):
        attack_images(classifier, batch.images, batch.labels, request(is_quantised=True))


def test_an_image_without_gradient_is_told():
    dead = load_classifier(lambda images: tf.nn.relu(images[:, 0, 0] - 0.8), image_shape=(6, 6, 3))
    images = np.full((2, 6, 6, 3), 0.5, np.float32)
    images[1, 0, 0, 0] = 0.9
    outcome = attack_images(dead, images, np.zeros(2, int), request())
    np.testing.assert_array_equal(outcome.has_zero_gradient[0], [True, False])


def test_a_certain_model_is_attacked_like_an_uncertain_one():
    # Scaling the logits changes no decision; with the plain cross-entropy it would leave no gradient.
    classifier = made_up_classifier()
    certain = load_classifier(lambda images: 1e5 * classifier.logits(images), image_shape=(8, 8, 3))
    batch = made_up_batch(classifier, num_images=40)
    fooled = [
        attack_images(model, batch.images, batch.labels, request("pgd-margin")).is_fooled
        for model in (classifier, certain)
    ]
    np.testing.assert_array_equal(*fooled)
    outcome = attack_images(certain, batch.images, batch.labels, request("bim"))
    assert not outcome.has_zero_gradient.any()
    assert outcome.is_fooled.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "l7"}, "has no norm 'l7'; it has linf, l2, rms, l1"),
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"relative_step": 0.0}, "relative_step must be above 0"),
        ({"judged": "first"}, "judged must be one of any, last"),
        ({"attack": "magic"}, "there is no attack 'magic'; there are fgsm, bim, pgd"),
        ({"attack": "pgd-magic"}, "magic"),
        ({"target": 9}, "target must be a class from 0 to 3"),
        ({"epsilons": (0.2, 0.1)}, "epsilons must be finite, at least 0, rising and without repeats"),
        ({"epsilons": (-0.1,)}, "Received: -0.1"),
        ({"epsilons": ()}, "Received: none"),
        ({"least_epsilon_width": 0.5}, "0 < width < largest"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    classifier = made_up_classifier()
    batch = made_up_batch(classifier)
    with pytest.raises(InputError, match=message):
        attack_images(
            classifier, batch.images, batch.labels, AttackRequest(**({"epsilons": (0.1,)} | changes))
        )
