"""A small network that learns within seconds to answer as another model does, to be attacked in its place."""

import numpy as np
import tensorflow as tf

from bioattack.classifier import Classifier, load_classifier
from bioattack.evaluation.audit_checks.evidence import Evidence

NAME = "a small network that copies it"

_NUM_UPDATES, _BATCH_SIZE, _LEARNING_RATE = 200, 64, 2e-3
_NUM_FILTERS = (16, 32)


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
    noise = random.uniform(-epsilon, epsilon, images.shape).astype(np.float32)
    images = np.concatenate([images, np.clip(images + noise, 0, 1)])
    logits = evidence.logits_of(images)
    answers = np.nan_to_num(logits).argmax(1)
    network = _Network(images.shape[-1], logits.shape[1], random)
    network.learn(images, answers, random)
    return load_classifier(network, name=NAME, image_shape=evidence.images.shape[1:])


class _Network(tf.Module):
    """Two convolutions of stride 2, the mean and the maximum over places, a linear layer."""

    def __init__(self, num_channels: int, num_classes: int, random: np.random.Generator) -> None:
        super().__init__()

        def weights(*shape: int) -> tf.Variable:
            # He et al. 2015.
            deviation = np.sqrt(2 / np.prod(shape[:-1]))
            return tf.Variable(random.normal(0, deviation, shape).astype(np.float32))

        first, second = _NUM_FILTERS
        self.kernels = [weights(5, 5, num_channels, first), weights(3, 3, first, second)]
        self.biases = [tf.Variable(tf.zeros(first)), tf.Variable(tf.zeros(second))]
        self.dense, self.offset = weights(2 * second, num_classes), tf.Variable(tf.zeros(num_classes))

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Gives logits."""
        features = images - 0.5
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            features = tf.nn.relu(tf.nn.conv2d(features, kernel, 2, "SAME") + bias)
        pooled = [tf.reduce_mean(features, (1, 2)), tf.reduce_max(features, (1, 2))]
        return tf.concat(pooled, 1) @ self.dense + self.offset

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
