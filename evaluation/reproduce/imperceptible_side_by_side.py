"""Pictures side by side: originals, attacked pictures, magnified parts, differences, saliency maps."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from bioattack.evaluation import figure_style as style

# Photographs in many columns: a smaller file would show less than the paper.
_MAX_BYTES = 2_500_000
_COLUMN_INCHES = 1.25
# What is magnified is this part of the picture's side.
_CROP_SHARE = 0.3
_CROP_COLOUR = "#ffcc00"


@dataclasses.dataclass(frozen=True)
class Column:
    """One picture in the row of one original.

    Args:
        title: Above it.
        image: ``(height, width, channels)``, [0, 1].
        note: Below it, such as the class that the network takes it for.
        saliency: ``(height, width)``, [0, 1], its saliency map.
    """

    title: str
    image: np.ndarray
    note: str = ""
    saliency: np.ndarray | None = None


def draw_magnified(path: Path, rows: Sequence[Sequence[Column]], *, num_magnified: int = 1) -> float:
    """Draws originals and attacked pictures; below each its magnified part, and the difference there.

    Args:
        path: The PNG file.
        rows: For each original, itself and then its attacked versions.
        num_magnified: How many parts are magnified; they are where the attacks changed most.

    Returns:
        The change of a channel, as a fraction of its range, that is drawn as black or white.
    """
    changes = [np.abs(one.image - row[0].image) for row in rows for one in row[1:]]
    scale = max(float(np.median([change.max() for change in changes])), 1 / 255)
    parts = 1 + 2 * num_magnified
    with style.house_style():
        figure, grid = _grid(len(rows) * parts, len(rows[0]), note_rows=len(rows))
        for place, row in enumerate(rows):
            top = place * parts
            corners = _where_changed(row, number=num_magnified)
            for axes, column in zip(grid[top], row, strict=True):
                _show(axes, column.image)
                _title(axes, column.title if place == 0 else "", column.note)
                for corner in corners:
                    _frame(axes, corner, _crop_side(column.image))
            for number, corner in enumerate(corners):
                below = top + 1 + 2 * number
                for axes, under, column in zip(grid[below], grid[below + 1], row, strict=True):
                    _show(axes, _crop(column.image, corner))
                    change = _crop(column.image - row[0].image, corner)
                    _show(under, np.clip(0.5 + 0.5 * change / scale, 0, 1))
        style.save_png(figure, path, max_bytes=_MAX_BYTES)
    return scale


def draw_saliency(path: Path, rows: Sequence[Sequence[Column]]) -> None:
    """Draws originals and attacked pictures, and below each its saliency map.

    Args:
        path: The PNG file.
        rows: For each original, itself and then its attacked versions, all with their maps.
    """
    with style.house_style():
        figure, grid = _grid(2 * len(rows), len(rows[0]), note_rows=len(rows))
        for place, row in enumerate(rows):
            for axes, under, column in zip(grid[2 * place], grid[2 * place + 1], row, strict=True):
                _show(axes, column.image)
                _title(axes, column.title if place == 0 else "", column.note)
                if column.saliency is not None:
                    under.imshow(column.saliency, cmap="gray", vmin=0, vmax=1)
        style.save_png(figure, path, max_bytes=_MAX_BYTES)


def draw_pictures(path: Path, rows: Sequence[Sequence[Column]]) -> None:
    """Draws rows of pictures with a title above each column and a note above each picture."""
    with style.house_style():
        figure, grid = _grid(len(rows), len(rows[0]), note_rows=len(rows))
        for place, row in enumerate(rows):
            for axes, column in zip(grid[place], row, strict=True):
                _show(axes, column.image)
                _title(axes, column.title if place == 0 else "", column.note)
        style.save_png(figure, path, max_bytes=_MAX_BYTES)


def _grid(num_rows: int, num_columns: int, *, note_rows: int) -> tuple[Figure, np.ndarray]:
    height = _COLUMN_INCHES * num_rows + 0.32 + 0.17 * (note_rows - 1)
    figure = Figure(figsize=(_COLUMN_INCHES * num_columns, height))
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.015, wspace=0, hspace=0))
    grid = np.asarray(figure.subplots(num_rows, num_columns, squeeze=False))
    for axes in grid.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_visible(False)
    return figure, grid


def _show(axes: Axes, pixels: np.ndarray) -> None:
    pixels = np.clip(pixels, 0, 1)
    axes.imshow(
        pixels[..., 0] if pixels.shape[-1] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest" if max(pixels.shape) <= 160 else "antialiased",
    )


def _title(axes: Axes, title: str, note: str) -> None:
    lines = [style.printable(title, limit=20)] if title else []
    lines += [style.printable(note, otherwise="its class", limit=19)] if note else []
    axes.set_title("\n".join(lines), fontsize=7.5, pad=3, loc="center")


def _crop_side(image: np.ndarray) -> int:
    return max(8, round(_CROP_SHARE * min(image.shape[:2])))


def _crop(image: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    side = _crop_side(image)
    return image[corner[0] : corner[0] + side, corner[1] : corner[1] + side]


def _frame(axes: Axes, corner: tuple[int, int], side: int) -> None:
    axes.add_patch(
        Rectangle(
            (corner[1] - 0.5, corner[0] - 0.5), side, side, fill=False, edgecolor=_CROP_COLOUR, linewidth=1
        )
    )


def _where_changed(row: Sequence[Column], *, number: int) -> list[tuple[int, int]]:
    """Upper left corners of the squares in which the attacks, each counting alike, changed most."""
    side = _crop_side(row[0].image)
    total = np.zeros(row[0].image.shape[:2])
    for column in row[1:]:
        change = np.abs(column.image - row[0].image).sum(-1)
        total += change / max(float(change.sum()), 1e-12)
    corners: list[tuple[int, int]] = []
    for _ in range(number):
        sums = np.pad(total.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        within = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        row_place, column_place = np.unravel_index(int(within.argmax()), within.shape)
        corners.append((int(row_place), int(column_place)))
        total[row_place : row_place + side, column_place : column_place + side] = 0
    return corners
