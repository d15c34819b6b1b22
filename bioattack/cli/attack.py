"""bioattack-attack: attacks models and writes what came of each picture."""

import sys
from collections.abc import Sequence
from typing import Any

from bioattack.cli.common import DONE, Command, open_streams, parse, prepare_tensorflow, print_result, run
from bioattack.evaluation.attack_config import AttackConfig

COMMAND = Command(
    name="bioattack-attack",
    summary=(
        "Attacks the pictures that models classify right and writes, picture by picture, at which epsilons "
        "they fall, or the least epsilon of each, and the attacked pictures themselves."
    ),
    example="bioattack-attack --model runs/resnet18 --data records --attack apgd --output attacked",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    open_streams()
    return run(COMMAND, lambda: _work(parse(AttackConfig, COMMAND, sys.argv[1:] if argv is None else argv)))


def _work(config: AttackConfig) -> int:
    prepare_tensorflow()
    from bioattack.evaluation.attack import attack

    summary = attack(config)
    kept = ("was_complete", "settings", "attacks", "data", "clean", "adversarial", "notes")
    result = {"output": str(config.output), **{name: summary[name] for name in kept if name in summary}}
    print_result(result, _lines(config, summary), as_json=config.json)
    return DONE


def _lines(config: AttackConfig, summary: dict[str, Any]) -> list[str]:
    data = summary["data"]
    if "clean" not in summary:
        return [
            f"would attack {data['num_images']:,} pictures of {data['path']} ({data['split']}), "
            f"{summary['settings']['batch_size']} at a time,",
            *(f"  model {model['name']} from {model['source']}" for model in summary["models"]),
            *(
                f"  {attack['attack']} in {attack['norm']} at epsilon "
                f"{' '.join(f'{epsilon:.4g}' for epsilon in attack['epsilons'])}"
                for attack in summary["attacks"]
            ),
            f"  into {config.output}",
        ]
    lines = [
        f"{data['num_images']:,} pictures of {data['path']} ({data['split']}); adversarial accuracy in %, "
        "95 % interval; the last column once the pictures are saved with 8 bits",
        "",
        *(f"{row['model']:<24} clean                          {_cell(row)}" for row in summary["clean"]),
        *(
            f"{row['model']:<24} {row['attack'] + ' ' + row['norm']:<20} {_epsilon(row):<10}{_cell(row)}  "
            f"{100 * row['accuracy_8bit']:5.1f}"
            for row in summary["adversarial"]
        ),
        *_least_lines(summary),
    ]
    if summary["was_complete"]:
        lines += ["", f"{config.output} was complete already: nothing was attacked again"]
    return [*lines, "", f"table: {config.output / 'results.csv.gz'}"]


def _least_lines(summary: dict[str, Any]) -> list[str]:
    rows = summary.get("least_epsilon") or []
    if not rows:
        return []
    return [
        "",
        "least epsilon of the pictures that were right before:",
        *(
            f"{row['model']:<24} {row['attack'] + ' ' + row['norm']:<20} median {row['median']:.4g}, mean "
            f"{row['mean']:.4g} of {row['num_fallen']:,} that fell; {row['num_censored']:,} withstood "
            f"{row['largest']:.4g}"
            for row in rows
        ),
    ]


def _epsilon(row: dict[str, Any]) -> str:
    return f"{row['epsilon']:.4g}"


def _cell(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:5.1f}  [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


if __name__ == "__main__":
    sys.exit(main())
