"""Pictures of what models see: where they look, and what their networks are shown.

Marks have a colour and a shape for each look, the same on the picture and on the views. All files are PNG
of at most 150 kB, appear whole or not at all, and are the same bytes for the same input.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.axes import Axes

from bioattack.errors import InputError
from bioattack.evaluation import figure_style as style
from bioattack.evaluation.findings import TIMES
from bioattack.evaluation.vision_drawing import (
    GAP,
    MARGIN,
    TITLE_INCHES,
    Sheet,
    grid_of_views,
    mark_points,
    mark_style,
    outline,
    show_picture,
)
from bioattack.evaluation.vision_sheets import draw_checkerboard, draw_samples
from bioattack.evaluation.vision_views import Looks, chosen_gazes, gaze_points, look_through

__all__ = ["draw_checkerboard", "draw_fixations", "draw_gazes", "draw_samples", "draw_transformer_boxes"]

MAX_GAZED, MAX_BOXED = 3, 6
# A gaze this near to the farthest it can go, on both axes, is in a corner.
CORNER_SHARE = 0.9
_PICTURE_INCHES, _GAZED_INCHES = 1.75, 1.45
_BETWEEN_ROWS = 0.16


def draw_fixations(path: Path, model: keras.Model, image: Any) -> Path:
    """Draws a picture with the points a model looks at, and beneath what its network sees at each of them.

    Args:
        path: The PNG file.
        model: With a layer ``views``, and ``gazes`` or ``transforms`` where it looks several times.
        image: ``(height, width, channels)``, float, [0, 1].

    Returns:
        ``path``.

    Raises:
        InputError: If the model has no such layers.

    Source:
        After Figure 5 of Burhanpurkar 2021.
    """
    image = np.asarray(image, np.float32)
    looks = look_through(model, image[None])
    views = [view[0] for view in looks.views]
    num_columns = looks.num_looks if len(views) > 1 else min(5, looks.num_looks)
    num_rows = len(views) if len(views) > 1 else -(-looks.num_looks // num_columns)
    room = min(1.4, (style.WIDTH_INCHES - 2 * MARGIN + GAP) / num_columns - GAP)
    with style.house_style():
        sheet = Sheet(
            TITLE_INCHES + _PICTURE_INCHES + _BETWEEN_ROWS + num_rows * (room + GAP) + MARGIN,
            title="Where it looks, and what it sees there",
            subtitle=_how_many(looks),
        )
        axes = sheet.place(MARGIN, TITLE_INCHES, _PICTURE_INCHES, _PICTURE_INCHES)
        _show_with_looks(axes, image, looks, place=0)
        _say_sizes(sheet, image, looks, left=MARGIN + _PICTURE_INCHES + 0.15)
        top = TITLE_INCHES + _PICTURE_INCHES + _BETWEEN_ROWS
        grid_of_views(sheet, views, left=MARGIN, top=top, cell=room, num_columns=num_columns)
        return style.save_png(sheet.figure, Path(path))


def draw_gazes(path: Path, model: keras.Model, images: Any, *, num_shown: int = MAX_GAZED) -> Path:
    """Draws pictures with the gazes that a model chooses, the views there, and where gazes fall at large.

    Args:
        path: The PNG file.
        model: With layers ``gazes`` and ``views``.
        images: ``(images, height, width, channels)``, float, [0, 1]. The first of them are shown; the last
            panel has the gazes in all.
        num_shown: How many are shown.

    Returns:
        ``path``.

    Raises:
        InputError: If the model has no such layers, or there are no pictures.

    Source:
        After Figures 14 and 15 of Burhanpurkar 2021.
    """
    images = _checked(images)
    gazes = chosen_gazes(model, images)
    looks = look_through(model, images[:num_shown])
    num_columns, cell = _best_grid(looks, width=style.WIDTH_INCHES - 2 * MARGIN - _GAZED_INCHES - 0.15)
    step = _GAZED_INCHES + _BETWEEN_ROWS
    with style.house_style():
        sheet = Sheet(
            TITLE_INCHES + step * len(looks.views[0]) + _PICTURE_INCHES + MARGIN,
            title="Where it looks, and what it sees there",
            subtitle=_how_many(looks),
        )
        for place, image in enumerate(images[:num_shown]):
            top = TITLE_INCHES + place * step
            _show_with_looks(
                sheet.place(MARGIN, top, _GAZED_INCHES, _GAZED_INCHES), image, looks, place=place
            )
            views = [view[place] for view in looks.views]
            left = MARGIN + _GAZED_INCHES + 0.15
            grid_of_views(sheet, views, left=left, top=top, cell=cell, num_columns=num_columns)
        top = TITLE_INCHES + len(looks.views[0]) * step
        _draw_all_gazes(sheet, gazes, top=top, size=(images.shape[1], images.shape[2]), reach=looks.reach)
        return style.save_png(sheet.figure, Path(path))


def draw_transformer_boxes(path: Path, model: keras.Model, images: Any, labels: Sequence[Any]) -> Path:
    """Draws the windows through which the branches of a spatial transformer look, on several pictures.

    A window's mark stands at its top left corner, which tells how it is turned. Beneath are the views of the
    first picture.

    Args:
        path: The PNG file.
        model: With layers ``transforms`` and ``views``.
        images: ``(images, height, width, channels)``, float, [0, 1]; the first six are shown.
        labels: What to write above each picture, its class for example.

    Returns:
        ``path``.

    Raises:
        InputError: If the model has no such layers, or there are no pictures.

    Source:
        After Figure 12 of Burhanpurkar 2021.
    """
    images = _checked(images)[:MAX_BOXED]
    looks = look_through(model, images)
    if looks.transforms is None:
        raise InputError(f"model {model.name} has no layer 'transforms' whose windows can be drawn")
    views = [view[0] for view in looks.views]
    num_columns = min(5, looks.num_looks)
    num_rows = -(-looks.num_looks // num_columns)
    cell = (style.WIDTH_INCHES - 2 * MARGIN - 2 * GAP) / 3
    room = min(1.4, (style.WIDTH_INCHES - 2 * MARGIN + GAP) / num_columns - GAP)
    step = cell + 0.2
    num_lines = -(-len(images) // 3)
    with style.house_style():
        sheet = Sheet(
            TITLE_INCHES + num_lines * step + 0.3 + num_rows * (room + GAP) + MARGIN,
            title="The windows it looks through",
            subtitle="a colour for each branch; the mark is the top left of what it sees",
        )
        for place, (image, label) in enumerate(zip(images, labels, strict=False)):
            left = MARGIN + place % 3 * (cell + GAP)
            top = TITLE_INCHES + 0.18 + place // 3 * step
            sheet.write(left, top - 0.05, style.printable(str(label), otherwise="?", limit=18))
            _show_with_looks(sheet.place(left, top, cell, cell), image, looks, place=place)
        top = TITLE_INCHES + num_lines * step + 0.3
        sheet.write(MARGIN, top - 0.09, "what the branches see of the first picture", colour=style.MUTED)
        grid_of_views(sheet, views, left=MARGIN, top=top, cell=room, num_columns=num_columns)
        return style.save_png(sheet.figure, Path(path))


def _best_grid(looks: Looks, *, width: float) -> tuple[int, float]:
    """Columns and cell size, in inches, with which the views beside a picture are largest."""
    if len(looks.views) > 1:
        shapes = [(looks.num_looks, len(looks.views))]
    else:
        shapes = [(columns, -(-looks.num_looks // columns)) for columns in range(1, looks.num_looks + 1)]
    sizes = [min((width + GAP) / columns, (_GAZED_INCHES + GAP) / rows) - GAP for columns, rows in shapes]
    best = int(np.argmax(sizes))
    return shapes[best][0], sizes[best]


def _checked(images: Any) -> np.ndarray:
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or not len(images):
        raise InputError(
            "a figure of gazes or windows needs pictures (images, height, width, channels), one or more. "
            f"Received: images of shape {images.shape}"
        )
    return images


_CHOICE_WORDS = {
    "chosen": "chosen by a network for each picture",
    "fixed": "the same in every picture",
    "random": "drawn at random for each picture",
}


def _how_many(looks: Looks) -> str:
    """Says how often the model looks and who decides where."""
    if looks.choice == "none":
        return "it looks once, at the whole picture"
    return f"{looks.num_looks} look{'s' if looks.num_looks > 1 else ''}, {_CHOICE_WORDS[looks.choice]}"


def _show_with_looks(axes: Axes, image: np.ndarray, looks: Looks, *, place: int) -> None:
    """Shows a picture with its gazes as points and what the views cover as outlines."""
    show_picture(axes, image)
    size = (image.shape[0], image.shape[1])
    # A little of what lies around it: windows may touch the border, or leave the picture and are cut off.
    around = (0.04 if looks.transforms is None else 0.1) * max(size)
    axes.set_xlim(-0.5 - around, size[1] - 0.5 + around)
    axes.set_ylim(size[0] - 0.5 + around, -0.5 - around)
    # Of several scales the outlines are drawn for the first look alone: more of them would hide the picture.
    shown = range(looks.num_looks if len(looks.outlines) == 1 else 1)
    for of_scale in looks.outlines:
        for look in shown:
            outline(axes, of_scale[place, look], index=look, width=1.3 if len(looks.outlines) == 1 else 0.8)
    if looks.gazes is not None:
        mark_points(axes, gaze_points(looks.gazes[place], size))
    elif looks.transforms is not None:
        mark_points(axes, looks.outlines[0][place, :, 0])


def _say_sizes(sheet: Sheet, image: np.ndarray, looks: Looks, *, left: float) -> None:
    """Writes how many pixels the picture and its views have, and how many of the picture's they cover."""
    num_scales = len(looks.views)
    lines = [f"picture: {image.shape[1]} {TIMES} {image.shape[0]} pixels"]
    for scale, view in enumerate(looks.views):
        name = f"row {scale + 1}" if num_scales > 1 else "view"
        covered = ""
        if looks.gazes is not None and looks.outlines:
            width, height = looks.outlines[scale][0, 0, 2] - looks.outlines[scale][0, 0, 0]
            covered = f" from {width:.0f} {TIMES} {height:.0f}"
        lines.append(f"{name}: {view.shape[3]} {TIMES} {view.shape[2]}{covered}")
    if num_scales > 1 and looks.outlines:
        lines += ["", "squares: what the rows", "show of the first look"]
    for number, line in enumerate(lines):
        sheet.write(left, TITLE_INCHES + 0.2 + 0.17 * number, line, colour=style.MUTED)


def _draw_all_gazes(
    sheet: Sheet, gazes: np.ndarray, *, top: float, size: tuple[int, int], reach: float | None
) -> None:
    """Draws where the gazes fall over all pictures, and says whether they drift to the corners."""
    height, width = size
    axes = sheet.place(MARGIN, top, _PICTURE_INCHES - 0.1, _PICTURE_INCHES - 0.1)
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set(visible=True, color=style.MUTED)
    points = gaze_points(gazes, size)
    for look in range(points.shape[1]):
        how = {**mark_style(look), "markersize": 3, "markeredgewidth": 0, "alpha": 0.55}
        axes.plot(points[:, look, 0], points[:, look, 1], **how)
    lines = [f"the gazes in {len(gazes)} picture{'s' if len(gazes) > 1 else ''};", "outer frame: the picture"]
    if reach is not None:
        corners = gaze_points([[-reach, -reach], [-reach, reach], [reach, reach], [reach, -reach]], size)
        closed = np.concatenate([corners, corners[:1]])
        axes.plot(*closed.T, color=style.MUTED, linewidth=0.9, linestyle=(0, (3, 2)), clip_on=False)
        lines += [
            "dashed: the farthest it can look",
            "",
            f"in a corner of that: {_percent_in_corners(gazes, reach)}",
        ]
    for number, line in enumerate(lines):
        left = MARGIN + _PICTURE_INCHES + 0.05
        sheet.write(left, top + 0.2 + 0.17 * number, line, colour=style.MUTED if number < 3 else style.INK)


def _percent_in_corners(gazes: np.ndarray, reach: float) -> str:
    is_in_corner = (np.abs(gazes) >= CORNER_SHARE * reach).all(-1)
    return f"{100 * is_in_corner.mean():.0f} %"
