"""The random changes that a square attack tries: stripes and squares in Linf, bumps in L2."""

from typing import Final, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from bioattack.attacks.attack import Slots
from bioattack.attacks.random_numbers import random_numbers

# Share of the image that the first windows cover, and the numbers of queries after which it is halved.
_FIRST_SHARE: Final = 0.8
_HALVED_AFTER: Final = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# In L2 the start is about so many bumps in each direction, and no window is smaller than this.
_NUM_TILES: Final = 5
_LEAST_BUMP: Final = 3


class Windows(Protocol):
    """Where a search starts and how it goes on; each image by its own key and number of queries."""

    def start(self, slots: Slots) -> tf.Tensor:
        """Gives the first images, not yet in the ball and in [0, 1]."""

    def change(self, slots: Slots, images: tf.Tensor, num_queries: tf.Tensor) -> tf.Tensor:
        """Changes one window of each image; the result is not yet in the ball and in [0, 1].

        Args:
            slots: What the images are attacked with.
            images: ``(slots, height, width, channels)``, the best ones so far.
            num_queries: ``(slots,)`` int32, at least 1: queries made before.
        """


class LinfWindows:
    """Starts with vertical stripes, then sets a square to one of the two bounds in each channel.

    Args:
        num_queries: The most queries that an image is given.
        shape: Height, width and channels.
    """

    def __init__(self, num_queries: int, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.sides = window_sides(num_queries, *shape[:2])

    def start(self, slots: Slots) -> tf.Tensor:
        """Draws a sign for each column and channel."""
        _, width, channels = self.shape
        numbers = _numbers(slots, first=0, each=width * channels)
        signs = tf.reshape(_signs(numbers), (-1, 1, width, channels))
        return slots.originals + signs * slots.epsilons[:, None, None, None]

    def change(self, slots: Slots, images: tf.Tensor, num_queries: tf.Tensor) -> tf.Tensor:
        """Draws a place, and a sign for each channel."""
        _, width, channels = self.shape
        numbers = _numbers(slots, first=width * channels, each=2 + channels, num_queries=num_queries)
        window = _window(numbers[:, :2], tf.gather(self.sides, num_queries), self.shape)
        signs = _signs(numbers[:, 2:])[:, None, None, :]
        return tf.where(
            window.is_inside, slots.originals + signs * slots.epsilons[:, None, None, None], images
        )


class L2Windows:
    """Starts with a grid of bumps, then moves what one square holds to a new bump in another one.

    Args:
        num_queries: The most queries that an image is given.
        shape: Height, width and channels.
        scale: The Euclidean radius of a ball of epsilon 1.
    """

    def __init__(self, num_queries: int, shape: tuple[int, int, int], *, scale: float = 1.0) -> None:
        self.shape = shape
        self.scale = scale
        largest = (min(shape[:2]) - 1) // 2 * 2 + 1
        sides = np.minimum(
            np.maximum(window_sides(num_queries, *shape[:2]), _LEAST_BUMP) // 2 * 2 + 1, largest
        )
        self.sides, self.which = np.unique(sides, return_inverse=True)
        padded = np.zeros((len(self.sides), self.sides.max(), self.sides.max()), np.float32)
        for place, side in enumerate(self.sides):
            padded[place, :side, :side] = bump(side)
        self.bumps = padded
        self.tiles = _lay_tiles(*shape[:2])

    def start(self, slots: Slots) -> tf.Tensor:
        """Draws a direction for each tile, and a sign for each tile and channel."""
        tiles, channels = self.tiles, self.shape[2]
        numbers = _numbers(slots, first=0, each=tiles.number * (1 + channels))
        numbers = tf.reshape(numbers, (-1, tiles.number, 1 + channels))
        signs = tf.gather(_signs(numbers[:, :, 1:]), tiles.tile, axis=1)
        is_turned = tf.gather(numbers[:, :, 0] < 0.5, tiles.tile, axis=1)
        bumps = tf.where(is_turned, tiles.turned, tiles.upright)[..., None] * signs
        return slots.originals + self._lengthened(slots, bumps)

    def change(self, slots: Slots, images: tf.Tensor, num_queries: tf.Tensor) -> tf.Tensor:
        """Draws two places, the bump's direction and a sign for each channel.

        In each channel the first window is given the length that both had and a share of what the ball has
        left; its direction is that of the old content plus the bump, both at length 1.
        """
        channels = self.shape[2]
        first = self.tiles.number * (1 + channels)
        numbers = _numbers(slots, first=first, each=5 + channels, num_queries=num_queries)
        which = tf.gather(self.which, num_queries)
        sides = tf.gather(self.sides, which)
        window, other = (_window(numbers[:, at : at + 2], sides, self.shape) for at in (0, 2))
        bumps = tf.gather(self.bumps, which)
        is_turned = (numbers[:, 4] < 0.5)[:, None, None]
        bumps = tf.where(is_turned, tf.transpose(bumps, (0, 2, 1)), bumps)
        bumps = window.place(bumps) * _signs(numbers[:, 5:])[:, None, None, :]

        perturbation = images - slots.originals
        held = tf.where(window.is_inside, perturbation, 0.0)
        direction = _unit(_unit(held) + bumps)
        moved = tf.where(window.is_inside | other.is_inside, perturbation, 0.0)
        unused = tf.nn.relu(self._radii(slots) ** 2 - _squares(perturbation, axis=(1, 2, 3)))
        lengths = tf.sqrt(unused / channels + _squares(moved, axis=(1, 2)))
        perturbation = tf.where(
            window.is_inside, direction * lengths, tf.where(other.is_inside, 0.0, perturbation)
        )
        return slots.originals + self._lengthened(slots, perturbation)

    def _radii(self, slots: Slots) -> tf.Tensor:
        return (self.scale * slots.epsilons)[:, None, None, None]

    def _lengthened(self, slots: Slots, perturbation: tf.Tensor) -> tf.Tensor:
        lengths = tf.sqrt(_squares(perturbation, axis=(1, 2, 3)))
        return tf.math.divide_no_nan(self._radii(slots), lengths) * perturbation


def window_sides(num_queries: int, height: int, width: int) -> np.ndarray:
    """The side of the window at each query after so many others, ``(num_queries + 1,)``.

    The share of the image that a window covers halves after the same numbers of queries however many there
    will be, as in AutoAttack; the first authors' program stretches the schedule to the number of queries.

    >>> window_sides(60, 28, 28)[[1, 11, 12, 51, 52]]
    array([25, 25, 18, 18, 13], dtype=int32)
    """
    halvings = np.searchsorted(_HALVED_AFTER, np.arange(num_queries + 1) - 1)
    sides = np.round(np.sqrt(_FIRST_SHARE * height * width / 2.0**halvings)).astype(np.int32)
    return np.clip(sides, 1, min(height, width))


def bump(side: int) -> np.ndarray:
    """A positive pyramid over a negative one, ``(side, side)`` float32 of length 1.

    >>> bump(1).tolist()
    [[-1.0]]
    """
    upper = side // 2
    values = np.concatenate([_pyramid(upper, side), -_pyramid(side - upper, side)])
    return (values / np.sqrt(np.square(values).sum())).astype(np.float32)


def _pyramid(height: int, width: int) -> np.ndarray:
    """Squares around the middle, the k-th smallest ``1 / k**2`` high, one upon the other."""
    far = np.maximum.outer(np.abs(np.arange(height) - height // 2), np.abs(np.arange(width) - width // 2))
    heights = 1 / np.arange(1, max(height, width) // 2 + 2) ** 2
    values = heights[::-1].cumsum()[::-1][far]
    return np.asarray(values / max(np.sqrt(np.square(values).sum()), 1e-30))


class _Tiles(NamedTuple):
    """The start in L2: for each pixel the tile it is in, and the tile's bump in both directions."""

    number: int
    tile: np.ndarray
    upright: np.ndarray
    turned: np.ndarray


def _lay_tiles(height: int, width: int) -> _Tiles:
    side = max(1, min(height, width) // _NUM_TILES)
    rows, columns = height // side, width // side
    inner = np.s_[(height - rows * side) // 2 :, (width - columns * side) // 2 :]
    tile = np.zeros((height, width), np.int32)
    upright, turned = np.zeros((2, height, width), np.float32)
    extent = np.s_[: rows * side, : columns * side]
    numbers = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    tile[inner][extent] = np.kron(numbers, np.ones((side, side), np.int32))
    upright[inner][extent] = np.tile(bump(side), (rows, columns))
    turned[inner][extent] = np.tile(bump(side).T, (rows, columns))
    return _Tiles(rows * columns, tile, upright, turned)


class _Window(NamedTuple):
    """A square in each image: its upper left corner, and the pixels in it ``(slots, height, width, 1)``."""

    tops: tf.Tensor
    lefts: tf.Tensor
    is_inside: tf.Tensor

    def place(self, patterns: tf.Tensor) -> tf.Tensor:
        """Puts ``(slots, size, size)`` patterns there, cut off at the window's side and 0 outside."""
        height, width = self.is_inside.shape[1:3]
        last = patterns.shape[1] - 1
        rows = tf.clip_by_value(tf.range(height)[None] - self.tops[:, None], 0, last)
        columns = tf.clip_by_value(tf.range(width)[None] - self.lefts[:, None], 0, last)
        placed = tf.gather(patterns, rows, axis=1, batch_dims=1)
        placed = tf.gather(placed, columns, axis=2, batch_dims=1)
        return tf.where(self.is_inside, placed[..., None], 0.0)


def _window(numbers: tf.Tensor, sides: tf.Tensor, shape: tuple[int, int, int]) -> _Window:
    """Draws the place of a window from ``(slots, 2)`` numbers in [0, 1); all places are as likely."""
    height, width, _ = shape
    room = tf.stack([height - sides, width - sides], axis=1) + 1
    corners = tf.cast(tf.floor(numbers * tf.cast(room, tf.float32)), tf.int32)

    def is_between(size: int, low: tf.Tensor) -> tf.Tensor:
        return (tf.range(size)[None] >= low[:, None]) & (tf.range(size)[None] < (low + sides)[:, None])

    tops, lefts = corners[:, 0], corners[:, 1]
    is_row, is_column = is_between(height, tops), is_between(width, lefts)
    return _Window(tops, lefts, (is_row[:, :, None] & is_column[:, None, :])[..., None])


def _numbers(slots: Slots, *, first: int, each: int, num_queries: tf.Tensor | None = None) -> tf.Tensor:
    """Draws ``(slots, each)`` numbers, those of the start or of one query."""
    begin = tf.zeros_like(slots.labels) if num_queries is None else first + each * (num_queries - 1)
    return random_numbers(slots.keys, begin[:, None] + tf.range(each)[None])


def _signs(numbers: tf.Tensor) -> tf.Tensor:
    return tf.where(numbers < 0.5, -1.0, 1.0)


def _squares(values: tf.Tensor, *, axis: tuple[int, ...]) -> tf.Tensor:
    return tf.reduce_sum(tf.square(values), axis=axis, keepdims=True)


def _unit(values: tf.Tensor) -> tf.Tensor:
    """Each channel at length 1."""
    return tf.math.divide_no_nan(values, tf.sqrt(_squares(values, axis=(1, 2))))
