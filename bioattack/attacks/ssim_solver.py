"""The Newton direction of structural similarity, at any size of image: no Hessian is ever built."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import tensorflow as tf

from bioattack.attacks.ssim_hessian import BlockPreconditioner, RowBlur, RowLayout, StructuralHessian
from bioattack.distances.windows import PADDINGS, gaussian_window
from bioattack.errors import InputError

# As many values are solved for at a time: enough to keep a processor busy, few enough for its caches, and
# always the same number of images, so that the solver is compiled once for each size of image.
_VALUES_AT_A_TIME: Final = 2**16


@dataclasses.dataclass(frozen=True)
class NewtonSettings:
    """How structural similarity is measured and how far its Newton equation is solved.

    Args:
        tolerance: Residual at which an image is done, as a fraction of its first one, in the norm of the
            preconditioner; above 0.
        max_iterations: The most iterations of conjugate gradients, at least 1.
        window_size: Pixels across the Gaussian window, odd.
        sigma: Its standard deviation in pixels.
        k1: Constant of the luminance term; the range of values is 1.
        k2: Constant of the contrast term.
        padding: ``"symmetric"``, or ``"valid"``, where pixels at the rim hardly count in any window, so that
            most of the step ends up there.

    Raises:
        InputError: If a number is out of range or there is no such padding.
    """

    tolerance: float = 1e-4
    max_iterations: int = 500
    window_size: int = 11
    sigma: float = 1.5
    k1: float = 0.01
    k2: float = 0.03
    padding: str = "symmetric"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance must lie between 0 and 1. Received: tolerance={self.tolerance}")
        if self.max_iterations < 1:
            raise InputError(
                f"max_iterations must be at least 1. Received: max_iterations={self.max_iterations}"
            )
        if self.padding not in PADDINGS:
            raise InputError(
                f"padding must be one of {', '.join(PADDINGS)}. Received: padding={self.padding!r}"
            )
        try:
            gaussian_window(self.window_size, self.sigma)
        except ValueError as error:
            raise InputError(str(error)) from error


class NewtonSolution(NamedTuple):
    """What the solver found.

    Args:
        directions: ``(batch, height, width, channels)``: the inverse Hessian times the gradients.
        num_iterations: ``(batch,)``, int32.
        residuals: ``(batch,)``: what is left, as a fraction of the first residual.
    """

    directions: tf.Tensor
    num_iterations: tf.Tensor
    residuals: tf.Tensor


def newton_directions(
    images: tf.Tensor, gradients: tf.Tensor, settings: NewtonSettings | None = None
) -> NewtonSolution:
    """Solves ``H D = g`` for each image, H the Hessian of 1 - SSIM(image, .) at the image itself.

    H is symmetric and positive definite. A product with it costs two blurs
    (``hessian_product``), and conjugate gradients need nothing else. What is left of the condition of H after
    division by its diagonal are smooth changes of bright plain areas, which cost almost nothing; the
    preconditioner adds the means over blocks of 8, 32, 128, ... pixels, each divided by about what H gives
    for such a block. An image is done, and not moved again, once its own residual is small enough.

    Args:
        images: ``(batch, height, width, channels)``, float32 or float64, [0, 1], at least 5 x 5 pixels.
        gradients: The same shape and dtype, finite.
        settings: Windows and tolerance.

    Returns:
        The directions, in the scale of ``H^-1 g``; 0 where the gradient is 0.

    Raises:
        InputError: If the images are smaller than half a window.

    Source:
        Hua et al. 2022, equation 3.4, with the Hessian in closed form instead of as a matrix.

    >>> solution = newton_directions(tf.fill((1, 16, 16, 1), 0.5), tf.ones((1, 16, 16, 1)))
    >>> solution.directions.shape
    TensorShape([1, 16, 16, 1])
    """
    settings = settings or NewtonSettings()
    check_window_fits(images.shape, settings)
    number, shape = tf.shape(images)[0], tuple(images.shape[1:])
    group = _group_size(int(np.prod(shape)))
    padding = ((0, -number % group), (0, 0), (0, 0), (0, 0))
    groups = [tf.reshape(tf.pad(values, padding), (-1, group, *shape)) for values in (images, gradients)]
    signature = NewtonSolution(
        tf.TensorSpec((group, *shape), images.dtype),
        tf.TensorSpec((group,), tf.int32),
        tf.TensorSpec((group,), images.dtype),
    )
    solve = _compiled_solver(settings)
    solved = tf.map_fn(
        lambda both: solve(*both), groups, fn_output_signature=signature, parallel_iterations=1
    )
    return NewtonSolution(*(tf.reshape(values, (-1, *values.shape[2:]))[:number] for values in solved))


def hessian_product(
    images: tf.Tensor, directions: tf.Tensor, settings: NewtonSettings | None = None
) -> tf.Tensor:
    """Multiplies with the Hessian of 1 - SSIM(image, .) at the image itself.

    With G the blur, mu and s2 the means and variances under its windows, ``a = 1 / (2 mu^2 + C1)`` and
    ``b = 1 / (2 s2 + C2)``, it is ``2 / n [G'((a - b) G d) + (G'b) d]``, n the number of windows. On colour
    images SSIM is the mean over the channels.

    Args:
        images: ``(batch, height, width, channels)``, float32 or float64, [0, 1].
        directions: The same shape and dtype.
        settings: Windows.

    Returns:
        The same shape and dtype.

    Source:
        The second-order expansion of Wang et al. 2004 where both images are equal.

    >>> grey = tf.fill((1, 11, 11, 1), 0.5)
    >>> hessian_product(grey, tf.zeros_like(grey)).shape
    TensorShape([1, 11, 11, 1])
    """
    settings = settings or NewtonSettings()
    check_window_fits(images.shape, settings)
    hessian, layout = _hessian(images, settings), RowLayout(*images.shape)
    return layout.images(hessian.product(layout.rows(directions))) / _half_number(layout, settings)


def check_window_fits(shape: Sequence[int | None], settings: NewtonSettings) -> None:
    """Checks that the window fits into images ``(batch, height, width, channels)``.

    Raises:
        InputError: If it does not: the whole of it without padding, half of it where images are mirrored.
    """
    least = settings.window_size // (2 if settings.padding == "symmetric" else 1)
    if min(shape[1] or 0, shape[2] or 0) < least:
        raise InputError(
            f"the attack on structural similarity needs pictures of at least {least} x {least} pixels. "
            f"Received: {shape[1]} x {shape[2]}"
        )


def _group_size(num_values: int) -> int:
    """How many images of so many values are solved for at a time: a power of two, as batches mostly are."""
    return 1 << max(0, (_VALUES_AT_A_TIME // num_values).bit_length() - 1)


@functools.cache
def _compiled_solver(settings: NewtonSettings) -> Callable[[tf.Tensor, tf.Tensor], NewtonSolution]:
    # All of the loop in one kernel: its steps are small, and fused they read memory a few times, not twenty.
    solver: Callable[[tf.Tensor, tf.Tensor], NewtonSolution] = tf.function(
        functools.partial(_solve, settings=settings), jit_compile=True, autograph=False
    )
    return solver


def _hessian(images: tf.Tensor, settings: NewtonSettings) -> StructuralHessian:
    layout = RowLayout(*images.shape)
    window = gaussian_window(settings.window_size, settings.sigma)
    blur = RowBlur(layout, window, padding=settings.padding)
    return StructuralHessian(layout.rows(images), blur, (settings.k1**2, settings.k2**2))


def _half_number(layout: RowLayout, settings: NewtonSettings) -> float:
    """Half the number of windows and channels, by which the Hessian is divided."""
    lost = settings.window_size - 1 if settings.padding == "valid" else 0
    return (layout.height - lost) * (layout.width - lost) * layout.num_channels / 2


def _solve(images: tf.Tensor, gradients: tf.Tensor, settings: NewtonSettings) -> NewtonSolution:
    """Solves for a fixed number of images."""
    layout = RowLayout(*images.shape)
    system = _System(layout, _hessian(images, settings))
    # Gradients of any scale: their squares must neither vanish nor overflow.
    scale = tf.reduce_max(tf.abs(gradients), axis=(1, 2, 3))
    right = layout.rows(tf.math.divide_no_nan(gradients, scale[:, None, None, None]))
    start = system.start(right, settings.tolerance)
    _, found = tf.while_loop(
        lambda number, state: (number < settings.max_iterations) & tf.reduce_any(state.is_open),
        lambda number, state: (number + 1, system.iterate(state)),
        (tf.constant(0), start),
    )
    factor = scale * tf.cast(_half_number(layout, settings), scale.dtype)
    residuals = tf.sqrt(tf.math.divide_no_nan(found.energies, start.energies))
    return NewtonSolution(
        layout.images(found.solutions) * factor[:, None, None, None], found.num_iterations, residuals
    )


class _Iterates(NamedTuple):
    """Where conjugate gradients stand; energies are ``r' M r`` of the residuals r, to come down to goals."""

    solutions: tf.Tensor
    residuals: tf.Tensor
    directions: tf.Tensor
    energies: tf.Tensor
    goals: tf.Tensor
    num_iterations: tf.Tensor
    is_open: tf.Tensor


class _System:
    """One iteration of preconditioned conjugate gradients for all images of a group.

    Source:
        Saad 2003, Iterative Methods for Sparse Linear Systems, algorithm 9.1.
    """

    def __init__(self, layout: RowLayout, hessian: StructuralHessian) -> None:
        self.layout, self.hessian = layout, hessian
        self.preconditioner = BlockPreconditioner(hessian)

    def start(self, right: tf.Tensor, tolerance: float) -> _Iterates:
        """Begins at 0."""
        directions = self.preconditioner.apply(right)
        energies = self.layout.sum_of_products(right, directions)
        goals, none = tolerance**2 * energies, tf.zeros(energies.shape, tf.int32)
        return _Iterates(tf.zeros_like(right), right, directions, energies, goals, none, energies > 0)

    def iterate(self, state: _Iterates) -> _Iterates:
        """Moves the images that are not done; the others keep what they have."""
        products = self.hessian.product(state.directions)
        curvatures = self.layout.sum_of_products(state.directions, products)
        # Below 0 by rounding only, once float32 can do no better.
        is_open = state.is_open & (curvatures > 0)
        lengths = tf.where(is_open, tf.math.divide_no_nan(state.energies, curvatures), 0.0)
        lengths = self.layout.spread(lengths)
        residuals = state.residuals - lengths * products
        scaled = self.preconditioner.apply(residuals)
        energies = self.layout.sum_of_products(residuals, scaled)
        ratios = self.layout.spread(tf.math.divide_no_nan(energies, state.energies))
        return _Iterates(
            state.solutions + lengths * state.directions,
            residuals,
            scaled + ratios * state.directions,
            energies,
            state.goals,
            state.num_iterations + tf.cast(is_open, tf.int32),
            is_open & (energies > state.goals),
        )
