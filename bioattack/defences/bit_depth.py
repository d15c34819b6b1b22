"""Pictures with fewer bits per channel."""

import tensorflow as tf

from bioattack.defences.defence import Defence, check_strength, from_levels, to_levels


class BitDepth(Defence):
    """Rounds every channel to ``2**bits`` evenly spaced levels, black and white among them.

    Args:
        bits: Per channel, 1 to 8.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, [0, 1].
        gradient: ``"none"`` or ``"straight-through"``.

    Returns:
        The same shape, float32; every value is ``k / (2**bits - 1)``.

    Raises:
        InputError: If ``bits`` is no whole number from 1 to 8.

    Source:
        Xu, Evans and Qi 2018, Feature Squeezing.

    >>> BitDepth(1)(tf.constant([[[[0.2, 0.6, 1.0]]]])).numpy().ravel()
    array([0., 1., 1.], dtype=float32)
    """

    kind = "bits"

    def __init__(self, bits: int) -> None:
        super().__init__(check_strength(bits, name="bits", largest=8))

    def exact(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the rounded pictures."""
        number = 2**self.strength
        return from_levels(to_levels(images, number), number)
