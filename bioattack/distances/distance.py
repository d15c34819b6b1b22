"""What every image distance offers."""

from typing import Any, TypeAlias

import tensorflow as tf

# What a distance remembers of the references: tensors in a dictionary, one row for each image.
Prepared: TypeAlias = dict[str, tf.Tensor]


class Distance:
    """A differentiable distance between a reference and an image; 0, and lowest, where they are equal.

    A subclass says what it needs of the references alone (``prepare``), which an attack computes once, and
    compares that with images (``compare``). Both work image by image: no row depends on another one, so that
    rows may come and go.

    Args:
        name: How tables call it.
        least_size: Least height and width of the images in pixels.

    Call arguments:
        reference: ``(batch, height, width, channels)``, float32 or float64, [0, 1], 1 or 3 channels.
        images: The same shape and dtype as the reference.

    Returns:
        ``(batch,)`` in the dtype of the images. The gradient with respect to the images is finite everywhere,
        also where both are equal, constant, black or white.

    Raises:
        ValueError: If shapes differ, or the images are smaller than ``least_size`` or not of these dtypes.

    >>> class LargestDifference(Distance):
    ...     name = "largest"
    ...     def compare(self, prepared, images):
    ...         return tf.reduce_max(tf.abs(images - prepared["reference"]), (1, 2, 3))
    >>> LargestDifference()([[[[0.0], [0.5]]]], [[[[0.25], [0.5]]]]).numpy().tolist()
    [0.25]
    """

    name: str = ""
    least_size: int = 1

    def __call__(self, reference: Any, images: Any) -> tf.Tensor:
        """Returns the distances."""
        reference = tf.convert_to_tensor(reference)
        images = tf.convert_to_tensor(images, dtype=reference.dtype)
        if not reference.shape.is_compatible_with(images.shape):
            raise ValueError(
                f"reference and images must have the same shape. Received: {reference.shape} and "
                f"{images.shape}"
            )
        return self.compare(self.prepare(reference), images)

    def prepare(self, reference: tf.Tensor) -> Prepared:
        """Computes what depends on the reference alone, one row for each image."""
        self.check_size(reference)
        return {"reference": reference}

    def compare(self, prepared: Prepared, images: tf.Tensor) -> tf.Tensor:
        """Returns the distances ``(batch,)`` of images from what was prepared."""
        raise NotImplementedError

    def check_size(self, images: tf.Tensor) -> None:
        """Raises ValueError unless images are ``(batch, height, width, channels)``, float, large enough."""
        if images.dtype not in (tf.float32, tf.float64):
            raise ValueError(
                f"images must be float32 or float64, in [0, 1]. Received: dtype {images.dtype.name}"
            )
        if images.shape.rank != 4:
            raise ValueError(
                f"images must be (batch, height, width, channels). Received: shape {images.shape}"
            )
        height, width = images.shape[1:3]
        if min(height or self.least_size, width or self.least_size) < self.least_size:
            raise ValueError(
                f"{self.name} needs images of {self.least_size} x {self.least_size} pixels or more. "
                f"Received: {height} x {width}"
            )
