"""``bioattack-fairness income``: whether accuracy depends on the income of a country."""

import sys
from collections.abc import Sequence
from typing import Any

from bioattack.cli.common import DONE, Command, parse, print_result, run
from bioattack.evaluation.income_config import IncomeConfig

COMMAND = Command(
    name="bioattack-fairness income",
    summary=(
        "Regresses the accuracy of models in each country on the logarithm of its GDP per capita, tests the "
        "slope, compares the slopes of two sets of models, and says what the sample could have found. Reads "
        "results tables, or any CSV of country,correct or country,accuracy,n; no model is loaded."
    ),
    example="bioattack-fairness income --results accuracy_by_country.csv --output income",
    goes_on=False,
)

_KEPT = (
    "data",
    "sets",
    "regressions",
    "comparison",
    "sensitivity",
    "simulation",
    "left_out",
    "merged",
    "notes",
)


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    return run(COMMAND, lambda: _work(parse(IncomeConfig, COMMAND, argv)))


def _work(config: IncomeConfig) -> int:
    from bioattack.evaluation.income import answer_income
    from bioattack.evaluation.income_output import check_income_output, write_income

    check_income_output(config.output)
    answer = answer_income(config)
    summary = answer.summary
    was_complete = check_income_output(config.output, summary["identity"], overwrite=config.overwrite)
    if not config.dry_run and (config.overwrite or not was_complete):
        write_income(config.output, answer)
    result = {
        "output": str(config.output),
        "report": None if config.dry_run else str(config.output / "report.html"),
        "was_complete": was_complete,
        **{name: summary[name] for name in _KEPT if not config.dry_run or name not in _NOT_IN_PLAN},
    }
    lines = _plan_lines(config, summary) if config.dry_run else _lines(config, summary)
    print_result(result, lines, as_json=config.json)
    if not config.quiet:
        sys.stderr.write("".join(f"note: {note}\n" for note in summary["notes"]))
    return DONE


_NOT_IN_PLAN = ("regressions", "comparison", "sensitivity", "simulation")


def _plan_lines(config: IncomeConfig, summary: dict[str, Any]) -> list[str]:
    from bioattack.evaluation.income_words import method_words

    data = summary["data"]
    sets = [f"  {name}: {_count(len(models))}" for name, models in summary["sets"].items()]
    return [
        f"would regress accuracy on income: {_size_words(data)},",
        *(sets if len(summary["regressions"]) > 1 else []),
        f"  by {method_words(summary['settings'])},",
        f"  GDP per capita: {data['gdp_source']}, into {config.output}",
    ]


def _lines(config: IncomeConfig, summary: dict[str, Any]) -> list[str]:
    from bioattack.evaluation.income_report import power_words
    from bioattack.evaluation.income_words import comparison_sentence, dependence_sentence, method_words

    data = summary["data"]
    lines = [
        f"{_size_words(data)}; {method_words(summary['settings'])}",
        "",
    ]
    rows = {row["model"]: row for row in summary["regressions"]}
    for model in summary["drawn"]:
        row = rows[model]
        lines += [f"{model}: accuracy {100 * row['accuracy']:.1f} %, slope {row['slope']:.4f} "]
        lines[-1] += f"[{row['low']:.4f}, {row['high']:.4f}]"
        lines += [
            f"  {dependence_sentence(row)}",
            *(f"  {line}" for line in power_words(row, summary["settings"])),
        ]
    if comparison := comparison_sentence(summary):
        lines += ["", *_set_lines(summary), "", comparison]
    return [*lines, "", f"report: {config.output / 'report.html'}"]


def _set_lines(summary: dict[str, Any]) -> list[str]:
    width = max(len(row["name"]) for row in summary["comparison"]["sets"]) + 2
    return [
        f"{row['name']:<{width}}{_count(row['num_models'])}, mean slope {row['mean_slope']:.4f}, "
        f"mean accuracy {100 * row['mean_accuracy']:.1f} %"
        for row in summary["comparison"]["sets"]
    ]


def _size_words(data: dict[str, Any]) -> str:
    return f"{data['num_countries']} countries, {data['num_images']:,} images"


def _count(number: int) -> str:
    return f"{number} model" if number == 1 else f"{number} models"
