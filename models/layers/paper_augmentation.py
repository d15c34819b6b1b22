"""Random crop, resize and flip, the augmentation of the fixation experiments."""

from typing import Any

import keras
from keras import ops

from bioattack.models.layers.separable_sampling import resample_separably


@keras.saving.register_keras_serializable(package="bioattack")
class PaperAugmentation(keras.layers.Layer):
    """Cuts a slightly smaller random crop, resizes it back, and mirrors half of the images.

    Active with ``training=True`` only; otherwise the images pass unchanged and nothing is added to the graph.
    The crop's side is drawn from the integers ``round(smallest_fraction * N)`` to ``N`` (300 to 320 at 320
    pixels, 30 to 32 at 32), its position from all that fit. Resizing is bilinear with half-pixel centres.

    Args:
        smallest_fraction: Smallest crop as a fraction of the image's side, in (0, 1]; 0.9375 is published.
        flip: Whether to mirror left and right with probability 1/2.
        per_batch: One crop for the whole batch and sides below ``N`` (300 to 319), as the reference code
            draws them; the flip is drawn for each image all the same.
        seed: Of the layer's random numbers; ``None``: from the global state.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, any value range.
        training: Whether to augment.

    Returns:
        The same shape as ``images``, values within the range of each image.

    Raises:
        ValueError: If an argument is out of its range, or the images have no fixed height and width.

    Gradient:
        With respect to the images.

    Source:
        Burhanpurkar 2021 ("L-R flips and at most 20 pixel random offset crop"); sizes and resizing from the
        reference code of Vuyyuru et al. 2020, which ``per_batch=True`` follows.

    >>> PaperAugmentation(seed=0)(keras.ops.ones((2, 32, 32, 3)), training=True).shape
    TensorShape([2, 32, 32, 3])
    """

    def __init__(
        self,
        *,
        smallest_fraction: float = 0.9375,
        flip: bool = True,
        per_batch: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < smallest_fraction <= 1:
            raise ValueError(
                "smallest_fraction must be above 0 and at most 1. "
                f"Received: smallest_fraction={smallest_fraction!r}"
            )
        self.smallest_fraction = smallest_fraction
        self.flip = flip
        self.per_batch = per_batch
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks that the images' height and width are known."""
        if len(input_shape) != 4 or None in input_shape[1:3]:
            raise ValueError(
                "images must be (batch, height, width, channels) with fixed height and width. "
                f"Received: input_shape={input_shape}"
            )
        super().build(input_shape)

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Returns the augmented images, or the images themselves outside training."""
        if not training:
            return images
        height, width = images.shape[1:3]
        batch_size = ops.shape(images)[0]
        num_crops = 1 if self.per_batch else batch_size
        # One draw decides the side on both axes, so that square images give square crops.
        size_draw, row_draw, column_draw = (self._draw(num_crops) for _ in range(3))
        rows = self._source_positions(height, size_draw=size_draw, offset_draw=row_draw)
        columns = self._source_positions(width, size_draw=size_draw, offset_draw=column_draw)
        if self.flip:
            is_flipped = self._draw(batch_size) < 0.5
            columns = ops.where(is_flipped, ops.flip(columns, axis=1), columns)
        rows = ops.broadcast_to(rows, (batch_size, height))
        columns = ops.broadcast_to(columns, (batch_size, width))
        return resample_separably(images, rows=rows, columns=columns)

    def _draw(self, num: Any) -> Any:
        """Uniform numbers in [0, 1), ``(num, 1)``."""
        return keras.random.uniform((num, 1), dtype="float32", seed=self.seed_generator)

    def _source_positions(self, size: int, *, size_draw: Any, offset_draw: Any) -> Any:
        """Where each target pixel of one axis is read from: ``(num_crops, size)``, in pixels."""
        smallest, largest = self.crop_sides(size)
        side = smallest + ops.floor(size_draw * (largest - smallest + 1))
        offset = ops.floor(offset_draw * (size - side + 1))
        target = ops.arange(size, dtype="float32")[None, :]
        source = (target + 0.5) * side / size - 0.5
        return offset + ops.clip(source, 0.0, side - 1.0)

    def crop_sides(self, size: int) -> tuple[int, int]:
        """Returns the smallest and the largest crop side for images of this size.

        >>> PaperAugmentation().crop_sides(320), PaperAugmentation(per_batch=True).crop_sides(320)
        ((300, 320), (300, 319))
        """
        smallest = max(1, round(self.smallest_fraction * size))
        return smallest, max(smallest, size - 1 if self.per_batch else size)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the images."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {
            **super().get_config(),
            "smallest_fraction": self.smallest_fraction,
            "flip": self.flip,
            "per_batch": self.per_batch,
            "seed": self.seed,
        }
