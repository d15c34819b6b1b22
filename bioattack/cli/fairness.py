"""``bioattack-fairness``: whether a classifier works less well for some than for others, from tables."""

import importlib
import sys
from collections.abc import Sequence

from bioattack._version import __version__
from bioattack.cli.common import DONE, fail, open_streams

NAME = "bioattack-fairness"

# What is asked -> (the module that answers, what it does).
QUESTIONS = {
    "income": ("bioattack.cli.fairness_income", "whether accuracy depends on the income of a country"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    open_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    first = words[0] if words else ""
    if first in ("-h", "--help"):
        sys.stdout.write(_overview())
        return DONE
    if first == "--version":
        sys.stdout.write(f"{NAME} {__version__}\n")
        return DONE
    if first not in QUESTIONS:
        fail(NAME, f"give a question first: {', '.join(QUESTIONS)}. Received: {first!r} ({NAME} --help)")
    module = importlib.import_module(QUESTIONS[first][0])
    return int(module.main(words[1:]))


def _overview() -> str:
    lines = [f"usage: {NAME} QUESTION [options]", "", "Asks of tables of results, without any model:", ""]
    lines += [f"  {name:<10} {summary}" for name, (_, summary) in QUESTIONS.items()]
    lines += ["", f"{NAME} QUESTION --help lists the options of a question.", ""]
    lines += [f"example: {NAME} income --results accuracy_by_country.csv --output income", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
