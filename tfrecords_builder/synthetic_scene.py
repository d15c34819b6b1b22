"""Scenes of the built-in data set: an object among clutter before a textured background, in some light."""

import colorsys
import dataclasses
import functools

import numpy as np
import numpy.typing as npt
from PIL import Image

from bioattack.tfrecords_builder.synthetic_canvas import Canvas, Colour, Field, Light, pixel_grid
from bioattack.tfrecords_builder.synthetic_objects import DRAWERS
from bioattack.tfrecords_builder.synthetic_shapes import (
    Points,
    arc,
    box,
    curve,
    ellipse,
    polygon,
    ring,
    stroke,
    viewpoint,
)

# What full hardship takes from the light and adds in clutter and sensor noise.
HARDSHIP_DIMMING, HARDSHIP_CLUTTER, HARDSHIP_NOISE = 0.6, 12, 0.05


@dataclasses.dataclass(frozen=True)
class Hardship:
    """How much worse than usual a picture is made.

    Args:
        strength: From 0, not at all, to 1. Every pixel is multiplied by ``1 - 0.6 * strength``,
            ``round(12 * strength)`` further shapes clutter the scene (every fourth of them in front of the
            object), and the standard deviation of the noise grows by ``0.05 * strength`` of the pixel range.
        entropy: Seed of the further shapes; no other draw of the scene depends on hardship.
    """

    strength: float
    entropy: tuple[int, ...]

    @property
    def dimming(self) -> float:
        """The factor on every pixel, from 1 down to 0.4."""
        return 1.0 - HARDSHIP_DIMMING * self.strength

    @property
    def num_shapes(self) -> int:
        """The number of further shapes, 0 to 12."""
        return round(HARDSHIP_CLUTTER * self.strength)


def draw_scene(
    class_name: str, size: int, generator: np.random.Generator, *, hardship: Hardship | None = None
) -> npt.NDArray[np.uint8]:
    """Draws one picture.

    The same generator state gives the same scene at every size, and the same bytes at the same size.

    Args:
        class_name: A key of ``DRAWERS``.
        size: Side of the picture in pixels.
        generator: The source of all chance except the clutter that hardship adds.
        hardship: What makes the picture worse than usual; nothing by default.

    Returns:
        ``(size, size, 3)``, uint8.
    """
    background_colours = [_random_colour(generator) for _ in range(3)]
    picture = _background(size, generator, background_colours)
    light = _random_light(generator)
    radius = generator.uniform(0.33, 0.43)
    view = viewpoint(generator, radius=radius, spread=0.47 - radius)
    palette = _palette(generator, background_colours)

    behind, front = Canvas(size), Canvas(size)
    for _ in range(int(generator.integers(2, 6))):
        _draw_clutter(behind, generator, _anywhere(generator), palette)
    for _ in range(int(generator.integers(0, 2))):
        _draw_clutter(front, generator, _at_the_edge(generator, view), palette)
    if hardship is not None:
        further = np.random.default_rng(hardship.entropy)
        for index in range(hardship.num_shapes):
            _draw_clutter(front if index % 4 == 3 else behind, further, _anywhere(further), palette)

    middle = Canvas(size)
    DRAWERS[class_name](
        lambda outline, tone, height=0.5: middle.fill(outline, view, colour=palette[tone], height=height),
        generator,
    )
    for layer, depth in ((behind, 0.012), (middle, 0.03), (front, 0.02)):
        picture = layer.composed_over(picture, light, depth=depth)
    return _exposed(picture, generator, light, hardship)


def _random_colour(generator: np.random.Generator) -> Colour:
    hue, saturation, value = generator.random(3).tolist()
    return np.array(colorsys.hsv_to_rgb(hue, 0.05 + 0.7 * saturation, 0.25 + 0.67 * value))


def _palette(generator: np.random.Generator, background: list[Colour]) -> list[Colour]:
    """Draws the object's five colours; its main one differs from the background's by the best of five."""
    candidates = [_random_colour(generator) for _ in range(5)]
    main = max(
        candidates, key=lambda colour: min(float(np.linalg.norm(colour - other)) for other in background)
    )
    second = _random_colour(generator)
    if generator.random() < 0.5:
        second = main * generator.uniform(0.55, 0.8)
    return [main, second, main * 0.2 + 0.03, 0.35 * main + 0.6, main * 0.62]


def _random_light(generator: np.random.Generator) -> Light:
    angle, elevation = generator.uniform((0.0, 0.6), (2 * np.pi, 1.1)).tolist()
    direction = (np.cos(angle) * np.cos(elevation), np.sin(angle) * np.cos(elevation), np.sin(elevation))
    ambient, shadow = generator.uniform((0.3, 0.2), (0.6, 0.5)).tolist()
    return Light(direction_xyz=direction, ambient=ambient, shadow=shadow)


def _background(size: int, generator: np.random.Generator, colours: list[Colour]) -> Field:
    """Draws one of six kinds of background, ``(size, size, 3)`` around [0, 1]."""
    x, y = pixel_grid(size)
    angle, frequency, phase = generator.uniform((0.0, 2.0, 0.0), (2 * np.pi, 7.0, 2 * np.pi)).tolist()
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = x * cosine + y * sine, y * cosine - x * sine
    clouds = _noise(size, generator, roughness=generator.uniform(0.35, 0.75))
    wave = np.float32(2 * np.pi * frequency)
    kind = generator.integers(6)
    if kind == 0:
        mix = clouds
    elif kind == 1:
        mix = along - np.float32(0.5)
    elif kind == 2:
        mix = np.tanh(4.0 * np.sin(wave * along + phase + 3.0 * clouds)) * np.float32(0.5)
    elif kind == 3:
        mix = np.tanh(12.0 * np.sin(wave * along + phase) * np.sin(wave * across)) * np.float32(0.5)
    elif kind == 4:
        mix = np.sin(wave * clouds + 4.0 * along) * np.float32(0.5)
    else:
        mix = np.tanh(40.0 * (y - generator.uniform(0.35, 0.75) + 0.3 * (x - 0.5) * cosine)) * np.float32(0.5)
    contrast = generator.uniform(0.2, 0.6)
    base, other, tint = (colour.astype(np.float32) for colour in colours)
    share = np.clip(0.5 + contrast * mix, 0.0, 1.0)[..., None].astype(np.float32)
    grain = _noise(size, generator, roughness=0.9)[..., None] * np.float32(generator.uniform(0.05, 0.3))
    picture = base + (other - base) * share
    return np.asarray(picture + (tint - picture) * grain, dtype=np.float32)


def _noise(size: int, generator: np.random.Generator, *, roughness: float) -> Field:
    """Returns smooth noise ``(size, size)``, about [-0.5, 0.5], of four octaves."""
    field = np.zeros((size, size), dtype=np.float32)
    weight = 1.0
    for num_cells in (3, 6, 12, 24):
        cells = generator.uniform(-0.5, 0.5, size=(num_cells, num_cells)).astype(np.float32)
        field += np.asarray(
            Image.fromarray(cells).resize((size, size), Image.Resampling.BICUBIC)
        ) * np.float32(weight)
        weight *= roughness
    return field


def _anywhere(generator: np.random.Generator) -> Points:
    radius = generator.uniform(0.05, 0.13)
    return _placed(generator, radius, generator.uniform(0.0, 1.0, size=2))


def _at_the_edge(generator: np.random.Generator, view: Points) -> Points:
    """Places something that covers a bit of the object's edge."""
    angle, distance = generator.uniform((0.0, 0.65), (2 * np.pi, 1.0))
    spot = view @ np.array([distance * np.cos(angle), distance * np.sin(angle), 1.0])
    return _placed(generator, generator.uniform(0.05, 0.09), spot[:2] / spot[2])


def _placed(generator: np.random.Generator, radius: float, centre: Points) -> Points:
    turn = generator.uniform(0.0, 2 * np.pi)
    cosine, sine = radius * np.cos(turn), radius * np.sin(turn)
    return np.array([[cosine, -sine, centre[0]], [sine, cosine, centre[1]], [0, 0, 1]])


def _draw_clutter(
    canvas: Canvas, generator: np.random.Generator, view: Points, palette: list[Colour]
) -> None:
    """Draws one distracting shape, such as the objects are made of, at times in their colours."""
    colour = _random_colour(generator)
    if generator.random() < 0.2:
        colour = palette[int(generator.integers(len(palette)))]
    outlines = _clutter_outlines()
    outline = outlines[int(generator.integers(len(outlines)))] * generator.uniform(0.5, 1.0, size=2)
    canvas.fill(outline, view, colour=colour, height=0.6)


@functools.cache
def _clutter_outlines() -> tuple[Points, ...]:
    return (
        ellipse(0, 0, 1.0),
        box(-1, -1, 1, 1),
        polygon((-1, 0.8), (0, -1), (1, 0.8)),
        ring(0, 0, 0.8, width=0.4),
        stroke(curve((-1.5, 0.5), (0, -1.0), (1.5, 0.5)), 0.3),
        stroke(polygon((-1.8, 0.0), (1.8, 0.0)), 0.3),
        arc(0, 0.4, 1.0, 1.0, start=0.5, stop=1.0),
        polygon((-0.5, -0.8), (0.5, -0.8), (1.0, 0.8), (-1.0, 0.8)),
        np.concatenate([curve((-1.2, 0.0), (0, -1.3), (1.2, 0.0)), curve((1.2, 0.0), (0, 1.3), (-1.2, 0.0))]),
    )


def _exposed(
    picture: Field, generator: np.random.Generator, light: Light, hardship: Hardship | None
) -> npt.NDArray[np.uint8]:
    """Applies the light's colour, fall-off and brightness, hardship and sensor noise; rounds to 8 bits."""
    size = len(picture)
    x, y = pixel_grid(size)
    warmth, brightness, fall_off, vignette = generator.uniform(
        (-0.16, 0.8, 0.0, 0.0), (0.16, 1.4, 0.6, 0.5)
    ).tolist()
    sigma = generator.uniform(0.005, 0.03)
    towards_x, towards_y, _ = light.direction_xyz
    shine = 1.0 + fall_off * ((x - 0.5) * towards_x + (y - 0.5) * towards_y)
    shine = shine - vignette * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    if hardship is not None:
        brightness *= hardship.dimming
        sigma += HARDSHIP_NOISE * hardship.strength
    tint = np.array([1.0 + warmth, 1.0, 1.0 - warmth]) * brightness
    # Drawn last: this is the only chance whose amount depends on the size.
    noise = generator.standard_normal(picture.shape, dtype=np.float32) * np.float32(sigma)
    lit = picture * shine[..., None].astype(np.float32) * tint.astype(np.float32) + noise
    return np.asarray(np.rint(np.clip(lit, 0.0, 1.0) * 255.0), dtype=np.uint8)
