"""Small distances for tests of the attacks that go by one, without the weights of a trained network."""

from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared


class MadeUpFeatures(Distance):
    """The L2 length of differences of features, here those of two fixed layers with a bend.

    Args:
        channels: Of the images.
        scale: How large the features are.
    """

    name = "made-up"
    least_size = 3

    def __init__(self, *, channels: int = 3, scale: float = 0.2) -> None:
        generator = np.random.default_rng(5)
        self._first = generator.normal(0, 1, (3, 3, channels, 6)).astype(np.float32)
        self._second = generator.normal(0, 0.5, (3, 3, 6, 4)).astype(np.float32)
        self._scale = scale

    def features(self, images: Any) -> tf.Tensor:
        """Gives the features, ``(batch, numbers)``."""
        images = tf.convert_to_tensor(images)
        self.check_size(images)
        first = tf.nn.softplus(tf.nn.conv2d(images - 0.5, self._first, 1, "SAME"))
        second = tf.nn.tanh(tf.nn.conv2d(first, self._second, 2, "SAME"))
        maps = [tf.reshape(layer, (tf.shape(images)[0], -1)) for layer in (first, second)]
        return self._scale * tf.concat(maps, axis=1)

    def prepare(self, reference: tf.Tensor) -> Prepared:
        """Computes the features of the references."""
        return {"features": self.features(reference)}

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Returns the distances ``(batch,)``."""
        squares = tf.reduce_sum((self.features(images) - prepared["features"]) ** 2, axis=1)
        is_positive = squares > 0
        return tf.where(is_positive, tf.sqrt(tf.where(is_positive, squares, 1.0)), 0.0)
