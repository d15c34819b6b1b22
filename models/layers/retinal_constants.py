"""The radial law of the retina: how far from the gaze each ring of photoreceptors looks."""

import functools
import math
from typing import NamedTuple

import numpy as np

LEAST_SIDE = 6


class RetinalConstants(NamedTuple):
    """What ``retinal_constants`` returns.

    Args:
        field_constant: Receptive-field constant: the step at the gaze is ``(pi * field_constant) ** -0.5``.
        quadratic: ``a`` of the fitted law ``a * r**2 + b * r``, per pixel.
        linear: ``b`` of the fitted law, source pixels for each target pixel at the gaze.
        growth: By how much the logarithm of the density falls with each source pixel.
        first_step: Step at the gaze of the logarithmic law, in source pixels.
    """

    field_constant: float
    quadratic: float
    linear: float
    growth: float
    first_step: float


@functools.cache
def retinal_constants(source_side: int, target_side: int, *, density_ratio: float = 10.0) -> RetinalConstants:
    """Derives the radial law for square images.

    The density of photoreceptors falls exponentially from the gaze to the border, by ``density_ratio``. Rings
    lie where ``r[0] = 0`` and ``r[k + 1] = r[k] + (pi * c) ** -0.5 * exp(growth * r[k] / 2)``, with the
    receptive-field constant ``c`` such that the last of ``target_side // 2`` rings is at the border.

    - The quadratic law ``a * k**2 + b * k`` is fitted to the rings by least squares (at 320 pixels it ends at
      155 instead of 160).
    - The logarithmic law is the recurrence with infinitely small steps, exact at the border:
      ``r(k) = -2 / growth * log(1 - growth * first_step * k / 2)``.

    Args:
        source_side: Side of the images that are read, in pixels, 6 or more.
        target_side: Side of the images that are made, in pixels, 6 or more.
        density_ratio: Density at the gaze, divided by that at the border; above 1.

    Returns:
        The constants of both laws, computed in float64 without SciPy.

    Raises:
        ValueError: If a side is below 6 or the ratio not above 1.

    Source:
        Vuyyuru et al. 2020, public code of the retinal sampling, after the retinawarp of the DiCarlo lab.

    >>> constants = retinal_constants(320, 320)
    >>> round(constants.quadratic, 12), round(constants.linear, 12)
    (0.003039517951, 0.492399427428)
    """
    for name, side in (("source_side", source_side), ("target_side", target_side)):
        if side < LEAST_SIDE:
            raise ValueError(f"{name} must be {LEAST_SIDE} or more. Received: {name}={side!r}")
    if not density_ratio > 1:
        raise ValueError(f"density_ratio must be above 1. Received: density_ratio={density_ratio!r}")
    num_rings = target_side // 2
    border = source_side / 2
    growth = math.log(density_ratio) / border
    step = _first_step(border, growth=growth, num_rings=num_rings)
    rings = np.arange(num_rings, dtype="float64")
    radii = np.array(_ring_radii(step, growth=growth, num_rings=num_rings))
    fit, *_ = np.linalg.lstsq(np.stack([rings**2, rings], axis=1), radii, rcond=None)
    return RetinalConstants(
        field_constant=1.0 / (math.pi * step**2),
        quadratic=float(fit[0]),
        linear=float(fit[1]),
        growth=growth,
        first_step=2.0 * (1.0 - density_ratio**-0.5) / (growth * (num_rings - 1)),
    )


def _ring_radii(step: float, *, growth: float, num_rings: int) -> list[float]:
    """The radii of the rings, for a step at the gaze."""
    radii = [0.0]
    for _ in range(num_rings - 1):
        radii.append(radii[-1] + step * math.exp(growth * radii[-1] / 2))
    return radii


def _first_step(border: float, *, growth: float, num_rings: int) -> float:
    """The step at the gaze with which the last ring comes to lie at the border, by bisection."""
    # Steps only grow outwards: equal ones, which would just reach the border, are the most there can be.
    lowest, highest = 0.0, border / (num_rings - 1)
    while True:
        middle = (lowest + highest) / 2
        if middle in (lowest, highest):
            return middle
        if _ring_radii(middle, growth=growth, num_rings=num_rings)[-1] < border:
            lowest = middle
        else:
            highest = middle
