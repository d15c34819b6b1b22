"""Groups under attack as one picture: accuracy, success rate and least epsilon, the models side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.findings import SPACE, Point, class_point, model_names, norm_name, of_rows
from bioattack.evaluation.results import epsilon_words

MAX_GROUPS = 20

Row = dict[str, Any]


def rows_of(rows: Sequence[Row], point: Point | None, *, model: str, is_search: bool = False) -> list[Row]:
    """Returns the rows of one model at one setting, or of its search; at None those without an attack."""
    setting = point or Point("none", "none", 0.0)
    chosen = [
        row for row in rows if row["model"] == model and (row["least_epsilon"] is not None) == is_search
    ]
    if is_search:
        return chosen
    return [row for row in chosen if Point(row["attack"], row["norm"], row["epsilon"]) == setting]


def shown_groups(summary: dict[str, Any], column: str) -> list[str]:
    """Returns the groups in their order or, where they are many, those that fare worst and best."""
    rows, point = summary["by_group"][column], class_point(summary)
    names = list(dict.fromkeys(row["group"] for row in rows))
    if len(names) <= MAX_GROUPS:
        return names
    means = {
        name: np.mean(
            [
                row["accuracy"]
                for model in model_names(summary)
                for row in rows_of(rows, point, model=model)
                if row["group"] == name
            ]
        )
        for name in names
    }
    ranked = sorted(names, key=lambda name: (means[name], names.index(name)))
    return [*ranked[: MAX_GROUPS // 2], *ranked[-MAX_GROUPS // 2 :]]


def groups_figure(summary: dict[str, Any], column: str) -> Figure:
    """Draws a row per group, a panel per question, and a mark with its 95 % interval per model.

    Args:
        summary: The content of ``summary.json``, with ``by_group``.
        column: Which of its columns.
    """
    rows, names = summary["by_group"][column], model_names(summary)
    groups, point = shown_groups(summary, column), class_point(summary)
    panels = _panels(rows, point)
    width = style.WIDTH_INCHES * (0.55 + 0.5 * len(panels))
    height = 1.35 + len(groups) * (0.2 + 0.11 * len(names))
    figure = Figure(figsize=(width, height), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (keys, words) in zip(all_axes, panels, strict=True):
        is_search = keys[0] == "least_epsilon"
        for index, model in enumerate(names):
            place = index, len(names)
            if keys[0] == "accuracy":
                _draw(axes, rows_of(rows, None, model=model), groups, keys, place=place, is_pale=True)
            if point is not None or is_search:
                attacked = rows_of(rows, point, model=model, is_search=is_search)
                _draw(axes, attacked, groups, keys, place=place)
        _finish(axes, title=words, is_percent=not is_search)
    _name_groups(all_axes[0], groups)
    figure.suptitle(_words(summary, point), x=0.01, ha="left", fontsize=8, color=style.MUTED)
    _legend(figure, names)
    return figure


def _panels(rows: Sequence[Row], point: Point | None) -> list[tuple[tuple[str, str, str], str]]:
    """What each panel shows, with the ends of its interval, and what it is called."""
    panels = [(("accuracy", "low", "high"), "right")]
    if point is not None:
        panels.append((("success_rate", "success_low", "success_high"), "attacks that succeed"))
    if any(row["least_epsilon"] is not None for row in rows):
        panels.append((("least_epsilon", "least_low", "least_high"), "mean least ε"))
    return panels


def _name_groups(axes: Axes, groups: Sequence[str]) -> None:
    labels = [
        style.printable(name, otherwise=f"group {place + 1}", limit=22) for place, name in enumerate(groups)
    ]
    axes.set_yticks([-float(place) for place in range(len(groups))], labels, color=style.INK)
    axes.set_ylim(-len(groups) + 0.4, 0.6)


def _words(summary: dict[str, Any], point: Point | None) -> str:
    if point is None:
        return "as they are"
    words = epsilon_words(point.epsilon, norm=point.norm, of_rows=of_rows(summary))
    return f"hollow: as they are; full: under attack, {norm_name(point.norm)} ε = {words}"


def _draw(
    axes: Axes,
    rows: Sequence[Row],
    groups: Sequence[str],
    keys: tuple[str, str, str],
    *,
    place: tuple[int, int],
    is_pale: bool = False,
) -> None:
    index, number = place
    colour = style.series_colour(index)
    by_group = {row["group"]: row for row in rows}
    factor = 1 if keys[0] == "least_epsilon" else 100
    for position, group in enumerate(groups):
        row = by_group.get(group)
        if row is None or row[keys[0]] is None:
            continue
        middle = -position + 0.6 * ((number - 1) / 2 - index) / number
        value, low, high = (factor * row[key] if row[key] is not None else np.nan for key in keys)
        if np.isfinite(low) and np.isfinite(high):
            axes.plot([low, high], [middle, middle], color=colour, linewidth=1.1, alpha=0.5 if is_pale else 1)
        axes.plot(
            [value],
            [middle],
            linestyle="none",
            marker=style.series_marker(index),
            markersize=4.6,
            markerfacecolor=style.PAPER if is_pale else colour,
            markeredgecolor=colour,
            markeredgewidth=1.0,
            clip_on=False,
            zorder=3,
        )


def _finish(axes: Axes, *, title: str, is_percent: bool) -> None:
    axes.set_title(title, fontsize=8.5, pad=6)
    axes.grid(visible=True, axis="x")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="both", length=0)
    if is_percent:
        axes.set_xlim(0, 100)
        axes.set_xticks((0, 50, 100), [f"{value}{SPACE}%" for value in (0, 50, 100)])
    else:
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=4)


def _legend(figure: Figure, names: Sequence[str]) -> None:
    if len(names) < 2:
        return
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            color=style.series_colour(index),
            marker=style.series_marker(index),
            markersize=4.6,
            label=style.printable(name, otherwise=f"model {index + 1}"),
        )
        for index, name in enumerate(names)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
