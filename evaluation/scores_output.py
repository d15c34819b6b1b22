"""Writes the answer to a question about classes or groups: summary, tables, figures, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioattack.evaluation.answer_folder import write_answer_folder

if TYPE_CHECKING:
    import pandas as pd


def write_scores(output: Path, summary: dict[str, Any]) -> None:
    """Writes an answer; what was there of an earlier one is replaced once everything is written.

    Args:
        output: The folder, which is made.
        summary: Of ``answer_scores``.

    Raises:
        InputError: If another process writes into the folder.
        OSError: If it cannot be written.
    """
    from bioattack.evaluation.scores_figures import write_scores_figures
    from bioattack.evaluation.scores_report import write_scores_report

    write_answer_folder(
        output,
        summary,
        _tables(summary),
        draw=lambda folder: write_scores_figures(folder, summary),
        report=write_scores_report,
    )


def _tables(summary: dict[str, Any]) -> "dict[str, pd.DataFrame]":
    import pandas as pd

    names = ["scores", "by_group"]
    names += [name for name in ("differences", "accuracies", "left_out", "undefined") if summary[name]]
    return {name: pd.DataFrame(summary[name]) for name in names}
