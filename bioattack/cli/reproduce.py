"""``bioattack-reproduce``: a table or figure of a paper, made again, beside what was published."""

import sys
from collections.abc import Sequence
from typing import Any

from bioattack.cli.common import DONE, Command, open_streams, parse, prepare_tensorflow, print_result, run
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.registry import EXPERIMENTS

COMMAND = Command(
    name="bioattack-reproduce",
    summary=(
        "Makes a table or figure of a paper again: trains the networks that it needs, measures them, and "
        "writes tables, figures and a report. The same command goes on where a killed one stopped."
    ),
    example="bioattack-reproduce table2 --preset demo --output reproduced",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    open_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return run(COMMAND, lambda: _work(parse(ReproduceConfig, COMMAND, words)))
    except SystemExit as stop:
        if stop.code == DONE and {"-h", "--help"} & set(words):
            sys.stdout.write(_overview())
        raise


def _overview() -> str:
    width = max(map(len, EXPERIMENTS)) + 2
    lines = [f"  {entry.name:<{width}}{entry.summary}" for entry in EXPERIMENTS.values()]
    return "\n".join(["", "tables and figures:", *lines, ""])


def _work(config: ReproduceConfig) -> int:
    prepare_tensorflow()
    from bioattack.evaluation.reproduce.dry_run import plan_lines
    from bioattack.evaluation.reproduce.run import reproduce

    result = reproduce(config)
    lines = plan_lines(result) if config.dry_run else _lines(result)
    print_result(result, lines, as_json=config.json)
    return DONE


def _lines(result: dict[str, Any]) -> list[str]:
    lines = []
    for section in result["sections"]:
        lines += [section["title"], ""]
        for table in section["tables"]:
            lines += [*_aligned([table["header"], *table["rows"]]), ""]
    sys.stderr.write(
        "".join(f"warning: {warning}\n" for section in result["sections"] for warning in section["warnings"])
    )
    return [*lines, f"report: {result['report']}"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    plain = [[cell.replace("**", "") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in plain
    ]


if __name__ == "__main__":
    sys.exit(main())
