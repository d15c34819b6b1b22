"""bioattack-evaluate: clean and adversarial accuracy of any model, with figures and a report."""

import sys
from collections.abc import Sequence
from typing import Any

from bioattack.cli.common import (
    CHECK_FAILED,
    DONE,
    Command,
    open_streams,
    parse,
    prepare_tensorflow,
    print_result,
    run,
)
from bioattack.evaluation.config import EvaluateConfig
from bioattack.evaluation.results import AUDIT

COMMAND = Command(
    name="bioattack-evaluate",
    summary=(
        "Measures how many pictures, or rows of a table, models classify right, as they are and under "
        "projected gradient descent, and writes a table, figures and a report."
    ),
    example="bioattack-evaluate --model runs/resnet18 --data records --output results --limit 200",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    open_streams()
    return run(COMMAND, lambda: _work(parse(EvaluateConfig, COMMAND, sys.argv[1:] if argv is None else argv)))


def _work(config: EvaluateConfig) -> int:
    prepare_tensorflow()
    from bioattack.evaluation.audit import failed_checks
    from bioattack.evaluation.evaluate import evaluate

    summary = evaluate(config)
    kept = (
        *("was_complete", "settings", "protocol", "data", "clean", "adversarial"),
        *("least_epsilon", "by_group", "notes", "audit", "refusal"),
    )
    is_measured = "clean" in summary
    result = {
        "output": str(config.output),
        "report": str(config.output / "report.html") if is_measured else None,
        **{name: summary[name] for name in kept if name in summary},
    }
    print_result(result, _lines(config, summary), as_json=config.json)
    failed = failed_checks(summary.get("audit")) if config.audit else []
    sys.stderr.write("".join(f"audit: {line}\n" for line in failed))
    return CHECK_FAILED if failed or "refusal" in summary else DONE


def _lines(config: EvaluateConfig, summary: dict[str, Any]) -> list[str]:
    protocol, data = summary["protocol"], summary["data"]
    if "refusal" in summary:
        verdict = f"nothing was measured: {summary['refusal']}"
        return [verdict, *_audit_lines(summary), "", f"audit: {config.output / AUDIT}"]
    if "clean" not in summary:
        return _plan_lines(config, summary)
    names = [model["name"] for model in summary["models"]]
    width = max(24, *(len(name) for name in names)) + 2
    first = 32
    lines = [
        f"{data['num_images']:,} {_inputs_word(summary)} of {data['path']} ({data['split']}); "
        "accuracy in %, 95 % interval;",
        f"{'rows' if data.get('table') else 'images'} are judged at {protocol['judged_words']}, "
        f"{_steps_words(protocol)}",
        "",
        " " * first + "".join(f"{name:<{width}}" for name in names),
    ]
    rows = {"clean": [_cell(row) for row in summary["clean"]]}
    for row in summary["adversarial"]:
        rows.setdefault(f"{row['norm']} {row['epsilon_words']}", []).append(_cell(row))
    lines += [
        f"{name:<{first}}" + "".join(f"{cell:<{width}}" for cell in cells) for name, cells in rows.items()
    ]
    lines += _group_lines(config, summary)
    lines += _audit_lines(summary)
    if summary["was_complete"]:
        lines += ["", f"{config.output} was complete already: nothing was measured again"]
    return [*(line.rstrip() for line in lines), "", f"report: {config.output / 'report.html'}"]


def _group_lines(config: EvaluateConfig, summary: dict[str, Any]) -> list[str]:
    """Where each group fares how, at the largest epsilon: the whole is in the tables."""
    lines = []
    for column in config.group_by:
        rows = [row for row in summary["by_group"][column] if row["least_epsilon"] is None]
        settings = list(dict.fromkeys((row["attack"], row["norm"], row["epsilon"]) for row in rows))
        shown = [settings[0], *settings[-1:]] if len(settings) > 1 else settings
        lines += ["", f"by {column}: accuracy as they are, then under {' '.join(map(str, shown[-1]))}"]
        cells: dict[str, list[str]] = {}
        for row in rows:
            if (row["attack"], row["norm"], row["epsilon"]) in shown:
                cells.setdefault(f"{row['group']} ({row['num_images']:,}) {row['model']}", []).append(
                    _cell(row)
                )
        width = max(map(len, cells)) + 2
        lines += [f"{name:<{width}}" + "  ".join(values) for name, values in cells.items()]
    return lines


def _inputs_word(summary: dict[str, Any]) -> str:
    return "rows" if summary["data"].get("table") else "pictures"


def _audit_lines(summary: dict[str, Any]) -> list[str]:
    from bioattack.evaluation.audit_words import audit_sentence

    lines = [
        f"audit of {model['model']} on {model['num_images']} pictures: {audit_sentence(model)}"
        for model in (summary.get("audit") or {"models": []})["models"]
    ]
    return ["", *lines] if lines else []


def _plan_lines(config: EvaluateConfig, summary: dict[str, Any]) -> list[str]:
    settings, data = summary["settings"], summary["data"]
    return [
        f"would attack {data['num_images']:,} {_inputs_word(summary)} of {data['path']} ({data['split']}), "
        f"{settings['batch_size']} at a time,",
        *(f"  model {model['name']} from {model['source']}" for model in summary["models"]),
        *(
            f"  {attack['norm']}, at most {attack['steps']} steps, epsilons "
            f"{' '.join(map(str, settings['epsilons'][attack['norm']]))}"
            for attack in summary["protocol"]["attacks"]
        ),
        *(
            [f"  audited on the first {min(config.audit_images, data['num_images'])} of them"]
            if config.audit
            else []
        ),
        f"  judged at {summary['protocol']['judged_words']}, into {config.output}",
    ]


def _cell(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:5.1f}  [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _steps_words(protocol: dict[str, Any]) -> str:
    steps = sorted({attack["steps"] for attack in protocol["attacks"]})
    start = "a random start" if protocol["attacks"][0]["has_random_start"] else "no random start"
    return f"after at most {' or '.join(map(str, steps))} gradient steps from {start}"


if __name__ == "__main__":
    sys.exit(main())
