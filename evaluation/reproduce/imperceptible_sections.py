"""The sections of Figures 3.2, 3.3 and 3.5 and of the ablations."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bioattack.defences import defend
from bioattack.evaluation.defences import BITS_SWEEP, JPEG_SWEEP, success_after_defences, sweep_table
from bioattack.evaluation.imperceptibility import imperceptibility_table
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.imperceptible_attacks import PGD, Contender, our_request
from bioattack.evaluation.reproduce.imperceptible_comparison import Comparison, compare_attacks
from bioattack.evaluation.reproduce.imperceptible_curves import draw_ablation, draw_spread, draw_sweeps
from bioattack.evaluation.reproduce.imperceptible_measure import measure_contender
from bioattack.evaluation.reproduce.imperceptible_saliency import NUM_SHOWN
from bioattack.evaluation.reproduce.imperceptible_side_by_side import Column, draw_magnified
from bioattack.evaluation.reproduce.imperceptible_tables import (
    facts_of,
    fewer_pictures,
    mean_words,
    measure_columns,
    rate_words,
    warnings_of,
)
from bioattack.evaluation.reproduce.page import Figure, Section, Table
from bioattack.evaluation.reproduce.robustness import to_records
from bioattack.evaluation.reproduce.workplace import FIGURES, Workplace

NOTHING = "none"
_ADAPTIVE = (PGD, "ours-0")
_AT_ONCE = 32


def pictures_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Figure 3.2: originals and attacked pictures, magnified parts, differences."""
    comparison = compare_attacks(workplace)
    names = comparison.shown(NUM_SHOWN)
    images, labels = comparison.pictures(names)
    classes = comparison.subject.records.class_names
    rows = []
    for image, label, name in zip(images, labels.tolist(), names, strict=True):
        columns = [Column("original", image, classes[label])]
        for contender, attacked in zip(comparison.contenders, comparison.attacked, strict=True):
            its = attacked.results.set_index("image_id")
            if name in its.index:
                predicted: Any = its["predicted_adversarial"].loc[name]
                columns.append(Column(contender.title, attacked.load([name])[0], classes[int(predicted)]))
        rows.append(columns)
    scale = draw_magnified(workplace.figure(experiment.name), rows)
    caption = (
        "Each picture as it was saved, with the class that the network takes it for; the framed part, where "
        f"the attacks changed most, magnified; the change there, {255 * scale:.0f}/255 and more being black "
        "or white."
    )
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, *facts_of(comparison)[:2]),
        figures=[Figure(f"{FIGURES}/{experiment.name}.png", caption)],
    )


def spread_section(workplace: Workplace, experiment: Experiment, *, wanted: str) -> Section:
    """Makes Figure 3.3: box plots and distribution functions of one distance.

    Args:
        workplace: Where it goes.
        experiment: The experiment.
        wanted: The paper's distance; without it, the first judge that there is.
    """
    comparison = compare_attacks(workplace)
    judge = comparison.judges.chosen(wanted)
    name, title, scale = (judge.name, judge.title, judge.scale) if judge else ("l2", "L2", 1.0)
    values = {
        contender.title: scale * comparison.fallen(contender.key)[name].to_numpy(float)
        for contender in comparison.contenders
    }
    draw_spread(workplace.figure(experiment.name), values, axis=title)
    warnings = warnings_of(workplace, comparison)
    if name != wanted:
        warnings = [f"In place of {wanted.upper()}, for which weights are missing: {title}.", *warnings]
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, *facts_of(comparison)),
        figures=[Figure(f"{FIGURES}/{experiment.name}.png", f"{title} over the successes of each attack.")],
        warnings=warnings,
    )


def defences_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Figure 3.5: success after defences, of attacks that did not know of them and of some that did."""
    comparison = compare_attacks(workplace)
    titles = {contender.key: contender.title for contender in comparison.contenders}
    sweeps = sweep_table(_after_defences(workplace, comparison))
    adaptive = _adaptive(workplace, comparison)
    workplace.write_table(experiment.name, sweeps)
    workplace.write_table(f"{experiment.name}-adaptive", adaptive)
    draw_sweeps(
        workplace.figure(experiment.name), sweeps, titles=titles | {NOTHING: "no attack"}, adaptive=adaptive
    )
    caption = (
        "Share of the pictures that were right before and are wrong after the attack and the defence. "
        "Hollow: attacks through the defence, of the pictures that are right behind it."
    )
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, comparison.subject.words),
        tables=[_adaptive_table(comparison, adaptive, titles)],
        figures=[Figure(f"{FIGURES}/{experiment.name}.png", caption)],
        warnings=fewer_pictures(comparison),
        values={"sweeps": to_records(sweeps), "adaptive": to_records(adaptive)},
    )


def _after_defences(workplace: Workplace, comparison: Comparison) -> pd.DataFrame:
    tables = []
    for place, attacked in enumerate([None, *comparison.attacked]):
        key = attacked.key if attacked else NOTHING
        rows = (attacked or max(comparison.attacked, key=lambda one: len(one.results))).results
        workplace.say(f"defences after {key}")

        def measure(rows: pd.DataFrame = rows, attacked: Any = attacked) -> dict[str, Any]:
            parts = []
            for start in range(0, len(rows), _AT_ONCE):
                some = rows.iloc[start : start + _AT_ONCE]
                names = some["image_id"].tolist()
                images = attacked.load(names) if attacked else comparison.pictures(names)[0]
                parts.append(
                    success_after_defences(
                        comparison.subject.classifier,
                        images,
                        some["label"].to_numpy(),
                        is_correct=some["correct_clean"].to_numpy(),
                        image_ids=names,
                    )
                )
            return pd.concat(parts, ignore_index=True).to_dict(orient="list")  # type: ignore[return-value]

        words = "/".join([*JPEG_SWEEP, *BITS_SWEEP, str(len(rows))])
        name = f"defences-{key}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
        tables.append(pd.DataFrame(workplace.remember(name, measure)).assign(attack=key, place=place))
    return pd.concat(tables, ignore_index=True)


def _adaptive(workplace: Workplace, comparison: Comparison) -> pd.DataFrame:
    """Attacks through each defence; a gradient passes it as if nothing had been done."""
    tables = []
    for name in comparison.sizes.adaptive_defences:
        defended = defend(comparison.subject.classifier, name)
        kind, _, strength = name.partition(":")
        for contender in comparison.contenders:
            if contender.key not in _ADAPTIVE:
                continue
            attacked = measure_contender(
                workplace,
                comparison.subject,
                dataclasses.replace(contender, key=f"{contender.key}-{name}"),
                num_images=comparison.sizes.num_adaptive,
                judges=comparison.judges.distances,
                classifier=defended,
            )
            table = imperceptibility_table(attacked.results, distances=comparison.measures)
            tables.append(table.assign(attack=contender.key, defence=name, kind=kind, strength=int(strength)))
    return pd.concat(tables, ignore_index=True)


def _adaptive_table(comparison: Comparison, adaptive: pd.DataFrame, titles: dict[str, str]) -> Table:
    columns = measure_columns(comparison.judges)
    lines = [
        [
            *(row["defence"], titles[row["attack"]], f"{int(row['num_images']):,}", rate_words(row)),
            *(mean_words(row, name, scale=scale) for name, (_, scale) in columns.items()),
        ]
        for row in adaptive.to_dict(orient="records")
    ]
    return Table(
        "Attacks that know the defence: gradients pass it straight through, and what counts is the exact "
        "defence. Success over the pictures that are right behind it; means over the successes.",
        ["defence", "attack", "pictures", "success, %", *(title for title, _ in columns.values())],
        lines,
    )


def ablation_section(
    workplace: Workplace, experiment: Experiment, *, setting: str, values: Sequence[float]
) -> Section:
    """Runs our attack with each value of one setting.

    Args:
        workplace: Where it goes.
        experiment: The experiment.
        setting: ``"weight"`` (lambda) or ``"step_length"`` (epsilon), arguments of ``our_request``.
        values: Its values, rising.
    """
    comparison = compare_attacks(workplace)
    sizes, cost, judges = comparison.sizes, comparison.cost, comparison.judges
    tables = []
    for value in values:
        request = our_request(sizes, cost, **{setting: value})
        contender = Contender(f"{experiment.name}-{value:g}", f"{experiment.name} {value:g}", request)
        attacked = measure_contender(
            workplace,
            comparison.subject,
            contender,
            num_images=sizes.num_ablated,
            judges=judges.distances,
        )
        table = imperceptibility_table(attacked.results, distances=comparison.measures)
        tables.append(table.assign(value=value))
    found = pd.concat(tables, ignore_index=True)
    workplace.write_table(experiment.name, found)
    columns, symbol = measure_columns(judges), {"weight": "λ", "step_length": "ε"}[setting]
    judge = judges.chosen()
    measures = {name: (title, 1.0) for name, title in (("l2", "L2"), ("steps", "steps"))}
    caption = "Means with 95 % intervals."
    if judge is not None:
        measures[judge.name] = judge.title, judge.scale
        caption += f" Right: {judge.title}."
    draw_ablation(workplace.figure(experiment.name), found, setting=symbol, measures=measures)
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, *facts_of(comparison)),
        tables=[_ablation_table(found, columns, symbol)],
        figures=[Figure(f"{FIGURES}/{experiment.name}.png", caption)],
        values={"ablation": to_records(found)},
    )


def _ablation_table(found: pd.DataFrame, columns: dict[str, tuple[str, float]], symbol: str) -> Table:
    lines = [
        [
            *(
                f"{row['value']:g}",
                f"{int(row['num_images']):,}",
                rate_words(row),
                rate_words(row, suffix="_8bit"),
            ),
            *(mean_words(row, name, scale=scale) for name, (_, scale) in columns.items()),
            *(mean_words(row, "steps"), mean_words(row, "seconds")),
        ]
        for row in found.to_dict(orient="records")
    ]
    return Table(
        "Ours (a = 0): success over the pictures that were right before, means over the successes, of the "
        "seconds over all that were attacked.",
        [
            *(symbol, "pictures", "success, %", "success in 8 bits, %"),
            *(title for title, _ in columns.values()),
            *("steps", "seconds a picture"),
        ],
        lines,
    )
