"""A small network that learns within seconds to answer as another model does, to be attacked in its place."""

import numpy as np
import tensorflow as tf

from bioattack.classifier import Classifier, load_classifier
from bioattack.evaluation.audit_checks.evidence import Evidence

NAME = "a small network that copies it"

_NUM_UPDATES, _BATCH_SIZE, _LEARNING_RATE = 400, 64, 2e-3
_NUM_FILTERS, _NUM_NOISY = (32, 64), 3

# Larger pictures, and larger maps of features, are averaged down to about this many pixels a side.
_LARGEST_SIDE, _LARGEST_MAP = 64, 8


def learn_surrogate(evidence: Evidence, *, epsilon: float) -> Classifier:
    """Learns the labels that the model itself gives to its pictures, and to the same with noise.

    No true label is used, and nothing of the model but its answers.

    Args:
        evidence: The model and its pictures, further unlabelled ones included where there are some.
        epsilon: Half width of the noise.

    Source:
        Papernot et al. 2017, attacks on a substitute trained on the victim's answers.
    """
    random = np.random.default_rng(evidence.seed)
    images = evidence.images
    if evidence.sample.further_images is not None and len(evidence.sample.further_images):
        images = np.concatenate([images, np.asarray(evidence.sample.further_images, np.float32)])
    images = np.concatenate([images, *(_noisy(images, epsilon, random) for _ in range(_NUM_NOISY))])
    logits = evidence.logits_of(images)
    answers = np.nan_to_num(logits).argmax(1)
    network = _Network(images.shape[1:], logits.shape[1], random)
    network.learn(images, answers, random)
    return load_classifier(network, name=NAME, image_shape=evidence.images.shape[1:])


def _noisy(images: np.ndarray, epsilon: float, random: np.random.Generator) -> np.ndarray:
    """Adds noise of up to epsilon, of another strength for each picture."""
    strength = random.uniform(0, epsilon, (len(images), 1, 1, 1))
    return np.clip(images + random.uniform(-strength, strength, images.shape), 0, 1).astype(np.float32)


class _Network(tf.Module):
    """Two convolutions of stride 2 and a linear layer.

    Args:
        image_shape: ``(height, width, channels)``.
        num_classes: Number of logits.
        random: Draws the initial weights.
    """

    def __init__(self, image_shape: tuple[int, ...], num_classes: int, random: np.random.Generator) -> None:
        super().__init__()
        self.image_shape = image_shape

        def weights(*shape: int) -> tf.Variable:
            # He et al. 2015.
            deviation = np.sqrt(2 / np.prod(shape[:-1]))
            return tf.Variable(random.normal(0, deviation, shape).astype(np.float32))

        first, second = _NUM_FILTERS
        self.kernels = [weights(5, 5, image_shape[-1], first), weights(3, 3, first, second)]
        self.biases = [tf.Variable(tf.zeros(first)), tf.Variable(tf.zeros(second))]
        num_features = int(np.prod(self.features(tf.zeros((1, *image_shape))).shape[1:]))
        self.dense, self.offset = weights(num_features, num_classes), tf.Variable(tf.zeros(num_classes))

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Gives logits."""
        return tf.reshape(self.features(images), (-1, self.dense.shape[0])) @ self.dense + self.offset

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """Gives ``(batch, height, width, filters)``, height and width at most ``_LARGEST_MAP``."""
        features = _averaged(tf.ensure_shape(images, (None, *self.image_shape)) - 0.5, _LARGEST_SIDE)
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            features = tf.nn.relu(tf.nn.conv2d(features, kernel, 2, "SAME") + bias)
        return _averaged(features, _LARGEST_MAP)

    def learn(self, images: np.ndarray, answers: np.ndarray, random: np.random.Generator) -> None:
        """Minimises the cross-entropy of the answers with Adam."""
        variables = self.trainable_variables
        moments = [[tf.Variable(tf.zeros_like(one)) for one in variables] for _ in range(2)]

        @tf.function(autograph=False)
        def update(batch: tf.Tensor, wanted: tf.Tensor, step: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, self(batch))
                loss = tf.reduce_mean(losses)
            rate = _LEARNING_RATE * tf.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            for one, gradient, first, second in zip(
                variables, tape.gradient(loss, variables), *moments, strict=True
            ):
                first.assign(0.9 * first + 0.1 * gradient)
                second.assign(0.999 * second + 0.001 * gradient**2)
                one.assign_sub(rate * first / (tf.sqrt(second) + 1e-7))

        for step in range(1, _NUM_UPDATES + 1):
            chosen = random.integers(0, len(images), _BATCH_SIZE)
            update(
                tf.constant(images[chosen]),
                tf.constant(answers[chosen].astype(np.int32)),
                tf.constant(step, tf.float32),
            )


def _averaged(images: tf.Tensor, largest: int) -> tf.Tensor:
    """Averages squares of pixels, so that no side is longer than ``largest``."""
    factor = -(-max(images.shape[1:3]) // largest)
    return images if factor == 1 else tf.nn.avg_pool2d(images, factor, factor, "SAME")
