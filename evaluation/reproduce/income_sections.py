"""The sections of Figures 4.1 and 4.2 and of the images per country."""

from collections.abc import Mapping, Sequence
from typing import Any

from bioattack.evaluation import figure_style as style
from bioattack.evaluation import income_words as words
from bioattack.evaluation.findings import DASH
from bioattack.evaluation.income import IncomeAnswer
from bioattack.evaluation.income_figures import accuracy_figure, images_figure, slopes_figure
from bioattack.evaluation.income_report import power_words
from bioattack.evaluation.income_sets import PRETRAINED as PRETRAINED_SET
from bioattack.evaluation.reproduce import income_published as published
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.income_answer import pretrained_answer, sets_answer
from bioattack.evaluation.reproduce.income_countries import open_countries
from bioattack.evaluation.reproduce.income_networks import (
    METHODS,
    PRETRAINED,
    dataset_words,
    network_words,
    own_folder,
)
from bioattack.evaluation.reproduce.page import Figure, Section, Table
from bioattack.evaluation.reproduce.robustness import to_records
from bioattack.evaluation.reproduce.workplace import FIGURES, Workplace

_TESTS = {"paired": "paired t", "welch": "Welch's t", "permutation": "permutation"}


def accuracy_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Figure 4.1: the pretrained network's accuracy in each country against its income.

    Args:
        workplace: Where it is trained and measured.
        experiment: The experiment.

    Raises:
        InputError: If the pictures are none that a regression on income can be made of.
    """
    answer = pretrained_answer(workplace)
    summary = answer.summary
    (row,) = summary["regressions"]
    with style.house_style():
        style.save_png(accuracy_figure(answer, PRETRAINED), workplace.figure(experiment.name))
    countries = answer.sample.countries_of(PRETRAINED).drop(columns="spellings")
    workplace.write_table(experiment.name, countries)
    caption = "A point is a country, its colour the number of its test pictures; the line with its 95 % band."
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(
            *experiment.text,
            *_facts(workplace, summary),
            words.dependence_sentence(row),
            *power_words(row, summary["settings"]),
        ),
        tables=[_f_table(row)],
        figures=[Figure(f"{FIGURES}/{experiment.name}.png", caption)],
        warnings=[*published.pretrained_warnings(row), *summary["notes"]],
        values={"regression": row, "sensitivity": summary["sensitivity"]},
    )


def _facts(workplace: Workplace, summary: Mapping[str, Any]) -> list[str]:
    data, countries = summary["data"], open_countries(workplace)
    gdp = "as the records carry it" if countries.gdp else data["gdp_source"]
    return [
        f"{data['num_images']:,} test images of {data['num_countries']} countries ({countries.words}), "
        f"{data['least_images']} to {data['most_images']} a country; {network_words(workplace)}. "
        f"Fitted by {words.method_words(summary['settings'])}; GDP per capita: {gdp}."
    ]


def _f_table(row: Mapping[str, Any]) -> Table:
    statistic = DASH if row["f_statistic"] is None else f"{row['f_statistic']:.3f}"
    measured = [
        *("measured", str(row["num_countries"])),
        f"{row['slope']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
        *(statistic, f"1, {row['df_residual']}", f"{row['p_value']:.4g}", f"{100 * row['accuracy']:.1f}"),
    ]
    printed = [
        *("published", str(published.DF_RESIDUAL + 2), DASH, f"{published.F_STATISTIC}"),
        *(f"1, {published.DF_RESIDUAL}", f"{published.F_P_VALUE}", f"{published.ACCURACIES['pretrained']}"),
    ]
    return Table(
        "F test of the slope of the pretrained network's accuracy; the slope is per unit of ln GDP per "
        "capita, with its 95 % interval.",
        ["", "countries", "slope", "F", "degrees of freedom", "p", "test accuracy, %"],
        [measured, printed],
    )


def slopes_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Figure 4.2: the slopes of two sets of networks that Algorithm 4.2 trained, and their tests.

    Args:
        workplace: Where they are trained and measured.
        experiment: The experiment.

    Raises:
        InputError: If the pictures are none that a regression on income can be made of.
    """
    answer = sets_answer(workplace)
    summary = answer.summary
    comparison = summary["comparison"]
    with style.house_style():
        style.save_png(slopes_figure(summary), workplace.figure(experiment.name))
    workplace.write_table(experiment.name, _regressions(answer))
    report = own_folder(workplace).relative_to(workplace.output) / "answer" / "report.html"
    caption = "The slope of each network's accuracy on income; dashed: the pretrained network's."
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(
            *experiment.text,
            *_facts(workplace, summary),
            dataset_words(workplace),
            str(words.comparison_sentence(summary)),
            f"In full: {report}; the tables in {report.parents[1]}/countries are such as bioattack-fairness "
            "income takes.",
        ),
        tables=[_sets_table(comparison["sets"]), _tests_table(comparison["tests"])],
        figures=[Figure(f"{FIGURES}/{experiment.name}.png", caption)],
        warnings=[
            *published.order_warnings(comparison["sets"], _labels()),
            *published.pairs_warnings(comparison["tests"][0]),
            *summary["notes"],
        ],
        values={"comparison": comparison, "regressions": summary["regressions"]},
    )


def _labels() -> dict[str, str]:
    """From what the answer calls the sets to what ``income_networks`` calls them."""
    return {PRETRAINED_SET: PRETRAINED} | {method.title: method.label for method in METHODS}


def _regressions(answer: IncomeAnswer) -> Any:
    import pandas as pd

    return pd.DataFrame(answer.summary["regressions"])


def _sets_table(sets: Sequence[Mapping[str, Any]]) -> Table:
    labels = _labels()
    lines = [
        [
            row["name"],
            str(row["num_models"]),
            f"{row['mean_slope']:.4f}",
            DASH if row["deviation"] is None else f"{row['deviation']:.4f}",
            f"{100 * row['mean_accuracy']:.1f}",
            f"{published.ACCURACIES[labels[row['name']]]}",
        ]
        for row in sets
    ]
    return Table(
        "Means over the networks of each set; accuracies of the test pictures, in %. Published: 50 networks "
        "a set.",
        ["networks", "number", "mean slope", "deviation", "accuracy", "published"],
        lines,
    )


def _tests_table(tests: Sequence[Mapping[str, Any]]) -> Table:
    lines = [
        [
            *(_TESTS[test["test"]], "measured", str(test["num_first"])),
            f"{test['difference']:.4f} [{test['low']:.4f}, {test['high']:.4f}]",
            DASH if test["df_residual"] is None else f"{test['statistic']:.3f}",
            DASH if test["df_residual"] is None else f"{test['df_residual']:.3g}",
            f"{test['p_value']:.4g}",
            f"{test['effect_name']} = {test['effect_size']:.2f}",
            DASH if test["smallest_difference"] is None else f"{test['smallest_difference']:.4f}",
        ]
        for test in tests
    ]
    printed = [
        *(_TESTS["paired"], "published", str(published.NUM_PAIRS), DASH, f"{published.T_STATISTIC}"),
        *(f"{published.NUM_PAIRS - 1}", f"{published.T_P_VALUE:.5f}", f"dz = {published.EFFECT_SIZE:.2f}"),
        DASH,
    ]
    return Table(
        "One-sided tests: is the mean slope after perceptual attacks below that after PGD? Difference: PGD "
        "less perceptual, with its two-sided 95 % interval; found: the difference found in 80 % of cases.",
        ["test", "", "models a set", "difference", "t", "df", "p", "effect", "found"],
        [lines[0], printed, *lines[1:]],
    )


def images_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes the chart of images per country.

    Args:
        workplace: Where the pictures are.
        experiment: The experiment.

    Raises:
        InputError: If the pictures are none that a regression on income can be made of.
    """
    countries = open_countries(workplace)
    table = countries.table
    with style.house_style():
        style.save_png(images_figure(table), workplace.figure(experiment.name))
    workplace.write_table(experiment.name, table)
    num_single = int((table["test"] == 1).sum())
    warnings = [
        f"{row['name'] or '(empty)'} ({row['num_images']:,} test images) is not in the regression: "
        f"{row['reason']}."
        for row in to_records(countries.left_out)
    ]
    if num_single:
        warnings.append(f"{num_single} countries have a single test image, whose accuracy is 0 or 1.")
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(
            *experiment.text,
            f"{countries.words[:1].upper()}{countries.words[1:]}: {int(table['train'].sum()):,} training and "
            f"{int(table['test'].sum()):,} test images of {len(table)} countries.",
        ),
        figures=[
            Figure(
                f"{FIGURES}/{experiment.name}.png",
                "Training and test images of the countries among the test images.",
            )
        ],
        warnings=warnings,
        values={"countries": to_records(table)},
    )
