"""The figures of accuracy and income: the fitted line, the slopes of two sets, images per country."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.findings import SPACE
from bioattack.evaluation.income_sets import PRETRAINED
from bioattack.evaluation.income_words import f_words
from bioattack.fairness.income_regression import LOGARITHM_WORDS, LOGARITHMS, fitted_band

if TYPE_CHECKING:
    import pandas as pd

    from bioattack.evaluation.income import IncomeAnswer

SLOPES, IMAGES = "slopes.png", "images-per-country.png"
MAX_BARS = 50
_NUM_NAMED = 5
_BLUES = LinearSegmentedColormap.from_list("images", ["#a9d3ec", "#3d92c4", "#0a4a78", "#06263f"])


def write_income_figures(folder: Path, answer: "IncomeAnswer") -> list[Path]:
    """Draws all figures of an answer.

    Args:
        folder: Where to; it is there.
        answer: All that was found.

    Returns:
        The files: ``accuracy-N.png`` for each drawn model, ``images-per-country.png``, and ``slopes.png``
        where there are two sets. The same input gives the same bytes.
    """
    written = []
    with style.house_style():
        for number, model in enumerate(answer.summary["drawn"]):
            figure = accuracy_figure(answer, model)
            written.append(style.save_png(figure, folder / accuracy_name(number)))
        first = answer.sample.countries_of(answer.summary["drawn"][0])
        written.append(style.save_png(images_figure(first), folder / IMAGES))
        if answer.summary["comparison"]:
            written.append(style.save_png(slopes_figure(answer.summary), folder / SLOPES))
    return written


def accuracy_name(number: int) -> str:
    """Gives the file name of the figure of the drawn model at this place.

    >>> accuracy_name(0)
    'accuracy-1.png'
    """
    return f"accuracy-{number + 1}.png"


def accuracy_figure(answer: "IncomeAnswer", model: str) -> Figure:
    """Draws accuracy against GDP per capita, a point per country, with the fitted line and its 95 % band.

    The colour is the number of images; the countries that decide the line most bear their codes.

    Args:
        answer: All that was found.
        model: One of the drawn models.

    Source:
        Figure 4.1 of Hua et al. 2022.
    """
    settings = answer.summary["settings"]
    row = next(row for row in answer.summary["regressions"] if row["model"] == model)
    countries = answer.sample.countries_of(model)
    figure, axes = _new_figure(title=_accuracy_title(answer, model), subtitle=f_words(row))
    gdp = countries["gdp_per_capita"].to_numpy(float)
    points = np.geomspace(gdp.min(), gdp.max(), 100)
    how = {"covariance": settings["covariance"], "logarithm": settings["logarithm"]}
    line, low, high = (100 * values for values in fitted_band(countries, points, **how))
    places = LOGARITHMS[settings["logarithm"]](points)
    axes.fill_between(places, low, high, color=style.series_colour(1), alpha=0.15, linewidth=0)
    axes.plot(places, line, color=style.series_colour(1), linewidth=1.6)
    _draw_countries(figure, axes, countries, logarithm=settings["logarithm"])
    influence = answer.influence[model]
    named = influence[influence["cooks_distance"] > 4 / len(influence)].head(_NUM_NAMED)
    _name_countries(axes, named, logarithm=settings["logarithm"])
    _income_axis(axes, gdp, logarithm=settings["logarithm"])
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, -3), min(top, 103))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{SPACE}%"))
    axes.set_ylabel("accuracy")
    axes.grid(visible=True, axis="y")
    return figure


def _accuracy_title(answer: "IncomeAnswer", model: str) -> str:
    name = "" if len(answer.sample.models) == 1 else f": {style.printable(model, otherwise='one model')}"
    return f"Accuracy by income{name}"


def _new_figure(*, title: str, subtitle: str, height: float = style.HEIGHT_INCHES) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(style.WIDTH_INCHES, height), layout="constrained")
    axes = figure.add_subplot()
    style.set_titles(axes, title, subtitle)
    return figure, axes


def _draw_countries(figure: Figure, axes: Axes, countries: "pd.DataFrame", *, logarithm: str) -> None:
    number = countries["num_images"].to_numpy(float)
    low, high = float(number.min()), float(number.max())
    # One number of images for all still needs a scale from one number to another.
    scale = LogNorm(low if low < high else low / 2, high if low < high else high * 2)
    drawn = axes.scatter(
        LOGARITHMS[logarithm](countries["gdp_per_capita"].to_numpy(float)),
        100 * countries["accuracy"].to_numpy(float),
        c=number,
        cmap=_BLUES,
        norm=scale,
        s=24,
        edgecolors=style.PAPER,
        linewidths=0.6,
        zorder=3,
    )
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    ticks = _number_ticks(low, high)
    bar.set_ticks(ticks, labels=[f"{tick:,.0f}" for tick in ticks])
    bar.set_label("images per country", color=style.MUTED, fontsize=8)


def _number_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, or the two where there are none."""
    rounds = [factor * 10.0**power for power in range(8) for factor in (1, 2, 5)]
    inside = [value for value in rounds if low <= value <= high]
    inside = inside[:: max(1, math.ceil(len(inside) / 6))]
    return inside if len(inside) >= 2 else sorted({low, high})


def _name_countries(axes: Axes, named: "pd.DataFrame", *, logarithm: str) -> None:
    for code, gdp, accuracy in zip(named["country"], named["gdp_per_capita"], named["accuracy"], strict=True):
        axes.annotate(
            style.printable(str(code), limit=10),
            (LOGARITHMS[logarithm](gdp), 100 * accuracy),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=style.MUTED,
            zorder=4,
        )


def _income_axis(axes: Axes, gdp: np.ndarray, *, logarithm: str) -> None:
    low, high = (float(LOGARITHMS[logarithm](value)) for value in (gdp.min(), gdp.max()))
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5) if (high - low) / step <= 6)
    ticks = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
    base = 10.0 if logarithm == "base10" else math.e
    axes.set_xticks(ticks, [f"{tick:g}\n{_dollars(base**tick)}" for tick in ticks])
    axes.set_xlabel(f"{LOGARITHM_WORDS[logarithm]} of GDP per capita (below: in US dollars)")
    axes.tick_params(axis="x", length=3)


def _dollars(amount: float) -> str:
    rounded = float(f"{amount:.2g}")
    return f"${rounded / 1000:g}k" if rounded >= 1000 else f"${rounded:g}"


def slopes_figure(summary: dict[str, Any]) -> Figure:
    """Draws the slopes of two sets of models as box plots, and the pretrained model's as a line.

    Args:
        summary: The content of ``summary.json``.

    Source:
        Figure 4.2 of Hua et al. 2022.
    """
    comparison, settings = summary["comparison"], summary["settings"]
    names = [row["name"] for row in comparison["sets"] if row["name"] != PRETRAINED]
    slopes = [[row["slope"] for row in summary["regressions"] if row["set"] == name] for name in names]
    test = comparison["tests"][0]
    figure, axes = _new_figure(
        title="Slope of accuracy on income, model by model",
        subtitle=f"{test['test']} test, one-sided p = {test['p_value']:.2g}",
    )
    for index, values in enumerate(slopes):
        _draw_box(axes, values, index=index)
    labels = [style.printable(name, otherwise=f"set {index + 1}") for index, name in enumerate(names)]
    axes.set_xticks(
        range(len(names)), [f"{label}\n{len(slopes[i])} models" for i, label in enumerate(labels)]
    )
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    for row in summary["regressions"]:
        if row["set"] == PRETRAINED:
            axes.axhline(row["slope"], color=style.INK, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.annotate(
                "pretrained model",
                (0.5, row["slope"]),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=style.INK,
            )
    axes.set_ylabel(f"slope per unit of {LOGARITHM_WORDS[settings['logarithm']]} GDP per capita")
    axes.grid(visible=True, axis="y")
    return figure


def _draw_box(axes: Axes, values: Sequence[float], *, index: int) -> None:
    colour = style.series_colour(index)
    parts = axes.boxplot(
        [list(values)],
        positions=[index],
        widths=0.5,
        patch_artist=True,
        showfliers=False,
        medianprops={"color": colour, "linewidth": 1.8},
        boxprops={"edgecolor": colour, "linewidth": 1.2},
        whiskerprops={"color": colour, "linewidth": 1.2},
        capprops={"color": colour, "linewidth": 1.2},
        manage_ticks=False,
    )
    parts["boxes"][0].set_facecolor((*_rgb(colour), 0.18))
    # Side by side in a fixed pattern, so that the figure is the same each time.
    beside = [index + 0.16 * (((place * 5) % 7) / 3 - 1) for place in range(len(values))]
    axes.scatter(beside, values, s=9, color=colour, alpha=0.7, linewidths=0, zorder=3)


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def images_figure(countries: "pd.DataFrame") -> Figure:
    """Draws the number of images of each country, the largest first.

    Args:
        countries: ``country``, ``name`` and ``num_images``.

    Source:
        The supplement of Hua et al. 2022 announces it.
    """
    rows = countries.sort_values(["num_images", "country"], ascending=[False, True])
    shown, others = rows.head(MAX_BARS), rows.iloc[MAX_BARS:]
    labels = [
        style.printable(str(name), otherwise=style.printable(str(code)), limit=22)
        for code, name in zip(shown["country"], shown["name"], strict=True)
    ]
    numbers = [int(number) for number in shown["num_images"]]
    if len(others):
        labels.append(f"{len(others)} others, together")
        numbers.append(int(others["num_images"].sum()))
    figure, axes = _new_figure(
        title="Images per country",
        subtitle=f"{int(rows['num_images'].sum()):,} images of {len(rows)} countries",
        height=1.1 + 0.155 * len(labels),
    )
    places = -np.arange(len(labels))
    colours = [style.series_colour(0)] * len(shown) + [style.MUTED] * (len(labels) - len(shown))
    axes.barh(places, numbers, 0.72, color=colours, linewidth=0)
    for place, number in zip(places, numbers, strict=True):
        axes.annotate(
            f"{number:,}",
            (number, place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.5,
            color=style.MUTED,
        )
    axes.set_yticks(places, labels, fontsize=7, color=style.INK)
    axes.set_ylim(-len(labels) + 0.4, 0.6)
    axes.set_xlim(0, 1.12 * max(numbers))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return figure
