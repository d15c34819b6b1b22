"""Damage that pieapp-mini was not trained on, at two strengths whose order is known by construction."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

# From a picture (height, width, 3) in [0, 1], a strength in [0, 1] and a generator that draws the same for
# both strengths: the damaged picture.
Distortion = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def draw_pair(
    distort: Distortion, picture: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Damages a picture weakly, and 1.2 to 2 times as strongly; both as 8-bit pictures hold them."""
    less = more = picture
    while np.array_equal(less, more):
        seed = random.integers(2**31)
        weak = random.uniform(0.05, 0.6)
        levels = (weak, min(1.0, weak * random.uniform(1.2, 2)))
        less, more = (_in_8_bits(distort(picture, level, np.random.default_rng(seed))) for level in levels)
    return less, more


def _in_8_bits(picture: np.ndarray) -> np.ndarray:
    return (np.round(np.clip(picture, 0, 1) * 255) / 255).astype(np.float32)


def _jpeg(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    del random
    buffer = io.BytesIO()
    image = Image.fromarray((_in_8_bits(picture) * 255).astype(np.uint8))
    image.save(buffer, "JPEG", quality=round(95 - 85 * level))
    return np.asarray(Image.open(buffer)) / 255


def _impulses(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Black and white points; the stronger damage has those of the weaker one and more."""
    order, colours = random.uniform(size=picture.shape[:2]), random.integers(0, 2, picture.shape[:2])
    return np.where((order < 0.2 * level)[..., None], colours[..., None], picture)


def _motion(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """The mean along a line in one of four directions; longer where stronger."""
    steps = 1 + round(20 * level)
    direction = ((0, 1), (1, 0), (1, 1), (1, -1))[random.integers(4)]
    padded = np.pad(picture, ((24, 24), (24, 24), (0, 0)), mode="symmetric")
    places = np.arange(steps) - steps // 2
    shifted = [np.roll(padded, (place * direction[0], place * direction[1]), (0, 1)) for place in places]
    return np.mean(shifted, 0)[24:-24, 24:-24]


def _grain(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Noise in proportion to the root of the light."""
    return picture + 0.15 * level * np.sqrt(picture) * random.normal(size=picture.shape)


def _ringing(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Cuts off all frequencies above one, sharply."""
    del random
    height, width = picture.shape[:2]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    passed = frequency < 0.5 * (1 - 0.85 * level)
    spectrum = np.fft.rfft2(picture, axes=(0, 1)) * passed[..., None]
    return np.fft.irfft2(spectrum, (height, width), axes=(0, 1))


def _cast(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Mixes in one strong colour."""
    colour = np.eye(3)[random.integers(3)]
    return picture + 0.5 * level * (colour - picture)


def _drift(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Light that rises or falls from one side to the other."""
    slope = np.linspace(-1, 1, picture.shape[1])[None, :, None] * random.choice((-1, 1))
    return picture * (1 + 0.8 * level * slope)


HELD_OUT: dict[str, Distortion] = {
    "JPEG": _jpeg,
    "impulses": _impulses,
    "motion blur": _motion,
    "grain": _grain,
    "ringing": _ringing,
    "colour cast": _cast,
    "drift of light": _drift,
}
