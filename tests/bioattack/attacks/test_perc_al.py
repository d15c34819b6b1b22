import math

import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images, make_attack
from bioattack.classifier import load_classifier
from bioattack.distances import make_distance
from bioattack.errors import InputError
from bioattack.testing.bare_attack import run_bare
from bioattack.testing.check_attack import AttackCase, check_attack, made_up_batch, made_up_classifier


def test_attack_keeps_its_promises():
    check_attack(AttackCase(AttackRequest("perc-al", num_steps=30)))


@tf.function
def colour_gradient(original, moved):
    with tf.GradientTape() as tape:
        tape.watch(moved)
        distance = make_distance("ciede2000")(original, moved)
    return distance, tape.gradient(distance, moved)


def by_hand(classifier, image, label, num_steps):
    """The authors' loop for one image, clipped before it is measured; gives the image and its distance."""
    best, least = image, 1e5
    moved, is_wrong = image[None], False
    for number in range(num_steps):
        cosine = 0.5 * (1 + math.cos(number / num_steps * math.pi))
        step, colour_step = 0.01 + 0.99 * cosine, 0.05 + 0.45 * cosine
        if is_wrong:
            distance, gradient = (
                values.numpy() for values in colour_gradient(tf.constant(image[None]), tf.constant(moved))
            )
            moved = moved - colour_step * gradient / np.linalg.norm(gradient)
        else:
            images = tf.constant(moved)
            with tf.GradientTape() as tape:
                tape.watch(images)
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits([label], classifier.logits(images))
            gradient = tape.gradient(loss, images).numpy()
            moved = np.clip(moved + step * gradient / np.linalg.norm(gradient), 0, 1)
            distance, _ = colour_gradient(tf.constant(image[None]), tf.constant(moved))
        moved = np.clip(moved, 0, 1)
        rounded = np.round(moved * 255).astype(np.float32) / np.float32(255)
        is_wrong = int(classifier.logits(rounded).numpy().argmax()) != label
        if is_wrong and float(distance[0]) < least:
            best, least = rounded[0], float(distance[0])
    return best, least


def test_it_is_the_authors_loop():
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier(), num_images=10)
    images, labels = batch.images[batch.is_attacked], batch.labels[batch.is_attacked]
    attack = make_attack(AttackRequest("perc-al", num_steps=16), num_classes=4)
    _, last = run_bare(attack, classifier, images, labels)
    found = [by_hand(classifier, *one, 16) for one in zip(images, labels, strict=True)]
    expected, distances = (np.array(values) for values in zip(*found, strict=True))
    assert len(set(distances)) > 4
    np.testing.assert_allclose(last["best_distances"], distances, rtol=1e-3)
    # A value on the border between two levels of 8 bits may go either way.
    assert np.mean(np.abs(last["adversarial_images"].numpy() - expected) > 1e-6) < 0.01
    assert (last["num_steps"].numpy() == 16).all()


def test_what_it_returns_is_rounded_fools_and_is_nearer_than_the_first_that_fooled():
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier(), num_images=20)
    distances = []
    for num_steps in (4, 50):
        request = AttackRequest("perc-al", num_steps=num_steps)
        attacked = attack_images(classifier, batch.images, batch.labels, request, batch_size=6)
        images = attacked.adversarial_images[0]
        is_fooled = attacked.is_fooled[0]
        on_grid = np.round(images * 255).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(images[is_fooled], on_grid[is_fooled])
        np.testing.assert_array_equal(images[~is_fooled], batch.images[~is_fooled])
        np.testing.assert_array_equal(attacked.logits[0, is_fooled], attacked.logits_8bit[0, is_fooled])
        assert is_fooled[batch.is_attacked].all()
        distances.append(make_distance("ciede2000")(batch.images, images).numpy()[batch.is_attacked])
    assert (distances[1] <= distances[0] * 1.01).all()
    assert distances[1].mean() < 0.7 * distances[0].mean()


def test_what_never_fools_is_the_picture_itself():
    # The classes are so far apart that no picture in [0, 1] is wrong.
    def call(images):
        return tf.stack([100 + images[:, 0, 0, 0], images[:, 0, 0, 1]], 1)

    images = np.full((2, 4, 4, 3), 0.5, np.float32)
    classifier = load_classifier(call, image_shape=(4, 4, 3))
    attacked = attack_images(classifier, images, np.zeros(2, int), AttackRequest("perc-al", num_steps=3))
    np.testing.assert_array_equal(attacked.adversarial_images[0], images)
    assert not attacked.is_fooled.any()
    np.testing.assert_allclose(attacked.logits[0], classifier.logits(images).numpy())
    assert attacked.num_steps.tolist() == [[3, 3]]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"attack": "perc-al-margin"}, "perc-al ascends the cross-entropy. Received: loss='margin'"),
        ({"attack": "perc-al", "distance": "ssim"}, "perc-al has no distance"),
        ({"attack": "perc-al", "confidence": 1.0}, "perc-al has no confidence"),
        ({"attack": "perc-al", "is_quantised": True}, "perc-al has no is_quantised"),
    ],
)
def test_misuse_is_one_sentence(request_, message):
    with pytest.raises(InputError, match=message):
        make_attack(AttackRequest(**request_), num_classes=4)
