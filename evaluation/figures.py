"""The figures of an evaluation: robustness curves, classes, learning curves, example pictures."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.findings import (
    SPACE,
    Point,
    class_point,
    headline_point,
    inputs_word,
    model_names,
    norm_name,
    of_rows,
)
from bioattack.evaluation.results import EXAMPLES, read_examples, read_summary

MAX_CLASSES = 20
MAX_PICTURES = 3


class ClassRow(NamedTuple):
    """How often the pictures of one class are right: a row of ``per_class`` per model, clean and attacked."""

    label: int
    name: str
    clean: tuple[dict[str, Any], ...]
    adversarial: tuple[dict[str, Any], ...]


def write_figures(output: Path) -> list[Path]:
    """Draws all figures of an evaluation into ``output/figures``.

    Args:
        output: An evaluation's folder; ``summary.json``, ``examples/`` and ``models/*/history.csv`` are read.

    Returns:
        The PNG files written, at most 150 kB each. The same input gives the same bytes.
    """
    folder = Path(output) / "figures"
    folder.mkdir(exist_ok=True)
    summary, examples = read_summary(output), read_examples(output)
    histories = read_histories(output, summary)
    written = []
    with style.house_style():
        for attack, norm in curves(summary):
            figure = robustness_figure(summary, attack=attack, norm=norm)
            written.append(style.save_png(figure, folder / f"robustness-{attack}-{norm}.png"))
        if class_rows(summary):
            written.append(style.save_png(classes_figure(summary), folder / "classes.png"))
        if histories:
            written.append(style.save_png(training_figure(summary, histories), folder / "training.png"))
        if chosen := chosen_examples(summary, examples):
            figure = examples_figure(chosen, Path(output) / EXAMPLES)
            written.append(style.save_png(figure, folder / "examples.png"))
    return written


def curves(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the attack and norm of each robustness curve."""
    return list(dict.fromkeys((row["attack"], row["norm"]) for row in summary["adversarial"]))


def robustness_figure(
    summary: dict[str, Any], *, attack: str, norm: str, has_legend: bool | None = None
) -> Figure:
    """Draws accuracy against the size of the allowed change, a line per model with its 95 % band.

    Args:
        summary: The content of ``summary.json``.
        attack: The attack's name in the summary.
        norm: The norm whose epsilons make the axis; for ``linf`` they are also given in 255ths.
        has_legend: Whether the lines are named; by default where there are several.
    """
    names = model_names(summary)
    rows = [row for row in summary["adversarial"] if (row["attack"], row["norm"]) == (attack, norm)]
    positions = epsilon_positions({row["epsilon"] for row in rows})
    figure, axes = _new_figure()
    for index, name in enumerate(names):
        clean = next(row for row in summary["clean"] if row["model"] == name)
        attacked = sorted(
            (row for row in rows if row["model"] == name and row["epsilon"] > 0),
            key=lambda row: row["epsilon"],
        )
        _draw_curve(axes, [clean, *attacked], positions=positions, index=index)
    _mark_chance(axes, len(summary["data"]["class_names"]), side="left")
    _mark_epsilons(axes, positions, is_in_steps=norm == "linf" and not of_rows(summary))
    words = (
        "largest change of any attribute" if of_rows(summary) else _NORM_WORDS.get(norm, "size of the change")
    )
    title = f"{norm_name(norm)}: {words}"
    style.set_titles(axes, title, _attack_words(summary, attack=attack, norm=norm))
    _percent_axis(axes, label=f"{inputs_word(summary)} still right")
    if has_legend if has_legend is not None else len(names) > 1:
        _legend(axes, names)
    return figure


_NORM_WORDS = {
    "linf": "largest change of any pixel",
    "l2": "Euclidean length of the change",
    "rms": "root mean square of the change",
}


def _attack_words(summary: dict[str, Any], *, attack: str, norm: str) -> str:
    protocol = summary["protocol"]
    steps = [row["steps"] for row in protocol["attacks"] if (row["attack"], row["norm"]) == (attack, norm)]
    judged = {"any": "any iterate counts", "last": "the last iterate counts"}[protocol["judged"]]
    return ", ".join([attack.upper(), *(f"{number} steps" for number in steps[:1]), judged])


def _new_figure(*, height: float = style.HEIGHT_INCHES) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(style.WIDTH_INCHES, height), layout="constrained")
    return figure, figure.add_subplot()


def epsilon_positions(epsilons: set[float]) -> dict[float, float]:
    """Places epsilons on a logarithmic axis that has room for 0 at its left.

    >>> epsilon_positions({0.001, 0.1})
    {0.0: -3.5, 0.001: -3.0, 0.1: -1.0}
    """
    positive = sorted(epsilon for epsilon in epsilons if epsilon > 0)
    if not positive:
        return {0.0: 0.0}
    places = {epsilon: math.log10(epsilon) for epsilon in positive}
    gap = max(0.5, 0.14 * (places[positive[-1]] - places[positive[0]]))
    return {0.0: places[positive[0]] - gap} | places


def _draw_curve(
    axes: Axes, rows: Sequence[dict[str, Any]], *, positions: dict[float, float], index: int
) -> None:
    colour = style.series_colour(index)
    x = [positions[row.get("epsilon", 0.0)] for row in rows]
    y = [100 * row["accuracy"] for row in rows]
    low, high = ([100 * row[end] for row in rows] for end in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    # From no change at all to the least change the axis is not logarithmic: that part is dashed.
    axes.plot(x[:2], y[:2], color=colour, linewidth=1.2, linestyle=(0, (2, 2)))
    axes.plot(x[1:], y[1:], color=colour, linewidth=1.8)
    axes.errorbar(
        x,
        y,
        yerr=np.abs([np.subtract(y, low), np.subtract(high, y)]) if len(x) <= 2 else None,
        color=colour,
        linestyle="none",
        marker=style.series_marker(index),
        markersize=5.5,
        markeredgecolor=style.PAPER,
        markeredgewidth=0.8,
        clip_on=False,
        zorder=3,
    )


def _mark_chance(axes: Axes, num_classes: int, *, side: str) -> None:
    if num_classes > 1:
        chance = 100 / num_classes
        axes.axhline(chance, color=style.MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            "guessing",
            (0.0 if side == "left" else 1.0, chance),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2.5),
            textcoords="offset points",
            ha=side,
            color=style.MUTED,
            fontsize=7.5,
        )


def _mark_epsilons(axes: Axes, positions: dict[float, float], *, is_in_steps: bool) -> None:
    left, right = min(positions.values()), max(positions.values())
    span = max(right - left, 0.5)
    axes.set_xlim(left - 0.06 * span, right + 0.06 * span)
    shown = _spaced(positions, width_of_point=span / _AXIS_POINTS)
    labels = [
        "0" if epsilon == 0 else f"{epsilon:.3g}" + (f"\n{_short(255 * epsilon)}" if is_in_steps else "")
        for epsilon in shown
    ]
    axes.set_xticks([positions[epsilon] for epsilon in shown], labels)
    axes.set_xticks(list(positions.values()), minor=True)
    axes.tick_params(axis="x", which="both", length=3, color=style.MUTED)
    axes.set_xlabel(
        "ε as a fraction of the pixel range\n(below: in steps of an 8-bit pixel, 1/255)"
        if is_in_steps
        else "ε"
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


# About how many points of the figure's width the epsilons share; digits and points at the labels' size.
_AXIS_POINTS, _DIGIT_POINTS, _STOP_POINTS, _GAP_POINTS = 195, 5.1, 2.6, 3.0


def _spaced(positions: dict[float, float], *, width_of_point: float) -> list[float]:
    """Returns the epsilons whose labels do not run into one another; the first and the last always."""
    epsilons = sorted(positions, key=lambda epsilon: positions[epsilon])
    last = epsilons[-1]
    shown = [epsilons[0]]
    for epsilon in epsilons[1:-1]:
        if all(
            abs(positions[epsilon] - positions[other])
            >= width_of_point * ((_label_points(epsilon) + _label_points(other)) / 2 + _GAP_POINTS)
            for other in (shown[-1], last)
        ):
            shown.append(epsilon)
    return shown + epsilons[1:][-1:]


def _label_points(epsilon: float) -> float:
    text = f"{epsilon:.3g}"
    num_stops = text.count(".")
    return _DIGIT_POINTS * (len(text) - num_stops) + _STOP_POINTS * num_stops


def _percent_axis(axes: Axes, *, label: str) -> None:
    axes.set_ylim(0, 103)
    axes.set_yticks(range(0, 101, 20), [f"{value}{SPACE}%" for value in range(0, 101, 20)])
    axes.set_ylabel(label)
    axes.grid(visible=True, axis="y")


def _legend(axes: Axes, names: Sequence[str]) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=style.series_colour(index),
            marker=style.series_marker(index),
            markersize=5.5,
            markeredgecolor=style.PAPER,
            linewidth=1.8,
            label=style.printable(name, otherwise=f"model {index + 1}"),
        )
        for index, name in enumerate(names)
    ]
    is_long = max(len(str(handle.get_label())) for handle in handles) > 16
    num_columns = 1 if is_long else 2
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.set_figheight(figure.get_figheight() + 0.17 * -(-len(names) // num_columns))
        figure.legend(handles=handles, loc="outside lower center", ncols=num_columns)


def class_rows(summary: dict[str, Any]) -> list[ClassRow]:
    """Returns the classes, from the one that fares worst at ``class_point`` to the one that fares best."""
    point = class_point(summary)
    names = model_names(summary)
    table: dict[tuple[int, str], dict[str, dict[str, Any]]] = {}
    for row in summary["per_class"]:
        setting = Point(row["attack"], row["norm"], row["epsilon"])
        if row["num_images"] and (row["attack"] == "none" or setting == point):
            kind = "clean" if row["attack"] == "none" else "adversarial"
            table.setdefault((row["label"], row["class_name"]), {})[f"{kind} {row['model']}"] = row
    rows = [
        ClassRow(
            label,
            name,
            tuple(found[f"clean {model}"] for model in names),
            tuple(found[f"adversarial {model}"] for model in names) if point else (),
        )
        for (label, name), found in table.items()
    ]
    return sorted(rows, key=_how_well)


def _how_well(row: ClassRow) -> tuple[float, float, int]:
    adversarial, clean = (sum(cell["accuracy"] for cell in cells) for cells in (row.adversarial, row.clean))
    return adversarial, clean, row.label


def worst_and_best(rows: Sequence[ClassRow], *, limit: int = MAX_CLASSES) -> tuple[list[ClassRow], int]:
    """Returns the rows to show, and how many were left out between the worst and the best."""
    if len(rows) <= limit:
        return list(rows), 0
    half = limit // 2
    return [*rows[:half], *rows[-half:]], len(rows) - 2 * half


def classes_figure(summary: dict[str, Any]) -> Figure:
    """Draws a bar per class and model: the pale part is right until attacked, the full part even then."""
    names = model_names(summary)
    limit = max(4, MAX_CLASSES // (1 + len(names) // 3))
    rows, num_left_out = worst_and_best(class_rows(summary), limit=limit)
    thickness = 0.72 / len(names)
    figure, axes = _new_figure(
        height=1.3 + len(rows) * max(0.22, 0.11 * len(names)) + 0.2 * bool(num_left_out)
    )
    places = [-float(index) - (index >= len(rows) // 2 and num_left_out > 0) for index in range(len(rows))]
    for index in range(len(names)):
        middle = [place + 0.36 - thickness * (index + 0.5) for place in places]
        colour = style.series_colour(index)
        clean = [100 * row.clean[index]["accuracy"] for row in rows]
        # Paper first: the grid must not shine through the pale part.
        axes.barh(middle, clean, thickness * 0.9, color=style.PAPER, linewidth=0)
        axes.barh(middle, clean, thickness * 0.9, color=colour, alpha=0.3, linewidth=0)
        if rows and rows[0].adversarial:
            attacked = [100 * row.adversarial[index]["accuracy"] for row in rows]
            axes.barh(middle, attacked, thickness * 0.9, color=colour, linewidth=0)
    labels = [style.printable(row.name, otherwise=f"class {row.label}", limit=22) for row in rows]
    axes.set_yticks(places, labels, color=style.INK)
    axes.set_xlim(0, 100)
    axes.set_ylim(min(places, default=0) - 0.6, 0.6)
    axes.set_xticks(range(0, 101, 20), [f"{value}{SPACE}%" for value in range(0, 101, 20)])
    axes.grid(visible=True, axis="x")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    if num_left_out:
        _mark_left_out(
            axes, place=(places[len(rows) // 2 - 1] + places[len(rows) // 2]) / 2, number=num_left_out
        )
    point = class_point(summary)
    words = (
        f"pale: as they are; full: {norm_name(point.norm)} ε = {point.epsilon:.3g}"
        if point
        else "as they are"
    )
    style.set_titles(axes, f"{inputs_word(summary).capitalize()} still right, by class", words)
    if len(names) > 1:
        _legend(axes, names)
    return figure


def _mark_left_out(axes: Axes, *, place: float, number: int) -> None:
    text = f"… {number} classes between …"
    axes.text(1, place, text, va="center", color=style.MUTED, fontsize=7.5)


def read_histories(output: Path, summary: dict[str, Any]) -> dict[str, list[dict[str, float]]]:
    """Reads ``history.csv`` of each model that has one; a row per epoch, columns that are numbers."""
    histories = {}
    for model in summary["models"]:
        path = Path(output) / str(model["folder"]) / "history.csv"
        if model["folder"] and path.is_file():
            with path.open(newline="") as file:
                rows = [_numbers(row) for row in csv.DictReader(file)]
            if rows and any("accuracy" in column for column in rows[0]):
                histories[model["name"]] = rows
    return histories


def _numbers(row: dict[str, str]) -> dict[str, float]:
    found = {}
    for column, text in row.items():
        try:
            found[column] = float(text)
        except (TypeError, ValueError):
            continue
    return found


def training_figure(
    summary: dict[str, Any], histories: dict[str, list[dict[str, float]]], *, has_legend: bool | None = None
) -> Figure:
    """Draws accuracy against the epoch: on the training pictures (thin) and on held-out ones (thick)."""
    names = model_names(summary)
    figure, axes = _new_figure()
    most_epochs = 1
    for name, rows in histories.items():
        index = names.index(name)
        most_epochs = max(most_epochs, len(rows))
        for column, is_held_out in _accuracy_columns(rows):
            drawn = [(epoch, 100 * row[column]) for epoch, row in enumerate(rows, 1) if column in row]
            axes.plot(
                *zip(*drawn, strict=True),
                color=style.series_colour(index),
                linewidth=1.9 if is_held_out else 1.1,
                linestyle="-" if is_held_out else (0, (3, 2)),
                marker=style.series_marker(index) if len(drawn) <= 12 and is_held_out else None,
                markersize=4.5,
                markeredgecolor=style.PAPER,
                clip_on=False,
            )
    style.set_titles(
        axes, "Accuracy while training", f"dashed: training {inputs_word(summary)}; solid: held-out ones"
    )
    axes.set_xlabel("epoch")
    axes.set_xlim(min(1, most_epochs - 0.5), max(most_epochs, 1.5))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.tick_params(axis="x", length=3)
    _mark_chance(axes, len(summary["data"]["class_names"]), side="right")
    _percent_axis(axes, label=f"{inputs_word(summary)} right")
    if has_legend if has_legend is not None else len(names) > 1:
        _legend(axes, names)
    return figure


def _accuracy_columns(rows: list[dict[str, float]]) -> list[tuple[str, bool]]:
    columns = [column for column in rows[0] if column.endswith("accuracy")]
    return [(column, column.startswith(("val_", "test_"))) for column in columns]


def chosen_examples(summary: dict[str, Any], examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Chooses an example per picture and model: the setting of the headline, or the nearest to it.

    Whether the attack succeeded plays no part in the choice.
    """
    point = headline_point(summary)
    if point is None:
        return []
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for example in examples:
        if (example["attack"], example["norm"]) == point[:2] and example["epsilon"] > 0:
            found.setdefault((example["image_id"], example["model"]), []).append(example)
    return [
        min(candidates, key=lambda example: abs(math.log(example["epsilon"] / point.epsilon)))
        for candidates in found.values()
    ]


def magnification(example: dict[str, Any]) -> float:
    """Returns how many times stronger than in truth the saved difference picture shows a change."""
    return 0.5 / float(example["difference_scale"])


def examples_figure(examples: list[dict[str, Any]], folder: Path) -> Figure:
    """Draws original, magnified difference and adversarial picture side by side, a row per example."""
    shown = examples[:MAX_PICTURES]
    has_several_models = len({example["model"] for example in examples}) > 1
    figure = Figure(
        figsize=(style.WIDTH_INCHES, 0.1 + (1.64 if has_several_models else 1.52) * len(shown)),
        layout="constrained",
    )
    grid = np.asarray(figure.subplots(len(shown), 3, squeeze=False))
    for row, example in zip(grid, shown, strict=True):
        for axes in row:
            axes.set_axis_off()
        captions = (
            f"“{_class(example, 'clean')}”",
            f"difference \N{MULTIPLICATION SIGN} {magnification(example):.3g}",
            f"“{_class(example, 'adversarial')}”"
            + (f"\n{style.printable(example['model'], limit=20)}" if has_several_models else ""),
        )
        kinds = ("original", "difference", "adversarial")
        for axes, kind, caption in zip(row, kinds, captions, strict=True):
            pixels = np.asarray(Image.open(folder / example[kind]).convert("RGB"))
            axes.imshow(pixels, interpolation="nearest" if max(pixels.shape) <= 160 else "antialiased")
            axes.set_title(caption, loc="center", fontsize=8, pad=3)
    return figure


def _class(example: dict[str, Any], kind: str) -> str:
    name = str(example[f"predicted_{kind}_name"])
    return style.printable(name, otherwise=f"class {example[f'predicted_{kind}']}", limit=20)
