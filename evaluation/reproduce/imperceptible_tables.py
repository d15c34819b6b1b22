"""The section of Table 3.1: success, distances and time of each attack, measured beside published."""

import math
from typing import Any

import pandas as pd

from bioattack.evaluation.findings import DASH
from bioattack.evaluation.imperceptibility import Mean, imperceptibility_table, paired_distances
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.imperceptible_attacks import OURS
from bioattack.evaluation.reproduce.imperceptible_comparison import PIXEL_NORMS, Comparison, compare_attacks
from bioattack.evaluation.reproduce.imperceptible_judges import Panel
from bioattack.evaluation.reproduce.page import Section, Table
from bioattack.evaluation.reproduce.robustness import to_records
from bioattack.evaluation.reproduce.workplace import Workplace

NORM_TITLES = {"l1": "L1", "l2": "L2", "linf": "L\N{INFINITY}"}


def attacks_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Makes Table 3.1."""
    comparison = compare_attacks(workplace)
    table = imperceptibility_table(comparison.results, distances=comparison.measures)
    workplace.write_table(experiment.name, table)
    paired = paired_distances(
        comparison.results, first=f"{OURS}-0", distances=("l2", *comparison.judges.by_name)
    )
    workplace.write_table(f"{experiment.name}-paired", paired)
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, *facts_of(comparison)),
        tables=[_attacks_table(comparison, table), _paired_table(comparison, paired)],
        warnings=warnings_of(workplace, comparison),
        values={"attacks": to_records(table), "paired": to_records(paired)},
    )


def facts_of(comparison: Comparison) -> tuple[str, ...]:
    """Says what was attacked, what each attack keeps small and what the attacks are compared by."""
    judges = ", ".join(judge.title for judge in comparison.judges.by_name.values())
    return (
        comparison.subject.words,
        f"Ours keeps small: {comparison.cost.words}; PPGD and LPA the features of the attacked network; "
        f"PerC_AL CIEDE2000. Compared by what none of them keeps small: {judges or 'the norms alone'}.",
        *comparison.judges.missing,
    )


def warnings_of(workplace: Workplace, comparison: Comparison) -> list[str]:
    """Says what stands between these figures and the paper's."""
    warnings = [*other_scale(workplace), *fewer_pictures(comparison)]
    if any("stand-in" in judge.title for judge in comparison.judges.by_name.values()):
        warnings.append("LPIPS on another trunk than its heads were trained on has values of its own.")
    return warnings


def other_scale(workplace: Workplace) -> list[str]:
    """Says that the paper's network and pictures are others, unless they are the same."""
    if workplace.config.preset == "paper":
        return []
    return [
        "Published: ResNet-50, 1,000 ImageNet-compatible pictures of 299 pixels, PieAPP with its own "
        "weights. Measured: another network and fewer pictures. Compare orders, not numbers."
    ]


def fewer_pictures(comparison: Comparison) -> list[str]:
    """Says that the slow rivals met fewer pictures, if they did."""
    number = comparison.sizes.num_rival_pictures
    if number == comparison.sizes.num_pictures:
        return []
    return [
        f"The slow rivals met the first {number} pictures only; what is paired is compared on pictures that "
        "both have met."
    ]


def _attacks_table(comparison: Comparison, table: pd.DataFrame) -> Table:
    by_key = table.set_index("attack")
    columns = measure_columns(comparison.judges)
    lines = []
    for contender in comparison.contenders:
        row: Any = by_key.loc[contender.key]
        distances = [
            _smallest(by_key, f"mean_{name}", contender.key, mean_words(row, name, scale=scale))
            for name, (_, scale) in columns.items()
        ]
        lines.append(
            [
                *(contender.title, "measured", f"{int(row['num_images']):,}"),
                *(rate_words(row), rate_words(row, suffix="_8bit"), *distances),
                *(mean_words(row, "steps"), mean_words(row, "seconds")),
            ]
        )
        if not (printed := contender.published):
            continue
        cells = [f"{printed[name]:g}" if name in printed else DASH for name in columns]
        lines.append(["", "published", "1,000", f"{printed['rate']:g}", DASH, *cells, DASH, DASH])
    return Table(
        "Success over the pictures that were right before, as found and in 8 bits per channel (95 % Wilson "
        "intervals); means over the successes, of the seconds over all that were attacked (95 % bootstrap "
        "intervals), bold where smallest.",
        [
            *("attack", "", "pictures", "success, %", "success in 8 bits, %"),
            *(title for title, _ in columns.values()),
            *("steps", "seconds a picture"),
        ],
        lines,
    )


def measure_columns(judges: Panel) -> dict[str, tuple[str, float]]:
    """Gives, for each column of distances, its title and the factor that tables show it with."""
    titles = {name: (NORM_TITLES[name], 1.0) for name in PIXEL_NORMS}
    return titles | {name: (judge.title, judge.scale) for name, judge in judges.by_name.items()}


def _smallest(table: pd.DataFrame, column: str, key: str, words: str) -> str:
    values = table[column].dropna()
    return f"**{words}**" if len(values) and values.idxmin() == key else words


def _paired_table(comparison: Comparison, paired: pd.DataFrame) -> Table:
    columns = {"l2": ("L2", 1.0)} | {
        name: (judge.title, judge.scale) for name, judge in comparison.judges.by_name.items()
    }
    titles = {contender.key: contender.title for contender in comparison.contenders}
    lines = []
    for key in dict.fromkeys(paired["attack"]) if len(paired) else ():
        of_key = paired[paired["attack"] == key].set_index("distance")
        cells = [_paired_words(of_key.loc[name], scale) for name, (_, scale) in columns.items()]
        lines.append([f"ours {DASH} {titles[key]}", f"{int(of_key['num_images'].iloc[0]):,}", *cells])
    return Table(
        "Ours (a = 0) less each other attack on the pictures that both fooled: mean difference with its 95 % "
        "bootstrap interval, bold where that leaves out 0; the share of pictures on which ours is nearer.",
        ["difference", "pictures", *(title for title, _ in columns.values())],
        lines,
    )


def _paired_words(row: Any, scale: float) -> str:
    if not row["num_images"]:
        return DASH
    low, high = scale * row["low"], scale * row["high"]
    words = f"{scale * row['difference']:+.3g}"
    words = words if low <= 0 <= high else f"**{words}**"
    return f"{words} [{low:.3g}, {high:.3g}] {100 * row['share_smaller']:.0f} %"


def rate_words(row: Any, *, suffix: str = "") -> str:
    """Says a rate in percent with its interval."""
    rate, low, high = (100 * row[f"{name}{suffix}"] for name in ("rate", "low", "high"))
    return f"{rate:.1f} [{low:.0f}, {high:.0f}]"


def mean_words(row: Any, name: str, *, scale: float = 1.0) -> str:
    """Says a mean with its interval; a dash where there is nothing to average."""
    mean = Mean(*(scale * row[f"{part}_{name}"] for part in ("mean", "low", "high")))
    return DASH if math.isnan(mean.mean) else f"{mean.mean:.3g} [{mean.low:.3g}, {mean.high:.3g}]"
