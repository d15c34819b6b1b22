"""Seeing sharp and in colour where the eye looks, blurred and grey around it, without any warp."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from bioattack.models.layers.separable_sampling import apply_separably

NOISES_WHEN_TESTED = ("none", "fixed", "random")

# Standard deviations of the blurred copies, as fractions of the greatest one.
_LEVELS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


@keras.saving.register_keras_serializable(package="bioattack")
class EccentricBlur(keras.layers.Layer):
    """Blurs an image and takes its colour away, the more the farther from the gaze.

    The eccentricity ``e`` of a pixel is its distance from the gaze, the larger one of rows and columns, as a
    fraction of the image's larger side. Acuity of a ``spread`` falls from 1 at the gaze as
    ``max(exp(-e / spread), 4 / (5 * pi) / (1 + (e / (2.5 * spread))**2))``. A pixel is a weighted mean of a
    colour image and of its mean over the channels, weighted by the acuity of colour and by
    ``grey_acuity * (1 - acuity)`` of grey, each first blurred by a Gaussian of standard deviation
    ``blur * side * (1 - its weight)``.

    Simplified against the published transform: the standard deviation changes smoothly, as an interpolation
    between six copies of the image (none, and 1/16 to 1 of the greatest deviation) such that the kernel's
    variance is right everywhere, instead of in squares of constant blur; and the kernel reaches as far as
    three standard deviations instead of a fixed width.

    Args:
        blur: Standard deviation where nothing can be seen, as a fraction of the image's larger side, above 0.
        colour_spread: Eccentricity within which colour is seen, above 0 and at most 0.5.
        grey_spread: Eccentricity beyond which grey is seen, above 0 and at most 0.5.
        grey_acuity: Weight of grey far from the gaze, in [0, 1].

    Call arguments:
        images: ``(batch, height, width, channels)``, float, any value range.
        gaze: ``(batch, 2)``, float, pixels from the image centre, row first; any value.

    Returns:
        The same shape, range and dtype as ``images``; outside their border the images are mirrored.

    Raises:
        ValueError: If an argument is out of its range, or the images have no fixed height and width.

    Gradient:
        With respect to the images and the gaze.

    Source:
        Shah and Raj 2023, training on foveated images (R-Blur), and its public code for the numbers.

    >>> EccentricBlur()(ops.zeros((2, 32, 48, 3)), ops.zeros((2, 2))).shape
    TensorShape([2, 32, 48, 3])
    """

    def __init__(
        self,
        *,
        blur: float = 0.05,
        colour_spread: float = 0.12,
        grey_spread: float = 0.09,
        grey_acuity: float = 0.12,
        **kwargs: Any,
    ) -> None:
        # Under mixed precision a gaze in bfloat16 would be rounded to a quarter of a pixel.
        super().__init__(autocast=False, **kwargs)
        if not 0 < blur < math.inf:
            raise ValueError(f"blur must be above 0. Received: blur={blur!r}")
        for name, spread in (("colour_spread", colour_spread), ("grey_spread", grey_spread)):
            if not 0 < spread <= 0.5:
                raise ValueError(f"{name} must be above 0 and at most 0.5. Received: {name}={spread!r}")
        if not 0 <= grey_acuity <= 1:
            raise ValueError(f"grey_acuity must be from 0 to 1. Received: grey_acuity={grey_acuity!r}")
        self.blur = blur
        self.colour_spread = colour_spread
        self.grey_spread = grey_spread
        self.grey_acuity = grey_acuity

    def build(self, images_shape: tuple[int | None, ...], gaze_shape: tuple[int | None, ...]) -> None:
        """Makes the blurring matrices of both axes."""
        if len(images_shape) != 4 or None in images_shape[1:3]:
            raise ValueError(
                "images must be (batch, height, width, channels) with fixed height and width. "
                f"Received: images_shape={images_shape}"
            )
        if len(gaze_shape) != 2 or gaze_shape[1] != 2:
            raise ValueError(f"gaze must be (batch, 2). Received: gaze_shape={gaze_shape}")
        height, width = images_shape[1] or 1, images_shape[2] or 1
        self._deviation = self.blur * max(height, width)
        self._matrices = [
            tuple(mirrored_blur_matrix(size, sigma=level * self._deviation)[None] for size in (height, width))
            for level in _LEVELS
        ]
        super().build((images_shape, gaze_shape))

    def call(self, images: Any, gaze: Any) -> Any:
        """Returns the images as they are seen."""
        dtype = keras.backend.result_type(images.dtype, "float32")
        sharp, gaze = ops.cast(images, dtype), ops.cast(gaze, dtype)
        eccentricity = _eccentricity(gaze, *images.shape[1:3])
        colour_weight = _acuity(eccentricity, self.colour_spread)
        grey_weight = self.grey_acuity * (1.0 - _acuity(eccentricity, self.grey_spread))
        # Blur where the variance passes a level is the sum of the steps up to there.
        variances = [(1.0 - weight) ** 2 for weight in (colour_weight, grey_weight)]
        colour, grey = sharp, ops.mean(sharp, axis=-1, keepdims=True)
        last, lower = sharp, 0.0
        for level, matrices in zip(_LEVELS, self._matrices, strict=True):
            rows, columns = (ops.convert_to_tensor(matrix, dtype=dtype) for matrix in matrices)
            blurred = apply_separably(sharp, rows, columns)
            upper = level**2
            for_colour, for_grey = (
                ops.clip((variance - lower) / (upper - lower), 0.0, 1.0) for variance in variances
            )
            colour += for_colour * (blurred - last)
            grey += for_grey * ops.mean(blurred - last, axis=-1, keepdims=True)
            last, lower = blurred, upper
        seen = (colour_weight * colour + grey_weight * grey) / (colour_weight + grey_weight)
        return ops.cast(seen, images.dtype)

    def compute_output_spec(self, images: Any, gaze: Any) -> Any:
        """As the images."""
        return keras.KerasTensor((images.shape[0] or gaze.shape[0], *images.shape[1:]), images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {
            **super().get_config(),
            "blur": self.blur,
            "colour_spread": self.colour_spread,
            "grey_spread": self.grey_spread,
            "grey_acuity": self.grey_acuity,
        }


def _eccentricity(gaze: Any, height: int, width: int) -> Any:
    """Distance of each pixel from the gaze as a fraction of the larger side: (batch, height, width, 1)."""
    rows = ops.arange(height, dtype=gaze.dtype) - (height - 1) / 2 - gaze[:, :1]
    columns = ops.arange(width, dtype=gaze.dtype) - (width - 1) / 2 - gaze[:, 1:]
    distance = ops.maximum(ops.abs(rows)[:, :, None], ops.abs(columns)[:, None, :])
    return distance[..., None] / max(height, width)


def _acuity(eccentricity: Any, spread: float) -> Any:
    """The larger one of a Laplace and a Cauchy density, so scaled that it is 1 at the gaze."""
    near = ops.exp(-eccentricity / spread)
    far = 4 / (5 * math.pi) / (1.0 + (eccentricity / (2.5 * spread)) ** 2)
    return ops.maximum(near, far)


def mirrored_blur_matrix(size: int, *, sigma: float) -> np.ndarray[Any, Any]:
    """Gives the matrix that blurs one axis with a Gaussian; the axis is mirrored at its outer pixels.

    Args:
        size: Number of pixels of the axis.
        sigma: Standard deviation in pixels, above 0; the kernel reaches as far as three of them.

    Returns:
        float64 ``(size, size)``, whose rows add up to 1.

    >>> mirrored_blur_matrix(3, sigma=0.5).round(3).tolist()
    [[0.787, 0.213, 0.001], [0.106, 0.787, 0.106], [0.001, 0.213, 0.787]]
    """
    half = math.ceil(3 * sigma)
    kernel = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma**2))
    places = np.pad(np.arange(size), half, mode="reflect")
    matrix = np.zeros((size, size))
    for shift, weight in enumerate(kernel / kernel.sum()):
        matrix[np.arange(size), places[shift : shift + size]] += weight
    return matrix


@keras.saving.register_keras_serializable(package="bioattack")
class PixelNoise(keras.layers.Layer):
    """Adds Gaussian noise to every pixel in training, and, where asked for, afterwards.

    Args:
        noise: Standard deviation of the noise, 0 or more.
        when_tested: ``"none"``; ``"fixed"``: the same noise in every image, drawn once and saved with the
            layer; or ``"random"``: drawn anew in every call. Attack a model with random noise through the
            expectation over several draws.
        seed: Of the noise; ``None``: from the global state.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, any value range.
        training: Whether to draw noise.

    Returns:
        The same shape as ``images``, not clipped.

    Raises:
        ValueError: If an argument is out of its range, or noise is fixed and the images have no fixed shape.

    Gradient:
        With respect to the images.

    Source:
        Shah and Raj 2023 and its public code, which tests with fixed noise.

    >>> PixelNoise(0.125)(ops.ones((1, 2, 2, 1))).numpy().ravel().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self, noise: float, *, when_tested: str = "none", seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise must be 0 or more. Received: noise={noise!r}")
        if when_tested not in NOISES_WHEN_TESTED:
            raise ValueError(
                f"when_tested must be one of {', '.join(NOISES_WHEN_TESTED)}. "
                f"Received: when_tested={when_tested!r}"
            )
        self.noise = noise
        self.when_tested = when_tested
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Draws the fixed noise."""
        if self.when_tested == "fixed":
            if len(input_shape) != 4 or None in input_shape[1:]:
                raise ValueError(
                    "images must be (batch, height, width, channels) with a fixed shape. "
                    f"Received: input_shape={input_shape}"
                )
            initializer = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
            self.pattern = self.add_weight(
                shape=input_shape[1:], initializer=initializer, trainable=False, name="pattern"
            )
        super().build(input_shape)

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Returns the images with their noise."""
        if training or self.when_tested == "random":
            pattern = keras.random.normal(ops.shape(images), dtype=images.dtype, seed=self.seed_generator)
        elif self.when_tested == "fixed":
            pattern = ops.cast(self.pattern, images.dtype)
        else:
            return images
        return images + self.noise * pattern

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the images."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {
            **super().get_config(),
            "noise": self.noise,
            "when_tested": self.when_tested,
            "seed": self.seed,
        }
