"""The ten objects of the built-in data set, drawn from polygons with shapes that vary within a class.

An object is drawn with a pen ``fill(outline, tone, height)``: ``tone`` is an index into the object's random
palette (main, second, dark, pale, shaded), so that a drawing says nothing about colour.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from bioattack.tfrecords_builder.synthetic_shapes import (
    Points,
    arc,
    box,
    curve,
    ellipse,
    polygon,
    ring,
    rounded_box,
    stroke,
    turned,
)

MAIN, SECOND, DARK, PALE, SHADED = range(5)


class Fill(Protocol):
    """Fills one part of an object; later parts cover earlier ones."""

    def __call__(self, outline: Points, tone: int, height: float = 0.5) -> None:
        """Fills ``outline`` with a palette ``tone`` at a ``height`` in [0, 1]."""


def draw_car(fill: Fill, generator: np.random.Generator) -> None:
    """Draws a car from the side: body, cabin with two windows, wheels, lamps."""
    roof, nose = generator.uniform(-0.62, -0.45), generator.uniform(-0.1, 0.02)
    cabin_front, cabin_back = generator.uniform(0.25, 0.4), generator.uniform(-0.75, -0.5)
    slant = generator.uniform(0.18, 0.32)
    fill(
        polygon(
            (cabin_back - 0.12, nose),
            (cabin_back + 0.1, roof),
            (cabin_front, roof),
            (cabin_front + slant, nose),
        ),
        MAIN,
        0.6,
    )
    body = polygon(
        (-1, 0.05), (-0.92, nose - 0.04), (0.55, nose - 0.02), (0.95, nose + 0.1), (1, 0.36), (-1, 0.36)
    )
    fill(body, MAIN, 0.7)
    middle = (cabin_back + cabin_front) / 2 + 0.04
    fill(
        polygon(
            (cabin_back + 0.02, nose),
            (cabin_back + 0.16, roof + 0.09),
            (middle - 0.04, roof + 0.09),
            (middle - 0.04, nose),
        ),
        PALE,
        0.4,
    )
    fill(
        polygon(
            (middle + 0.04, nose),
            (middle + 0.04, roof + 0.09),
            (cabin_front - 0.03, roof + 0.09),
            (cabin_front + slant - 0.1, nose),
        ),
        PALE,
        0.4,
    )
    fill(box(-0.98, 0.24, 0.99, 0.32), SECOND, 0.8)
    fill(ellipse(0.93, 0.13, 0.06, 0.08), PALE, 0.9)
    wheel = generator.uniform(0.22, 0.28)
    for x in (-0.55, 0.55):
        fill(ellipse(x, 0.36, wheel), DARK, 0.9)
        fill(ellipse(x, 0.36, wheel * 0.5), PALE, 1.0)


def draw_chair(fill: Fill, generator: np.random.Generator) -> None:
    """Draws a chair from the front and above: a back of slats or a panel, a seat, four legs."""
    leg, depth = generator.uniform(0.1, 0.15), generator.uniform(0.24, 0.34)
    left, right, seat, shift = -0.58, 0.42, 0.2, generator.uniform(0.1, 0.28)
    back_left, back_right, back_seat = left + shift, right + shift, seat - depth
    top = generator.uniform(-1.0, -0.85)
    for x, y, foot in (
        (back_left, back_seat, 0.72),
        (back_right, back_seat, 0.72),
        (left, seat, 1.0),
        (right, seat, 1.0),
    ):
        fill(box(x - leg / 2, y, x + leg / 2, foot), SHADED if foot < 1 else MAIN, 0.3 if foot < 1 else 0.6)
    for x in (back_left, back_right):
        fill(box(x - leg / 2, top, x + leg / 2, back_seat), MAIN, 0.5)
    style = generator.integers(3)
    if style == 0:
        fill(rounded_box(back_left - 0.07, top - 0.03, back_right + 0.07, top + 0.55, radius=0.1), MAIN, 0.6)
    elif style == 1:
        for y in np.linspace(top + 0.02, back_seat - 0.28, 3):
            fill(box(back_left, y, back_right, y + 0.13), MAIN, 0.6)
    else:
        fill(box(back_left - 0.06, top - 0.02, back_right + 0.06, top + 0.14), MAIN, 0.6)
        for x in np.linspace(back_left, back_right, 5)[1:-1]:
            fill(box(x - 0.035, top, x + 0.035, back_seat), MAIN, 0.5)
    fill(
        polygon(
            (left - 0.08, seat),
            (right + 0.08, seat),
            (back_right + 0.08, back_seat),
            (back_left - 0.08, back_seat),
        ),
        PALE,
        0.8,
    )
    fill(box(left - 0.08, seat, right + 0.08, seat + 0.12), MAIN, 0.7)


def draw_fish(fill: Fill, generator: np.random.Generator) -> None:
    """Draws a fish from the side: tail, fins, body, up to three stripes, gill, eye."""
    girth = generator.uniform(0.38, 0.58)
    fork, spread = generator.uniform(0.62, 0.78), generator.uniform(0.35, 0.52)
    fill(polygon((0.45, 0.0), (0.98, -spread), (fork, 0.0), (0.98, spread)), SECOND, 0.4)
    fin = generator.uniform(0.2, 0.35)
    fill(
        np.concatenate([curve((-0.35, -girth * 0.75), (0.0, -girth - 2 * fin), (0.4, -girth * 0.45))]),
        SECOND,
        0.4,
    )
    fill(polygon((-0.05, girth * 0.7), (0.3, girth + fin * 0.8), (0.3, girth * 0.5)), SECOND, 0.4)
    upper, lower = (
        curve((-0.95, 0.05), (-0.3, -2 * girth), (0.62, -0.06)),
        curve((0.62, 0.06), (-0.3, 2 * girth), (-0.95, 0.05)),
    )
    fill(np.concatenate([upper, lower]), MAIN, 0.7)
    for x in np.linspace(-0.15, 0.35, int(generator.integers(0, 4))):
        tall = girth * (0.72 - 0.9 * abs(x + 0.15))
        fill(stroke(curve((x, -tall), (x + 0.12, 0.0), (x, tall)), 0.09), SECOND, 0.7)
    fill(stroke(arc(-0.62, 0.02, 0.2, girth * 0.55, start=-0.14, stop=0.14), 0.045), SECOND, 0.5)
    fill(ellipse(-0.68, -0.1 * girth - 0.05, 0.1), PALE, 0.9)
    fill(ellipse(-0.69, -0.1 * girth - 0.05, 0.055), DARK, 1.0)


def draw_house(fill: Fill, generator: np.random.Generator) -> None:
    """Draws a house: a gabled front, often a side wall going back, roof, chimney, door, windows."""
    right = generator.uniform(0.05, 0.25) if generator.random() < 0.6 else 0.8
    left, eaves, bottom = -0.85, generator.uniform(-0.2, -0.05), 0.8
    ridge, middle = generator.uniform(-0.95, -0.75), (left + right) / 2
    chimney = middle + (0.18 if right > 0.5 else 0.35)
    fill(box(chimney, ridge - 0.05, chimney + 0.17, eaves - 0.2), SECOND, 0.4)
    if right < 0.5:
        fill(box(right, eaves, 0.92, bottom - 0.06), SHADED, 0.4)
        fill(box(right + 0.2, 0.1, 0.75, 0.42), PALE, 0.3)
        fill(
            polygon((middle, ridge), (0.85, ridge + 0.05), (1.0, eaves + 0.05), (right, eaves + 0.05)),
            SECOND,
            0.6,
        )
    fill(
        polygon((left, eaves), (middle, ridge + 0.05), (right, eaves), (right, bottom), (left, bottom)),
        MAIN,
        0.6,
    )
    for end in (left - 0.1, right + 0.1):
        fill(stroke(polygon((middle, ridge), (end, eaves + 0.08)), 0.14), SECOND, 0.8)
    width = right - left
    door = left + width * generator.uniform(0.12, 0.5)
    fill(box(door, 0.25, door + 0.26 * width, bottom), DARK, 0.4)
    window = left + 0.68 * width if door < middle - 0.18 * width else left + 0.1 * width
    fill(box(window, 0.15, window + 0.24 * width, 0.48), PALE, 0.4)
    fill(ellipse(middle, eaves - 0.15, 0.11), PALE, 0.4)


def draw_key(fill: Fill, generator: np.random.Generator) -> None:
    """Draws a key lying aslant: a bow with a hole, a shaft with a collar, two to four teeth."""
    turns, thick = generator.uniform(-0.06, 0.06), generator.uniform(0.16, 0.2)
    has_round_bow, bow = generator.random() < 0.6, generator.uniform(0.32, 0.38)
    parts = [(box(-0.35, -thick / 2, 0.95, thick / 2), MAIN, 0.5)]
    for x in np.linspace(0.92, 0.92 - generator.uniform(0.25, 0.4), int(generator.integers(2, 5))):
        length = generator.uniform(0.2, 0.38)
        parts.append((box(x - 0.1, 0.0, x, length), MAIN, 0.5))
    parts.append((rounded_box(-0.3, -thick * 0.85, -0.16, thick * 0.85, radius=0.04), SECOND, 0.8))
    if has_round_bow:
        parts.append((ring(-0.62, 0.0, bow, width=0.19), MAIN, 0.7))
    else:
        for start, stop in (
            ((-0.95, -bow), (-0.3, -bow)),
            ((-0.95, bow), (-0.3, bow)),
            ((-0.9, -bow), (-0.9, bow)),
            ((-0.36, -bow), (-0.36, bow)),
        ):
            parts.append((stroke(polygon(start, stop), 0.18), MAIN, 0.7))
    for outline, tone, height in parts:
        fill(turned(outline, turns), tone, height)


def draw_lamp(fill: Fill, generator: np.random.Generator) -> None:
    """Draws a lamp: a table lamp with a shade, or a desk lamp with a bent arm."""
    if generator.random() < 0.2:
        elbow = (generator.uniform(0.3, 0.5), generator.uniform(-0.2, 0.05))
        head = (generator.uniform(-0.25, -0.1), generator.uniform(-0.8, -0.65))
        fill(rounded_box(-0.45, 0.82, 0.4, 0.97, radius=0.06), MAIN, 0.6)
        fill(stroke(polygon((-0.05, 0.85), elbow), 0.1), SECOND, 0.5)
        fill(stroke(polygon(elbow, head), 0.1), SECOND, 0.5)
        fill(ellipse(*elbow, 0.1), MAIN, 0.9)
        cone = polygon((-0.14, -0.16), (0.14, -0.16), (0.44, 0.36), (-0.44, 0.36)) + np.array(head)
        aim = generator.uniform(0.06, 0.14)
        fill(turned(ellipse(head[0], head[1] + 0.4, 0.2, 0.13), aim, x=head[0], y=head[1]), PALE, 0.6)
        fill(turned(cone, aim, x=head[0], y=head[1]), MAIN, 0.7)
        return
    top, bottom = generator.uniform(0.22, 0.4), generator.uniform(0.55, 0.75)
    rim, foot = generator.uniform(-0.2, 0.0), generator.uniform(0.3, 0.45)
    fill(box(-0.05, rim - 0.1, 0.05, 0.9), SECOND, 0.4)
    if generator.random() < 0.6:
        belly = generator.uniform(0.18, 0.3)
        fill(ellipse(0.0, 0.5, belly, 0.34), SECOND, 0.7)
    fill(ellipse(0.0, 0.9, foot, 0.1), SECOND, 0.6)
    fill(ellipse(0.0, rim + 0.04, 0.11, 0.12), PALE, 0.5)
    fill(
        np.concatenate(
            [polygon((-top, -0.95), (top, -0.95)), arc(0.0, rim, bottom, 0.08, start=0.0, stop=0.5)]
        ),
        MAIN,
        0.7,
    )
    fill(
        np.concatenate(
            [
                polygon((-bottom, rim - 0.09), (bottom, rim - 0.09)),
                arc(0.0, rim, bottom, 0.08, start=0.0, stop=0.5),
            ]
        ),
        PALE,
        0.75,
    )


def draw_leaf(fill: Fill, generator: np.random.Generator) -> None:
    """Draws a leaf: a smooth or toothed blade with a stalk and veins."""
    turns, width = generator.uniform(-0.06, 0.06), generator.uniform(0.48, 0.65)
    along = np.linspace(0.0, 1.0, 80)
    half = width * np.sin(np.pi * along**0.8) ** 0.9
    is_toothed, num_teeth = generator.random() < 0.5, int(generator.integers(4, 7))
    if is_toothed:
        half *= 1.0 - 0.22 * (along * num_teeth * 2 % 1.0)
    bend = generator.uniform(-0.15, 0.15)
    spine = np.stack([bend * np.sin(np.pi * along), -0.95 + 1.5 * along], axis=1)
    sideways = np.stack([half, np.zeros_like(half)], axis=1)
    stalk = curve((0.0, 0.5), (0.02, 0.8), (generator.uniform(-0.15, 0.15), 1.0))
    fill(turned(stroke(stalk, 0.1, 0.08), turns), SECOND, 0.5)
    fill(turned(np.concatenate([spine + sideways, (spine - sideways)[::-1]]), turns), MAIN, 0.6)
    fill(turned(stroke(spine[4:], 0.025, 0.08), turns), PALE, 0.9)
    for at in range(16, 72, 13):
        for side in (-1, 1):
            reach = spine[at] + np.array([side * 0.82 * half[at - 9], -0.2])
            fill(turned(stroke(np.stack([spine[at], reach]), 0.045, 0.02), turns), PALE, 0.85)


def draw_mug(fill: Fill, generator: np.random.Generator) -> None:
    """Draws a mug: a tapering body, a handle, an open top with a drink in it, often a band."""
    top, bottom = generator.uniform(0.5, 0.62), generator.uniform(0.42, 0.58)
    tall, lip = generator.uniform(0.6, 0.85), generator.uniform(0.1, 0.2)
    edge, bulge = 0.5 * (top + bottom) - 0.2, generator.uniform(0.42, 0.58)
    fill(
        stroke(
            arc(edge - 0.02, 0.0, bulge, tall * 0.55, start=-0.25, stop=0.25), generator.uniform(0.13, 0.19)
        ),
        MAIN,
        0.5,
    )
    left_top, right_top = -0.2 - top, -0.2 + top
    left_bottom, right_bottom = -0.2 - bottom, -0.2 + bottom
    base = arc(-0.2, tall, bottom, lip * 0.8, start=0.0, stop=0.5)
    fill(np.concatenate([polygon((left_top, -tall), (right_top, -tall)), base]), MAIN, 0.7)
    if generator.random() < 0.6:
        upper, lower = generator.uniform(-0.25, 0.0), generator.uniform(0.15, 0.4)
        band = []
        for y, start, stop in ((upper, 0.5, 0.0), (lower, 0.0, 0.5)):
            share = (y + tall) / (2 * tall)
            band.append(arc(-0.2, y, top + share * (bottom - top), lip, start=start, stop=stop))
        fill(np.concatenate(band), SECOND, 0.7)
    fill(ellipse(-0.2, -tall, top, lip), PALE, 0.9)
    fill(ellipse(-0.2, -tall + 0.015, top * 0.86, lip * 0.74), DARK, 0.3)
    fill(polygon((left_bottom, tall), (right_bottom, tall), (-0.2, tall)), MAIN, 0.7)


def draw_tree(fill: Fill, generator: np.random.Generator) -> None:
    """Draws a tree: a trunk under a crown of round tufts or of three stacked cones."""
    thick = generator.uniform(0.1, 0.16)
    trunk = polygon(
        (-thick, 0.0),
        (thick, 0.0),
        (thick * 1.1, 0.8),
        (thick * 1.7, 0.98),
        (-thick * 1.7, 0.98),
        (-thick * 1.1, 0.8),
    )
    fill(trunk, SECOND, 0.4)
    if generator.random() < 0.25:
        wide, floor = generator.uniform(0.55, 0.72), 0.55
        for level in range(3):
            bottom, half = floor - 0.42 * level, wide * (1.0 - 0.24 * level)
            cone = polygon((-half, bottom), (0.0, bottom - 0.72), (half, bottom), (0.0, bottom + 0.09))
            fill(cone, MAIN if level != 1 else PALE, 0.5 + 0.15 * level)
        return
    for bough in (-1, 1):
        fill(stroke(polygon((0.0, 0.45), (bough * 0.4, -0.05)), 0.12, 0.06), SECOND, 0.4)
    num_tufts = int(generator.integers(6, 9))
    around = 2 * np.pi * (np.arange(num_tufts) + generator.uniform()) / num_tufts
    wide, tall = generator.uniform(0.4, 0.52), generator.uniform(0.28, 0.4)
    for order, angle in enumerate(around):
        x, y = wide * np.cos(angle), -0.38 + tall * np.sin(angle)
        fill(ellipse(x, y, generator.uniform(0.26, 0.36)), MAIN, 0.5 + 0.04 * order)
    fill(ellipse(generator.uniform(-0.2, 0.0), -0.5, 0.36), MAIN, 0.9)
    for _ in range(int(generator.integers(0, 7))):
        fill(ellipse(generator.uniform(-0.5, 0.5), generator.uniform(-0.75, -0.1), 0.055), SECOND, 1.0)


def draw_umbrella(fill: Fill, generator: np.random.Generator) -> None:
    """Draws an open umbrella: panels between ribs with a scalloped edge, a shaft with a hooked handle."""
    rim, tall = generator.uniform(-0.15, 0.05), generator.uniform(0.6, 0.8)
    num_panels, thick = int(generator.integers(4, 7)), generator.uniform(0.07, 0.1)
    hook = generator.uniform(0.14, 0.2)
    fill(box(-thick / 2, rim - tall - 0.14, thick / 2, 0.78), DARK, 0.4)
    fill(stroke(arc(-hook, 0.78, hook, hook, start=0.0, stop=0.55), thick * 1.3), SECOND, 0.6)
    foots = -0.95 * np.cos(np.pi * np.linspace(0.0, 1.0, num_panels + 1))
    for panel in range(num_panels):
        left, right = foots[panel], foots[panel + 1]
        middle, half = (left + right) / 2, (right - left) / 2
        # The rim's edge runs from the right foot back to the left one, drawn in by the taut cloth.
        scallop = arc(middle, rim, half, -0.1, start=0.0, stop=0.5, num_points=12)
        outline = np.concatenate(
            [_rib(left, rim=rim, tall=tall), _rib(right, rim=rim, tall=tall)[::-1], scallop]
        )
        fill(outline, MAIN if panel % 2 else SECOND, 0.65 + 0.1 * (panel % 2))


def _rib(foot: float, *, rim: float, tall: float) -> Points:
    """Returns the line of an umbrella's rib from its foot on the rim up to the tip."""
    angles = 0.5 * np.pi * np.linspace(0.0, 1.0, 12)
    return np.stack([foot * np.cos(angles), rim - tall * np.sin(angles)], axis=1)


DRAWERS: dict[str, Callable[[Fill, np.random.Generator], None]] = {
    "car": draw_car,
    "chair": draw_chair,
    "fish": draw_fish,
    "house": draw_house,
    "key": draw_key,
    "lamp": draw_lamp,
    "leaf": draw_leaf,
    "mug": draw_mug,
    "tree": draw_tree,
    "umbrella": draw_umbrella,
}
