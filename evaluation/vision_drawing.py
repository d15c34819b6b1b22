"""What the figures of looks are made of: axes placed in inches, pictures, marks and frames."""

from collections.abc import Sequence
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from bioattack.evaluation import figure_style as style

MARGIN, GAP = 0.08, 0.07
TITLE_INCHES = 0.45
# Pictures up to this side are shown pixel by pixel.
_LARGEST_SMALL = 160


class Sheet:
    """A figure of a fixed width on which axes are placed from the top left, in inches.

    Args:
        height: Of the figure, title included.
        title: In its first line.
        subtitle: Below, smaller.
    """

    def __init__(self, height: float, *, title: str, subtitle: str) -> None:
        self.width, self.height = style.WIDTH_INCHES, _whole_pixels(height)
        self.figure = Figure(figsize=(self.width, self.height))
        self.write(MARGIN, 0.19, title, size=9.5)
        self.write(MARGIN, 0.35, subtitle, colour=style.MUTED)

    def place(self, left: float, top: float, width: float, height: float) -> Axes:
        """Makes axes without ticks, on whole pixels."""
        left, top, width, height = map(_whole_pixels, (left, top, width, height))
        area = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(area)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def write(self, left: float, baseline: float, text: str, **how: Any) -> None:
        """Writes a line of text; ``how``: ``size`` in points, ``colour``, ``align``."""
        self.figure.text(
            left / self.width,
            1 - baseline / self.height,
            text,
            fontsize=how.get("size", 8),
            color=how.get("colour", style.INK),
            ha=how.get("align", "left"),
        )


def cell_size(room: float, side: int) -> float:
    """Returns the size in inches, at most ``room``, at which a picture of this side has pixels of one size.

    >>> round(style.PIXELS_PER_INCH * cell_size(0.6, 64))
    128
    """
    pixels = int(room * style.PIXELS_PER_INCH)
    return (pixels - pixels % side if side <= pixels else pixels) / style.PIXELS_PER_INCH


def _whole_pixels(inches: float) -> float:
    return round(inches * style.PIXELS_PER_INCH) / style.PIXELS_PER_INCH


def show_picture(axes: Axes, image: Any) -> None:
    """Shows ``(height, width, channels)`` in [0, 1] without changing what the axes show beyond it."""
    pixels = np.clip(np.asarray(image, np.float32), 0, 1)
    axes.imshow(
        pixels[..., 0] if pixels.shape[-1] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest" if max(pixels.shape) <= _LARGEST_SMALL else "antialiased",
    )


def mark_points(axes: Axes, points: np.ndarray) -> None:
    """Marks ``(looks, 2)`` places, column and row, each with the colour and the shape of its look.

    Marks of places that the axes do not show are not drawn.
    """
    for index, (column, row) in enumerate(points):
        axes.plot(column, row, **mark_style(index), zorder=4)


def mark_style(index: int) -> dict[str, Any]:
    """Returns how the look with this place in the list is marked: as the model with this place is."""
    return {
        "color": style.series_colour(index),
        "marker": style.series_marker(index),
        "markersize": 5.5,
        "markeredgecolor": style.PAPER,
        "markeredgewidth": 0.9,
        "linestyle": "none",
    }


def outline(axes: Axes, corners: np.ndarray, *, index: int, width: float = 1.3) -> None:
    """Draws the outline through ``(4, 2)`` corners in the colour of a look, white around it."""
    axes.add_patch(
        Polygon(
            corners,
            fill=False,
            edgecolor=style.series_colour(index),
            linewidth=width,
            joinstyle="miter",
            path_effects=[effects.Stroke(linewidth=width + 1.1, foreground=style.PAPER), effects.Normal()],
            zorder=3,
        )
    )


def frame(axes: Axes, index: int) -> None:
    """Puts a frame around a view, in the colour of its look, and its mark in the corner."""
    for spine in axes.spines.values():
        spine.set(visible=True, color=style.series_colour(index), linewidth=1.4)
    axes.plot(0, 1, transform=axes.transAxes, clip_on=False, zorder=4, **mark_style(index))


def grid_of_views(
    sheet: Sheet, views: Sequence[np.ndarray], *, left: float, top: float, cell: float, num_columns: int
) -> list[Axes]:
    """Lays out what is seen of one picture: a column for each look, a row for each scale.

    Args:
        sheet: Where.
        views: One array ``(looks, height, width, channels)`` for each scale; of a single scale, the looks go
            on in the next row after ``num_columns`` of them.
        left: Left edge in inches.
        top: Upper edge in inches.
        cell: Width and height of a view in inches.
        num_columns: Of a single scale.
    """
    placed = []
    for scale, of_scale in enumerate(views):
        for look, view in enumerate(of_scale):
            row, column = (scale, look) if len(views) > 1 else divmod(look, num_columns)
            axes = sheet.place(left + column * (cell + GAP), top + row * (cell + GAP), cell, cell)
            show_picture(axes, view)
            frame(axes, look)
            placed.append(axes)
    return placed
