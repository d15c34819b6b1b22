"""The sections of the paper on adversarial training and fairness, measured beside published."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bioattack.evaluation.defences import with_wilson
from bioattack.evaluation.findings import DASH
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.fairness_measure import LEAST, WHITE_BOX
from bioattack.evaluation.reproduce.fairness_networks import PAPER_NETWORKS, Network
from bioattack.evaluation.reproduce.fairness_published import (
    ACCURACIES,
    CAU,
    CRU_EPSILON,
    CRU_SUCCESS,
    RACE_CONFIDENCES,
    RACES,
    published_unfairness,
)
from bioattack.evaluation.reproduce.fairness_studies import open_studies
from bioattack.evaluation.reproduce.fairness_study import (
    Study,
    differences_table,
    draw_figures,
    draw_unfairness,
    scale_words,
    scores_table,
)
from bioattack.evaluation.reproduce.page import Figure, Section, Table
from bioattack.evaluation.reproduce.workplace import Workplace

NUM_PAPER = len(PAPER_NETWORKS)
_LABEL_BY_TITLE = {network.title: network.label for network in PAPER_NETWORKS}


def accuracy_section(
    workplace: Workplace, experiment: Experiment, *, asked: Sequence[str] = (WHITE_BOX,)
) -> Section:
    """Makes section IV.A: accuracy of the two networks, and on whose adversarial examples it is measured.

    Args:
        workplace: Where it goes.
        experiment: What it is called.
        asked: The attacks that this section and those after it need, which are then made side by side.
    """
    studies = open_studies(workplace, asked=asked)
    lines, values = [], []
    for study in studies:
        for network in study.networks[:NUM_PAPER]:
            found = _accuracies(study, network)
            printed = ACCURACIES[study.subject.name][network.label]
            values.append({"network": network.label, "seed": study.seed, "perturb": study.perturb} | found)
            lines.append(
                [
                    network.title,
                    study.words,
                    *(_share_words(found[name]) for name in ("clean", "transfer", "white_box")),
                    f"{100 * printed['clean']:.2f}",
                    f"{100 * printed['adversarial']:.2f}",
                ]
            )
    caption = (
        f"Accuracy in percent, PGD of 40 steps at epsilon {studies[0].subject.training_epsilon:g}. transfer: "
        "on adversarial examples of the standard network; white-box: on the network's own."
    )
    heads = ["network", "", "clean", "transfer", "white-box", "published clean", "published adversarial"]
    table = Table(caption, heads, lines)
    return _section(experiment, studies, tables=[table], values={"accuracies": values})


def _accuracies(study: Study, network: Network) -> dict[str, Any]:
    summary = study.scores(WHITE_BOX, count=NUM_PAPER)
    of_network = [row for row in summary["by_group"] if row["model"] == network.title]
    radius = study.subject.training_epsilon
    return {
        "clean": _right([row for row in of_network if row["attack"] == "none"]),
        "transfer": study.transferred(count=NUM_PAPER)[network.label],
        "white_box": _right([row for row in of_network if row["epsilon"] == radius]),
    }


def _right(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """Counts what is right over all classes."""
    chosen = [row for row in rows if row["figure"] == "accuracy"]
    number = sum(row["num_images"] for row in chosen)
    return round(sum(row["value"] * row["num_images"] for row in chosen if row["num_images"])), number


def _share_words(counts: tuple[int, int]) -> str:
    share = with_wilson(np.array([counts[0]]), np.array([counts[1]]))
    rate, low, high = (100 * float(share[name][0]) for name in ("rate", "low", "high"))
    return f"{rate:.2f} [{low:.1f}, {high:.1f}]"


def classes_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Figure 1 and CAU."""

    def published(study: Study, row: dict[str, Any]) -> str:
        if row["attack"] != "none":
            return DASH
        return f"{CAU[study.subject.name][_LABEL_BY_TITLE[row['model']]]:g}"

    return _scores_section(
        workplace, experiment, what=WHITE_BOX, wanted=("CAU",), figure="accuracy", published=published
    )


def least_epsilon_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Figure 2 and CRU_eps."""

    def published(study: Study, row: dict[str, Any]) -> str:
        printed = CRU_EPSILON.get(study.subject.name, {})
        return f"{printed[_LABEL_BY_TITLE[row['model']]]:g}" if printed else DASH

    return _scores_section(
        workplace, experiment, what=LEAST, wanted=("CRU_eps",), figure="least_epsilon", published=published
    )


def success_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Tables I and II, Figures 3 and 4, and CRU_s."""

    def published(study: Study, row: dict[str, Any]) -> str:
        printed = CRU_SUCCESS[study.subject.name][_LABEL_BY_TITLE[row["model"]]]
        return f"{printed[row['epsilon']]:g}" if row["epsilon"] in printed else DASH

    return _scores_section(
        workplace, experiment, what=WHITE_BOX, wanted=("CRU_s",), figure="success_rate", published=published
    )


def _scores_section(
    workplace: Workplace,
    experiment: Experiment,
    *,
    what: str,
    wanted: tuple[str, ...],
    figure: str,
    published: Any,
) -> Section:
    """Scores the two networks of every study, and draws those of the first seed."""
    studies = open_studies(workplace, asked=(what,))
    tables: list[Table] = []
    figures: list[Figure] = []
    warnings: list[str] = []
    values: dict[str, Any] = {}
    for study in studies:
        summary = study.scores(what, count=NUM_PAPER)
        tables += [
            scores_table(
                f"Scores, {study.words}: as defined, and corrected for being a maximum; fractions and radii.",
                summary,
                wanted,
                lambda row, study=study: published(study, row),
            ),
            differences_table(f"Robust less standard on the same images, {study.words}.", summary, wanted),
        ]
        values[study.words] = {
            part: [row for row in summary[part] if row["name"].startswith(wanted)]
            for part in ("scores", "differences")
        }
        warnings += [note for note in summary["notes"] if note not in warnings]
        if study.seed == studies[0].seed:
            name = experiment.name if study.perturb is None else f"{experiment.name}-{study.perturb}"
            attack = "none" if figure == "accuracy" else None
            figures += draw_figures(study, summary, name, wanted=figure, attack=attack)
    return _section(experiment, studies, tables=tables, figures=figures, warnings=warnings, values=values)


def groups_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Tables IV and V, Figures 5 and 6, and EOU."""
    studies = open_studies(workplace)
    columns = workplace.pictures.groups
    if not columns:
        return _section(
            experiment,
            studies,
            warnings=["The records have no protected attribute: there is nothing to ask."],
        )
    tables: list[Table] = []
    figures: list[Figure] = []
    warnings: list[str] = []
    values: dict[str, Any] = {}
    for column in columns:
        for study in studies:
            summary = study.group_scores(column, count=NUM_PAPER)
            words = f"{column}, {study.words}"
            tables += [
                _confidences_table(summary, column, words),
                scores_table(
                    f"EOU by {words}.",
                    summary,
                    ("EOU",),
                    lambda row, summary=summary: _published_eou(summary, row),
                ),
                differences_table(f"Robust less standard on the same rows, {words}.", summary, ("EOU",)),
            ]
            values[words] = {
                part: [row for row in summary[part] if row["name"].startswith("EOU")]
                for part in ("scores", "differences")
            }
            warnings += [note for note in summary["notes"] if note not in warnings]
            if study.seed == studies[0].seed:
                name = "-".join(filter(None, (experiment.name, column, study.perturb)))
                figures += draw_figures(study, summary, name, wanted="confidence")
                figures += draw_unfairness(study, summary, name)
    return _section(experiment, studies, tables=tables, figures=figures, warnings=warnings, values=values)


def _confidences_table(summary: dict[str, Any], column: str, words: str) -> Table:
    """Lists mean confidences by network and true class; of races with Table V beside."""
    names = list(summary["data"]["groups"])
    rows = [row for row in summary["by_group"] if row["figure"].startswith("confidence")]
    lines = []
    for model in summary["models"]:
        for figure in dict.fromkeys(row["figure"] for row in rows):
            own = {row["group"]: row for row in rows if row["model"] == model and row["figure"] == figure}
            cells = [
                DASH
                if own[name]["value"] is None
                else f"{own[name]['value']:.3f} ({own[name]['num_images']:,})"
                for name in names
            ]
            true = figure.partition(" | ")[2]
            lines.append([model, "measured", true, *cells])
            if column == "race" and set(names) == set(RACES):
                place = summary["data"]["class_names"].index(true)
                printed = dict(zip(RACES, RACE_CONFIDENCES[_LABEL_BY_TITLE[model]][place], strict=True))
                lines.append([model, "published", true, *(f"{printed[name]:g}" for name in names)])
    return Table(
        f"Mean confidence of the higher income by {words}, and in brackets how many rows.",
        ["network", "", "true class", *names],
        lines,
    )


def _published_eou(summary: dict[str, Any], row: dict[str, Any]) -> str:
    if set(summary["data"]["groups"]) != set(RACES):
        return DASH
    true_class = int(row["name"].endswith(f"| {summary['data']['class_names'][1]})"))
    return f"{published_unfairness(_LABEL_BY_TITLE[row['model']], true_class):.3g}"


def _section(experiment: Experiment, studies: list[Study], **parts: Any) -> Section:
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, scale_words(studies[0])),
        **parts,
    )
