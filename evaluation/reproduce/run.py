"""A reproduction from beginning to end: train what is missing, measure what is missing, write the report."""

import contextlib
import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.dry_run import describe
from bioattack.evaluation.reproduce.experiment import Experiment, Variant
from bioattack.evaluation.reproduce.opening import open_workplace, read_settings
from bioattack.evaluation.reproduce.page import REPORT_HTML, Section, to_section, write_report
from bioattack.evaluation.reproduce.rebuilt import measure_random_gaze
from bioattack.evaluation.reproduce.registry import EXPERIMENTS, load_experiments
from bioattack.evaluation.reproduce.workplace import SUMMARY, Workplace
from bioattack.files import replacing
from bioattack.provenance import git_commit, versions

FORMAT_VERSION = 1
_TITLE = "Reproduced"


def reproduce(config: ReproduceConfig) -> dict[str, Any]:
    """Makes a table or figure of a paper again, or goes on where a killed run of it stopped.

    Args:
        config: What to make and how large; nothing is written with ``dry_run``.

    Returns:
        ``status``, ``output``, ``report`` and the ``sections`` that were asked for; after a dry run the plan.

    Raises:
        InputError: If settings, records or the output folder cannot be used.
        RecordsError: If the records are damaged.
        OSError: If something cannot be read or written.
    """
    experiments = load_experiments(config.name, config.scale())
    variants = choose_variants(config, experiments)
    if config.dry_run:
        return describe(config, experiments, variants)
    needs_records = any(experiment.needs_records for experiment in experiments)
    with open_workplace(config, needs_records=needs_records) as workplace, _without_retracing_notices():
        _train_and_measure(workplace, variants)
        sections = []
        for experiment in experiments:
            if experiment.rows and not workplace.rows(experiment):
                continue
            workplace.say(f"{experiment.name}: {experiment.title}")
            sections.append(experiment.finish(workplace, experiment))
        write_summary(workplace, sections)
    return {
        "status": "done",
        "output": str(config.output),
        "report": str(config.output / REPORT_HTML),
        "sections": [dataclasses.asdict(section) for section in sections],
    }


@contextlib.contextmanager
def _without_retracing_notices() -> Iterator[None]:
    """Keeps TensorFlow from remarking that one process builds many networks."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def choose_variants(config: ReproduceConfig, experiments: Sequence[Experiment]) -> list[Variant]:
    """Returns the networks that the experiments need, each once, as far as ``--models`` wants them.

    Raises:
        InputError: If ``--models`` names a network that none of them has.
    """
    needed = {row.variant.label: row.variant for experiment in experiments for row in experiment.rows}
    unknown = [label for label in config.models if label not in needed]
    if unknown:
        there_are = f"it has {', '.join(needed)}" if needed else "it has none"
        raise InputError(f"--models: {config.name} has no network {unknown[0]!r}; {there_are}")
    return [variant for label, variant in needed.items() if not config.models or label in config.models]


def _train_and_measure(workplace: Workplace, variants: Sequence[Variant]) -> None:
    """Seed by seed, so that what is done first is a whole comparison."""
    seeds = workplace.config.all_seeds
    number = len(seeds) * len(variants)
    for place, (seed, variant) in enumerate(((seed, one) for seed in seeds for one in variants), 1):
        workplace.say(f"{variant.label}, seed {seed} ({place} of {number})")
        workplace.train(variant, seed)
        workplace.evaluate(variant, seed)
        measure_random_gaze(workplace, variant, seed)


def write_summary(workplace: Workplace, sections: Sequence[Section]) -> None:
    """Adds sections to ``summary.json`` and writes the report of all that are there."""
    path = workplace.output / SUMMARY
    before = json.loads(path.read_text())["sections"] if path.is_file() else {}
    settings = read_settings(workplace.output)
    found = before | {section.name: dataclasses.asdict(section) for section in sections}
    order = {name: place for place, name in enumerate(EXPERIMENTS)}
    summary = {
        "format_version": FORMAT_VERSION,
        "settings": settings,
        "versions": versions(),
        "git_commit": git_commit(),
        "sections": {
            name: found[name] for name in sorted(found, key=lambda name: order.get(name, len(order)))
        },
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(summary, indent=2) + "\n")
    write_report(
        workplace.output,
        title=_TITLE,
        facts=_facts(summary),
        sections=[to_section(section) for section in json.loads(path.read_text())["sections"].values()],
    )


def _facts(summary: dict[str, Any]) -> list[str]:
    settings, versions_used = summary["settings"], summary["versions"]
    facts = [f"Preset {settings['preset']}."]
    if any(name in EXPERIMENTS and EXPERIMENTS[name].is_biological for name in summary["sections"]):
        # The others have sizes of their own, and say them in their sections.
        facts = [
            f"Preset {settings['preset']}, epochs: {settings['epochs']}, training batches of "
            f"{settings['batch_size']}."
        ]
    if settings.get("records"):
        facts.append(f"Records {settings['records'][:16]}.")
    facts.append(", ".join(f"{name} {version}" for name, version in versions_used.items()) + ".")
    if summary["git_commit"]:
        facts.append(f"Commit {summary['git_commit'][:12]}.")
    return facts
