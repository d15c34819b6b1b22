"""The section of the transport cost: what each lambda lets the attacks go, and how large the loss gets."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure as MatplotlibFigure

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.income_countries import open_countries
from bioattack.evaluation.reproduce.income_networks import distance_for, network_words, sweep_weights
from bioattack.evaluation.reproduce.income_sizes import sizes_of
from bioattack.evaluation.reproduce.page import Figure, Section, Table
from bioattack.evaluation.reproduce.robustness import to_records
from bioattack.evaluation.reproduce.workplace import FIGURES, Workplace
from bioattack.training.dro_summary import SweepPoint


def transport_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes a small adversarial dataset for each lambda and draws the worst-case loss against the radius.

    Args:
        workplace: Where they go.
        experiment: The experiment.

    Raises:
        InputError: If the attack does not fit the pictures.
    """
    sizes, countries = sizes_of(workplace.config), open_countries(workplace)
    distance = distance_for(countries.records)
    points = sweep_weights(workplace, sizes.weights)
    table = pd.DataFrame([dataclasses.asdict(point) for point in points])
    workplace.write_table(experiment.name, table)
    draw_transport(workplace.figure(experiment.name), points, distance=distance)
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(
            *experiment.text,
            f"{network_words(workplace)}, {countries.words}: {sizes.swept_samples} pictures for each λ, "
            f"distance {distance}, {sizes.swept_steps} steps of {sizes.swept_step_length:g} without an early "
            "stop.",
        ),
        tables=[_table(points)],
        figures=[Figure(f"{FIGURES}/{experiment.name}.png", "Each point is a λ; the curve is (3.2), drawn.")],
        warnings=transport_warnings(points),
        values={"sweep": to_records(table)},
    )


def draw_transport(path: Path, points: Sequence[SweepPoint], *, distance: str) -> None:
    """Draws the worst-case loss against the mean transport cost, a point for each lambda.

    Args:
        path: The PNG file.
        points: In any order.
        distance: In which the cost is measured.

    Source:
        Hua et al. 2022, equation 3.2.
    """
    ordered = sorted(points, key=lambda point: point.distance_weight)
    radii = [point.implied_radius for point in ordered]
    losses = [point.worst_case_loss for point in ordered]
    with style.house_style():
        figure = MatplotlibFigure((style.WIDTH_INCHES, style.HEIGHT_INCHES), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(
            radii,
            losses,
            color=style.series_colour(0),
            marker=style.series_marker(0),
            linewidth=1.4,
            clip_on=False,
            zorder=3,
        )
        for point in ordered:
            axes.annotate(
                f"λ = {point.distance_weight:g}",
                (point.implied_radius, point.worst_case_loss),
                xytext=(6, -12),
                textcoords="offset points",
                fontsize=7,
                color=style.MUTED,
            )
        axes.set_xlim(0, 1.25 * max(radii))
        axes.set_ylim(0, 1.1 * max(losses))
        axes.set_xlabel(f"δ: mean {distance} from the clean pictures")
        axes.set_ylabel("worst-case loss")
        axes.grid(visible=True)
        style.set_titles(axes, "Loss against transport cost", "a point for each weight λ of the distance")
        style.save_png(figure, path)


def _table(points: Sequence[SweepPoint]) -> Table:
    lines = [
        [
            f"{point.distance_weight:g}",
            f"{point.implied_radius:.4g}",
            f"{point.worst_case_loss:.3f}",
            f"{point.robust_surrogate:.3f}",
            f"{100 * point.success_rate:.0f}",
        ]
        for point in points
    ]
    return Table(
        "What each λ comes to. δ: mean distance from the clean pictures; loss: mean cross-entropy at the "
        "attacked ones; surrogate: loss less λ times the distance; success over the pictures right before.",
        ["λ", "δ", "worst-case loss", "surrogate", "success, %"],
        lines,
    )


def transport_warnings(points: Sequence[SweepPoint]) -> list[str]:
    """Says where cost or loss rises with lambda, which it would not if every maximum were found.

    Args:
        points: In any order.
    """
    ordered = sorted(points, key=lambda point: point.distance_weight)
    odd = [
        f"{after.distance_weight:g}"
        for before, after in itertools.pairwise(ordered)
        if after.implied_radius > before.implied_radius or after.worst_case_loss > before.worst_case_loss
    ]
    if not odd:
        return []
    return [
        f"At λ = {', '.join(odd)} cost or loss is larger than at the smaller λ before: the steps do not "
        "reach the maximum there."
    ]
