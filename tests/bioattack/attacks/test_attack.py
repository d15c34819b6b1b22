import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, rows_where
from bioattack.attacks.losses import build_loss
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.classifier import load_classifier
from bioattack.errors import InputError

SHAPE = (4, 4, 3)


def linear_logits(images):
    """Three classes: the mean of each channel."""
    return 20 * tf.reduce_mean(images, axis=(1, 2))


def noisy_classifier(deviation):
    """Adds fresh noise to every value at every call: what a randomised defence does."""

    def call(images):
        return linear_logits(images + deviation * tf.random.normal(tf.shape(images)))

    return load_classifier(call, name="noisy", image_shape=SHAPE)


def slots_of(images, labels):
    number = len(images)
    return Slots(
        tf.constant(images),
        tf.constant(labels, tf.int32),
        tf.fill([number], -1),
        tf.ones([number]),
        tf.zeros([number, 2], tf.int32),
    )


def pictures(number=8):
    images = np.random.default_rng(0).uniform(0.3, 0.7, (number, *SHAPE)).astype(np.float32)
    return images, linear_logits(images).numpy().argmax(1)


def test_logits_losses_and_gradients_are_those_of_one_tape():
    images, labels = pictures()
    model = AttackedModel(load_classifier(linear_logits, name="linear", image_shape=SHAPE))
    slots, loss = slots_of(images, labels), build_loss("margin", num_classes=3)
    logits, losses, gradients = model.logits_losses_and_gradients(slots.originals, slots, loss)
    np.testing.assert_allclose(logits, linear_logits(images), rtol=1e-6)
    runner_up = np.where(np.eye(3)[labels] > 0, -np.inf, logits).argmax(1)
    np.testing.assert_allclose(
        losses, logits.numpy()[np.arange(8), runner_up] - logits.numpy().max(1), rtol=1e-4
    )
    # The margin is linear in the channels: plus 20 / 16 for the runner-up, minus as much for the true class.
    expected = 20 / 16 * (np.eye(3)[runner_up] - np.eye(3)[labels])
    np.testing.assert_allclose(gradients, np.broadcast_to(expected[:, None, None], images.shape), rtol=1e-6)


def test_expectation_over_draws_averages_the_noise_away():
    images, labels = pictures()
    slots = slots_of(images, labels)
    spread = []
    for num_draws in (1, 25):
        model = AttackedModel(noisy_classifier(0.5), num_draws=num_draws)
        logits = np.stack([model.logits(slots.originals).numpy() for _ in range(40)])
        spread.append(logits.std(0).mean())
        np.testing.assert_allclose(logits.mean((0, 1)), linear_logits(images).numpy().mean(0), atol=0.6)
    # The deviation of a mean of 25 is a fifth; of 40 samples it is known to about 11 %.
    assert spread[1] == pytest.approx(spread[0] / 5, rel=0.25)


def test_an_attack_on_draws_is_one_on_their_mean():
    # Noise so strong that one draw's margin says little: at epsilon 0 nothing is attacked, at 0.4 all falls.
    images, labels = pictures(16)
    request = AttackRequest("pgd", epsilons=(0.4,), num_steps=10, relative_step=0.25, num_draws=20)
    attacked = attack_images(noisy_classifier(0.2), images, labels, request, batch_size=8)
    assert attacked.is_correct.mean() > 0.5
    assert attacked.is_fooled[0][attacked.is_correct].all()


def test_num_draws_below_1_is_refused():
    with pytest.raises(InputError, match="num_draws must be at least 1"):
        AttackedModel(noisy_classifier(0.1), num_draws=0)


def test_a_model_without_gradient_is_refused_in_one_sentence():
    images, labels = pictures()
    rounded = load_classifier(
        lambda images: linear_logits(tf.stop_gradient(images)), name="cut", image_shape=SHAPE
    )
    with pytest.raises(InputError, match="model cut has no gradient with respect to the pictures"):
        attack_images(rounded, images, labels, AttackRequest("pgd"))


def test_rows_where_takes_whole_rows_of_any_rank():
    ones, zeros = tf.ones([3, 2, 2]), tf.zeros([3, 2, 2])
    chosen = rows_where(tf.constant([True, False, True]), ones, zeros)
    assert chosen[:, 0, 0].numpy().tolist() == [1, 0, 1]
    assert rows_where(tf.constant([True, False]), tf.ones([2]), tf.zeros([2])).numpy().tolist() == [1, 0]
