"""Pictures as they are: the checkerboard under retinal sampling, and a sheet of each class's pictures."""

from pathlib import Path
from typing import Any

import numpy as np

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.vision_drawing import (
    GAP,
    MARGIN,
    TITLE_INCHES,
    Sheet,
    cell_size,
    mark_points,
    show_picture,
)
from bioattack.evaluation.vision_views import gaze_points
from bioattack.models.layers.retinal_sampling import RetinalSampling
from bioattack.tfrecords_builder.reading import Records

# Of 320 pixels a square of the published checkerboard has 20.
_SQUARES = 16
_ZOOM_SHARE = 0.1
MAX_CLASSES = 20
# Between the pictures of the sheet, and for the names beside them.
_CLOSE, _NAMES_INCHES = 0.04, 1.0


def draw_checkerboard(path: Path, size: int = 320, *, gaze: tuple[float, float] = (0.0, 0.0)) -> Path:
    """Draws a checkerboard as it is, under discrete and under bilinear retinal sampling.

    Below each of the three a small part of it is magnified, where the two kinds of sampling differ most.

    Args:
        path: The PNG file.
        size: Side of the checkerboard in pixels, 16 or more; a square has a sixteenth of it.
        gaze: Where the retina looks: pixels from the centre, row first.

    Returns:
        ``path``. The same input gives the same bytes.

    Raises:
        ValueError: If the checkerboard would have squares of no pixels.

    Source:
        Burhanpurkar 2021, Figure 8 and section 3.2.
    """
    boards = checkerboards(size, gaze=gaze)
    rows, columns = sharpest_difference(boards[1], boards[2], side=max(8, round(_ZOOM_SHARE * size)))
    with style.house_style():
        cell = (style.WIDTH_INCHES - 2 * MARGIN - 2 * GAP) / 3
        sheet = Sheet(
            TITLE_INCHES + 0.2 + 2 * cell + GAP + MARGIN,
            title="What the retina makes of a checkerboard",
            subtitle="it looks at the point; below, the part in the square, magnified",
        )
        for index, (board, name) in enumerate(zip(boards, ("flat", "discrete", "bilinear"), strict=True)):
            left, top = MARGIN + index * (cell + GAP), TITLE_INCHES + 0.2
            sheet.write(left, top - 0.06, name)
            whole, part = sheet.place(left, top, cell, cell), sheet.place(left, top + cell + GAP, cell, cell)
            show_picture(whole, board)
            corners = ((columns.start, rows.start), (columns.stop, rows.stop))
            (first, above), (last, below) = (np.subtract(corner, 0.5) for corner in corners)
            whole.plot(
                [first, last, last, first, first],
                [above, above, below, below, above],
                color=style.SERIES[1],
                linewidth=1.4,
            )
            if index:
                mark_points(whole, gaze_points([gaze], (size, size)))
            show_picture(part, board[rows, columns])
            for spine in part.spines.values():
                spine.set(visible=True, color=style.SERIES[1], linewidth=1.4)
        return style.save_png(sheet.figure, Path(path))


def checkerboards(size: int, *, gaze: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Makes a checkerboard as it is, under discrete and under bilinear retinal sampling.

    Args:
        size: Side in pixels.
        gaze: Pixels from the centre, row first.

    Returns:
        Three times ``(size, size, 1)``, in [0, 1].

    Raises:
        ValueError: If there would be squares of no pixels.

    >>> [float(board.min()) for board in checkerboards(32, gaze=(0.0, 0.0))]
    [0.0, 0.0, 0.0]
    """
    if size < _SQUARES:
        raise ValueError(f"size must be {_SQUARES} or more. Received: size={size}")
    square = np.arange(size) // (size // _SQUARES)
    flat = ((square[:, None] + square[None, :]) % 2).astype(np.float32)[..., None]
    where = np.array([gaze], np.float32)
    nearest, bilinear = (
        np.asarray(RetinalSampling(mode=mode)(flat[None], where))[0] for mode in ("nearest", "bilinear")
    )
    return flat, nearest, bilinear


def sharpest_difference(first: np.ndarray, second: np.ndarray, *, side: int) -> tuple[slice, slice]:
    """Finds the square in which two pictures differ most.

    Args:
        first: ``(height, width, channels)``.
        second: The same.
        side: Of the square in pixels, at most that of the pictures.

    Returns:
        Its rows and columns.

    >>> sharpest_difference(np.eye(4)[..., None], np.diag([1, 1, 1, 0])[..., None], side=1)
    (slice(3, 4, None), slice(3, 4, None))
    """
    difference = np.abs(first - second).sum(-1)
    sums = np.pad(difference, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    row, column = (int(place) for place in np.unravel_index(inside.argmax(), inside.shape))
    return slice(row, row + side), slice(column, column + side)


def draw_samples(path: Path, records: Records, *, num_columns: int = 4) -> Path:
    """Draws a sheet of pictures, a row a class: the first of each in the stored order, a fixed random sample.

    Args:
        path: The PNG file.
        records: Of their test pictures, or of those for training where there are none; of more than 20
            classes the first 20.
        num_columns: Pictures of each class; there may be fewer.

    Returns:
        ``path``. The same input gives the same bytes.

    Raises:
        RecordsError: If the pictures cannot be read.

    Source:
        Burhanpurkar 2021, Figure 7.
    """
    split = "test" if "test" in records.splits else "train"
    names = records.class_names[:MAX_CLASSES]
    samples = _first_of_each(records, split, num_classes=len(names), number=num_columns)
    num_left_out = records.num_classes - len(names)
    with style.house_style():
        room = (style.WIDTH_INCHES - 2 * MARGIN - _NAMES_INCHES) / num_columns - _CLOSE
        cell = cell_size(room, max(records.image_shape[:2]))
        step = cell + _CLOSE
        left = style.WIDTH_INCHES - MARGIN + _CLOSE - num_columns * step
        sheet = Sheet(
            TITLE_INCHES + _CLOSE + step * len(names) + MARGIN,
            title=f"Pictures of each class, from the split “{split}”",
            subtitle=f"the first {len(names)} classes of {records.num_classes}"
            if num_left_out
            else f"{records.num_classes} classes",
        )
        for row, name in enumerate(names):
            top = TITLE_INCHES + _CLOSE + row * step
            sheet.write(
                MARGIN,
                top + cell / 2 + 0.04,
                style.printable(name, otherwise=f"class {row}", limit=16),
            )
            for column, image in enumerate(samples[row]):
                show_picture(sheet.place(left + column * step, top, cell, cell), image)
        return style.save_png(sheet.figure, Path(path))


def _first_of_each(records: Records, split: str, *, num_classes: int, number: int) -> list[list[Any]]:
    """The first pictures of each class."""
    found: list[list[Any]] = [[] for _ in range(num_classes)]
    for images, labels in records.dataset(split, batch_size=64).as_numpy_iterator():
        for image, label in zip(images, labels, strict=True):
            if label < num_classes and len(found[label]) < number:
                found[label].append(image)
        if all(len(of_class) == number for of_class in found):
            break
    return found
