"""What the paper leaves open: whether other ways to make a network robust make it less fair, too."""

from collections.abc import Mapping
from typing import Any

from bioattack.evaluation.findings import DASH
from bioattack.evaluation.income_words import p_words
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.fairness_measure import LEAST, WHITE_BOX
from bioattack.evaluation.reproduce.fairness_sizes import ATTACK_STEPS
from bioattack.evaluation.reproduce.fairness_studies import open_studies
from bioattack.evaluation.reproduce.fairness_study import (
    Study,
    differences_table,
    scale_words,
    scores_table,
)
from bioattack.evaluation.reproduce.page import Section, Table
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.fairness.odd_unfairness import EOU

_ACCURACIES = ("clean", "transfer", "white-box")
_SCORES = ("CAU", "CRU_s", "CRU_eps")


def methods_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes one table of the same scores after every kind of training."""
    studies = open_studies(workplace, asked=(WHITE_BOX, LEAST), with_further=True)
    values = {study.words: _method_rows(study) for study in studies}
    tables = [_methods_table(study, values[study.words], study.words) for study in studies]
    columns = [(column, study) for column in workplace.pictures.groups for study in studies]
    summaries = {f"{column}, {study.words}": study.group_scores(column) for column, study in columns}
    for words, summary in summaries.items():
        tables += [
            scores_table(f"EOU by {words}.", summary, (EOU,), None),
            differences_table(f"EOU less the standard network's on the same rows, {words}.", summary, (EOU,)),
        ]
    missing = []
    if studies[0].subject.name == "rows":
        missing.append(
            "Wasserstein training, whose price of distance would add years to dollars, and the median take "
            "pictures only."
        )
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, scale_words(studies[0]), _training_words(studies[0])),
        tables=tables,
        warnings=missing,
        values=values,
    )


def _training_words(study: Study) -> str:
    return (
        f"PGD, TRADES and Wasserstein training attack every batch afresh, in {study.sizes.inner_steps} "
        f"steps; in every test an attack has {ATTACK_STEPS}."
    )


def _method_rows(study: Study) -> list[dict[str, Any]]:
    """One row for each network: accuracies, scores, and how they differ from the standard network's."""
    of_attack, of_search = study.scores(WHITE_BOX), study.scores(LEAST)
    radius = study.subject.training_epsilon
    wanted = (
        ("CAU", of_attack, ("none", None)),
        ("CRU_s", of_attack, ("pgd", radius)),
        ("CRU_eps", of_search, ("pgd", None)),
    )
    found, transferred = [], study.transferred()
    for network in study.networks:
        title = network.title
        row: dict[str, Any] = {"network": title}
        row["clean"] = _accuracy(of_attack, title, ("none", None))
        right, number = transferred[network.label]
        row["transfer"] = right / number
        row["white-box"] = _accuracy(of_attack, title, ("pgd", radius))
        for name, summary, setting in wanted:
            row[name] = _only(summary["scores"], {"model": title, "name": name}, setting)
            row[f"{name} difference"] = _only(
                summary["differences"], {"second": title, "name": name}, setting
            )
        found.append(row)
    return found


def _only(
    rows: list[dict[str, Any]], wanted: Mapping[str, Any], setting: tuple[str, float | None]
) -> dict[str, Any] | None:
    """The row of a score at a setting; None where there is none, as of the standard network's difference."""
    for row in rows:
        if (row["attack"], row["epsilon"]) == setting and all(row[key] == wanted[key] for key in wanted):
            return row
    return None


def _accuracy(summary: dict[str, Any], title: str, setting: tuple[str, float | None]) -> float:
    chosen = [
        row
        for row in summary["by_group"]
        if (row["model"], row["figure"]) == (title, "accuracy")
        and (row["attack"], row["epsilon"]) == setting
        and row["num_images"]
    ]
    right = sum(row["value"] * row["num_images"] for row in chosen)
    return float(right / sum(row["num_images"] for row in chosen))


def _methods_table(study: Study, rows: list[dict[str, Any]], words: str) -> Table:
    lines = []
    for row in rows:
        cells = [f"{100 * row[name]:.2f}" for name in _ACCURACIES]
        for name in _SCORES:
            cells.append(_score_words(row[name]))
            cells.append(_difference_words(row[f"{name} difference"]))
        lines.append([row["network"], *cells])
    heads = [*_ACCURACIES, *(head for name in _SCORES for head in (name, f"{name} less standard's"))]
    return Table(
        f"Accuracies in percent: as they are, and under PGD at epsilon {study.subject.training_epsilon:g} "
        "against the standard network (transfer) or the network itself (white-box); scores, as fractions and "
        "radii, with 95 % intervals, and their difference from the standard network's on the same images "
        f"with the p value of its permutation test (Holm over all of them); {words}.",
        ["network", *heads],
        lines,
    )


def _score_words(row: dict[str, Any] | None) -> str:
    return DASH if row is None else f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"


def _difference_words(row: dict[str, Any] | None) -> str:
    if row is None:
        return DASH
    return f"{row['difference']:+.3g} [{row['low']:+.3g}, {row['high']:+.3g}] ({p_words(row['p_holm'])})"
