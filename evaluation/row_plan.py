"""An evaluation or attack of rows of a table: what is decided otherwise than for pictures."""

from typing import Any

from bioattack.attacks.registry import NORMS, PROTOCOLS
from bioattack.attacks.request import AttackRequest, check_epsilon
from bioattack.attacks.row_bounds import row_bounds
from bioattack.errors import InputError
from bioattack.evaluation.config import (
    ATTACK,
    EPSILONS,
    EvaluateConfig,
    MeasureConfig,
    MeasurePlan,
    choose_probabilities,
    made_settings,
    order_notes,
    planned_attacks,
)
from bioattack.tfrecords_builder.table import Table

#: Those of Sooksatra and Rivas 2022, Table II, for UCI Adult; in the attributes' own units.
ROW_EPSILONS = (10.0, 15.0, 20.0)

# A row is small, and a call of the model costs about as much as hundreds of them.
_BATCH_SIZE = 1024
# "paper" is the protocol of the paper that attacks what the records hold.
_PROTOCOLS = {"paper": PROTOCOLS["fairness"]}


def make_row_plan(config: EvaluateConfig, table: Table, *, num_classes: int) -> MeasurePlan:
    """Makes the plan of an evaluation of rows of a table.

    Args:
        config: What the user gave; norms and epsilons left as they are for pictures become those for rows.
        table: The attributes.
        num_classes: Of the records.

    Raises:
        InputError: If something was asked for that only pictures have, or nothing could be moved.
    """
    if config.norms not in (NORMS, ("linf",)):
        raise InputError("--norms: rows of a table are attacked in linf, on the attributes' own scales")
    if config.epsilons_l2:
        raise InputError("--epsilons-l2: rows of a table are attacked in linf; leave it out")
    if config.audit:
        raise InputError("--audit asks about the gradients of pictures; leave it out for rows of a table")
    settings = _PROTOCOLS.get(config.protocol, PROTOCOLS[config.protocol])["linf"]
    epsilons = ROW_EPSILONS if config.epsilons == EPSILONS else config.epsilons
    request = AttackRequest(
        ATTACK,
        "linf",
        tuple(sorted(set(epsilons))),
        is_independent=config.independent,
        num_steps=config.steps or settings.num_steps,
        relative_step=settings.relative_step,
        has_random_start=settings.has_random_start,
        judged=settings.judged,
        bounds=row_bounds(table, perturb=config.perturb),
    )
    batch_size = row_batch_size(config)
    probabilities = choose_probabilities(config, num_classes=num_classes, of_rows=True)
    settings_made = made_settings(config, [request], batch_size=batch_size, probabilities=probabilities)
    return MeasurePlan(
        config,
        planned_attacks(config, [request]),
        batch_size,
        order_notes({"--epsilons": config.epsilons}),
        settings_made | {"perturb": config.perturb},
        probabilities=probabilities,
        num_classes=num_classes,
        table=table,
    )


def row_batch_size(config: MeasureConfig) -> int:
    """How many rows are attacked at once."""
    return config.batch_size or _BATCH_SIZE


def check_row_epsilons(epsilons: tuple[float, ...]) -> tuple[float, ...]:
    """Puts the epsilons in rising order, or gives those that rows are attacked at unless others are given.

    Raises:
        InputError: If one is negative or not finite.
    """
    for epsilon in epsilons:
        check_epsilon(epsilon, flag="--epsilons", largest=float("inf"), hint="")
    return tuple(sorted(set(epsilons))) or ROW_EPSILONS


def describe_bounds(stage: dict[str, Any]) -> dict[str, Any]:
    """Says of a described attack what it may move, in place of its bounds; without any nothing is said."""
    bounds = stage.pop("bounds", None)
    return stage if bounds is None else stage | {"moved": list(bounds.moved_names)}
