"""The distance of the neural perceptual threat model: how far apart a network's own features are."""

from typing import Any

import keras
import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared
from bioattack.distances.roots import safe_root
from bioattack.distances.trunk_weights import TrunkWeights, make_trunk
from bioattack.distances.trunks import Trunk

# Under the root of a feature's length: the gradient of a direction is finite where nothing fires.
_LEAST_SQUARE = 1e-12


def unit_features(features: tf.Tensor) -> tf.Tensor:
    """Gives the features of each place length 1, and leaves 0 where nothing fires."""
    squares = tf.reduce_sum(tf.square(features), -1, keepdims=True)
    return features * tf.math.rsqrt(squares + tf.cast(_LEAST_SQUARE, features.dtype))


class FeatureDistance(Distance):
    """The L2 length of the difference of normalised features, the distance of PPGD and LPA.

    The features of each place are given length 1 and divided by the root of the number of places of their
    map; all of them together are one long vector. Unlike LPIPS, nothing is learned but the network.

    Args:
        trunk: Any Keras model (the attacked one: "self" in the paper), a trunk, or a name as for
            ``make_trunk``.
        weights: For a name: a file.

    Call arguments:
        reference: ``(batch, height, width, channels)``, float32 or float64, [0, 1].
        images: The same shape and dtype.

    Returns:
        ``(batch,)``, 0 and lowest where both are equal, at most twice the root of the number of maps. A Keras
        model computes in its own dtype.

    Raises:
        FileNotFoundError: If a weights file is missing.
        ValueError: If trunk or weights are not as they must be.

    Gradient:
        Finite everywhere; 0 where both are equal.

    Source:
        Laidlaw, Singla and Feizi 2021, Perceptual adversarial robustness, equation 1.

    >>> model = keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="small")
    >>> FeatureDistance(model).name
    'nptm[small]'
    """

    def __init__(self, trunk: str | Trunk | keras.Model, *, weights: TrunkWeights | None = None) -> None:
        self._trunk = make_trunk(trunk, weights)
        self.name = f"nptm[{self._trunk.name}]"
        self.least_size = self._trunk.least_size

    def features(self, images: Any) -> tf.Tensor:
        """Returns the long vectors, ``(batch, numbers)``, in the dtype of the images."""
        images = tf.convert_to_tensor(images)
        self.check_size(images)
        vectors = []
        for features in self._trunk.taps(images):
            places = tf.cast(tf.reduce_prod(tf.shape(features)[1:3]), features.dtype)
            shape = (tf.shape(features)[0], tf.reduce_prod(tf.shape(features)[1:]))
            vectors.append(tf.reshape(unit_features(features), shape) / tf.sqrt(places))
        return tf.concat(vectors, 1)

    def prepare(self, reference: tf.Tensor) -> Prepared:
        """Computes the references' vectors."""
        return {"features": self.features(reference)}

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Returns the distances ``(batch,)``."""
        difference = self.features(images) - prepared["features"]
        return safe_root(tf.reduce_sum(tf.square(difference), 1))
