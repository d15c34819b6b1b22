"""The section of an experiment that compares networks by their accuracy under the paper's attack."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.figures import epsilon_positions, robustness_figure
from bioattack.evaluation.findings import DASH
from bioattack.evaluation.reproduce.answers import (
    Answers,
    accuracy_table,
    mean_table,
    paired_table,
    right_answers,
)
from bioattack.evaluation.reproduce.experiment import Experiment, Row
from bioattack.evaluation.reproduce.page import Figure, Section, Table
from bioattack.evaluation.reproduce.rebuilt import random_gaze_words
from bioattack.evaluation.reproduce.workplace import FIGURES, Workplace

_HOW_COMPARED = (
    "Differences in points, with 95 % intervals over the choice of pictures and McNemar's exact p over the "
    "pictures that one network gets right after more seeds than the other (Holm-corrected over this table). "
    "Bold: told apart. Everything else is smaller than its interval or than what chance explains, or "
    "changes sign from seed to seed."
)


def robustness_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Writes the tables and the figure of an experiment and makes its section.

    Args:
        workplace: Where all networks of the experiment are trained and measured.
        experiment: The experiment.

    Returns:
        The section; ``tables/NAME.csv`` has the means, ``NAME_runs.csv`` each run and ``NAME_paired.csv`` the
        comparisons.
    """
    rows = workplace.rows(experiment)
    answers = read_answers(workplace, rows)
    accuracies = accuracy_table(answers)
    means = with_published(mean_table(accuracies), rows)
    pairs = pairs_of(experiment, rows)
    paired = paired_table(answers, pairs)
    workplace.write_table(experiment.name, means)
    workplace.write_table(f"{experiment.name}_runs", accuracies)
    if len(paired):
        workplace.write_table(f"{experiment.name}_paired", paired)
    tables = [_accuracy_words(workplace, rows, means)]
    if len(paired):
        tables.append(paired_words(rows, paired))
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, *_caveats(workplace, rows, means)),
        tables=tables,
        figures=[draw_curves(workplace, experiment.name, rows=rows, means=means)],
        values={"means": to_records(means), "paired": to_records(paired)},
    )


def read_answers(workplace: Workplace, rows: Sequence[Row]) -> Answers:
    """Reads which pictures each network gets right after each seed."""
    return {
        row.variant.label: {
            seed: right_answers(workplace.results(row.variant, seed)) for seed in workplace.config.all_seeds
        }
        for row in rows
    }


def with_published(means: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """Adds the columns ``title`` and ``published`` (a fraction; NaN where nothing was published)."""
    by_label = {row.variant.label: row for row in rows}
    pairs = list(zip(means["label"], means["epsilon"], strict=True))
    published = [by_label[label].published.get(epsilon, math.nan) / 100 for label, epsilon in pairs]
    return means.assign(title=[by_label[label].title for label, _ in pairs], published=published)


def pairs_of(experiment: Experiment, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Pairs each network with the first one, and adds the pairs that the experiment names."""
    labels = [row.variant.label for row in rows]
    pairs = [(label, labels[0]) for label in labels[1:]]
    named = [pair for pair in experiment.pairs if set(pair) <= set(labels)]
    return list(dict.fromkeys([*pairs, *named]))


def _accuracy_words(workplace: Workplace, rows: Sequence[Row], means: pd.DataFrame) -> Table:
    """A line of what was measured for each network, and one of what was published below it."""
    epsilons = sorted(set(means["epsilon"]))
    has_random = any(random_gaze_words(workplace, row.variant) for row in rows)
    lines = []
    for row in rows:
        of_row = means[means["label"] == row.variant.label].set_index("epsilon")
        parameters = workplace.card(row.variant, workplace.config.seed)["num_parameters"]
        cells = [accuracy_words(of_row.loc[epsilon]) for epsilon in epsilons]
        random = [random_gaze_words(workplace, row.variant) or DASH] if has_random else []
        lines.append([row.title, "measured", f"{parameters:,}", *cells[:1], *random, *cells[1:]])
        if row.published:
            printed = [
                f"{row.published[epsilon]:g}" if epsilon in row.published else DASH for epsilon in epsilons
            ]
            blank = [DASH] if has_random else []
            lines.append(["", "published", "", *printed[:1], *blank, *printed[1:]])
    header = ["network", "", "parameters", "as it is"]
    header += ["as it is, random gazes"] if has_random else []
    header += [f"ε = {epsilon:g}" for epsilon in epsilons if epsilon > 0]
    num_images, num_seeds = int(means["num_images"].iloc[0]), int(means["num_seeds"].iloc[0])
    caption = f"Accuracy in %, {num_images:,} pictures, {num_seeds} seed{'s' * (num_seeds > 1)}; in brackets "
    caption += "the 95 % Wilson interval" + (
        " of the mean, after ± the deviation over the seeds." if num_seeds > 1 else "."
    )
    return Table(caption, header, lines)


def accuracy_words(row: Any) -> str:
    """Says an accuracy in percent with its spread and interval, such as ``41.3 ± 1.2 [37, 46]``."""
    spread = "" if math.isnan(row["sd"]) else f" ± {100 * row['sd']:.1f}"
    return f"{100 * row['accuracy']:.1f}{spread} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def paired_words(rows: Sequence[Row], paired: pd.DataFrame) -> Table:
    """A line for each pair of networks, a column for each epsilon."""
    titles = {row.variant.label: row.title for row in rows}
    epsilons = sorted(set(paired["epsilon"]))
    lines = []
    for first, second in dict.fromkeys(zip(paired["first"], paired["second"], strict=True)):
        of_pair = paired[(paired["first"] == first) & (paired["second"] == second)]
        by_epsilon = of_pair.set_index("epsilon")
        lines.append(
            [
                f"{titles[first]} {DASH} {titles[second]}",
                *(_difference(by_epsilon.loc[one]) for one in epsilons),
            ]
        )
    header = ["difference", *("as it is" if epsilon == 0 else f"ε = {epsilon:g}" for epsilon in epsilons)]
    return Table(_HOW_COMPARED, header, lines)


def _difference(row: Any) -> str:
    points = f"{100 * row['difference']:+.1f}"
    shown = points if row["verdict"] == "not told apart" else f"**{points}**"
    p_value = "p < 0.001" if row["p_holm"] < 0.001 else f"p = {row['p_holm']:.3f}"
    return f"{shown} [{100 * row['low']:.1f}, {100 * row['high']:.1f}] {p_value}"


def _caveats(workplace: Workplace, rows: Sequence[Row], means: pd.DataFrame) -> list[str]:
    lines = []
    if any(row.published for row in rows) and workplace.config.preset != "paper":
        shape = " x ".join(map(str, workplace.pictures.image_shape))
        lines.append(
            "Published: ImageNet10 at 320 pixels, ResNet-18 of width 64, 400 epochs, one run each. Measured: "
            f"{workplace.pictures.manifest.kind} records of {shape}, narrow networks, epochs: "
            f"{workplace.scale.epochs}. Compare orders, not numbers."
        )
    if int(means["num_seeds"].min()) == 1:
        lines.append("One seed tells nothing about what training again would give: see --seeds.")
    return lines


def draw_curves(workplace: Workplace, name: str, *, rows: Sequence[Row], means: pd.DataFrame) -> Figure:
    """Draws accuracy against epsilon, a line per network; hollow marks are what was published."""
    caption = "Accuracy against epsilon; bands are 95 % Wilson intervals."
    with style.house_style():
        figure = robustness_figure(_as_summary(workplace, rows, means), attack="pgd", norm="linf")
        positions = epsilon_positions(set(means["epsilon"]))
        for index, row in enumerate(rows):
            printed = {epsilon: value for epsilon, value in row.published.items() if epsilon in positions}
            # A line without points would have no place that the layout could go by.
            if not printed:
                continue
            figure.axes[0].plot(
                [positions[epsilon] for epsilon in printed],
                list(printed.values()),
                color=style.series_colour(index),
                marker=style.series_marker(index),
                markerfacecolor="none",
                linestyle="none",
                clip_on=False,
            )
        style.save_png(figure, workplace.figure(name))
    is_printed = any(row.published for row in rows)
    return Figure(f"{FIGURES}/{name}.png", caption + (" Hollow: published." if is_printed else ""))


def _as_summary(workplace: Workplace, rows: Sequence[Row], means: pd.DataFrame) -> dict[str, Any]:
    """The means in the form in which one evaluation has its figures."""
    attack = {"attack": "pgd", "norm": "linf"}
    found = [{**row, "model": row["title"]} for row in to_records(means)]
    return {
        "models": [{"name": row.title} for row in rows],
        "clean": [row for row in found if row["epsilon"] == 0],
        "adversarial": [{**row, **attack} for row in found if row["epsilon"] > 0],
        "data": {"class_names": workplace.pictures.class_names},
        "protocol": {"judged": "any", "attacks": [{**attack, "steps": 20}]},
    }


def to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries that JSON can hold; missing numbers become None."""
    return [
        {
            str(name): None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        for row in table.astype(object).to_dict(orient="records")
    ]
