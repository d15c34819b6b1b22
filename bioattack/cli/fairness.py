"""``bioattack-fairness``: whether a classifier works less well for some than for others, from tables."""

import importlib
import sys
from collections.abc import Sequence

from bioattack.cli.common import DONE, take_sub_command

NAME = "bioattack-fairness"

# What is asked -> (the module and function that answer, what it does).
QUESTIONS = {
    "income": ("bioattack.cli.fairness_income:main", "whether accuracy depends on the income of a country"),
    "classes": (
        "bioattack.cli.fairness_scores:classes",
        "whether some classes are classified, and attacked, better than others",
    ),
    "groups": (
        "bioattack.cli.fairness_scores:groups",
        "the same for the groups of any column, and the scores of equal treatment",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    taken = take_sub_command(NAME, argv, kind="question", choices=list(QUESTIONS), overview=_overview)
    if taken is None:
        return DONE
    module, _, function = QUESTIONS[taken[0]][0].partition(":")
    return int(getattr(importlib.import_module(module), function)(taken[1]))


def _overview() -> str:
    lines = [f"usage: {NAME} QUESTION [options]", "", "Asks of tables of results, without any model:", ""]
    lines += [f"  {name:<10} {summary}" for name, (_, summary) in QUESTIONS.items()]
    lines += ["", f"{NAME} QUESTION --help lists the options of a question.", ""]
    lines += [f"example: {NAME} income --results accuracy_by_country.csv --output income", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
