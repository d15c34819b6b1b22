"""Pictures drawn by rule, from which pieapp-mini learns: scenes, dead leaves, clouds, cells and gratings."""

import numpy as np

from bioattack.tfrecords_builder.synthetic_objects import DRAWERS
from bioattack.tfrecords_builder.synthetic_scene import draw_scene

SIZE = 128


def draw_picture(seed: int) -> np.ndarray:
    """Draws one picture.

    Args:
        seed: Decides kind and content.

    Returns:
        ``(128, 128, 3)``, float32, [0, 1].
    """
    random = np.random.default_rng((seed, 7))
    picture = _KINDS[seed % len(_KINDS)](random)
    return np.clip(picture, 0, 1).astype(np.float32)


def _scene(random: np.random.Generator) -> np.ndarray:
    name = tuple(DRAWERS)[random.integers(len(DRAWERS))]
    return draw_scene(name, SIZE, random) / 255


def _clouds(random: np.random.Generator) -> np.ndarray:
    """Noise whose spectrum falls with frequency as in photographs, the channels partly together."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(random.normal(size=(4, SIZE, SIZE))) / frequency ** random.uniform(0.6, 1.6)
    spectrum[:, 0, 0] = 0
    waves = np.fft.irfft2(spectrum, (SIZE, SIZE))
    waves /= waves.std(axis=(1, 2), keepdims=True)
    together = random.uniform(0.5, 1)
    colours = together * waves[3:] + (1 - together) * waves[:3]
    mean, contrast = random.uniform(0.25, 0.75, (3, 1, 1)), random.uniform(0.05, 0.25)
    return np.moveaxis(mean + contrast * colours, 0, -1)


def _dead_leaves(random: np.random.Generator) -> np.ndarray:
    """Discs of all sizes that hide one another, each shaded or grained: the statistics of photographs."""
    picture = _clouds(random)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for radius in np.sort(4 / random.uniform(0.06, 1, 60) ** 0.8)[::-1]:
        row, column = random.uniform(0, SIZE, 2)
        inside = np.hypot(rows - row, (columns - column) * random.uniform(0.5, 2)) < radius
        slope = random.normal(scale=0.004, size=2)
        shade = slope[0] * (rows - row) + slope[1] * (columns - column)
        grain = random.choice((0, 0, 0.03, 0.08)) * random.normal(size=(SIZE, SIZE))
        leaf = random.uniform(0.05, 0.95, 3) + (shade + grain)[..., None]
        picture = np.where(inside[..., None], leaf, picture)
    return picture


def _cells(random: np.random.Generator) -> np.ndarray:
    """Each pixel in the colour of the nearest of some points."""
    points = random.uniform(0, SIZE, (random.integers(8, 90), 2))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    apart = np.hypot(rows[..., None] - points[:, 0], columns[..., None] - points[:, 1])
    colours = random.uniform(0, 1, (len(points), 3))
    return colours[apart.argmin(-1)] * (1 - random.uniform(0, 0.02) * apart.min(-1)[..., None])


def _gratings(random: np.random.Generator) -> np.ndarray:
    """Waves or stripes in a few directions on a slope of colour."""
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    picture = random.uniform(0.2, 0.8, 3) + rows[..., None] * random.uniform(-0.3, 0.3, 3)
    for _ in range(random.integers(1, 4)):
        angle, cycles = random.uniform(0, np.pi), 2 ** random.uniform(0.5, 5)
        wave = np.sin(2 * np.pi * cycles * (np.cos(angle) * rows + np.sin(angle) * columns))
        wave = np.sign(wave) if random.random() < 0.4 else wave
        picture = picture + random.uniform(0.02, 0.2) * wave[..., None] * random.uniform(0.3, 1, 3)
    return picture


_KINDS = (_scene, _dead_leaves, _clouds, _scene, _dead_leaves, _cells, _gratings)
