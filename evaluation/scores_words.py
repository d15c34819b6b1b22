"""What the scores of classes and groups say in words: lines of a table, and what to know before quoting."""

from collections.abc import Mapping, Sequence
from typing import Any

from bioattack.evaluation.income_words import p_words

SIGNIFICANCE = 0.05
_FEW_IMAGES = 30
_AS_THEY_ARE = "none"


def setting_words(row: Mapping[str, Any]) -> str:
    """Says a setting.

    >>> setting_words({"attack": "pgd", "norm": "linf", "epsilon": 0.01})
    'pgd linf 0.01'
    >>> setting_words({"attack": "none", "norm": None, "epsilon": None})
    'as they are'
    """
    if row["attack"] == _AS_THEY_ARE:
        return "as they are"
    epsilon = "" if row["epsilon"] is None else f"{row['epsilon']:.4g}"
    return " ".join(word for word in (row["attack"], row["norm"] or "", epsilon) if word)


def score_cells(row: Mapping[str, Any]) -> list[str]:
    """Gives the cells of a row of the table of scores.

    Args:
        row: One of ``scores``.
    """
    where = f"{row['lowest']} to {row['highest']}"
    if row["within"] and "EOU" not in row["name"]:
        where += f" (of {row['within']}{', given ' + row['outcome'] if row['outcome'] else ''})"
    elif row["outcome"]:
        where += f" ({row['outcome']})"
    return [
        row["model"],
        setting_words(row),
        row["name"],
        f"{row['value']:.4g}",
        f"{row['corrected']:.4g}",
        f"{row['low']:.4g} to {row['high']:.4g}",
        p_words(row["p_value"]),
        p_words(row["p_holm"]),
        f"{row['num_rows']:,} in {row['num_groups']}",
        where,
    ]


SCORE_HEADS = (
    *("model", "setting", "score", "value", "corrected", "95 % interval"),
    *("no difference", "Holm", "images in groups", "lowest to highest"),
)
DIFFERENCE_HEADS = (
    *("second less first", "setting", "score", "first", "second", "difference"),
    *("95 % interval", "no difference", "Holm"),
)
ACCURACY_HEADS = (
    *("models", "setting", "first", "second", "only first right", "only second right"),
    *("McNemar", "Holm"),
)


def difference_cells(row: Mapping[str, Any]) -> list[str]:
    """Gives the cells of a row of the table of differences.

    Args:
        row: One of ``differences``.
    """
    return [
        f"{row['second']} less {row['first']}",
        setting_words(row),
        row["name"],
        f"{row['first_score']:.4g}",
        f"{row['second_score']:.4g}",
        f"{row['difference']:+.4g}",
        f"{row['low']:+.4g} to {row['high']:+.4g}",
        p_words(row["p_value"]),
        p_words(row["p_holm"]),
    ]


def accuracy_cells(row: Mapping[str, Any]) -> list[str]:
    """Gives the cells of a row of the table of accuracies.

    Args:
        row: One of ``accuracies``.
    """
    return [
        f"{row['first']}, {row['second']}",
        setting_words(row),
        f"{100 * row['first_accuracy']:.2f} %",
        f"{100 * row['second_accuracy']:.2f} %",
        f"{row['num_only_first']:,}",
        f"{row['num_only_second']:,}",
        p_words(row["p_value"]),
        p_words(row["p_holm"]),
    ]


def table_lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Sets a table in columns of letters of one width.

    >>> table_lines(["a", "b"], [["1", "22"]])
    ['a  b', '1  22']
    """
    everything = [list(heads), *map(list, rows)]
    widths = [max(len(row[place]) for row in everything) for place in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in everything
    ]


def headline(summary: Mapping[str, Any]) -> list[str]:
    """Says in one or two sentences whether a difference was shown.

    Args:
        summary: The content of ``summary.json``.
    """
    word = "classes" if summary["kind"] == "classes" else "groups"
    shown: list[str] = []
    for model in summary["models"]:
        row = next(row for row in summary["scores"] if row["model"] == model)
        verdict = "differs" if row["p_holm"] < SIGNIFICANCE else "was not shown to differ"
        shown.append(
            f"Accuracy of {model} {verdict} between {word}: by {100 * row['value']:.1f} points, "
            f"{row['lowest']} to {row['highest']} ({p_words(row['p_holm'])})."
        )
    for row in summary["differences"][:1]:
        verdict = "is" if row["p_holm"] < SIGNIFICANCE else "was not shown to be"
        other = "larger" if row["difference"] > 0 else "smaller"
        shown.append(
            f"That of {row['second']} {verdict} {other} than that of {row['first']}: "
            f"{100 * row['difference']:+.1f} points, {100 * row['low']:+.1f} to {100 * row['high']:+.1f} "
            f"({p_words(row['p_holm'])})."
        )
    return shown


def notes(summary: Mapping[str, Any]) -> list[str]:
    """Gives what a reader must know to trust the figures, one sentence each.

    Args:
        summary: The content of ``summary.json`` without its notes.
    """
    return [
        *_left_out_notes(summary),
        *_size_notes(summary),
        *_censored_notes(summary),
        *[
            f"{row['name']} of {row['model']} ({setting_words(row)}) has no value: {row['reason']}."
            for row in summary["undefined"]
        ],
        *_same_notes(summary),
        *_missing_notes(summary),
    ]


def _left_out_notes(summary: Mapping[str, Any]) -> list[str]:
    least = summary["settings"]["minimum_count"]
    groups = list(dict.fromkeys(row["group"] for row in summary["left_out"]))
    found = []
    if groups:
        names = ", ".join(groups[:8]) + (", …" if len(groups) > 8 else "")
        found.append(
            f"Left out of one score or more, for fewer than {least} images there: {names}; "
            "tables/left_out.csv says of which."
        )
    return found


def _size_notes(summary: Mapping[str, Any]) -> list[str]:
    small = {name: number for name, number in summary["data"]["groups"].items() if number < _FEW_IMAGES}
    if not small:
        return []
    names = ", ".join(f"{name} ({number})" for name, number in list(small.items())[:8])
    return [
        f"Fewer than {_FEW_IMAGES} images: {names}{', …' if len(small) > 8 else ''}; they widen every "
        "interval, and --minimum-count leaves them out."
    ]


def _censored_notes(summary: Mapping[str, Any]) -> list[str]:
    found = []
    rows = [row for row in summary["by_group"] if row["figure"] == "least_epsilon"]
    for model, attack, norm in dict.fromkeys((row["model"], row["attack"], row["norm"]) for row in rows):
        own = [row for row in rows if (row["model"], row["attack"], row["norm"]) == (model, attack, norm)]
        number = sum(row["num_censored"] for row in own)
        if number:
            total = sum(row["num_images"] for row in own)
            found.append(
                f"{number:,} of {total:,} images of {model} never fell to {attack} {norm} and count with the "
                "largest epsilon tried: means, and differences between them, may be larger."
            )
    return found


def _same_notes(summary: Mapping[str, Any]) -> list[str]:
    found = []
    for second in dict.fromkeys(row["second"] for row in summary["accuracies"]):
        own = [row for row in summary["accuracies"] if row["second"] == second]
        if all(row["num_only_first"] == row["num_only_second"] == 0 for row in own):
            found.append(f"{own[0]['first']} and {second} are right on the same images throughout.")
    return found


def _missing_notes(summary: Mapping[str, Any]) -> list[str]:
    data, found = summary["data"], []
    if absent := data["absent_classes"]:
        names = ", ".join(absent[:8]) + (", …" if len(absent) > 8 else "")
        found.append(f"There are no images of {len(absent)} of {len(data['class_names'])} classes: {names}.")
    if summary["kind"] == "groups" and not data["has_probabilities"]:
        found.append("EOU needs the probabilities p0, p1, ...: the tables have none.")
    if summary["kind"] == "groups" and not data["has_predictions"]:
        found.append("Demographic parity and equalised odds need predicted classes: the tables have none.")
    return found
