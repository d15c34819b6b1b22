"""The figures of classes and groups: what each gets, as bars with intervals, models side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.scores_words import setting_words

MAX_GROUPS, MAX_MODELS, MAX_SETTINGS, MAX_CONFIDENCES = 24, 6, 6, 4
_ROW_INCHES, _GROUP_INCHES, _EDGE_INCHES = 0.11, 0.08, 1.25
TITLES = {
    "accuracy": "Accuracy",
    "success_rate": "Success rate of the attack",
    "least_epsilon": "Mean least epsilon that fools",
}
_IN_PERCENT = ("accuracy", "success_rate")


def figure_list(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Lists the figures of an answer.

    Args:
        summary: The content of ``summary.json``.

    Returns:
        ``name`` of the file, ``title``, ``figure`` and the ``settings`` that it shows: success rates of all
        epsilons of an attack share one figure, the rest have one setting each.
    """
    found: list[dict[str, Any]] = []
    for key in dict.fromkeys((row["figure"], _setting(row)) for row in summary["by_group"]):
        figure, setting = key
        num_drawn = sum(entry["figure"].startswith("confidence") for entry in found)
        is_confidence = figure.startswith("confidence") and num_drawn < MAX_CONFIDENCES
        if figure not in TITLES and not is_confidence:
            continue
        same = [entry for entry in found if entry["figure"] == figure == "success_rate"]
        same = [entry for entry in same if entry["settings"][0][:2] == setting[:2]]
        if same:
            same[0]["settings"].append(setting)
            continue
        found.append({"figure": figure, "settings": [setting], "title": _title(figure, setting)})
    for number, entry in enumerate(found):
        kind = "confidence" if entry["figure"].startswith("confidence") else entry["figure"].replace("_", "-")
        entry["name"] = f"{number + 1:02d}-{kind}.png"
        entry["settings"] = entry["settings"][:MAX_SETTINGS]
    return found


def _setting(row: dict[str, Any]) -> tuple[str, str | None, float | None]:
    return row["attack"], row["norm"], row["epsilon"]


def _title(figure: str, setting: tuple[str, str | None, float | None]) -> str:
    words = setting_words(dict(zip(("attack", "norm", "epsilon"), setting, strict=True)))
    if figure.startswith("confidence"):
        predicted, _, true = figure.removeprefix("confidence ").partition(" | ")
        return style.printable(f"Confidence of {predicted}, true {true}", limit=44)
    if figure == "success_rate":
        words = f"{setting[0]} {setting[1]}"
    after = "" if setting[0] == "none" else f", {words}"
    return style.printable(f"{TITLES[figure]}{after}", limit=44)


def write_scores_figures(folder: Path, summary: dict[str, Any]) -> list[Path]:
    """Draws all figures of an answer.

    Args:
        folder: Where to; it is there.
        summary: The content of ``summary.json``.

    Returns:
        The files. The same input gives the same bytes.

    Source:
        Figures 1 to 4 of Sooksatra and Rivas 2022, with intervals.
    """
    with style.house_style():
        return [
            style.save_png(bar_figure(summary, entry), folder / entry["name"])
            for entry in figure_list(summary)
        ]


def bar_figure(summary: dict[str, Any], entry: dict[str, Any]) -> Figure:
    """Draws one figure: a bar per group, model and setting, with its 95 % interval.

    Args:
        summary: The content of ``summary.json``.
        entry: One of ``figure_list``.
    """
    models = summary["models"][:MAX_MODELS]
    rows = {
        (row["model"], _setting(row), row["group"]): row
        for row in summary["by_group"]
        if row["figure"] == entry["figure"] and row["value"] is not None
    }
    series = [(model, setting) for model in models for setting in entry["settings"]]
    groups, words = _shown_groups(rows, series, list(summary["data"]["groups"]))
    figure = Figure(
        figsize=(
            style.WIDTH_INCHES,
            _EDGE_INCHES + len(groups) * (_GROUP_INCHES + _ROW_INCHES * max(len(series), 2)),
        ),
        layout="constrained",
    )
    axes = figure.add_subplot()
    column = "class" if summary["kind"] == "classes" else style.printable(summary["data"]["column"])
    style.set_titles(axes, entry["title"], f"by {column}{words}")
    factor = 100.0 if entry["figure"] in _IN_PERCENT else 1.0
    for place, key in enumerate(series):
        # The larger epsilons of a model are paler.
        share = 0.6 * entry["settings"].index(key[1]) / max(len(entry["settings"]), 1)
        colour = _paler(style.series_colour(models.index(key[0])), share)
        own = [rows.get((*key, group)) for group in groups]
        _draw_bars(axes, own, place=place, num_series=len(series), colour=colour, factor=factor)
    _finish(axes, groups, is_percent=factor > 1)
    if len(series) > 1:
        _add_legend(figure, axes, series, entry)
    return figure


def _shown_groups(
    rows: dict[Any, dict[str, Any]], series: Sequence[Any], names: Sequence[str]
) -> tuple[list[str], str]:
    """All groups, or the lowest and the highest where there are many."""
    known = [group for group in names if any((*key, group) in rows for key in series)]
    if len(known) <= MAX_GROUPS:
        return known, ""
    first = series[0]
    ordered = sorted(
        (group for group in known if (*first, group) in rows), key=lambda g: rows[*first, g]["value"]
    )
    half = MAX_GROUPS // 2
    return ordered[:half] + ordered[-half:], f": the {half} lowest and the {half} highest of {len(known)}"


def _draw_bars(
    axes: Axes,
    rows: Sequence[dict[str, Any] | None],
    *,
    place: int,
    num_series: int,
    colour: Any,
    factor: float,
) -> None:
    height = 0.84 / num_series
    places = [number - 0.42 + (place + 0.5) * height for number, row in enumerate(rows) if row]
    ends = ("value", "low", "high")
    values = np.array([[row[end] for end in ends] for row in rows if row], float) * factor
    if not len(values):
        return
    axes.barh(places, values[:, 0], height * 0.92, color=colour, linewidth=0)
    # One image alone has no interval.
    spread = np.nan_to_num(np.abs(values[:, 1:].T - values[:, 0]))
    axes.errorbar(
        values[:, 0],
        places,
        xerr=spread,
        fmt="none",
        ecolor=style.INK,
        elinewidth=0.7,
        capsize=1.2,
        capthick=0.7,
    )


def _paler(colour: str, share: float) -> tuple[float, ...]:
    """Mixes a colour with that of the paper, so that nothing behind it shows through."""
    mixed = (1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(style.PAPER))
    return tuple(mixed.tolist())


def _finish(axes: Axes, groups: Sequence[str], *, is_percent: bool) -> None:
    labels = [
        style.printable(group, otherwise=f"group {place + 1}", limit=22) for place, group in enumerate(groups)
    ]
    axes.set_yticks(range(len(groups)), labels, fontsize=7, color=style.INK)
    axes.set_ylim(len(groups) - 0.45, -0.55)
    axes.set_xlim(left=0)
    if is_percent:
        axes.set_xlim(0, 100)
        axes.set_xlabel("in %")
    axes.set_axisbelow(True)
    axes.grid(visible=True, axis="x")


def _add_legend(figure: Figure, axes: Axes, series: Sequence[Any], entry: dict[str, Any]) -> None:
    names = []
    for number, (model, setting) in enumerate(series):
        epsilon = "" if len(entry["settings"]) == 1 or setting[2] is None else f", ε = {setting[2]:.3g}"
        names.append(style.printable(model, otherwise=f"model {number + 1}", limit=24) + epsilon)
    handles: list[Any] = [container for container in axes.containers if isinstance(container, BarContainer)]
    figure.legend(handles[: len(names)], names, loc="outside lower center", ncols=2, fontsize=7)
