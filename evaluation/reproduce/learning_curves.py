"""How the networks of an experiment learned, drawn from the histories of their runs."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.ticker import MaxNLocator

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.reproduce.experiment import Experiment, Row
from bioattack.evaluation.reproduce.page import Figure, Section
from bioattack.evaluation.reproduce.robustness import robustness_section
from bioattack.evaluation.reproduce.workplace import FIGURES, Workplace
from bioattack.training.run_folder import HISTORY

_NUM_COLUMNS = 3


def section_with_learning_curves(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes the section of ``robustness_section`` and adds a figure: accuracy after each epoch.

    Args:
        workplace: Where all networks of the experiment are trained and measured.
        experiment: The experiment.
    """
    section = robustness_section(workplace, experiment)
    curves = draw_learning_curves(workplace, f"{experiment.name}-learning", workplace.rows(experiment))
    return dataclasses.replace(section, figures=[*section.figures, curves])


def draw_learning_curves(workplace: Workplace, name: str, rows: Sequence[Row]) -> Figure:
    """Draws accuracy against the epoch, a panel for each network, a pair of lines for each seed."""
    with style.house_style():
        style.save_png(_panels(workplace, rows), workplace.figure(name))
    caption = "Accuracy in % after each epoch, a line for each seed; dashed: training pictures, solid: "
    return Figure(f"{FIGURES}/{name}.png", f"{caption}held-out ones. Dotted: guessing.")


def _panels(workplace: Workplace, rows: Sequence[Row]) -> MatplotlibFigure:
    num_lines = math.ceil(len(rows) / _NUM_COLUMNS)
    figure = MatplotlibFigure((6.6, 1.75 * num_lines), layout="constrained")
    panels = figure.subplots(num_lines, _NUM_COLUMNS, sharex=True, sharey=True, squeeze=False).flat
    for panel, row in itertools.zip_longest(panels, rows):
        if row is None:
            panel.set_visible(False)
            continue
        panel.set_title(row.title, pad=4)
        panel.axhline(
            100 / len(workplace.pictures.class_names), color=style.MUTED, linestyle=":", linewidth=1
        )
        for place, seed in enumerate(workplace.config.all_seeds):
            history = pd.read_csv(workplace.run_folder(row.variant, seed) / HISTORY)
            for column, line in (("accuracy", (0, (3, 2))), ("test_accuracy", "-")):
                percent = 100 * history[column]
                colour = style.series_colour(place)
                panel.plot(history["epoch"], percent, color=colour, linestyle=line, linewidth=1.4)
        panel.set_ylim(0, 100)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
        panel.grid(visible=True, axis="y")
    return figure
