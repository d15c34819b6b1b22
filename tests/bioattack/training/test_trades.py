import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, rel_entr, softmax

from bioattack.training.trades import divergence

IMAGES = np.random.default_rng(1).uniform(0.3, 0.7, size=(6, 2, 2, 1)).astype("float32")
LABELS = np.arange(6) % 3


def test_divergence_is_scipys():
    random = np.random.default_rng(0)
    one, other = random.normal(size=(2, 7, 4)).astype("float32")
    expected = rel_entr(softmax(one, axis=1), softmax(other, axis=1)).sum(axis=1)
    np.testing.assert_allclose(divergence(one, other), expected, rtol=1e-4)
    # Certain answers, which a division of probabilities could not tell apart.
    np.testing.assert_allclose(divergence([[200.0, 0.0]], [[0.0, 200.0]]), [200.0])


def test_attack_moves_the_answer_further_than_noise_does(linear_classifier, prepared_training):
    model = linear_classifier(num_classes=3, scale=3.0)
    training = prepared_training("trades", model, epsilon=0.1)
    found = training.adversarial_images(IMAGES, LABELS).numpy()
    assert np.abs(found - IMAGES).max() <= 0.1 * (1 + 1e-6)
    corners = IMAGES + 0.1 * np.random.default_rng(0).choice([-1, 1], size=(64, *IMAGES.shape))
    clean = model(IMAGES)
    reached = divergence(clean, model(found)).numpy()
    best = np.max([divergence(clean, model(corner.astype("float32"))) for corner in corners], axis=0)
    # 64 draws of 16 corners see nearly every one; an ascent may end in a corner that is not the best.
    assert np.mean(reached) > 0.9 * np.mean(best)
    # The labels do not count.
    np.testing.assert_array_equal(found, training.adversarial_images(IMAGES, LABELS[::-1]))


@pytest.mark.parametrize("beta", [0.0, 6.0])
def test_loss_and_update_are_the_published_ones(linear_classifier, prepared_training, beta):
    model = linear_classifier(num_classes=3, scale=3.0)
    training = prepared_training("trades", model, epsilon=0.1, beta=beta)
    attacked = training.adversarial_images(IMAGES, LABELS)
    kernel, bias = (tf.constant(np.array(weight)) for weight in model.weights)
    with tf.GradientTape() as tape:
        tape.watch([kernel, bias])
        clean, moved = (
            tf.nn.log_softmax(tf.reshape(images, (6, 4)) @ kernel + bias) for images in (IMAGES, attacked)
        )
        natural = -tf.reduce_mean(tf.gather(clean, LABELS, axis=1, batch_dims=1))
        # Zhang et al.: summed over classes, averaged over the batch, with gradients through both answers.
        robust = tf.reduce_mean(tf.reduce_sum(tf.exp(clean) * (clean - moved), axis=1))
        loss = natural + beta * robust
    gradients = tape.gradient(loss, [kernel, bias])
    measured = training.train_on_batch(IMAGES, LABELS, return_dict=True)
    assert measured["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert beta == 0 or float(loss - natural) > 0.05
    for weight, before, gradient in zip(model.weights, (kernel, bias), gradients, strict=True):
        np.testing.assert_allclose(weight, before - 0.1 * gradient, atol=1e-6)


def test_accuracy_and_validation_are_of_clean_pictures(linear_classifier, prepared_training):
    model = linear_classifier(num_classes=3, scale=3.0)
    training = prepared_training("trades", model, epsilon=0.5)
    logits = np.asarray(model(IMAGES))
    right = np.mean(logits.argmax(axis=1) == LABELS)
    loss = -log_softmax(logits, axis=1)[range(6), LABELS].mean()
    tested = training.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert tested["loss"] == pytest.approx(loss, rel=1e-5)
    assert tested["accuracy"] == pytest.approx(right)
    assert training.train_on_batch(IMAGES, LABELS, return_dict=True)["accuracy"] == pytest.approx(right)


def test_both_passes_move_the_averages_of_batch_normalisation(prepared_training):
    images = keras.Input((2, 2, 1))
    normal = keras.layers.BatchNormalization(momentum=0.5)
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(normal(images))))
    training = prepared_training("trades", model, epsilon=0.1)
    attacked = training.adversarial_images(IMAGES, LABELS).numpy()
    training.train_on_batch(IMAGES, LABELS)
    # Keras: average * momentum + mean * (1 - momentum), from 0, first clean, then attacked.
    expected = 0.5 * (0.5 * IMAGES.mean()) + 0.5 * attacked.mean()
    assert float(normal.moving_mean[0]) == pytest.approx(expected, rel=1e-5)
