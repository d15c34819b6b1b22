"""Pairs of damaged pictures of which the second is damaged more, known from how they are made."""

from collections.abc import Callable

import numpy as np

# From a picture (height, width, 3) in [0, 1], a strength in [0, 1] and a generator that draws the same for
# both strengths: the damaged picture, which may leave [0, 1].
Distortion = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def draw_pair(picture: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Damages a picture twice, the second time more.

    Only orders that hold by construction are drawn: one distortion at two strengths with the same random
    numbers; the same damage on a part and on all of the picture; a damage alone, and with a second damage
    where the first one is not; no damage, and some; a change of at most one 8-bit level, and a noise of many.

    Args:
        picture: ``(height, width, 3)``, [0, 1].
        random: Draws everything.

    Returns:
        The picture damaged less, and more.
    """
    kind = random.choice(len(_ORDERS), p=_SHARES)
    less, more = _ORDERS[kind](picture, random)
    return np.clip(less, 0, 1), np.clip(more, 0, 1)


def _two_strengths(picture: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    distort, seed = _draw(random)
    weak = 2 ** random.uniform(-6, -0.4)
    strong = min(1.0, weak * 2 ** random.uniform(0.4, 2))
    less, more = (distort(picture, level, np.random.default_rng(seed)) for level in (weak, strong))
    if random.random() < 0.4:
        share = _window(picture, random)
        less, more = (picture + share * (damaged - picture) for damaged in (less, more))
    return less, more


def _part_and_all(picture: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    more = _damage(picture, random)
    return picture + _window(picture, random) * (more - picture), more


def _one_and_another(picture: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    share = _window(picture, random)
    less = picture + share * (_damage(picture, random) - picture)
    return less, less + (1 - share) * (_damage(picture, random) - picture)


def _none_and_some(picture: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return picture, _damage(picture, random)


def _hidden_and_plain(picture: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    change = _damage(picture, random) - picture
    noise = random.uniform(12, 60) / 255 * random.normal(size=picture.shape)
    return picture + np.clip(change, -1 / 255, 1 / 255), picture + noise


_ORDERS = (_two_strengths, _part_and_all, _one_and_another, _none_and_some, _hidden_and_plain)
_SHARES = (0.6, 0.12, 0.12, 0.08, 0.08)


def _draw(random: np.random.Generator) -> tuple[Distortion, int]:
    return DISTORTIONS[tuple(DISTORTIONS)[random.integers(len(DISTORTIONS))]], int(random.integers(2**31))


def _damage(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    distort, seed = _draw(random)
    return distort(picture, 2 ** random.uniform(-4, 0), np.random.default_rng(seed))


def _window(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """1 in a rectangle of a tenth to a half of the picture, 0 elsewhere."""
    height, width = picture.shape[:2]
    size = random.uniform(0.32, 0.71, 2) * (height, width)
    top, left = (random.uniform(0, 1, 2) * ((height, width) - size)).astype(int)
    share = np.zeros((height, width, 1))
    share[top : top + int(size[0]), left : left + int(size[1])] = 1
    return share


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs along the first two axes, with mirrored borders."""
    radius = max(1, int(3 * sigma + 0.5))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padding = [(radius, radius) if place == axis else (0, 0) for place in range(values.ndim)]
        padded = np.pad(values, padding, mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis)
        values = windows @ kernel
    return values


def _white_noise(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    return picture + 0.2 * level * random.normal(size=picture.shape)


def _sign_noise(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    return picture + 0.15 * level * random.choice((-1.0, 1.0), size=picture.shape)


def _coarse_noise(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    noise = smooth(random.normal(size=picture.shape), 2 ** random.uniform(-1, 2.5))
    return picture + 0.15 * level * noise / noise.std()


def _colour_noise(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    noise = smooth(random.normal(size=picture.shape), random.uniform(0.3, 2))
    noise -= noise.mean(-1, keepdims=True)
    return picture + 0.25 * level * noise / noise.std()


def _speckle(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    return picture * (1 + 0.5 * level * random.normal(size=(*picture.shape[:2], 1)))


def _edge_noise(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Noise where the picture is busy, or where it is flat."""
    busy = smooth(np.abs(picture - smooth(picture, 1.5)).mean(-1, keepdims=True), 2)
    share = np.clip(busy / (busy.max() + 1e-6), 0, 1)
    share = share if random.random() < 0.5 else (1 - share) ** 4
    return picture + 0.25 * level * share * random.normal(size=picture.shape)


def _blur(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    del random
    return smooth(picture, 0.25 + 3.5 * level)


def _sharpening(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    return picture + 3 * level * (picture - smooth(picture, random.uniform(0.7, 2)))


def _few_levels(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Rounds towards a coarse scale; the strength says how far each pixel goes."""
    step = random.uniform(0.08, 0.35)
    return picture + level * (np.round(picture / step) * step - picture)


def _mosaic(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Moves each pixel towards the mean of its square."""
    side = int(random.integers(2, 9))
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side, 3).mean((1, 3))
    squares = blocks.repeat(side, 0).repeat(side, 1)[:height, :width]
    return picture + level * (squares - picture)


def _brightness(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    return picture + 0.3 * level * random.choice((-1.0, 1.0))


def _contrast(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    return picture + level * random.choice((-0.8, 0.8)) * (picture - picture.mean())


def _saturation(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    return picture + level * random.choice((-1.0, 1.5)) * (picture - picture.mean(-1, keepdims=True))


def _warp(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Moves pixels by a smooth field of up to some pixels, bilinearly."""
    height, width = picture.shape[:2]
    field = smooth(random.normal(size=(height, width, 2)), 2 ** random.uniform(1, 3))
    places = np.stack(np.mgrid[:height, :width], -1) + 3 * level * field / np.abs(field).max()
    places = np.clip(places, 0, (height - 1.001, width - 1.001))
    corner = places.astype(int)
    down, right = np.moveaxis(places - corner, -1, 0)[..., None]
    top, left = np.moveaxis(corner, -1, 0)
    upper = picture[top, left] * (1 - right) + picture[top, left + 1] * right
    lower = picture[top + 1, left] * (1 - right) + picture[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def _grating(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    angle, wavelength = random.uniform(0, np.pi), 2 ** random.uniform(1, 5)
    wave = np.sin(2 * np.pi * (np.cos(angle) * rows + np.sin(angle) * columns) / wavelength)
    return picture + 0.2 * level * wave[..., None] * random.uniform(-1, 1, 3)


def _spots(picture: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Blotches of one colour, let through more as the strength falls."""
    share = smooth(random.normal(size=(*picture.shape[:2], 1)), random.uniform(1, 5))
    share = np.clip(4 * (share / share.std() - random.uniform(0.5, 1.8)), 0, 1)
    return picture + level * share * (random.uniform(0, 1, 3) - picture)


DISTORTIONS: dict[str, Distortion] = {
    "white noise": _white_noise,
    "sign noise": _sign_noise,
    "coarse noise": _coarse_noise,
    "colour noise": _colour_noise,
    "speckle": _speckle,
    "edge noise": _edge_noise,
    "blur": _blur,
    "sharpening": _sharpening,
    "few levels": _few_levels,
    "mosaic": _mosaic,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "warp": _warp,
    "grating": _grating,
    "spots": _spots,
}
