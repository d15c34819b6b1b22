"""Attacks beyond the paper's on networks of a reproduction, resumable like every evaluation."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bioattack.attacks.registry import PROTOCOLS, AttackSettings
from bioattack.attacks.request import AttackRequest
from bioattack.evaluation import output_folder
from bioattack.evaluation.config import MeasureConfig, MeasurePlan, PlannedAttack, default_batch_size
from bioattack.evaluation.evaluate import load_classifiers, make_frame, make_pictures, write_summary
from bioattack.evaluation.reproduce.config import Scale
from bioattack.evaluation.reproduce.workplace import ATTACKS, Workplace
from bioattack.evaluation.results import RESULTS, read_results, read_summary
from bioattack.evaluation.robustness import RobustnessMeasurement
from bioattack.tfrecords_builder.reading import explain_read_errors

FOOLBOX, LONG, RMS, L2, ENDS = "foolbox", "long", "rms", "l2", "ends"
ONE_DRAW, SEVERAL_DRAWS, STOPPED = "one-draw", "several-draws", "stopped"

L2_EPSILONS = (0.1, 0.25, 0.5, 1.0, 2.0)
# At 0 nothing may change; at half of the pixel range nothing may be left.
END_EPSILONS = (0.0, 0.5)

_PAPER = PROTOCOLS["paper"]["linf"]
# Madry et al. 2018: steps that could cross the ball two and a half times.
_LONG = AttackSettings(100, 0.025, has_random_start=True, judged="any")


def stronger_attacks(scale: Scale) -> tuple[PlannedAttack, ...]:
    """Lists what every network meets besides the attack of the paper."""
    return (
        _plan(FOOLBOX, "linf", scale.epsilons, PROTOCOLS["foolbox"]["linf"]),
        PlannedAttack(
            LONG,
            "linf",
            (
                _request("linf", scale.epsilons, _LONG, num_restarts=scale.num_restarts),
                _request("linf", scale.epsilons, _LONG, attack="pgd-margin"),
            ),
        ),
        _plan(RMS, "rms", scale.epsilons, _PAPER),
        _plan(L2, "l2", L2_EPSILONS, _PAPER),
        _plan(ENDS, "linf", END_EPSILONS, _PAPER),
    )


def attacks_on_random_gazes(scale: Scale) -> tuple[PlannedAttack, ...]:
    """Lists what a network meets that looks at random: with a single draw a step, and the mean of several."""
    return (
        _plan(ONE_DRAW, "linf", scale.epsilons, _PAPER),
        _plan(SEVERAL_DRAWS, "linf", scale.epsilons, _PAPER, num_draws=scale.num_draws),
    )


def attacks_past_the_gaze(scale: Scale) -> tuple[PlannedAttack, ...]:
    """Lists what a network meets whose choice of gazes passes no gradient."""
    return (_plan(STOPPED, "linf", scale.epsilons, _PAPER),)


def _plan(
    name: str, norm: str, epsilons: Sequence[float], settings: AttackSettings, **more: Any
) -> PlannedAttack:
    return PlannedAttack(name, norm, (_request(norm, epsilons, settings, **more),))


def _request(
    norm: str, epsilons: Sequence[float], settings: AttackSettings, *, attack: str = "pgd", **more: Any
) -> AttackRequest:
    return AttackRequest(
        attack,
        norm,
        tuple(epsilons),
        num_steps=settings.num_steps,
        relative_step=settings.relative_step,
        has_random_start=settings.has_random_start,
        judged=settings.judged,
        **more,
    )


def measure_attacks(
    workplace: Workplace, model: Path, attacks: Sequence[PlannedAttack], *, name: str
) -> pd.DataFrame:
    """Attacks a network, or goes on with it, unless that is done.

    Args:
        workplace: Where the results go.
        model: Run folder or ``.keras`` file.
        attacks: With a name each.
        name: Of the folder in ``attacks/``.

    Returns:
        The long table.
    """
    config = MeasureConfig(
        model=(model,),
        data=workplace.data,
        output=workplace.output / ATTACKS / name,
        limit=workplace.scale.honest_limit,
        quiet=workplace.config.quiet,
    )
    plan = _make_plan(config, attacks, batch_size=default_batch_size(workplace.pictures.image_shape))
    is_complete = output_folder.is_complete(config.output, has_report=False)
    if is_complete and read_summary(config.output)["settings"] == plan.settings:
        return read_results(config.output)
    records = workplace.pictures
    pictures = make_pictures(records, plan)
    classifiers = load_classifiers(config, records)
    frame = make_frame(plan, pictures, records, classifiers)
    identity = output_folder.identity_of(frame)
    output_folder.compare_output(config.output, identity)
    with output_folder.held_output(config.output, identity, overwrite=False) as unfinished:
        measurement = RobustnessMeasurement(classifiers, pictures, plan=plan, folder=unfinished)
        with explain_read_errors(records):
            measurement.run(lambda _model, _clean: [])
        measurement.write_table(config.output / RESULTS)
        write_summary(config.output, frame, seconds=0.0)
    return read_results(config.output)


def _make_plan(config: MeasureConfig, attacks: Sequence[PlannedAttack], *, batch_size: int) -> MeasurePlan:
    described = [dataclasses.asdict(attack) for attack in attacks]
    settings = config.shared_settings() | {"attacks": described, "batch_size": batch_size}
    # As they are once they have been written and read again.
    return MeasurePlan(config, tuple(attacks), batch_size, (), json.loads(json.dumps(settings)))
