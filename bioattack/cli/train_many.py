"""The part of ``bioattack-train`` that trains many models: with other seeds, or each without one record."""

import sys
from typing import TYPE_CHECKING, Any

from bioattack.cli.common import BAD_INPUT, DONE, prepare_tensorflow, print_result
from bioattack.training.many import divide_processor, tell_nobody
from bioattack.training.many_config import ManyConfig, check_many, ensemble_members, left_out_members

if TYPE_CHECKING:
    from bioattack.training.many import ManyResult


def train_many_models(config: ManyConfig) -> int:
    """Trains the models that a command line asks for, writes their tables and returns the exit code.

    Args:
        config: With ``models`` or ``leave_one_out``.

    Returns:
        2 if a model failed, which has been said on standard error; else 0.

    Raises:
        InputError: If they cannot be trained at all.
    """
    check_many(config)
    # Both before TensorFlow is imported, here and in the processes that train.
    divide_processor(config.num_jobs)
    prepare_tensorflow()
    from bioattack.evaluation.ensemble import train_ensemble
    from bioattack.evaluation.leave_one_out import train_left_out

    if config.dry_run:
        return _say_what_would_be_done(config)
    train = train_ensemble if config.leave_one_out is None else train_left_out
    result = train(config, prepare=prepare_tensorflow, tell=tell_nobody if config.quiet else _tell)
    if config.quiet:
        for outcome in result.failed:
            _tell(f"{outcome.name}: failed: {outcome.sentence}")
    print_result(_summary(config, result), _lines(config, result), as_json=config.json)
    return BAD_INPUT if result.failed else DONE


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _say_what_would_be_done(config: ManyConfig) -> int:
    from bioattack.evaluation.leave_one_out import draw_left_out

    if config.leave_one_out is None:
        members = ensemble_members(config)
    else:
        members = left_out_members(config, draw_left_out(config))
    names = [member.name for member in members]
    summary = {"output": str(config.output), "status": "dry run", "jobs": config.num_jobs, "models": names}
    line = f"would train {len(names)} models, {config.num_jobs} at a time, into {config.output}:"
    print_result(summary, [line, *(f"  {name}" for name in names)], as_json=config.json)
    return DONE


def _summary(config: ManyConfig, result: "ManyResult") -> dict[str, Any]:
    return {
        "output": str(config.output),
        "models": {outcome.name: outcome.status for outcome in result.outcomes},
        "failures": {outcome.name: outcome.sentence for outcome in result.failed},
        "tables": [str(path) for path in result.tables],
        "notes": list(result.notes),
    }


def _lines(config: ManyConfig, result: "ManyResult") -> list[str]:
    statuses = [outcome.status for outcome in result.outcomes]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    lines = [f"{config.output}: {len(statuses)} models: {counts}"]
    tests = [one.accuracy["test"] for one in result.outcomes if one.accuracy.get("test") is not None]
    if tests:
        lines.append(
            f"test accuracy: mean {100 * sum(tests) / len(tests):.2f} %, from {100 * min(tests):.2f} to"
            f" {100 * max(tests):.2f} %"
        )
    return [*lines, *map(str, result.tables), *result.notes]
