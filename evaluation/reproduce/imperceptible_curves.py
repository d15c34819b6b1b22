"""How distances are spread, how success falls with a defence, and what a setting does: drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bioattack.evaluation import figure_style as style

# Medians that are this many times each other do not show on one linear axis.
_WIDE = 20
_DASHES: tuple[Literal["-", "--"], ...] = ("-", "-", "-", "-", "-", "-", "--", "--", "--")


def draw_spread(path: Path, values: Mapping[str, np.ndarray], *, axis: str) -> None:
    """Draws box plots and, below them, empirical distribution functions.

    The boxes go from the first to the third quartile with the median in them; the whiskers reach to the last
    picture within one and a half times the box. Where one attack's median is far beyond another's, the axis
    is logarithmic.

    Args:
        path: The PNG file.
        values: Title of each attack -> ``(pictures,)``.
        axis: What is measured.
    """
    with style.house_style():
        figure = Figure(figsize=(5.2, 0.34 * len(values) + 4.0), layout="constrained")
        boxes, steps = figure.subplots(2, 1, sharex=True, height_ratios=(0.34 * len(values) + 0.5, 2.6))
        for place, (title, found) in enumerate(values.items()):
            _draw_box(boxes, found, place=place)
            heights = np.arange(1, len(found) + 1) / max(1, len(found))
            # From nothing up at the first picture.
            steps.plot(
                np.concatenate([np.sort(found)[:1], np.sort(found)]),
                np.concatenate([np.zeros(len(found[:1])), heights]),
                drawstyle="steps-post",
                color=style.series_colour(place),
                linestyle=_DASHES[place % len(_DASHES)],
                linewidth=1.4,
                label=title,
            )
        boxes.set_yticks(range(len(values)), list(values))
        boxes.invert_yaxis()
        boxes.grid(axis="x")
        if _is_wide(values):
            steps.set_xscale("log")
            # Powers of ten would be mathematics, which the style leaves to names of classes.
            steps.xaxis.set_major_formatter("{x:g}")
        else:
            steps.set_xlim(left=0)
        steps.set_xlabel(axis)
        steps.set_ylabel("share of pictures within")
        steps.set_ylim(0, 1.02)
        steps.grid()
        figure.legend(*steps.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        style.save_png(figure, path)


def _is_wide(values: Mapping[str, np.ndarray]) -> bool:
    """Whether a linear axis would press some of the attacks together at its beginning."""
    medians = [float(np.median(found)) for found in values.values() if len(found)]
    is_positive = all((found > 0).all() for found in values.values())
    return is_positive and bool(medians) and max(medians) > _WIDE * min(medians)


def _draw_box(axes: Axes, values: np.ndarray, *, place: int) -> None:
    if not len(values):
        return
    colour = style.series_colour(place)
    axes.boxplot(
        values,
        positions=[place],
        widths=0.6,
        orientation="horizontal",
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": style.PAPER, "edgecolor": colour},
        medianprops={"color": colour, "linewidth": 2},
        whiskerprops={"color": colour},
        capprops={"color": colour},
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": colour},
    )


def draw_sweeps(
    path: Path, sweeps: pd.DataFrame, *, titles: Mapping[str, str], adaptive: pd.DataFrame
) -> None:
    """Draws success after JPEG compression and after bit-depth reduction, side by side.

    Args:
        path: The PNG file.
        sweeps: Rows of ``sweep_table``.
        titles: Key of each attack -> what the figure calls it; in the order of the legend.
        adaptive: The same rows for attacks that knew the defence; hollow marks.
    """
    with style.house_style():
        figure = Figure(figsize=(7.6, 3.6), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, kind, label in zip(
            panels, ("jpeg", "bits"), ("JPEG quality", "bits per channel"), strict=True
        ):
            of_kind = sweeps[sweeps["kind"] == kind]
            strengths = sorted(of_kind["strength"].unique(), reverse=True)
            where = {strength: place for place, strength in enumerate(strengths)}
            for place, key in enumerate(titles):
                rows = of_kind[of_kind["attack"] == key].sort_values("strength", ascending=False)
                _draw_sweep(axes, rows, where=where, place=place)
                is_known = (adaptive["kind"] == kind) & (adaptive["attack"] == key)
                _draw_known(axes, adaptive[is_known], strengths=strengths, place=place)
            axes.set_xticks(range(len(strengths)), [str(strength) for strength in strengths])
            axes.set_xlabel(f"{label} (stronger to the right)")
            axes.set_ylim(-2, 102)
            axes.grid(axis="y")
        panels[0].set_ylabel("success after the defence, %")
        handles = [
            Line2D(
                [],
                [],
                color=style.series_colour(place),
                marker=style.series_marker(place),
                label=title,
                linestyle=_DASHES[place % len(_DASHES)],
                markersize=4,
            )
            for place, title in enumerate(titles.values())
        ]
        if len(adaptive):
            handles.append(
                Line2D(
                    [],
                    [],
                    color=style.MUTED,
                    marker="o",
                    markerfacecolor="none",
                    linestyle="none",
                    label="knows the defence",
                )
            )
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
        style.save_png(figure, path)


def _draw_sweep(axes: Axes, rows: pd.DataFrame, *, where: Mapping[int, int], place: int) -> None:
    axes.plot(
        [where[strength] for strength in rows["strength"]],
        100 * rows["rate"],
        color=style.series_colour(place),
        marker=style.series_marker(place),
        linestyle=_DASHES[place % len(_DASHES)],
        markersize=4,
        linewidth=1.3,
    )


def _draw_known(axes: Axes, rows: pd.DataFrame, *, strengths: Sequence[int], place: int) -> None:
    if rows.empty:
        return
    # A quality that the sweep leaves out stands between its neighbours.
    positions = np.interp(
        [-strength for strength in rows["strength"]], [-one for one in strengths], range(len(strengths))
    )
    axes.plot(
        positions,
        100 * rows["rate"],
        color=style.series_colour(place),
        marker=style.series_marker(place),
        markerfacecolor="none",
        markersize=7,
        linestyle="none",
        clip_on=False,
    )


def draw_ablation(
    path: Path, table: pd.DataFrame, *, setting: str, measures: Mapping[str, tuple[str, float]]
) -> None:
    """Draws what a setting does to success and to distances, a panel each.

    Args:
        path: The PNG file.
        table: Rows of ``imperceptibility_table`` with a column ``value``, rising.
        setting: What is changed.
        measures: Column -> label of its panel, and the factor that it is drawn with.
    """
    with style.house_style():
        figure = Figure(figsize=(2.6 * (1 + len(measures)), 2.7), layout="constrained")
        panels = figure.subplots(1, 1 + len(measures))
        places = np.arange(len(table))
        _draw_errors(panels[0], places, table, scale=100, names=("rate", "low", "high"))
        panels[0].set_ylim(-2, 102)
        panels[0].set_ylabel("success, %")
        for axes, (name, (label, scale)) in zip(panels[1:], measures.items(), strict=True):
            names = (f"mean_{name}", f"low_{name}", f"high_{name}")
            _draw_errors(axes, places, table, scale=scale, names=names)
            axes.set_ylim(bottom=0)
            # The network that a distance stands on would not fit beside the panel; the caption names it.
            axes.set_ylabel(label.partition(" (")[0])
        for axes in panels:
            axes.set_xticks(places, [f"{value:g}" for value in table["value"]])
            axes.set_xlabel(setting)
            axes.grid(axis="y")
        style.save_png(figure, path)


def _draw_errors(
    axes: Axes, places: np.ndarray, table: pd.DataFrame, *, scale: float, names: tuple[str, str, str]
) -> None:
    middle, low, high = (scale * table[name].to_numpy(float) for name in names)
    axes.errorbar(
        places,
        middle,
        yerr=np.maximum(0, np.stack([middle - low, high - middle])),
        color=style.series_colour(0),
        marker=style.series_marker(0),
        markersize=4,
        linewidth=1.3,
        capsize=2,
    )
