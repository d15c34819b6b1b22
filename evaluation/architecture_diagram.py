"""Diagrams of architectures, drawn from the models themselves, so that they cannot disagree with the code."""

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path

import keras
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.architecture_graph import Box, architecture_boxes, with_siblings_joined
from bioattack.evaluation.findings import TIMES
from bioattack.evaluation.vision_drawing import MARGIN, TITLE_INCHES, Sheet

# More boxes than these do not fit beside each other.
MAX_BESIDE = 5
_WIDEST, _BESIDE_GAP, _LEVEL_GAP = 1.75, 0.07, 0.3
_LANE, _BEFORE_LANES = 0.13, 0.1
# Few colours are enough for boxes and letters.
_MAX_PNG_BYTES = 80_000
_LINE, _PADDING = 0.125, 0.07
_FILLS = {"network": style.SERIES[0], "look": style.SERIES[1], "see": style.SERIES[2], "other": style.MUTED}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a box lies, in inches from the top left of the diagram: ``left``, ``top``, ``width``, ``height``.

    ``lines`` is what it says, line by line, the title first; ``num_title_lines`` of them are the title's.
    """

    left: float
    top: float
    width: float
    height: float
    lines: tuple[str, ...]
    num_title_lines: int

    @property
    def middle(self) -> float:
        """The horizontal middle."""
        return self.left + self.width / 2


@dataclasses.dataclass(frozen=True)
class Line:
    """A connection: places of parent and child in the list of boxes, and the points it runs through."""

    parent: int
    child: int
    points: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class Diagram:
    """Boxes, lines and the height of it all in inches."""

    places: tuple[Place, ...]
    lines: tuple[Line, ...]
    height: float


def draw_architecture(path: Path, model: keras.Model) -> Path:
    """Draws a model as boxes with the shape of what leaves them and their parameters.

    A network, be it a run of layers or a model within the model, is one box. Shapes are those of the test:
    "5 of 64x64x3" means five pictures for each image.

    Args:
        path: The PNG file.
        model: A functional or sequential model with one input of a fixed size.

    Returns:
        ``path``. The same model gives the same bytes.

    Raises:
        InputError: If the model has no graph that can be read.

    Source:
        After Figures 5, 6, 10, 11 and 13 of Burhanpurkar 2021.
    """
    boxes = with_siblings_joined(architecture_boxes(model), most=MAX_BESIDE)
    diagram = arrange(boxes)
    with style.house_style():
        sheet = Sheet(
            TITLE_INCHES + 0.08 + diagram.height + MARGIN,
            title=style.printable(model.name, otherwise="model", limit=40),
            subtitle=f"{model.count_params():,} parameters" + _say_copies(boxes),
        )
        axes = sheet.place(0, TITLE_INCHES + 0.08, style.WIDTH_INCHES, diagram.height)
        axes.set_xlim(0, style.WIDTH_INCHES)
        axes.set_ylim(diagram.height, 0)
        for line in diagram.lines:
            _draw_line(axes, line)
        for box, place in zip(boxes, diagram.places, strict=True):
            _draw_box(axes, box, place)
        return style.save_png(sheet.figure, Path(path), max_bytes=_MAX_PNG_BYTES)


def arrange(boxes: Sequence[Box]) -> Diagram:
    """Places boxes level by level, each below its parents, and leads lines around boxes.

    Args:
        boxes: Each after its parents; at most five of them beside each other can be read.
    """
    levels = _levels(boxes)
    sides = _sides_of_long_lines(boxes, levels)
    places: dict[int, Place] = {}
    top = 0.0
    for level in range(max(levels, default=-1) + 1):
        members = [index for index, of_box in enumerate(levels) if of_box == level]
        room = style.WIDTH_INCHES - 2 * MARGIN - 2 * _lanes_inches(sides, levels, level)
        width = min(_WIDEST, (room + _BESIDE_GAP) / len(members) - _BESIDE_GAP)
        texts = [_lines(boxes[index], width) for index in members]
        height = 2 * _PADDING + _LINE * max(len(lines) for lines, _ in texts)
        left = style.WIDTH_INCHES / 2 - (len(members) * (width + _BESIDE_GAP) - _BESIDE_GAP) / 2
        for number, (index, text) in enumerate(zip(members, texts, strict=True)):
            places[index] = Place(left + number * (width + _BESIDE_GAP), top, width, height, *text)
        top += height + _LEVEL_GAP
    lines = [
        _lead(places, levels, (parent, child), sides.get((parent, child)))
        for child, box in enumerate(boxes)
        for parent in box.parents
    ]
    ordered = tuple(places[index] for index in range(len(boxes)))
    return Diagram(ordered, tuple(lines), max(0.0, top - _LEVEL_GAP))


def _lanes_inches(sides: dict[tuple[int, int], tuple[int, int]], levels: Sequence[int], level: int) -> float:
    """What the lines that pass by a level take of the width, on the fuller side."""
    passing = [lane for (parent, child), (_, lane) in sides.items() if levels[parent] < level < levels[child]]
    return _BEFORE_LANES + max(passing) * _LANE if passing else 0.0


def _levels(boxes: Sequence[Box]) -> list[int]:
    """How many boxes, at most, one comes through before each."""
    levels: list[int] = []
    for box in boxes:
        levels.append(max((levels[parent] + 1 for parent in box.parents), default=0))
    return levels


def _sides_of_long_lines(
    boxes: Sequence[Box], levels: Sequence[int]
) -> dict[tuple[int, int], tuple[int, int]]:
    """Gives each line that passes by other boxes a side, 1 (right) or -1, and a lane, 0 the inner one."""
    long_lines = [
        (parent, child)
        for child, box in enumerate(boxes)
        for parent in box.parents
        if levels[child] - levels[parent] > 1
    ]
    taken: dict[tuple[int, int], list[tuple[int, int]]] = {}
    found = {}
    for parent, child in sorted(long_lines, key=lambda line: levels[line[1]] - levels[line[0]]):
        first, last = levels[parent], levels[child]
        choices = ((side, lane) for lane in range(len(long_lines)) for side in (1, -1))
        choice = next(
            choice
            for choice in choices
            if all(last <= begin or end <= first for begin, end in taken.get(choice, []))
        )
        taken.setdefault(choice, []).append((first, last))
        found[parent, child] = choice
    return found


def _lead(
    places: dict[int, Place],
    levels: Sequence[int],
    line: tuple[int, int],
    side_and_lane: tuple[int, int] | None,
) -> Line:
    """Leads a line from the lower edge of the parent to the upper edge of the child."""
    parent, child = (places[index] for index in line)
    start, end = parent.top + parent.height, child.top
    if side_and_lane is None:
        bend = (start + end) / 2
        points = [
            (parent.middle, start), (parent.middle, bend), (child.middle, bend), (child.middle, end),
        ]  # fmt: skip
        return Line(*line, tuple(points))
    side, lane = side_and_lane
    between = [
        places[index] for index, level in enumerate(levels) if levels[line[0]] < level < levels[line[1]]
    ]
    # The row is centred: half of what it takes is as far as its outermost box.
    half = max(
        abs(edge - style.WIDTH_INCHES / 2) for one in between for edge in (one.left, one.left + one.width)
    )
    across = style.WIDTH_INCHES / 2 + side * (half + _BEFORE_LANES + lane * _LANE)
    share = 0.25 + 0.1 * lane
    first, last = (place.middle + side * share * place.width for place in (parent, child))
    upper, lower = start + (0.3 - 0.1 * lane) * _LEVEL_GAP, end - (0.35 - 0.1 * lane) * _LEVEL_GAP
    points = [(first, start), (first, upper), (across, upper), (across, lower), (last, lower), (last, end)]
    return Line(*line, tuple(points))


def _lines(box: Box, width: float) -> tuple[tuple[str, ...], int]:
    """What a box of this width says, and how many of the lines are the title's."""
    # DejaVu Sans is wide: a bold letter takes 0.69 of its size, another 0.62, in points.
    size = font_size(width)
    room = 72 * (width - 0.06)
    name = style.printable(box.words.title, otherwise="network", limit=40)
    title = textwrap.wrap(name, int(room / (0.69 * size)))
    rest = [*box.words.details, f"→ {_shape_words(box)}"]
    if box.num_parameters:
        rest.append(f"{box.num_parameters:,} parameters")
    letters = int(room / (0.62 * size))
    wrapped = [piece for line in rest for piece in textwrap.wrap(line, letters, break_long_words=False)]
    return (*title, *wrapped), len(title)


def font_size(width: float) -> float:
    """Returns the size of the letters in a box of this width in inches, in points."""
    return 7.0 if width > 1 else 6.0


def _shape_words(box: Box) -> str:
    """Says the shapes of what leaves a box, such as ``5 of 64x64x3``.

    Equal ones are named once, with their number in front.
    """
    different = list(dict.fromkeys(box.shapes))
    count = different[0][0]
    each = " and ".join(TIMES.join(map(str, shape)) if shape else "1" for _, shape in different)
    words = each if count == 1 else f"{count} of {each}"
    number = box.shapes.count(different[0])
    return words if number == 1 else f"{number} {TIMES} {words}"


def _say_copies(boxes: Sequence[Box]) -> str:
    """Explains the first number of a shape, where one is drawn."""
    counts = {count for box in boxes for count, _ in box.shapes if count > 1}
    return f"; “{min(counts)} of”: for each picture" if counts else ""


def _draw_line(axes: Axes, line: Line) -> None:
    axes.plot(
        *zip(*line.points, strict=True), color=style.MUTED, linewidth=0.9, solid_joinstyle="round", zorder=1
    )
    column, row = line.points[-1]
    axes.plot(column, row - 0.025, marker="v", markersize=3.5, color=style.MUTED, zorder=1)


def _draw_box(axes: Axes, box: Box, place: Place) -> None:
    colour = _FILLS[box.words.kind]
    # Paper first: no line shines through the pale colour.
    for face, edge in ((style.PAPER, "none"), ((colour, 0.13), colour)):
        patch = FancyBboxPatch(
            (place.left, place.top),
            place.width,
            place.height,
            boxstyle="round,pad=0,rounding_size=0.04",
            facecolor=face,
            edgecolor=edge,
            linewidth=0.9,
            clip_on=False,
            zorder=2,
        )
        axes.add_patch(patch)
    for number, text in enumerate(place.lines):
        is_title = number < place.num_title_lines
        axes.text(
            place.middle,
            place.top + _PADDING + _LINE * (number + 0.5),
            text,
            ha="center",
            va="center_baseline",
            fontsize=font_size(place.width),
            weight="bold" if is_title else "normal",
            color=style.INK if is_title else style.MUTED,
            zorder=3,
        )
