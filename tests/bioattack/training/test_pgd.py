import numpy as np
import pytest

IMAGES = np.random.default_rng(1).uniform(0.3, 0.7, size=(6, 2, 2, 1)).astype("float32")
LABELS = np.array([0, 1, 0, 1, 1, 0])


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def worst_images(kernel, *, epsilon):
    """Of a linear classifier with two classes: the whole way against the label, in every pixel."""
    towards_1 = np.sign(kernel[:, 1] - kernel[:, 0]).reshape(2, 2, 1)
    signs = np.where(LABELS == 0, 1.0, -1.0)[:, None, None, None]
    return IMAGES + epsilon * signs * towards_1


@pytest.mark.parametrize("has_random_start", [True, False])
def test_attack_finds_the_worst_pictures(linear_classifier, prepared_training, has_random_start):
    # As confident a classifier as leaves the cross-entropy no gradient in float32.
    model = linear_classifier(scale=200.0)
    training = prepared_training("pgd", model, epsilon=0.1, num_steps=10, has_random_start=has_random_start)
    found = training.adversarial_images(IMAGES, LABELS)
    np.testing.assert_allclose(found, worst_images(np.array(model.weights[0]), epsilon=0.1), atol=1e-6)


def test_update_is_that_of_the_worst_pictures(linear_classifier, prepared_training):
    model = linear_classifier()
    kernel, bias = (np.array(weight, "float64") for weight in model.weights)
    training = prepared_training("pgd", model, epsilon=0.1, num_steps=10)
    measured = training.train_on_batch(IMAGES, LABELS, return_dict=True)
    flat = worst_images(kernel, epsilon=0.1).reshape(6, 4)
    probabilities = softmax(flat @ kernel + bias)
    errors = (probabilities - np.eye(2)[LABELS]) / 6
    np.testing.assert_allclose(model.weights[0], kernel - 0.1 * flat.T @ errors, atol=1e-6)
    np.testing.assert_allclose(model.weights[1], bias - 0.1 * errors.sum(axis=0), atol=1e-6)
    assert measured["loss"] == pytest.approx(-np.log(probabilities[range(6), LABELS]).mean(), rel=1e-5)
    assert measured["accuracy"] == pytest.approx(np.mean(probabilities.argmax(axis=1) == LABELS))


def test_random_start_depends_on_seed_and_step(linear_classifier, prepared_training):
    def start(*, seed, step):
        # One step of next to no length shows where it began.
        training = prepared_training(
            "pgd", linear_classifier(), seed=seed, epsilon=0.1, num_steps=1, relative_step=1e-9
        )
        training.optimizer.iterations.assign(step)
        return training.adversarial_images(IMAGES, LABELS).numpy()

    np.testing.assert_array_equal(start(seed=1, step=3), start(seed=1, step=3))
    assert np.abs(start(seed=1, step=3) - start(seed=1, step=4)).max() > 0.02
    assert np.abs(start(seed=1, step=3) - start(seed=2, step=3)).max() > 0.02
