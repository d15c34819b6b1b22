"""The report page of accuracy and income: one HTML file that explains itself, offline, on any screen."""

import base64
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioattack.evaluation import income_words as words
from bioattack.evaluation.income_figures import IMAGES, SLOPES, accuracy_name
from bioattack.evaluation.income_sets import PRETRAINED
from bioattack.evaluation.pages import page_environment
from bioattack.fairness.income_regression import COVARIANCE_WORDS, LOGARITHM_WORDS

if TYPE_CHECKING:
    from bioattack.evaluation.income import IncomeAnswer

_MAX_ROWS = 12
_TRUTHS = {"counts": "counts alone do (binomial)", "equal": "alike in all countries"}


def write_income_report(path: Path, summary: dict[str, Any], answer: "IncomeAnswer") -> Path:
    """Writes the page; the figures are taken from the folder ``figures`` beside it.

    Args:
        path: The page.
        summary: What ``summary.json`` holds.
        answer: For the influence of single countries.

    Returns:
        The path. The same input gives the same bytes.
    """
    content = report_content(summary, answer, path.parent / "figures")
    path.write_text(page_environment().get_template("income.html.j2").render(content), encoding="utf-8")
    return path


def report_content(summary: dict[str, Any], answer: "IncomeAnswer", figures: Path) -> dict[str, Any]:
    """Returns everything that the template shows.

    Args:
        summary: What ``summary.json`` holds.
        answer: For the influence of single countries.
        figures: The folder of the figures.
    """
    drawn = summary["drawn"]
    rows = {row["model"]: row for row in summary["regressions"]}
    comparison = words.comparison_sentence(summary)
    name = drawn[0] if len(rows) > 1 else ""
    headline = [words.dependence_sentence(rows[drawn[0]], name=name)] if len(drawn) == 1 else []
    return {
        "title": "Accuracy and income",
        "headline": headline + ([comparison] if comparison else []),
        "data": summary["data"],
        "method": words.method_words(summary["settings"]),
        "unit": LOGARITHM_WORDS[summary["settings"]["logarithm"]],
        "models": [_model(summary, answer, model, number, figures) for number, model in enumerate(drawn)],
        "others": _others(summary),
        "num_tests": len(summary["regressions"]),
        "comparison": _comparison(summary, figures),
        "images": _inline(figures / IMAGES),
        "groups": [row for row in summary["income_groups"] if row["model"] == drawn[0]],
        "simulation": [_simulated(row) for row in summary["simulation"]],
        "notes": summary["notes"],
        "left_out": summary["left_out"],
        "settings": summary["settings"],
        "versions": summary["versions"],
        "git_commit": summary["git_commit"],
        "command": _command(summary),
    }


def _model(
    summary: dict[str, Any], answer: "IncomeAnswer", model: str, number: int, figures: Path
) -> dict[str, Any]:
    row = next(row for row in summary["regressions"] if row["model"] == model)
    influence = answer.influence[model].head(_MAX_ROWS).to_dict("records")
    return {
        "name": model,
        "row": row,
        "test": words.f_words(row),
        "sentence": words.dependence_sentence(row),
        "per_doubling": words.points_per_doubling(row["slope"], row["logarithm"]),
        "power": power_words(row, summary["settings"]),
        "figure": _inline(figures / accuracy_name(number)),
        "sensitivity": [
            {**entry, "words": _variant(entry["variant"]), "p": words.p_words(entry["p_value"])}
            for entry in summary["sensitivity"]
            if entry["model"] == model
        ],
        "influence": influence,
    }


def power_words(row: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Says what the sample could have found.

    Args:
        row: One of ``regressions``.
        settings: Of the command; ``find_slope`` where one was stated.
    """
    if row["smallest_slope"] is None:
        return ["All countries lie on one line: the scatter that power is computed from is 0."]
    unit = LOGARITHM_WORDS[row["logarithm"]]
    points = words.points_per_doubling(row["smallest_slope"], row["logarithm"])
    found = [
        f"With {row['num_countries']} countries that scatter like these, the F test finds a slope of "
        f"{row['smallest_slope']:.4f} per unit of {unit} GDP ({points:.1f} percentage points for each "
        "doubling) in 80 % of samples, and smaller ones less often."
    ]
    if settings["find_slope"] is not None:
        number = row["countries_for_stated_slope"]
        count = "more than a million" if number is None else f"{number:,}"
        found.append(
            f"A slope of {settings['find_slope']:g} is found in {100 * row['power_at_stated_slope']:.0f} % "
            f"of them; to find it in 80 % takes {count} countries like these."
        )
    return found


def _variant(name: str) -> str:
    if not name.startswith("covariance "):
        return name
    return f"covariance {COVARIANCE_WORDS[name.removeprefix('covariance ')]}"


def _others(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The models that are not drawn, a row each; beside two sets they are in the figure of slopes instead."""
    rows = [] if summary["comparison"] or len(summary["regressions"]) == 1 else summary["regressions"]
    return [{**row, "p": words.p_words(row["p_value"]), "holm": words.p_words(row["p_holm"])} for row in rows]


def _comparison(summary: dict[str, Any], figures: Path) -> dict[str, Any] | None:
    comparison = summary["comparison"]
    if comparison is None:
        return None
    stated, number = summary["settings"]["find_difference"], comparison["pairs_for_stated_difference"]
    needed = "" if stated is None or number is None else f"A difference of {stated:g} takes {number} pairs."
    sets = [row | {"is_pretrained": row["name"] == PRETRAINED} for row in comparison["sets"]]
    tests = [{**test, "p": words.p_words(test["p_value"])} for test in comparison["tests"]]
    return {
        "figure": _inline(figures / SLOPES),
        "hypothesis": comparison["hypothesis"],
        "paired_by": comparison["paired_by"],
        "sets": sets,
        "tests": tests,
        "needed": needed,
    }


def _simulated(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "truth": _TRUTHS[row["truth"]] if row["slope"] == 0 else "the residuals of this sample",
        "covariance": COVARIANCE_WORDS[row["covariance"]],
        "slope": row["slope"],
        "rate": 100 * row["rate"],
        "num_tables": row["num_tables"],
        "band": f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
        "keeps_level": row["keeps_level"],
    }


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _command(summary: dict[str, Any]) -> str:
    """The command line, with the tables by the names that they had."""
    tables = summary["inputs"]
    line = ["bioattack-fairness", "income"]
    for flag in ("results", "against", "pretrained", "gdp"):
        for path in tables[flag]:
            line += [f"--{flag}", path]
    for name, value in summary["settings"].items():
        if value is not None and value is not False:
            flag = f"--{name.replace('_', '-')}"
            line += [flag, *map(str, value)] if isinstance(value, list) else [flag, str(value)]
    return shlex.join([*line, "--output", "income"])
