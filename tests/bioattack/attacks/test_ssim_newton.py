import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.losses import margin
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.attacks.ssim_solver import newton_directions
from bioattack.classifier import load_classifier
from bioattack.distances import make_distance
from bioattack.errors import InputError
from bioattack.testing.check_attack import AttackCase, check_attack
from bioattack.testing.published_networks import mnist_test_images, published_mnist_network

SHAPE = (20, 18, 1)


def linear_classifier(shape=SHAPE):
    """Two classes; the gradient of the loss has the same direction everywhere."""
    weights = tf.constant(np.random.default_rng(0).normal(size=(np.prod(shape), 2)), tf.float32)
    return load_classifier(
        lambda images: tf.reshape(images, (-1, np.prod(shape))) @ weights, image_shape=shape
    ), tf.reshape(weights[:, 0] - weights[:, 1], shape)


def predicted(classifier, images):
    return classifier.logits(images).numpy().argmax(1).astype(np.int32)


def lengths(changes):
    return np.sqrt(np.sum(np.square(changes), axis=(1, 2, 3), keepdims=True))


def made_up_images(number=3):
    rows, columns = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    images = [0.5 + 0.3 * np.sin(rows / 3 + place) * np.cos(columns / 4) for place in range(number)]
    return np.stack(images)[..., None].astype(np.float32)


def test_attack_keeps_its_promises():
    check_attack(AttackCase(AttackRequest("ssim-newton", "l2", (1.5,))))


def test_step_is_the_newton_direction_at_the_length_asked_for():
    classifier, gradient = linear_classifier()
    images = made_up_images()
    labels = predicted(classifier, images)
    gradients = tf.stack([-gradient if label == 0 else gradient for label in labels])
    directions = newton_directions(tf.constant(images), gradients).directions.numpy()
    directions /= lengths(directions)
    for epsilon in (0.1, 5.0):
        attacked = attack_images(classifier, images, labels, AttackRequest("ssim-newton", "l2", (epsilon,)))
        changes = attacked.adversarial_images[0] - images
        # At 5 values leave [0, 1]: there the step is clipped, and only shorter for it.
        wanted = np.clip(images + epsilon * directions, 0, 1) - images
        np.testing.assert_allclose(changes, wanted, atol=2e-4 * epsilon)
        assert np.all(lengths(changes) <= epsilon * (1 + 1e-5))


def test_less_similarity_is_lost_for_the_same_gain_of_loss():
    classifier, _ = linear_classifier()
    images = made_up_images()
    labels = predicted(classifier, images)
    lost, gained = {}, {}
    for name in ("ssim-newton", "fgsm"):
        attacked = attack_images(classifier, images, labels, AttackRequest(name, "l2", (0.05,)))
        adversarial = attacked.adversarial_images[0]
        leads = [margin(classifier.logits(some), labels, -1).numpy() for some in (adversarial, images)]
        gained[name] = leads[0] - leads[1]
        lost[name] = make_distance("ssim", padding="symmetric")(images, adversarial).numpy()
    # By the same length the plain gradient gains most. What the Newton step loses is second order in its
    # length: for the gain of the other it would have to be so much longer.
    longer = gained["fgsm"] / gained["ssim-newton"]
    assert np.all(longer >= 1)
    assert np.all(lost["ssim-newton"] * longer**2 < 0.9 * lost["fgsm"])


def test_what_it_cannot_do_is_refused_in_one_sentence():
    classifier, _ = linear_classifier((4, 9, 3))
    small = np.full((1, 4, 9, 3), 0.5, np.float32)
    labels = predicted(classifier, small)
    with pytest.raises(InputError, match="at least 5 x 5 pixels"):
        attack_images(classifier, small, labels, AttackRequest("ssim-newton", "l2", (0.1,)))
    for settings in ({"num_steps": 2}, {"has_random_start": True}):
        request = AttackRequest("ssim-newton", "l2", (0.1,), **settings)
        with pytest.raises(InputError, match="ssim-newton makes one step"):
            attack_images(classifier, small, labels, request)
    with pytest.raises(InputError, match="no norm 'linf'"):
        attack_images(classifier, small, labels, AttackRequest("ssim-newton", "linf", (0.1,)))


@pytest.mark.realdata
def test_mnist_loses_less_similarity_than_by_the_plain_step(realdata):
    # The setting of Hua et al. 2022, Figure 3.1: epsilon 10, one step.
    classifier = published_mnist_network(realdata / "weights" / "mnist_cnn.npz")
    images, labels = mnist_test_images(realdata, 64)
    lost = {}
    for name in ("ssim-newton", "fgsm"):
        attacked = attack_images(classifier, images, labels, AttackRequest(name, "l2", (10.0,)))
        distances = make_distance("ssim")(images, attacked.adversarial_images[0]).numpy()
        lost[name] = distances[attacked.is_correct].mean()
    assert lost["ssim-newton"] < 0.95 * lost["fgsm"]
