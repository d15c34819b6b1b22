"""Pictures as a JPEG file holds them."""

from typing import ClassVar

import tensorflow as tf

from bioattack.defences.defence import Defence, check_strength, from_levels, to_levels
from bioattack.defences.smooth_jpeg import jpeg_pipeline, smooth_round


class JpegCompression(Defence):
    """Rounds to 8 bits, compresses and decompresses, with the codec itself.

    It is TensorFlow's: baseline JPEG of libjpeg-turbo with accurate integer transforms, colour pictures with
    the chroma at half the resolution (4:2:0) and interpolated when read. Pillow's ``save(..., quality=q)``,
    read back by Pillow, holds the same bytes: a test compares them.

    Args:
        quality: 1 to 100.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, [0, 1], 1 or 3 channels.
        gradient: ``"none"``, ``"straight-through"`` or ``"smooth"``.

    Returns:
        The same shape, float32; every value is ``k / 255``.

    Raises:
        InputError: If ``quality`` is no whole number from 1 to 100.

    Gradient:
        With ``"smooth"`` that of ``jpeg_pipeline`` with ``smooth_round``; the values are the codec's own.

    Source:
        Dziugaite et al. 2016 and Das et al. 2018 (SHIELD) for the defence; Shin and Song 2017 for the smooth
        gradient.

    >>> JpegCompression(75)(tf.fill((2, 20, 30, 3), 0.5)).shape
    TensorShape([2, 20, 30, 3])
    """

    kind = "jpeg"
    gradients: ClassVar[tuple[str, ...]] = ("none", "straight-through", "smooth")

    def __init__(self, quality: int) -> None:
        super().__init__(check_strength(quality, name="quality", largest=100))

    def exact(self, images: tf.Tensor) -> tf.Tensor:
        """Returns what the codec gives back."""
        levels = tf.cast(to_levels(images, 256), tf.uint8)
        kind = "grayscale" if images.shape[-1] == 1 else "rgb"

        def through_the_codec(picture: tf.Tensor) -> tf.Tensor:
            encoded = tf.io.encode_jpeg(picture, format=kind, quality=self.strength, chroma_downsampling=True)
            return tf.io.decode_jpeg(
                encoded, channels=images.shape[-1], dct_method="INTEGER_ACCURATE", fancy_upscaling=True
            )

        spec = tf.TensorSpec(images.shape[1:], tf.uint8)
        decoded = tf.map_fn(through_the_codec, levels, fn_output_signature=spec)
        return from_levels(decoded, 256)

    def smoothed(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the pictures after the codec's arithmetic with smooth rounding."""
        return jpeg_pipeline(images, self.strength, rounding=smooth_round)
