"""What every defence offers: the exact result, and a gradient in its place where the result has none."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from bioattack.errors import InputError

#: How a gradient passes a defence: not at all, as if nothing were done, or through a smooth version of it.
GRADIENTS = ("none", "straight-through", "smooth")


class Defence:
    """Something that is done to pictures, which has no useful gradient of its own.

    Args:
        strength: Its one number.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, [0, 1], 1 or 3 channels.
        gradient: ``"none"``, where the gradient is 0; ``"straight-through"``, where it passes as if nothing
            had been done; ``"smooth"``, where it is that of ``smoothed``, for defences that have it.

    Returns:
        The same shape, float32, with the values that a saved picture holds whatever the gradient.

    Raises:
        InputError: If there is no such gradient.

    Source:
        Athalye et al. 2018, Obfuscated Gradients (backward pass differentiable approximation).
    """

    #: Its kind in names such as ``"jpeg:75"``.
    kind: str = ""
    #: How a gradient passes it by default, for an attacker who knows of it.
    usual_gradient: str = "straight-through"
    gradients: ClassVar[tuple[str, ...]] = ("none", "straight-through")

    def __init__(self, strength: int) -> None:
        self.strength = strength

    @property
    def name(self) -> str:
        """How tables call it, such as ``"jpeg:75"``."""
        return f"{self.kind}:{self.strength}"

    def __call__(self, images: Any, *, gradient: str = "none") -> tf.Tensor:
        """Returns the defended pictures."""
        if gradient not in self.gradients:
            raise InputError(
                f"gradient of {self.kind} must be one of {', '.join(self.gradients)}. "
                f"Received: gradient={gradient!r}"
            )
        images = tf.cast(images, tf.float32)
        if gradient == "none":
            return tf.stop_gradient(self.exact(images))
        through: Callable[[tf.Tensor], tf.Tensor] = tf.custom_gradient(
            lambda values: (self.exact(values), lambda upstream: self._backward(values, upstream, gradient))
        )
        return through(images)

    def exact(self, images: tf.Tensor) -> tf.Tensor:
        """Returns what a saved picture holds, without a gradient."""
        raise NotImplementedError

    def smoothed(self, images: tf.Tensor) -> tf.Tensor:
        """Returns nearly the same as ``exact``, with a gradient."""
        raise NotImplementedError

    def _backward(self, images: tf.Tensor, upstream: tf.Tensor, gradient: str) -> tf.Tensor:
        if gradient == "straight-through":
            return upstream
        with tf.GradientTape() as tape:
            tape.watch(images)
            smoothed = self.smoothed(images)
        return tape.gradient(smoothed, images, output_gradients=upstream)


def from_levels(levels: tf.Tensor, number: int) -> tf.Tensor:
    """Turns whole numbers from 0 to ``number - 1`` into float32 values in [0, 1].

    They are looked up: TensorFlow's graph optimiser turns a division into a product with the reciprocal,
    which misses half of the numbers that NumPy and files hold by one bit.
    """
    table = np.arange(number, dtype=np.float32) / np.float32(number - 1)
    return tf.gather(tf.constant(table), tf.cast(levels, tf.int32))


def to_levels(images: tf.Tensor, number: int) -> tf.Tensor:
    """Turns values in [0, 1], clipped, into whole numbers from 0 to ``number - 1``, int32, half to even."""
    return tf.cast(tf.round(tf.clip_by_value(images, 0.0, 1.0) * (number - 1)), tf.int32)


def check_strength(strength: Any, *, name: str, largest: int) -> int:
    """Returns a whole number from 1 to ``largest``.

    Raises:
        InputError: If it is none.
    """
    if isinstance(strength, bool) or not isinstance(strength, int) or not 1 <= strength <= largest:
        raise InputError(f"{name} must be a whole number from 1 to {largest}. Received: {name}={strength}")
    return strength
