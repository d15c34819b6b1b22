"""Outlines of simple shapes as polygons, and the viewpoint that places them in a picture.

Object coordinates: an object fills about ``[-1, 1]`` in both directions, x to the right, y downwards.
Every outline is an array ``(points, 2)`` of float64.
"""

import functools

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

# Enough for a circle as wide as a 640-pixel picture to look round.
_POINTS_PER_TURN = 64


@functools.cache
def _unit_circle(num_points: int) -> Points:
    angles = np.linspace(0.0, 2.0 * np.pi, num_points, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def polygon(*corners: tuple[float, float]) -> Points:
    """Returns the outline through the given ``(x, y)`` corners."""
    return np.array(corners, dtype=np.float64)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """Returns an upright rectangle."""
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def ellipse(x: float, y: float, radius_x: float, radius_y: float | None = None) -> Points:
    """Returns an ellipse around ``(x, y)``; a circle when only one radius is given."""
    radii = np.array([radius_x, radius_x if radius_y is None else radius_y])
    return _unit_circle(_POINTS_PER_TURN) * radii + np.array([x, y])


def rounded_box(left: float, top: float, right: float, bottom: float, *, radius: float) -> Points:
    """Returns a rectangle whose corners are quarter circles of ``radius``."""
    quarters = (_unit_circle(32) * radius).reshape(4, 8, 2)
    corners = (
        (right - radius, bottom - radius),
        (left + radius, bottom - radius),
        (left + radius, top + radius),
        (right - radius, top + radius),
    )
    return np.concatenate(
        [quarter + np.array(corner) for quarter, corner in zip(quarters, corners, strict=True)]
    )


def arc(
    x: float, y: float, radius_x: float, radius_y: float, *, start: float, stop: float, num_points: int = 24
) -> Points:
    """Returns the open line along an ellipse from angle ``start`` to ``stop``, in turns; 0.25 is down."""
    angles = 2.0 * np.pi * np.linspace(start, stop, num_points)
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)


def curve(start: tuple[float, float], bend: tuple[float, float], stop: tuple[float, float]) -> Points:
    """Returns the open line of a quadratic Bezier curve."""
    along = np.linspace(0.0, 1.0, 16)[:, None]
    parts = (
        (1 - along) ** 2 * np.array(start),
        2 * along * (1 - along) * np.array(bend),
        along**2 * np.array(stop),
    )
    return parts[0] + parts[1] + parts[2]


def stroke(line: Points, width: float, end_width: float | None = None) -> Points:
    """Returns the outline of an open line drawn with a pen of ``width``, narrowing to ``end_width``."""
    direction = np.gradient(line, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    half_widths = np.linspace(width, width if end_width is None else end_width, len(line))[:, None] / 2
    sideways = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * half_widths
    return np.concatenate([line + sideways, (line - sideways)[::-1]])


def ring(x: float, y: float, radius: float, *, width: float) -> Points:
    """Returns a circle line of ``width`` with an open middle, closed along an invisible seam."""
    closed = np.concatenate([_unit_circle(48), _unit_circle(48)[:1]])
    outer, inner = closed * (radius + width / 2), closed[::-1] * (radius - width / 2)
    return np.concatenate([outer, inner]) + np.array([x, y])


def turned(outline: Points, turns: float, *, x: float = 0.0, y: float = 0.0) -> Points:
    """Returns the outline turned clockwise by ``turns`` of a full circle around ``(x, y)``."""
    cosine, sine = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    return (outline - (x, y)) @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y)


def viewpoint(generator: np.random.Generator, *, radius: float, spread: float) -> Points:
    """Draws where and how an object is seen, as a projective map from object to picture coordinates.

    Args:
        generator: The source of chance.
        radius: Half the object's width as a fraction of the picture's.
        spread: The centre lies within this fraction of the picture's middle, in both directions.

    Returns:
        ``(3, 3)``: mirrored or not, turned by up to a twentieth of a circle, foreshortened, sheared, seen in
        perspective, scaled and moved; picture coordinates run from 0 to 1.
    """
    turns = generator.uniform(-0.05, 0.05)
    cosine, sine = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    width, height = generator.uniform(0.8, 1.0), generator.uniform(0.88, 1.0)
    mirror = -1.0 if generator.random() < 0.5 else 1.0
    shear = generator.uniform(-0.14, 0.14)
    tilt_x, tilt_y = generator.uniform(-0.14, 0.14, size=2)
    stretch = np.array([[mirror * width, shear, 0], [0, height, 0], [0, 0, 1]])
    perspective = np.array([[1, 0, 0], [0, 1, 0], [tilt_x, tilt_y, 1]])
    x, y = 0.5 + generator.uniform(-spread, spread, size=2)
    placement = np.array([[radius, 0, x], [0, radius, y], [0, 0, 1]])
    return placement @ perspective @ rotation @ stretch


def seen_from(outline: Points, view: Points) -> Points:
    """Returns an outline in object coordinates as picture coordinates under a ``viewpoint``."""
    homogeneous = outline @ view[:, :2].T + view[:, 2]
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:])
