import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import make_attack
from bioattack.testing.bare_attack import run_bare
from bioattack.testing.check_attack import AttackCase, check_attack, made_up_batch, made_up_classifier
from bioattack.testing.made_up_distances import MadeUpFeatures

DISTANCE = MadeUpFeatures()
CASES = {
    "a hundred steps": AttackCase(AttackRequest("lpa", distance=DISTANCE, epsilons=(0.3,))),
    "twenty": AttackCase(AttackRequest("lpa", distance=DISTANCE, epsilons=(0.2, 0.4), num_steps=20)),
}


@pytest.mark.parametrize("case", CASES)
def test_attack_keeps_its_promises(case):
    check_attack(CASES[case])


def by_hand(classifier, image, label, start, *, bound, num_rounds, length):
    """The authors' loop for one image up to its projection; gives the image, its weight and its steps."""
    original = DISTANCE.features(image[None])
    moved, weight, num_steps = start[None], 0.01, 0
    for _ in range(num_rounds):
        for number in range(length):
            images = tf.constant(moved)
            with tf.GradientTape() as tape:
                tape.watch(images)
                logits = classifier.logits(images)[0]
                lead = tf.reduce_max(tf.concat([logits[:label], logits[label + 1 :]], 0)) - logits[label]
                features = DISTANCE.features(images)
                distance = tf.norm(features - original)
                loss = -tf.minimum(lead, 1.0) + weight * tf.nn.relu(distance - bound)
            gradient = tape.gradient(loss, images).numpy()
            gradient = gradient / (np.linalg.norm(gradient) + 1e-8)
            ahead = DISTANCE.features(moved + 0.1 * gradient)
            speed = float(tf.norm(features - ahead)) / 0.1
            step = bound * 0.1 ** (number / length)
            moved = np.clip(moved - gradient * (step / (speed + 1e-8)), 0, 1).astype(np.float32)
            num_steps += 1
            if float(lead) > 0 and float(distance) <= bound:
                return moved[0], weight, num_steps
        weight *= 10 if float(distance) >= bound else 1
    return moved[0], weight, num_steps


@pytest.mark.parametrize(("bound", "length"), [(0.2, 4), (0.4, 3)])
def test_it_is_the_authors_loop(bound, length, monkeypatch):
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier(), num_images=16)
    images, labels = batch.images[batch.is_attacked], batch.labels[batch.is_attacked]
    attack = make_attack(AttackRequest("lpa", distance=DISTANCE, num_steps=5 * length), num_classes=4)
    # What the projection makes of it is tested by itself.
    monkeypatch.setattr(attack, "project", lambda *_, images, **__: images)
    first, last = run_bare(attack, classifier, images, labels, epsilon=bound)
    starts = first["adversarial_images"].numpy()
    found = [
        by_hand(classifier, *one, bound=bound, num_rounds=5, length=length)
        for one in zip(images, labels, starts, strict=True)
    ]
    expected, weights, num_steps = (np.array(values) for values in zip(*found, strict=True))
    assert len(set(num_steps)) > 1
    np.testing.assert_array_equal(last["num_steps"], num_steps)
    np.testing.assert_allclose(last["weights"], weights, rtol=1e-5)
    np.testing.assert_allclose(last["adversarial_images"], expected, atol=2e-3)


def test_the_weight_grows_tenfold_for_what_is_outside():
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier())
    images, labels = batch.images[batch.is_attacked], batch.labels[batch.is_attacked]
    attack = make_attack(AttackRequest("lpa", distance=DISTANCE, num_steps=50), num_classes=4)
    _, last = run_bare(attack, classifier, images, labels, epsilon=0.05)
    powers = np.log10(last["weights"].numpy() / 0.01)
    np.testing.assert_allclose(powers, np.round(powers), atol=1e-4)
    assert powers.max() >= 2
