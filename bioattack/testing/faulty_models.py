"""Classifiers with one seeded fault each, around a healthy one, for tests of what must find the fault.

Every fault leaves the answers to the pictures themselves nearly as they were, so that the model looks sound,
and makes attacks along its gradient fail or mean something else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

# TensorFlow ships no annotations that mypy could follow: the argument is images, the result logits.
Model = Callable[[Any], Any]

# Graphs are simplified: what is multiplied by 0 would not be computed.
_A_LITTLE = 1e-6


class Fault(NamedTuple):
    """One way to break a model.

    Args:
        make: Breaks a healthy model.
        caught_by: Keys of the checks of the audit each of which must find it.
    """

    make: Callable[[Model], Model]
    caught_by: tuple[str, ...]


def saturated(model: Model, *, scale: float = 1e4) -> Model:
    """Logits so large that float32 rounds the gradient of the cross-entropy to 0."""
    return lambda images: scale * model(images)


def softmax(model: Model) -> Model:
    """Probabilities in place of logits."""
    return lambda images: tf.nn.softmax(model(images))


def saturated_softmax(model: Model, *, scale: float = 1e4) -> Model:
    """Probabilities that are 0 and 1, with no gradient left between."""
    return softmax(saturated(model, scale=scale))


def stopped_gradient(model: Model) -> Model:
    """A gradient that is there, and 0 everywhere."""
    return lambda images: model(tf.stop_gradient(images)) + 0.0 * tf.reduce_sum(images)


def rounded_images(model: Model, *, num_levels: int = 16) -> Model:
    """Pictures rounded to a few levels, through which no gradient comes."""

    def call(images: Any) -> Any:
        rounded = tf.stop_gradient(tf.round(images * (num_levels - 1)) / (num_levels - 1))
        return model(rounded) + 0.0 * tf.reduce_sum(images)

    return call


def rounded_logits(model: Model, *, step: float = 0.5) -> Model:
    """Logits rounded to a grid, with the gradient of the unrounded ones passed off as theirs."""

    def call(images: Any) -> Any:
        logits = model(images)
        return logits + tf.stop_gradient(tf.round(logits / step) * step - logits)

    return call


def flat_logits(model: Model, *, step: float = 0.5) -> Model:
    """Logits rounded to a grid: the gradient is 0 nearly everywhere."""

    def call(images: Any) -> Any:
        logits = model(images)
        return tf.stop_gradient(tf.round(logits / step) * step) + 0.0 * logits

    return call


def random_input(model: Model, *, deviation: float = 0.1) -> Model:
    """Noise added to every picture, drawn anew at every call."""
    return lambda images: model(images + tf.random.normal(tf.shape(images), stddev=deviation))


@keras.saving.register_keras_serializable(package="bioattack-testing")
class RandomGain(keras.layers.Layer):
    """Multiplies each picture by a random number, in training or not.

    Args:
        spread: Half width of the interval around 1 from which it is drawn.
    """

    def __init__(self, spread: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spread = spread
        self.generator = keras.random.SeedGenerator(0)

    def call(self, images: Any) -> Any:
        """Multiplies."""
        shape = (keras.ops.shape(images)[0], 1, 1, 1)
        low, high = 1 - self.spread, 1 + self.spread
        return images * keras.random.uniform(shape, low, high, seed=self.generator)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return super().get_config() | {"spread": self.spread}


def random_layer(model: Model) -> Model:
    """A random layer of Keras' in front."""
    layer = RandomGain()
    return lambda images: model(layer(images))


def nan_when_white(model: Model) -> Model:
    """A logarithm at 0 where a picture is white throughout, and nowhere else."""
    return lambda images: model(images) + _A_LITTLE * tf.math.log(1 - _mean(images))


def nan_gradient_at_black(model: Model) -> Model:
    """A root at 0, whose value is sound and whose gradient is not, where a pixel is black."""
    return lambda images: model(images) + _A_LITTLE * _mean(tf.sqrt(images))


def nan_when_noisy(model: Model, *, roughness: float = 0.4) -> Model:
    """A root of a negative number as soon as neighbouring pixels differ as much as those of an attack do."""
    return lambda images: model(images) + _A_LITTLE * tf.sqrt(roughness - _roughness(images))


def shattered(model: Model, *, height: float = 0.01, num_waves: float = 350.0) -> Model:
    """A ripple, too low to be seen and so steep that it alone decides where the gradient points."""

    def call(images: Any) -> Any:
        return model(images + height * tf.sin(2 * np.pi * num_waves * images))

    return call


def shattered_between_levels(model: Model, *, height: float = 0.02) -> Model:
    """A ripple that vanishes at the 256 levels of saved pictures: the first step is right, no other."""
    return shattered(model, height=height, num_waves=255.0)


def wrong_sign(model: Model) -> Model:
    """A gradient that points the wrong way."""
    return _with_gradient(model, lambda gradients: -gradients)


def noisy_gradient(model: Model, *, seed: int = 0) -> Model:
    """A gradient of nothing but noise, the same at every call."""

    def noise(gradients: Any) -> Any:
        drawn = tf.random.stateless_normal(tf.shape(gradients), (seed, 1))
        return drawn * tf.norm(gradients)

    return _with_gradient(model, noise)


def inflated_gradient(model: Model, *, factor: float = 1e4) -> Model:
    """A gradient a thousand times too large in one pixel, with the right sign everywhere.

    The L-infinity ball's attacks, which take the sign only, do not notice; those of the L2 ball spend
    everything on that pixel.
    """

    def inflate(gradients: Any) -> Any:
        shape = tf.shape(gradients)[1:]
        place = tf.reshape(tf.one_hot(0, tf.reduce_prod(shape)), shape)
        return gradients * (1 + factor * place) + 1e-6 * factor * place

    return _with_gradient(model, inflate)


def sees_the_grid(model: Model, *, distance: float = 0.05) -> Model:
    """Another answer as soon as pixels lie beside the 256 levels of a saved picture."""

    def call(images: Any) -> Any:
        logits = model(images)
        is_beside = _mean(tf.abs(255 * images - tf.round(255 * images))) > distance
        return tf.where(is_beside, tf.roll(logits, 1, axis=1), logits)

    return call


def guarded(model: Model, *, roughness: float = 0.11) -> Model:
    """Smooths rough pictures, as large changes make them, and stops the gradient there."""

    def call(images: Any) -> Any:
        smooth = tf.nn.avg_pool2d(images, 3, 1, "SAME")
        is_rough = (_roughness(images) > roughness)[..., None, None]
        return model(tf.where(is_rough, tf.stop_gradient(smooth), images))

    return call


def centred_on_batch(model: Model) -> Model:
    """Subtracts the mean of the batch, as batch normalisation in training does."""
    return lambda images: model(images - tf.reduce_mean(images, (0, 1, 2)) + 0.5)


def wearing_out(model: Model, is_worn_out: Any) -> Model:
    """A gradient until a truth value, a ``tf.Variable``, is set, and none from then on."""

    def call(images: Any) -> Any:
        return model(tf.where(is_worn_out, tf.stop_gradient(images), images))

    return call


def _with_gradient(model: Model, change: Callable[[Any], Any]) -> Model:
    """Puts in front a layer that changes nothing but the gradient with respect to the images."""

    @tf.custom_gradient
    def unchanged(images: Any) -> Any:
        return tf.identity(images), change

    return lambda images: model(unchanged(images))


def _mean(images: Any) -> Any:
    """``(batch, 1)`` mean of each picture."""
    return tf.reduce_mean(images, (1, 2, 3))[:, None]


def _roughness(images: Any) -> Any:
    """``(batch, 1)`` mean difference of pixels side by side."""
    return _mean(tf.abs(images[:, :, 1:] - images[:, :, :-1]))


#: Every seeded fault, with the checks of the audit that must each find it in a small network, the one whose
#: business it is first.
FAULTS: dict[str, Fault] = {
    "saturated": Fault(saturated, ("zero-gradient",)),
    "softmax": Fault(softmax, ("probabilities",)),
    "saturated-softmax": Fault(saturated_softmax, ("probabilities",)),
    "stopped-gradient": Fault(
        stopped_gradient,
        ("unbounded-epsilon", "zero-gradient", "finite-differences", "transfer", "black-box"),
    ),
    "rounded-images": Fault(rounded_images, ("zero-gradient", "transfer", "black-box")),
    "rounded-logits": Fault(rounded_logits, ("finite-differences",)),
    "flat-logits": Fault(flat_logits, ("rising-loss", "zero-gradient")),
    "random-input": Fault(random_input, ("randomness", "finite-differences")),
    "random-layer": Fault(random_layer, ("randomness",)),
    "nan-when-white": Fault(nan_when_white, ("non-finite",)),
    "nan-gradient-at-black": Fault(nan_gradient_at_black, ("non-finite",)),
    "nan-when-noisy": Fault(nan_when_noisy, ("non-finite",)),
    "shattered": Fault(shattered, ("finite-differences", "transfer")),
    "shattered-between-levels": Fault(
        shattered_between_levels, ("iterated", "finite-differences", "more-steps")
    ),
    "wrong-sign": Fault(wrong_sign, ("black-box", "finite-differences", "rising-loss", "transfer")),
    "noisy-gradient": Fault(noisy_gradient, ("finite-differences", "transfer")),
    "inflated-gradient": Fault(inflated_gradient, ("ball-inclusion",)),
    "sees-the-grid": Fault(sees_the_grid, ("quantisation",)),
    "centred-on-batch": Fault(centred_on_batch, ("companions",)),
    "guarded": Fault(guarded, ("growing-epsilon",)),
}
