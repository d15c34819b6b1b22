"""``--group-by``: tables, figures and the report's section on groups, added to a complete evaluation."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioattack.errors import InputError
from bioattack.evaluation import figure_style as style
from bioattack.evaluation.findings import DASH, Point, class_point, interval, model_names, of_rows, percent
from bioattack.evaluation.results import TABLES, epsilon_words, read_results, read_summary

_FIGURES = "figures"


def check_columns(columns: Sequence[str], groups: Sequence[str]) -> None:
    """Refuses columns that the records do not carry, before anything is measured.

    Args:
        columns: What was asked for.
        groups: Names of the records' groups.

    Raises:
        InputError: If one is neither ``label`` nor one of these.
    """
    for column in columns:
        if column not in ("label", *groups):
            raise InputError(
                f"--group-by: the records carry no group {column!r}; there are "
                f"{', '.join(('label', *groups))}"
            )


def has_groups(summary: dict[str, Any], columns: Sequence[str]) -> bool:
    """Tells whether an evaluation has been read by all these columns."""
    return all(column in summary.get("by_group", {}) for column in columns)


def compare_groups(output: Path, columns: Sequence[str]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Writes two tables and a figure for each column, read off the long table.

    Args:
        output: The folder of an evaluation that is complete.
        columns: ``"label"`` or names of groups; those of earlier calls stay.

    Returns:
        ``by_group`` and ``group_gaps`` of the summary: the rows of each table, by the name of its column.

    Raises:
        InputError: If the results have no such column, or only one group in it.
    """
    # Imported where they are used: a report is written without TensorFlow, which comes with the files.
    from bioattack.evaluation.group_figures import groups_figure
    from bioattack.evaluation.group_gaps import gap_table
    from bioattack.evaluation.groups import group_table
    from bioattack.files import replacing

    summary, results = read_summary(output), read_results(output)
    found = {name: dict(summary.get(name, {})) for name in ("by_group", "group_gaps")}
    for column in columns:
        for name, make, file in (
            ("by_group", group_table, f"by_{column}.csv"),
            ("group_gaps", gap_table, f"gaps_by_{column}.csv"),
        ):
            table = make(results, column, class_names=summary["data"]["class_names"])
            with replacing(output / TABLES / file) as partial:
                table.to_csv(partial, index=False, lineterminator="\n")
            found[name][column] = json.loads(table.to_json(orient="records", double_precision=15))
        (output / _FIGURES).mkdir(exist_ok=True)
        with style.house_style():
            figure = groups_figure(summary | found, column)
            style.save_png(figure, output / _FIGURES / _figure_name(column))
    return found


def groups_content(summary: dict[str, Any], output: Path) -> list[dict[str, Any]]:
    """Returns what the report shows of each column that groups were compared by; empty without any."""
    return [
        {
            "column": "class" if column == "label" else column,
            "picture": _picture(output / _FIGURES / _figure_name(column)),
            "has_least": any(row["least_epsilon"] is not None for row in rows),
            "groups": _group_rows(summary, rows),
            "gaps": _gap_rows(summary, summary["group_gaps"][column]),
        }
        for column, rows in summary.get("by_group", {}).items()
    ]


def _figure_name(column: str) -> str:
    return f"by-{column}.png"


def _picture(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _group_rows(summary: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    from bioattack.evaluation.group_figures import rows_of

    point, names = class_point(summary), model_names(summary)
    found: dict[str, dict[str, Any]] = {}
    for index, model in enumerate(names):
        clean = {row["group"]: row for row in rows_of(rows, None, model=model)}
        attacked = {row["group"]: row for row in rows_of(rows, point, model=model)} if point else {}
        searched = {row["group"]: row for row in rows_of(rows, None, model=model, is_search=True)}
        for group, row in clean.items():
            entry = found.setdefault(group, {"name": group, "num_images": row["num_images"], "models": []})
            entry["models"].append(
                {"index": index % len(style.SERIES), "name": model}
                | {"clean": _cell(row, ("num_correct", "num_images"), ("low", "high"))}
                | _attacked_cells(attacked.get(group))
                | {"least": _least_cell(searched.get(group), is_of_rows=of_rows(summary))}
            )
    return list(found.values())


def _gap_rows(summary: dict[str, Any], gaps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The largest differences between groups as they are, at the report's setting, and of the search."""
    point, names = class_point(summary), model_names(summary)
    wanted: dict[str, tuple[str, Point]] = {"right as they are": ("accuracy", Point("none", "none", 0.0))}
    if point:
        wanted |= {
            "still right": ("accuracy", point),
            "attacks that succeed, of those right before": ("success_rate", point),
            "attacks that succeed, of all": ("success_rate_all", point),
        }
    found = []
    for words, (figure, setting) in [*wanted.items(), ("mean least ε", ("least_epsilon", None))]:
        for gap in gaps:
            is_there = setting in (None, (gap["attack"], gap["norm"], gap["epsilon"]))
            if gap["figure"] == figure and is_there:
                found.append(
                    {
                        "what": words,
                        "name": gap["model"],
                        "index": names.index(gap["model"]) % len(style.SERIES),
                    }
                    | _gap_words(gap, is_share=figure != "least_epsilon")
                )
    return found


def _gap_words(gap: dict[str, Any], *, is_share: bool) -> dict[str, str]:
    if gap["value"] is None:
        return dict.fromkeys(("value", "interval", "corrected", "between", "p_words", "holm_words"), "") | {
            "value": gap["note"]
        }
    factor, unit = (100, " points") if is_share else (1, "")
    value, corrected, low, high = (factor * gap[name] for name in ("value", "corrected", "low", "high"))
    return {
        "value": f"{value:.3g}{unit}",
        "interval": f"{low:.3g} to {high:.3g}",
        "corrected": f"{corrected:.3g}{unit}",
        "between": f"{gap['lowest']} and {gap['highest']}",
        "p_words": f"{gap['p_value']:.3f}",
        "holm_words": f"{gap['p_holm']:.3f}",
    }


def _attacked_cells(row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return dict.fromkeys(("adversarial", "success", "success_all"))
    row = row | {"num_right": row["num_correct"] - row["num_success"]}
    return {
        "adversarial": _cell(row, ("num_right", "num_images"), ("low", "high")),
        "success": _cell(row, ("num_success", "num_correct"), ("success_low", "success_high")),
        "success_all": _cell(row, ("num_success", "num_images"), ("success_all_low", "success_all_high")),
    }


def _cell(row: dict[str, Any], counts: tuple[str, str], ends: tuple[str, str]) -> dict[str, str]:
    count, number = (int(row[name]) for name in counts)
    if number == 0:
        return {"words": DASH, "interval": "", "counts": "of 0"}
    low, high = (row[name] for name in ends)
    return {
        "words": percent(count, number),
        "interval": interval({"num_images": number, "low": low, "high": high}),
        "counts": f"{count:,} of {number:,}",
    }


def _least_cell(row: dict[str, Any] | None, *, is_of_rows: bool) -> dict[str, str] | None:
    if row is None:
        return None
    low, high = row["least_low"], row["least_high"]
    return {
        "words": epsilon_words(row["least_epsilon"], norm=row["norm"], of_rows=is_of_rows),
        "interval": "" if low is None else f"{low:.3g} to {high:.3g}",
        "counts": f"{int(row['num_withstood']):,} withstood {row['epsilon']:.3g}",
    }
