"""One call that tells whether an image distance keeps its promises."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.distances.distance import Distance
from bioattack.testing.checking import require

# Wide enough for float64 not to drown in rounding, small enough to stay within one linear piece.
_STEP = 1e-6
# Each against each, itself included.
_EXTREMES = ("noise", "black", "grey", "white")


@dataclasses.dataclass(frozen=True)
class DistanceExpectations:
    """What ``check_distance`` holds a distance to, beyond what holds for every distance.

    Args:
        identity: Largest distance of an image from itself, in float32.
        gradient_tolerance: Largest relative difference from central finite differences in float64.
        float32_tolerance: Largest difference of float32 from float64, relative to the distance.
    """

    identity: float = 1e-5
    gradient_tolerance: float = 1e-4
    float32_tolerance: float = 1e-3


def check_distance(
    distance: Distance, image_shape: tuple[int, int, int], *, expected: DistanceExpectations | None = None
) -> None:
    """Checks everything that an image distance promises.

    - an image is at distance 0 from itself, and no nearer to anything else;
    - gradients are finite at identical, constant, black and white images, in float32 and float64;
    - gradients are those of finite differences in float64, and float32 is near float64;
    - no row depends on another, eagerly and inside ``tf.function`` with an open batch size;
    - ``prepare`` and ``compare`` give what a call gives, and what is prepared has one row for each image;
    - too small images, other shapes, other ranks and integers are refused in one sentence.

    Args:
        distance: The distance.
        image_shape: Height, width and channels of the images to try, at least its ``least_size``.
        expected: What else must hold.

    Raises:
        AssertionError: If a promise is not kept; the message says which.

    >>> from bioattack.distances import make_distance
    >>> check_distance(make_distance("l2"), (4, 5, 3))
    """
    check = _DistanceCheck(distance, image_shape, expected or DistanceExpectations())
    check.identity()
    check.finite_gradients()
    check.rows()
    check.finite_differences()
    check.precision()
    check.graph()
    check.preparation()
    check.refusals()


@dataclasses.dataclass(frozen=True)
class _DistanceCheck:
    """The checks of one distance."""

    distance: Distance
    image_shape: tuple[int, int, int]
    expected: DistanceExpectations

    def identity(self) -> None:
        """0 at identity, more elsewhere."""
        reference, images = self._pictures()
        for dtype in (np.float32, np.float64):
            same = self.distance(reference.astype(dtype), reference.astype(dtype))
            self._hold(same.dtype == tf.as_dtype(dtype), f"{same.dtype.name} comes of {dtype.__name__}")
            self._hold(same.shape == (len(reference),), f"the shape is (batch,), not {same.shape}")
            largest = float(np.abs(same.numpy()).max())
            self._hold(
                largest <= self.expected.identity, f"an image is at distance {largest:.2g} from itself"
            )
        least = np.abs(same.numpy())
        for name, other in self._others(reference, images).items():
            found = self.distance(reference, other).numpy()
            self._hold(bool(np.isfinite(found).all()), f"the distance to {name} is finite: {found}")
            self._hold(
                bool((found >= -least - 1e-9).all()), f"nothing is nearer than the same: {name}, {found}"
            )
        self._hold(bool((self.distance(reference, images).numpy() > least).all()), "noise is further away")

    def finite_gradients(self) -> None:
        """Finite where roots, quotients and powers of 0 lurk."""
        noise = self._pictures()[1][0]
        extremes = [noise, *(np.full_like(noise, level) for level in (0.0, 0.3, 1.0))]
        reference = np.stack([one for one in extremes for _ in extremes])
        images = np.stack([other for _ in extremes for other in extremes])
        for dtype in (np.float32, np.float64):
            values, gradients = self._gradients(reference.astype(dtype), images.astype(dtype))
            for place, (value, gradient) in enumerate(zip(values, gradients, strict=True)):
                where = f"{_EXTREMES[place // 4]} and {_EXTREMES[place % 4]} in {dtype.__name__}"
                self._hold(bool(np.isfinite(value)), f"the distance of {where} is finite: {value}")
                self._hold(bool(np.isfinite(gradient).all()), f"the gradient at {where} is finite")

    def finite_differences(self) -> None:
        """The gradient, along a random direction for each image."""
        reference, images = self._pictures()
        direction = np.random.default_rng(2).normal(size=images.shape)
        _, gradients = self._gradients(reference, images)
        above, below = (
            self.distance(reference, images + step * direction).numpy() for step in (_STEP, -_STEP)
        )
        products = gradients * direction
        # The scale of the sum's terms: their sum itself may happen to be near 0.
        scale = np.sqrt(np.sum(products**2, axis=(1, 2, 3))) + 1e-12
        errors = np.abs(products.sum((1, 2, 3)) - (above - below) / (2 * _STEP)) / scale
        self._hold(
            bool((errors <= self.expected.gradient_tolerance).all()),
            f"the gradient is that of finite differences, off by {errors}",
        )

    def precision(self) -> None:
        """Float32 is near float64."""
        reference, images = self._pictures()
        wanted = self.distance(reference, images).numpy()
        found = self.distance(reference.astype(np.float32), images.astype(np.float32)).numpy()
        errors = np.abs(found / wanted - 1)
        self._hold(
            bool((errors <= self.expected.float32_tolerance).all()),
            f"float32 is near float64: {found} and {wanted}",
        )

    def rows(self) -> None:
        """Each row alone gives what it gives in company, gradient included."""
        reference, images = self._pictures()
        values, gradients = self._gradients(reference, images)
        for place in range(len(images)):
            alone = self._gradients(reference[place : place + 1], images[place : place + 1])
            self._same(alone[0][0], values[place], "the distance of a row alone")
            self._same(alone[1][0], gradients[place], "the gradient of a row alone")

    def graph(self) -> None:
        """The same inside tf.function with an open batch size, traced once."""
        reference, images = self._pictures()
        wanted = self._gradients(reference, images)
        open_images = tf.TensorSpec((None, *self.image_shape), tf.float64)
        function = tf.function(self._gradient_tensors, autograph=False).get_concrete_function(
            open_images, open_images
        )
        for number in (1, len(images)):
            found = function(tf.constant(reference[:number]), tf.constant(images[:number]))
            for one, other, what in zip(found, wanted, ("distance", "gradient"), strict=True):
                self._same(one.numpy(), other[:number], f"the {what} inside tf.function")

    def preparation(self) -> None:
        """What is prepared has one row for each image, and leads to the same distance."""
        reference, images = self._pictures()
        prepared = self.distance.prepare(tf.constant(reference))
        for name, value in prepared.items():
            self._hold(value.shape[0] == len(reference), f"{name} has one row for each image: {value.shape}")
        found = self.distance.compare(prepared, tf.constant(images))
        self._same(found.numpy(), self.distance(reference, images).numpy(), "compare after prepare")

    def refusals(self) -> None:
        """Bad input ends in one sentence."""
        height, width, channels = self.image_shape
        picture = np.zeros((1, height, width, channels), np.float32)
        self._refused(picture, picture[:, 1:] if height > 1 else picture[:, :, 1:], "shape")
        self._refused(picture[0], picture[0], "(batch, height, width, channels)")
        self._refused(picture.astype(np.uint8), picture.astype(np.uint8), "float32 or float64")
        too_small = self.distance.least_size - 1
        if too_small > 0:
            self._refused(picture[:, :too_small], picture[:, :too_small], str(self.distance.least_size))
            self._refused(picture[:, :, :too_small], picture[:, :, :too_small], str(too_small))

    def _refused(self, reference: np.ndarray, images: np.ndarray, word: str) -> None:
        try:
            self.distance(reference, images)
        except ValueError as error:
            message = str(error)
        except tf.errors.OpError as error:
            raise AssertionError(f"{self.distance.name}: {reference.shape} must be refused") from error
        else:
            raise AssertionError(
                f"{self.distance.name}: {reference.shape} and {images.shape} must be refused"
            )
        self._hold(word in message and "\n" not in message, f"one sentence names {word!r}: {message!r}")

    def _pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """Three references and as many images near them, float64, off the bounds."""
        random = np.random.default_rng(0)
        height, width, channels = self.image_shape
        rows, columns = np.mgrid[0:height, 0:width][..., None]
        waves = np.stack(
            [np.sin((rows * one + columns) / 7 + np.arange(channels)) for one in (0.3, 1.0, 2.0)]
        )
        reference = 0.5 + 0.2 * waves + random.uniform(-0.1, 0.1, waves.shape)
        strength = np.array([0.02, 0.05, 0.15])[:, None, None, None]
        return reference, reference + strength * random.uniform(-1, 1, reference.shape)

    def _others(self, reference: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "noise": images,
            "almost the same": reference + 1e-3 * (images - reference),
            "black": np.zeros_like(reference),
            "white": np.ones_like(reference),
            "its negative": 1 - reference,
        }

    def _gradient_tensors(self, reference: tf.Tensor, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            values = self.distance(reference, images)
        return values, tape.gradient(values, images)

    def _gradients(self, reference: Any, images: Any) -> tuple[np.ndarray, np.ndarray]:
        values, gradients = self._gradient_tensors(tf.constant(reference), tf.constant(images))
        if gradients is None:
            raise AssertionError(f"{self.distance.name}: no gradient reaches the images")
        return values.numpy(), gradients.numpy()

    def _same(self, found: np.ndarray, wanted: np.ndarray, what: str) -> None:
        scale = float(np.abs(wanted).max())
        np.testing.assert_allclose(
            found, wanted, rtol=1e-6, atol=1e-6 * scale, err_msg=f"{self.distance.name}: {what}"
        )

    def _hold(self, is_true: bool, statement: str) -> None:
        require(is_true, f"{self.distance.name}: does not hold: {statement}")
