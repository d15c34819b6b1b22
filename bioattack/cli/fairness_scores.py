"""``bioattack-fairness classes`` and ``groups``: whether some classes or groups fare worse than others."""

import sys
from collections.abc import Sequence
from typing import Any

from bioattack.cli.common import DONE, Command, parse, print_result, run
from bioattack.evaluation.scores_config import ClassesConfig, GroupsConfig, ScoresConfig

_READS = "Reads results tables, or any CSV or NPZ with a row per image; no model is loaded."
CLASSES = Command(
    name="bioattack-fairness classes",
    summary=(
        "Scores how unequal classes are: accuracy with and without an attack (CAU), the attack's success "
        "rate (CRU_s) and the least epsilon that fools (CRU_eps), with intervals and tests; models side by "
        f"side are compared image by image. {_READS}"
    ),
    example="bioattack-fairness classes --results standard --results robust --output classes",
    goes_on=False,
)
GROUPS = Command(
    name="bioattack-fairness groups",
    summary=(
        "Scores the same between the groups of any column, and demographic parity, equalised odds and the "
        f"confidence within each true class (EOU) besides. {_READS}"
    ),
    example="bioattack-fairness groups --results adult.csv --column race --output groups",
    goes_on=False,
)
_KEPT = ("data", "models", "scores", "differences", "accuracies", "left_out", "undefined", "notes")


def classes(argv: Sequence[str]) -> int:
    """Runs ``bioattack-fairness classes`` and returns its exit code."""
    return run(CLASSES, lambda: _work(parse(ClassesConfig, CLASSES, argv)))


def groups(argv: Sequence[str]) -> int:
    """Runs ``bioattack-fairness groups`` and returns its exit code."""
    return run(GROUPS, lambda: _work(parse(GroupsConfig, GROUPS, argv)))


def _work(config: ScoresConfig) -> int:
    from bioattack.evaluation.answer_folder import check_answer_folder
    from bioattack.evaluation.scores import answer_scores, identity_of
    from bioattack.evaluation.scores_output import write_scores

    check_answer_folder(config.output, kind=config.kind)
    identity = identity_of(config)
    was_complete = check_answer_folder(
        config.output, kind=config.kind, identity=identity, overwrite=config.overwrite
    )
    if config.dry_run:
        return _plan(config)
    summary = answer_scores(config)
    if config.overwrite or not was_complete:
        write_scores(config.output, summary)
    result = {
        "output": str(config.output),
        "report": str(config.output / "report.html"),
        "was_complete": was_complete,
        **{name: summary[name] for name in _KEPT},
    }
    print_result(result, _lines(config, summary), as_json=config.json)
    if not config.quiet:
        sys.stderr.write("".join(f"note: {note}\n" for note in summary["notes"]))
    return DONE


def _plan(config: ScoresConfig) -> int:
    from bioattack.evaluation.scores_rows import read_models

    models = read_models(config)
    number = len(models[0].clean["group"].cat.categories)
    settings = [len(rows.attacked) + len(rows.searched) for rows in models]
    lines = [
        f"would score {len(models)} {'model' if len(models) == 1 else 'models'} between the {number} values "
        f"of {config.grouped_by}, into {config.output}:",
        *(
            f"  {rows.model}: {len(rows.clean):,} images, {count} settings of attacks"
            for rows, count in zip(models, settings, strict=True)
        ),
    ]
    result: dict[str, Any] = {
        "output": str(config.output),
        "models": [rows.model for rows in models],
        "num_groups": number,
    }
    print_result(result, lines, as_json=config.json)
    return DONE


def _lines(config: ScoresConfig, summary: dict[str, Any]) -> list[str]:
    from bioattack.evaluation import scores_words as words

    lines = [*words.headline(summary), ""]
    lines += words.table_lines(words.SCORE_HEADS, [words.score_cells(row) for row in summary["scores"]])
    if summary["differences"]:
        cells = [words.difference_cells(row) for row in summary["differences"]]
        lines += ["", *words.table_lines(words.DIFFERENCE_HEADS, cells)]
        cells = [words.accuracy_cells(row) for row in summary["accuracies"]]
        lines += ["", *words.table_lines(words.ACCURACY_HEADS, cells)]
    return [*lines, "", f"report: {config.output / 'report.html'}"]
