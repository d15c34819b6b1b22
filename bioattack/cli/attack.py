"""bioattack-attack: attacks models and writes what came of each picture."""

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from bioattack.cli.common import DONE, Command, open_streams, parse, prepare_tensorflow, print_result, run
from bioattack.evaluation.attack_config import WORST_CASE, AttackConfig
from bioattack.evaluation.results import ADVERSARIAL_RECORDS, IMAGES, RESULTS, epsilon_words

COMMAND = Command(
    name="bioattack-attack",
    summary=(
        "Attacks the pictures, or rows of a table, that models classify right and writes, one by one, at "
        "which epsilons they fall, or the least epsilon of each, and what was attacked itself."
    ),
    example="bioattack-attack --model runs/resnet18 --data records --attack apgd --output attacked",
)

_JUDGED = {"any": "any iterate", "last": "last iterate", "returned": "returned image"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    open_streams()
    return run(COMMAND, lambda: _work(parse(AttackConfig, COMMAND, sys.argv[1:] if argv is None else argv)))


def _work(config: AttackConfig) -> int:
    prepare_tensorflow()
    from bioattack.evaluation.attack import attack

    summary = attack(config)
    kept = ("was_complete", "settings", "attacks", "data", "clean", "adversarial", "least_epsilon", "notes")
    result = {"output": str(config.output), **{name: summary[name] for name in kept if name in summary}}
    print_result(result, _lines(config, summary), as_json=config.json)
    return DONE


def _lines(config: AttackConfig, summary: dict[str, Any]) -> list[str]:
    data = summary["data"]
    if "clean" not in summary:
        return _plan_lines(config, summary)
    lines = [
        f"{data['num_images']:,} {_inputs_word(summary)} of {data['path']} ({data['split']}); accuracy in %, "
        "95 % interval",
        *([f"a picture counts as fooled when it is taken for {config.target}"] if config.target else []),
        "",
        *_aligned(_accuracy_rows(summary)),
        *_least_lines(summary),
        *_judge_lines(config, summary),
        *(f"note: {note}" for note in summary["notes"]),
    ]
    if summary["was_complete"]:
        lines += ["", f"{config.output} was complete already: nothing was attacked again"]
    kept = {"png": config.output / IMAGES, "records": config.output / ADVERSARIAL_RECORDS}
    lines += ["", f"table: {config.output / RESULTS}"]
    return [*lines, *([f"pictures: {kept[config.save]}"] if config.save in kept else [])]


def _accuracy_rows(summary: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    yield "model", "attack", "judged at", "epsilon", "accuracy", "interval", "saved with 8 bits"
    for clean in summary["clean"]:
        yield clean["model"], "clean", "", "", *_cells(clean)
        for row in summary["adversarial"]:
            if row["model"] == clean["model"]:
                attack = f"{row['attack']} {row['norm']}"
                judged, saved = _JUDGED[row["judged"]], f"{100 * row['accuracy_8bit']:5.1f}"
                yield "", attack, judged, row["epsilon_words"], *_cells(row), saved


def _cells(row: dict[str, Any]) -> tuple[str, str]:
    return f"{100 * row['accuracy']:5.1f}", f"[{100 * row['low']:5.1f}, {100 * row['high']:5.1f}]"


def _least_lines(summary: dict[str, Any]) -> list[str]:
    rows = summary.get("least_epsilon")
    if not rows:
        return []
    of_rows = bool(summary["data"].get("table"))
    largest = {(attack["attack"], attack["norm"]): attack["epsilons"][-1] for attack in summary["attacks"]}

    def cells() -> Iterator[tuple[str, ...]]:
        yield "model", "attack", "right before", "fell", "mean of these", "median of all", "largest tried"
        for row in rows:
            norm, most = row["norm"], largest[row["attack"], row["norm"]]
            median, mean = row["median"], row["mean_of_fallen"]
            is_beyond = 2 * row["num_censored"] > row["num_images"]
            yield (
                row["model"],
                f"{row['attack']} {norm}",
                f"{row['num_images']:,}",
                f"{row['num_fallen']:,}",
                "" if mean is None else epsilon_words(mean, norm=norm, of_rows=of_rows),
                f"above {epsilon_words(most, norm=norm, of_rows=of_rows)}"
                if is_beyond
                else epsilon_words(median, norm=norm, of_rows=of_rows),
                epsilon_words(most, norm=norm, of_rows=of_rows),
            )

    return ["", "least epsilon at which pictures fall that were right before:", "", *_aligned(cells())]


def _judge_lines(config: AttackConfig, summary: dict[str, Any]) -> list[str]:
    """The mean distances of the pictures that fooled, in what was asked to judge them."""
    shown = [name for name in config.judges if any(f"mean_{name}" in row for row in summary["adversarial"])]
    if not shown:
        return []

    def cells() -> Iterator[tuple[str, ...]]:
        yield "model", "attack", "epsilon", *shown
        for row in summary["adversarial"]:
            means = (row[f"mean_{name}"] for name in shown)
            words = ("" if mean is None else f"{mean:.4g}" for mean in means)
            yield row["model"], f"{row['attack']} {row['norm']}", row["epsilon_words"], *words

    return ["", "mean distance of the pictures that fooled from their originals:", "", *_aligned(cells())]


def _inputs_word(summary: dict[str, Any]) -> str:
    return "rows" if summary["data"].get("table") else "pictures"


def _plan_lines(config: AttackConfig, summary: dict[str, Any]) -> list[str]:
    data = summary["data"]
    lines = [
        f"would attack {data['num_images']:,} {_inputs_word(summary)} of {data['path']} ({data['split']}), "
        f"{summary['settings']['batch_size']} at a time,",
        *(f"  model {model['name']} from {model['source']}" for model in summary["models"]),
    ]
    for attack in summary["attacks"]:
        radii = [math.inf if epsilon is None else epsilon for epsilon in attack["epsilons"]]
        words = [
            epsilon_words(epsilon, norm=attack["norm"], of_rows=bool(data.get("table"))) for epsilon in radii
        ]
        epsilons = (
            "without a radius"
            if radii == [math.inf]
            else f"at epsilon {', '.join(words)}"
            if config.least_epsilon is None
            else f"for the least epsilon, to {config.least_epsilon:g}, up to {words[-1]}"
        )
        stages = [f"{s['attack']} {s['num_steps']:,} steps" for s in attack["stages"] if "num_steps" in s]
        is_list = attack["attack"] == WORST_CASE
        name = f"{WORST_CASE} ({', '.join(stages)})" if is_list else ", ".join(stages) or attack["attack"]
        lines.append(f"  {name} in {attack['norm']} {epsilons}, judged at {_JUDGED[attack['judged']]}")
    saved = {"none": "", "png": " with the pictures", "records": " with the pictures as records"}
    return [*lines, f"  into {config.output}{saved[config.save]}"]


def _aligned(rows: Iterator[tuple[str, ...]]) -> list[str]:
    """Pads each column to its widest entry."""
    cells = list(rows)
    widths = [max(map(len, column)) for column in itertools.zip_longest(*cells, fillvalue="")]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in cells
    ]


if __name__ == "__main__":
    sys.exit(main())
