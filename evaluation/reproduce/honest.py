"""The section on stronger attacks: longer ones, other norms, random and learned gazes taken into account."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bioattack.evaluation.findings import DASH
from bioattack.evaluation.reproduce.answers import Answers, accuracy_table, mean_table, right_answers
from bioattack.evaluation.reproduce.attacks import (
    END_EPSILONS,
    ENDS,
    FOOLBOX,
    L2,
    LONG,
    ONE_DRAW,
    RMS,
    SEVERAL_DRAWS,
    STOPPED,
    attacks_on_random_gazes,
    attacks_past_the_gaze,
    measure_attacks,
    stronger_attacks,
)
from bioattack.evaluation.reproduce.experiment import Experiment, Row, Variant
from bioattack.evaluation.reproduce.honest_checks import PAPER, contradictions
from bioattack.evaluation.reproduce.page import Section, Table
from bioattack.evaluation.reproduce.rebuilt import RANDOM_GAZE, STOPPED_GRADIENT, has_option, rebuild
from bioattack.evaluation.reproduce.robustness import accuracy_words, to_records
from bioattack.evaluation.reproduce.workplace import Workplace

_NORMS = {RMS: "rms", L2: "l2"}


def honest_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Runs the attacks and makes the section.

    Args:
        workplace: Where all networks of the experiment are trained and measured.
        experiment: The experiment.

    Returns:
        The section; ``tables/honest.csv`` has the means and ``honest_runs.csv`` each run.
    """
    rows = workplace.rows(experiment)
    answers: dict[str, dict[int, pd.DataFrame]] = {}
    warnings: list[str] = []
    for seed in workplace.config.all_seeds:
        for row in rows:
            workplace.say(f"{row.variant.label}, seed {seed}: stronger attacks")
            found = attack_answers(workplace, row.variant, seed)
            for name, right in found.items():
                answers.setdefault(_key(row, name), {})[seed] = right
            warnings += contradictions(found, title=f"{row.title}, seed {seed}")
    accuracies = accuracy_table(answers)
    means = mean_table(accuracies)
    for table_name, table in ((experiment.name, means), (f"{experiment.name}_runs", accuracies)):
        columns = table["label"].str.split("/", n=1, expand=True).set_axis(["network", "attack"], axis=1)
        workplace.write_table(table_name, pd.concat([columns, table.drop(columns="label")], axis=1))
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, _random_words(workplace)),
        tables=_tables(workplace, rows, means, answers),
        warnings=warnings,
        values={"means": to_records(means)},
    )


def _key(row: Row, attack: str) -> str:
    return f"{row.variant.label}/{attack}"


def attack_answers(workplace: Workplace, variant: Variant, seed: int) -> dict[str, pd.DataFrame]:
    """Attacks one network in every way that makes sense for it.

    Returns:
        Name of the attack -> whether each picture is right, as ``contradictions`` takes it.
    """
    scale, label = workplace.scale, f"{variant.label}-seed{seed}"
    found = {}
    trained = measure_attacks(
        workplace, workplace.run_folder(variant, seed), stronger_attacks(scale), name=label
    )
    for name in (FOOLBOX, LONG, RMS, L2):
        found[name] = right_answers(trained, attack=name, norm=_NORMS.get(name, "linf"))
    found[ENDS] = _end_answers(trained)
    pictures = found[FOOLBOX].index
    found = {PAPER: right_answers(workplace.results(variant, seed)).loc[pictures], **found}
    if has_option(variant, RANDOM_GAZE):
        path = rebuild(workplace, variant, seed, changes=RANDOM_GAZE)
        drawn = measure_attacks(workplace, path, attacks_on_random_gazes(scale), name=f"{label}-random")
        found |= {name: right_answers(drawn, attack=name) for name in (ONE_DRAW, SEVERAL_DRAWS)}
    if has_option(variant, STOPPED_GRADIENT):
        path = rebuild(workplace, variant, seed, changes=STOPPED_GRADIENT)
        stopped = measure_attacks(workplace, path, attacks_past_the_gaze(scale), name=f"{label}-stop")
        found[STOPPED] = right_answers(stopped, attack=STOPPED)
    return found


def _end_answers(results: pd.DataFrame) -> pd.DataFrame:
    """The attack at epsilon 0 and at half of the range; the pictures as they are in the column -1."""
    clean = results[results["attack"] == "none"].assign(epsilon=-1.0)
    rows = pd.concat([clean, results[results["attack"] == ENDS]])
    rows = rows.assign(is_right=rows["correct_clean"] & ~rows["success"])
    return rows.pivot(index="image_id", columns="epsilon", values="is_right").astype(bool)


def _attack_words(workplace: Workplace) -> dict[str, str]:
    scale = workplace.scale
    return {
        PAPER: "Linf, 20 steps of ε/3, any iterate (the paper's)",
        FOOLBOX: "Linf, 40 steps of ε/30, random start, last iterate (Foolbox's)",
        LONG: f"Linf, 100 steps of ε/40, {scale.num_restarts} starts, then the margin as loss",
        RMS: "RMS-L2 (the reference's L2), 20 steps of ε/3",
        STOPPED: "Linf, 20 steps, no gradient through the choice of gazes",
        ONE_DRAW: "random gazes, Linf, 20 steps, one draw a step",
        SEVERAL_DRAWS: f"random gazes, Linf, 20 steps, mean of {scale.num_draws} draws a step",
        L2: "true L2, 20 steps of ε/3",
        ENDS: "Linf, 20 steps of ε/3",
    }


def _tables(workplace: Workplace, rows: Sequence[Row], means: pd.DataFrame, answers: Answers) -> list[Table]:
    number = int(means["num_images"].iloc[0])
    epsilons = [0.0, *workplace.scale.epsilons]
    names = (PAPER, FOOLBOX, LONG, RMS, STOPPED, ONE_DRAW, SEVERAL_DRAWS)
    by_key = {key: means[means["label"] == key].set_index("epsilon") for key in answers}
    words = _attack_words(workplace)
    return [
        Table(
            f"Accuracy in %, the same {number} pictures, 95 % Wilson intervals.",
            ["network", "attack", *("as it is" if one == 0 else f"ε = {one:g}" for one in epsilons)],
            [line for row in rows for line in _lines(row, names, epsilons, by_key, words)],
        ),
        Table(
            "The same for true L2 norms over the whole picture.",
            ["network", "attack", *(f"L2 = {one:g}" for one in _epsilons(answers, L2))],
            [line for row in rows for line in _lines(row, (L2,), _epsilons(answers, L2), by_key, words)],
        ),
        Table(
            "The ends: where nothing may change, and where everything may.",
            ["network", "attack", *(f"ε = {one:g}" for one in END_EPSILONS)],
            [line for row in rows for line in _lines(row, (ENDS,), END_EPSILONS, by_key, words)],
        ),
    ]


def _epsilons(answers: Answers, attack: str) -> list[float]:
    found = next(by_seed for key, by_seed in answers.items() if key.endswith(f"/{attack}"))
    columns = map(float, next(iter(found.values())).columns.tolist())
    return [epsilon for epsilon in columns if epsilon > 0]


def _lines(
    row: Row,
    names: Sequence[str],
    epsilons: Sequence[float],
    by_key: Mapping[str, pd.DataFrame],
    words: Mapping[str, str],
) -> list[list[str]]:
    lines: list[list[str]] = []
    for name in names:
        of_key = by_key.get(_key(row, name))
        if of_key is not None:
            cells = [
                accuracy_words(of_key.loc[epsilon]) if epsilon in of_key.index else DASH
                for epsilon in epsilons
            ]
            lines.append([row.title if not lines else "", words[name], *cells])
    return lines


def _random_words(workplace: Workplace) -> str:
    return (
        "Networks with random gazes answer the same picture differently from call to call; an attack that "
        "sees one draw at a time overstates their robustness, so the line with the mean of "
        f"{workplace.scale.num_draws} draws counts."
    )
