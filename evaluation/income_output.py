"""Writes the answer to a question about income: summary, tables, figures, report."""

from pathlib import Path

import pandas as pd

from bioattack.evaluation.answer_folder import check_answer_folder, write_answer_folder
from bioattack.evaluation.income import KIND, IncomeAnswer


def check_income_output(output: Path, identity: str | None = None, *, overwrite: bool = False) -> bool:
    """Refuses a folder that holds something else than this answer.

    Args:
        output: The folder.
        identity: Of the answer, where it is known already.
        overwrite: Whether another answer of this command may be replaced.

    Returns:
        Whether the folder holds this answer, complete.

    Raises:
        InputError: If it is a file, or holds other things, or the answer to another question.
    """
    return check_answer_folder(output, kind=KIND, identity=identity, overwrite=overwrite)


def write_income(output: Path, answer: IncomeAnswer) -> None:
    """Writes an answer; what was there of an earlier one is replaced once everything is written.

    Args:
        output: The folder, which is made.
        answer: All that was found.

    Raises:
        InputError: If another process writes into the folder.
        OSError: If it cannot be written.
    """
    from bioattack.evaluation.income_figures import write_income_figures
    from bioattack.evaluation.income_report import write_income_report

    write_answer_folder(
        output,
        answer.summary,
        _tables(answer),
        draw=lambda folder: write_income_figures(folder, answer),
        report=lambda path, summary: write_income_report(path, summary, answer),
    )


def _tables(answer: IncomeAnswer) -> dict[str, pd.DataFrame]:
    summary, sample = answer.summary, answer.sample
    influence = [table.assign(model=model) for model, table in answer.influence.items()]
    tables = {
        "countries": sample.table,
        "left_out": sample.left_out,
        "regressions": pd.DataFrame(summary["regressions"]),
        "sensitivity": pd.DataFrame(summary["sensitivity"]),
        "influence": pd.concat(influence, ignore_index=True),
        "income_groups": pd.DataFrame(summary["income_groups"]),
    }
    if summary["simulation"]:
        tables["simulation"] = pd.DataFrame(summary["simulation"])
    if summary["comparison"]:
        tables["comparison"] = pd.DataFrame(summary["comparison"]["tests"])
    for name in ("countries", "left_out", "influence"):
        tables[name] = tables[name].assign(spellings=tables[name]["spellings"].map("; ".join))
    return tables
