"""The report page of classes or groups: one HTML file that explains itself, offline, on any screen."""

import base64
import shlex
from pathlib import Path
from typing import Any

from bioattack.evaluation import scores_words as words
from bioattack.evaluation.pages import page_environment
from bioattack.evaluation.scores_figures import figure_list

_INTERVALS = {
    "bounds": "Intervals are bounds that hold with ties between groups and without (wider than the plain "
    "bootstrap's with them); for differences between models, images are drawn in pairs.",
    "percentile": "Intervals are the percentile bootstrap's: where groups are alike they do not contain 0, "
    "though it is the truth.",
    "bca": "Intervals are bias-corrected and accelerated: where groups are alike they do not contain 0, "
    "though it is the truth.",
}


def write_scores_report(path: Path, summary: dict[str, Any]) -> Path:
    """Writes the page; the figures are taken from the folder ``figures`` beside it.

    Args:
        path: The page.
        summary: What ``summary.json`` holds.

    Returns:
        The path. The same input gives the same bytes.
    """
    content = report_content(summary, path.parent / "figures")
    path.write_text(page_environment().get_template("scores.html.j2").render(content), encoding="utf-8")
    return path


def report_content(summary: dict[str, Any], figures: Path) -> dict[str, Any]:
    """Returns everything that the template shows.

    Args:
        summary: What ``summary.json`` holds.
        figures: The folder of the figures.
    """
    kept = ("data", "kind", "notes", "settings", "versions", "git_commit")
    return {name: summary[name] for name in kept} | {
        "title": "Between classes" if summary["kind"] == "classes" else f"By {summary['data']['column']}",
        "headline": words.headline(summary),
        "tables": _tables(summary),
        "figures": [
            {"title": entry["title"], "data": _inline(figures / entry["name"])}
            for entry in figure_list(summary)
        ],
        "interval": _INTERVALS[summary["settings"]["interval"]],
        "command": _command(summary),
    }


def _tables(summary: dict[str, Any]) -> list[dict[str, Any]]:
    tables = [
        {
            "title": "Scores",
            "lead": "Fractions, and epsilons in the unit of the input; larger is more unequal, but for worst "
            "accuracies and ratios.",
            "heads": words.SCORE_HEADS,
            "rows": [words.score_cells(row) for row in summary["scores"]],
        }
    ]
    if summary["differences"]:
        tables.append(
            {
                "title": "Between models",
                "lead": "The same images under both models.",
                "heads": words.DIFFERENCE_HEADS,
                "rows": [words.difference_cells(row) for row in summary["differences"]],
            }
        )
        tables.append(
            {
                "title": "Accuracy of the models",
                "lead": "Over all images; McNemar's exact test.",
                "heads": words.ACCURACY_HEADS,
                "rows": [words.accuracy_cells(row) for row in summary["accuracies"]],
            }
        )
    return tables


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _command(summary: dict[str, Any]) -> str:
    """The command line, with the tables by the names that they had."""
    line = ["bioattack-fairness", summary["kind"]]
    for path in summary["inputs"]["results"]:
        line += ["--results", path]
    for name, value in summary["settings"].items():
        if value is not None and value is not False and value != () and value != []:
            flag = f"--{name.replace('_', '-')}"
            values = value if isinstance(value, tuple | list) else [value]
            line += [flag] if value is True else [flag, *map(str, values)]
    return shlex.join([*line, "--output", summary["kind"]])
