"""The colour difference CIEDE2000."""

import math
from typing import Final

import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared
from bioattack.distances.roots import safe_root

# From linear sRGB to XYZ, and XYZ of white, as the public code of Zhao et al. 2020 has them.
_XYZ: Final = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9504))
_WHITE: Final = (0.950489, 1.0, 1.088840)
# That code's threshold; the standard says 0.04045, half a step of 8 bits less.
_LINEAR_BELOW: Final = 0.0405
_CUBE_ROOT_ABOVE: Final = 0.008856
# Chroma below which a colour counts as grey, without a hue; a step of 8 bits makes one of about 0.3.
_LEAST_CHROMA: Final = 1e-5


class ColourDifference(Distance):
    """The Euclidean length, over the pixels, of the map of colour differences CIEDE2000.

    Images of one channel are taken for grey RGB images.

    Returns:
        ``(batch,)``, from 0 on: 1 is about what an eye can just tell, for a single pixel.

    Raises:
        ValueError: If the images have neither 1 nor 3 channels.

    Gradient:
        Finite everywhere, at greys as well, which have no hue; 0 where both images are equal.

    Source:
        Zhao, Liu and Larson 2020, Towards large yet imperceptible adversarial image perturbations with
        perceptual color distance; Sharma, Wu and Dalal 2005 for the formula.

    >>> grey = tf.fill((1, 2, 2, 3), 0.5)
    >>> ColourDifference()(grey, grey).numpy().tolist()
    [0.0]
    """

    name = "ciede2000"

    def prepare(self, reference: tf.Tensor) -> Prepared:
        """Converts the references to Lab."""
        self.check_size(reference)
        return {"lab": rgb_to_lab(reference)}

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Converts the images and compares."""
        squares = _squared_differences(prepared["lab"], rgb_to_lab(images))
        return safe_root(tf.reduce_sum(squares, axis=(1, 2)))

    def map(self, reference: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """Returns the map of colour differences ``(batch, height, width)``."""
        return lab_differences(rgb_to_lab(reference), rgb_to_lab(images))


def rgb_to_lab(images: tf.Tensor) -> tf.Tensor:
    """Converts sRGB to CIE Lab.

    Args:
        images: ``(..., channels)``, float, [0, 1], 3 channels or 1, which is taken for grey.

    Returns:
        ``(..., 3)``: L from 0 to 100, a and b from about -110 to 110.

    Raises:
        ValueError: If there are neither 1 nor 3 channels.

    >>> rgb_to_lab(tf.constant([1.0, 1.0, 1.0])).numpy().round(1).tolist()[0]
    100.0
    """
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"ciede2000 needs images of 1 or 3 channels. Received: {images.shape[-1]}")
    rgb = tf.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    # Powers are taken of what they are used for alone: elsewhere their gradient may be infinite.
    powers = tf.pow((tf.maximum(rgb, _LINEAR_BELOW) + 0.055) / 1.055, 2.4)
    linear = tf.where(rgb > _LINEAR_BELOW, powers, rgb / 12.92)
    xyz = tf.linalg.matvec(tf.constant(_XYZ, rgb.dtype), linear) / tf.constant(_WHITE, rgb.dtype)
    roots = tf.pow(tf.maximum(xyz, _CUBE_ROOT_ABOVE), 1.0 / 3.0)
    x, y, z = tf.unstack(tf.where(xyz > _CUBE_ROOT_ABOVE, roots, 7.787 * xyz + 16.0 / 116.0), axis=-1)
    return tf.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def lab_differences(reference: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Computes CIEDE2000 of colours in CIE Lab, with all three weights 1.

    Args:
        reference: ``(..., 3)``, float.
        images: The same shape and dtype.

    Returns:
        ``(...)``, from 0 on.

    Source:
        Sharma, Wu and Dalal 2005, The CIEDE2000 color-difference formula: implementation notes,
        supplementary test data, and mathematical observations.

    >>> one, other = tf.constant([50.0, 2.6772, -79.7751]), tf.constant([50.0, 0.0, -82.7485])
    >>> print(lab_differences(one, other).numpy().round(4))
    2.0425
    """
    return safe_root(_squared_differences(reference, images))


def _squared_differences(reference: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    (light, a, b), (other_light, other_a, other_b) = (tf.unstack(lab, axis=-1) for lab in (reference, images))
    # Greys are stretched along the red-green axis, by half at most.
    stretch = 1.5 - 0.5 * _saturation((_length(a, b) + _length(other_a, other_b)) / 2.0)
    a, other_a = stretch * a, stretch * other_a
    chroma, other_chroma = _length(a, b), _length(other_a, other_b)
    hue, mean_hue = _hues((a, b, chroma), (other_a, other_b, other_chroma))
    mean_chroma, mean_light = (chroma + other_chroma) / 2.0, (light + other_light) / 2.0
    from_middle = tf.square(mean_light - 50.0)
    light_weight = 1.0 + 0.015 * from_middle * tf.math.rsqrt(20.0 + from_middle)
    of_light = (other_light - light) / light_weight
    of_chroma = (other_chroma - chroma) / (1.0 + 0.045 * mean_chroma)
    of_hue = hue / (1.0 + 0.015 * mean_chroma * _hue_weight(mean_hue))
    rotation = -2.0 * _saturation(mean_chroma) * tf.sin(_rotation_angle(mean_hue))
    squares = tf.square(of_light) + tf.square(of_chroma) + tf.square(of_hue) + rotation * of_chroma * of_hue
    return tf.maximum(squares, 0.0)


def _hues(
    one: tuple[tf.Tensor, tf.Tensor, tf.Tensor], other: tuple[tf.Tensor, tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """The hue difference, in units of Lab, and the mean hue in radians from 0 to 2 pi."""
    angle, has_hue = _angle(*one)
    other_angle, has_other_hue = _angle(*other)
    have_both = has_hue & has_other_hue
    turn = other_angle - angle
    # Opposite hues count as near, though rounding may part them a little further.
    is_far = tf.abs(turn) > math.pi * (1.0 + 1e-6)
    turn = tf.where(is_far, turn - 2.0 * math.pi * tf.sign(turn), turn)
    difference = 2.0 * safe_root(one[2] * other[2]) * tf.sin(turn / 2.0)
    # Of two greys there is none, of a grey and a colour it is the colour's.
    total = angle + other_angle
    mean = tf.where(have_both, total / 2.0, total)
    far = tf.where(total < 2.0 * math.pi, mean + math.pi, mean - math.pi)
    none = tf.zeros_like(difference)
    return tf.where(have_both, difference, none), tf.where(have_both & is_far, far, mean)


def _angle(a: tf.Tensor, b: tf.Tensor, chroma: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The hue from 0 to 2 pi, 0 for greys; and whether there is one."""
    has_hue = chroma > _LEAST_CHROMA
    angle = tf.atan2(tf.where(has_hue, b, tf.zeros_like(b)), tf.where(has_hue, a, tf.ones_like(a)))
    return tf.where(angle < 0.0, angle + 2.0 * math.pi, angle), has_hue


def _length(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return safe_root(tf.square(a) + tf.square(b))


def _saturation(chroma: tf.Tensor) -> tf.Tensor:
    """``sqrt(C^7 / (C^7 + 25^7))``, written so that its gradient at 0 is 0."""
    relative = chroma / 25.0
    return tf.pow(relative, 3.5) * tf.math.rsqrt(1.0 + tf.pow(relative, 7.0))


def _hue_weight(hue: tf.Tensor) -> tf.Tensor:
    return (
        1.0
        - 0.17 * tf.cos(hue - math.radians(30.0))
        + 0.24 * tf.cos(2.0 * hue)
        + 0.32 * tf.cos(3.0 * hue + math.radians(6.0))
        - 0.20 * tf.cos(4.0 * hue - math.radians(63.0))
    )


def _rotation_angle(hue: tf.Tensor) -> tf.Tensor:
    """Twice the turn of the ellipses of equal difference, at most 60 degrees, around the hue of blue."""
    return math.radians(60.0) * tf.exp(-tf.square((hue - math.radians(275.0)) / math.radians(25.0)))
