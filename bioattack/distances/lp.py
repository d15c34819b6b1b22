"""Lengths of the change in the usual norms, over the whole image, as tables report them."""

import tensorflow as tf

from bioattack.distances.distance import Distance, Prepared
from bioattack.distances.roots import safe_root

_VALUE_AXES = (1, 2, 3)


class L1(Distance):
    """The sum of the absolute changes of all values.

    Returns:
        ``(batch,)``, from 0 to the number of values of an image.

    Gradient:
        The sign of the change; 0 where nothing is changed.

    Source:
        Hua et al. 2022, Table 3.1.

    >>> L1()([[[[0.5], [0.5]]]], [[[[0.75], [0.25]]]]).numpy().tolist()
    [0.5]
    """

    name = "l1"

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Sums up the absolute changes."""
        return tf.reduce_sum(tf.abs(images - prepared["reference"]), axis=_VALUE_AXES)


class L2(Distance):
    """The Euclidean length of the change of all values.

    Returns:
        ``(batch,)``, from 0 to the root of the number of values of an image.

    Gradient:
        The change over its length; 0 where nothing is changed.

    Source:
        Hua et al. 2022, Table 3.1.

    >>> L2()([[[[0.5], [0.5]]]], [[[[0.8], [0.1]]]]).numpy().round(3).tolist()
    [0.5]
    """

    name = "l2"

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Takes the root of the sum of the squares."""
        return safe_root(tf.reduce_sum(tf.square(images - prepared["reference"]), axis=_VALUE_AXES))


class Linf(Distance):
    """The largest absolute change of any value.

    Returns:
        ``(batch,)``, from 0 to 1.

    Gradient:
        The sign of the largest change, shared equally where several tie; 0 where nothing is changed.

    Source:
        Hua et al. 2022, Table 3.1.

    >>> Linf()([[[[0.5], [0.5]]]], [[[[0.75], [0.5]]]]).numpy().tolist()
    [0.25]
    """

    name = "linf"

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Finds the largest absolute change."""
        return tf.reduce_max(tf.abs(images - prepared["reference"]), axis=_VALUE_AXES)


class RootMeanSquare(Distance):
    """The root of the mean square change: the Euclidean length, free of the size of the image.

    Returns:
        ``(batch,)``, from 0 to 1.

    Gradient:
        Along the change; 0 where nothing is changed.

    >>> RootMeanSquare()([[[[0.5], [0.5]]]], [[[[0.75], [0.25]]]]).numpy().tolist()
    [0.25]
    """

    name = "rms"

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Takes the root of the mean of the squares."""
        return safe_root(tf.reduce_mean(tf.square(images - prepared["reference"]), axis=_VALUE_AXES))
