"""The sections of Table 3.2 and Figure 3.4: how far attacks shift what draws the eye."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from bioattack.evaluation.findings import DASH
from bioattack.evaluation.imperceptibility import bootstrap_mean
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.imperceptible_comparison import Comparison, compare_attacks
from bioattack.evaluation.reproduce.imperceptible_measure import Attacked
from bioattack.evaluation.reproduce.imperceptible_side_by_side import Column, draw_saliency
from bioattack.evaluation.reproduce.imperceptible_subject import open_subject
from bioattack.evaluation.reproduce.imperceptible_tables import NORM_TITLES, mean_words, other_scale
from bioattack.evaluation.reproduce.page import Figure, Section, Table
from bioattack.evaluation.reproduce.robustness import to_records
from bioattack.evaluation.reproduce.workplace import FIGURES, Workplace
from bioattack.evaluation.saliency import SHIFTS, SaliencyModel, load_saliency, saliency_shift

NUM_SHOWN = 2
_AT_ONCE = 16
_TITLES = {**NORM_TITLES, "ssim": "1 - SSIM"}


def saliency_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Table 3.2: distances between the saliency maps of originals and of attacked pictures as saved."""
    model, comparison = _model(workplace), compare_attacks(workplace)
    rows = []
    for contender, attacked in zip(comparison.contenders, comparison.attacked, strict=True):
        workplace.say(f"saliency of {contender.title}")
        shifts = _shifts(workplace, comparison, attacked, model)
        means = {name: bootstrap_mean(shifts[name]) for name in SHIFTS}
        rows.append(
            {"attack": contender.key, "saliency": model.name, "num_images": len(shifts)}
            | {
                f"{part}_{name}": value
                for name, mean in means.items()
                for part, value in mean._asdict().items()
            }
        )
    table = pd.DataFrame(rows)
    workplace.write_table(experiment.name, table)
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, comparison.subject.words),
        tables=[_table(comparison, table, model)],
        warnings=[*other_scale(workplace), *_other_model(model)],
        values={"saliency": to_records(table)},
    )


def maps_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Figure 3.4: the maps of originals and attacked pictures side by side."""
    model, comparison = _model(workplace), compare_attacks(workplace)
    names = comparison.shown(NUM_SHOWN)
    images, _ = comparison.pictures(names)
    rows: list[list[Column]] = []
    for place, name in enumerate(names):
        pictures = {"original": images[place]}
        for contender, attacked in zip(comparison.contenders, comparison.attacked, strict=True):
            if name in set(attacked.results["image_id"]):
                pictures[contender.title] = attacked.load([name])[0]
        maps = model(np.stack(list(pictures.values())))
        moved = saliency_shift(np.repeat(maps[:1], len(maps), axis=0), maps)["l2"].tolist()
        rows.append(
            [
                Column(title, image, "" if title == "original" else f"L2 {shift:.2g}", saliency)
                for (title, image), saliency, shift in zip(pictures.items(), maps, moved, strict=True)
            ]
        )
    draw_saliency(workplace.figure(experiment.name), rows)
    caption = (
        f"Pictures as they were saved, and below them what draws the eye: {model.name}. L2: how far the map "
        "is from the original's."
    )
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=experiment.text,
        figures=[Figure(f"{FIGURES}/{experiment.name}.png", caption)],
        warnings=_other_model(model),
    )


def _model(workplace: Workplace) -> SaliencyModel:
    """The model, tried on a picture before hours are spent on attacks."""
    model: SaliencyModel = workplace.keep("saliency", lambda: load_saliency(workplace.config.saliency))
    if workplace.config.saliency is not None:
        records = open_subject(workplace).records
        model(next(records.examples("test", batch_size=1).as_numpy_iterator())["image"])
    return model


def _other_model(model: SaliencyModel) -> list[str]:
    return [f"Published with EGNet, whose weights are not at hand. Measured with: {model.name}."]


def _shifts(
    workplace: Workplace, comparison: Comparison, attacked: Attacked, model: SaliencyModel
) -> pd.DataFrame:
    """The shifts of one attack's successes, measured once."""

    def measure() -> dict[str, Any]:
        names = comparison.fallen(attacked.key)["image_id"].tolist()
        tables = [pd.DataFrame(columns=list(SHIFTS))]
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            images, _ = comparison.pictures(some)
            tables.append(saliency_shift(model(images), model(attacked.load(some))))
        shifts = pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)
        return {"image_id": names} | {name: shifts[name].astype(float).tolist() for name in SHIFTS}

    # Another model, or other pictures, are measured anew.
    words = f"{model.name}/{workplace.config.saliency}/{len(attacked.results)}"
    key = f"saliency-{attacked.key}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    return pd.DataFrame(workplace.remember(key, measure))


def _table(comparison: Comparison, table: pd.DataFrame, model: SaliencyModel) -> Table:
    by_key = table.set_index("attack")
    lines = []
    for contender in comparison.contenders:
        row: Any = by_key.loc[contender.key]
        cells = []
        for name in SHIFTS:
            means = by_key[f"mean_{name}"].dropna()
            words = mean_words(row, name)
            cells.append(f"**{words}**" if len(means) and means.idxmin() == contender.key else words)
        lines.append([contender.title, "measured", f"{int(row['num_images']):,}", *cells])
        if contender.saliency:
            lines.append(["", "published", DASH, *(f"{contender.saliency[name]:g}" for name in SHIFTS)])
    return Table(
        f"Distances between saliency maps of originals and of attacked pictures as saved, {model.name}: "
        "means over the successes with 95 % bootstrap intervals, bold where smallest. Published: EGNet.",
        ["attack", "", "pictures", *(_TITLES[name] for name in SHIFTS)],
        lines,
    )
