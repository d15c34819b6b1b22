import numpy as np
import pytest

IMAGES = np.random.default_rng(1).uniform(0.0, 1.0, size=(6, 2, 2, 1)).astype("float32")
LABELS = np.arange(6) % 3


def moved_by_hand(model, *, gamma, num_steps=15, is_clipped=False):
    """Sinha et al. 2018, the authors' `wrm`, of a linear classifier in NumPy."""
    kernel, bias = (np.array(weight, "float64") for weight in model.weights)
    originals = IMAGES.reshape(6, 4).astype("float64")
    bounded = (lambda values: values.clip(0, 1)) if is_clipped else (lambda values: values)

    def gradient(images):
        logits = images @ kernel + bias
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return 0.5 / gamma * (probabilities - np.eye(3)[LABELS]) @ kernel.T

    images = bounded(originals + gradient(originals))
    for t in range(num_steps):
        images = bounded(images + 1.0 / np.sqrt(t + 2) * (gradient(images) - (images - originals)))
    return images.reshape(IMAGES.shape)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"gamma": 0.385}, 1.0),
        ({"gamma": 5.0, "num_steps": 3}, 3.0),
        ({"gamma": 0.385, "is_clipped": True}, 1.0),
    ],
)
def test_pictures_move_as_the_authors_do(linear_classifier, prepared_training, settings, scale):
    model = linear_classifier(num_classes=3, scale=scale)
    training = prepared_training("wasserstein", model, **settings)
    found = training.adversarial_images(IMAGES, LABELS).numpy()
    np.testing.assert_allclose(found, moved_by_hand(model, **settings), atol=1e-5)
    assert np.abs(found - IMAGES).max() > 0.1
    assert (found.max() <= 1 and found.min() >= 0) == settings.get("is_clipped", False) or scale > 1


def test_ascent_ends_where_the_penalised_loss_is_stationary(linear_classifier, prepared_training):
    """Where the loss climbs as fast as its price: moved - picture = gradient / (2 gamma)."""
    model = linear_classifier(num_classes=3)
    training = prepared_training("wasserstein", model, gamma=2.0, num_steps=400)
    found = training.adversarial_images(IMAGES, LABELS).numpy().reshape(6, 4)
    kernel, bias = (np.array(weight) for weight in model.weights)
    logits = found @ kernel + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gradients = (probabilities - np.eye(3)[LABELS]) @ kernel.T
    np.testing.assert_allclose(found - IMAGES.reshape(6, 4), gradients / 4.0, atol=1e-4)


def test_update_is_that_of_the_moved_pictures(linear_classifier, prepared_training):
    model = linear_classifier(num_classes=3)
    kernel, bias = (np.array(weight, "float64") for weight in model.weights)
    flat = moved_by_hand(model, gamma=0.385).reshape(6, 4)
    training = prepared_training("wasserstein", model, gamma=0.385)
    measured = training.train_on_batch(IMAGES, LABELS, return_dict=True)
    logits = flat @ kernel + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    errors = (probabilities - np.eye(3)[LABELS]) / 6
    np.testing.assert_allclose(model.weights[0], kernel - 0.1 * flat.T @ errors, atol=1e-5)
    assert measured["loss"] == pytest.approx(-np.log(probabilities[range(6), LABELS]).mean(), rel=1e-4)


def test_dearer_distance_keeps_pictures_nearer(linear_classifier, prepared_training):
    model = linear_classifier(num_classes=3)
    moves = [
        np.abs(
            prepared_training("wasserstein", model, gamma=gamma).adversarial_images(IMAGES, LABELS) - IMAGES
        ).mean()
        for gamma in (0.5, 5.0, 50.0)
    ]
    assert moves[0] > 5 * moves[1] > 25 * moves[2] > 0
