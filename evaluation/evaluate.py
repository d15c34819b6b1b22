"""An evaluation from beginning to end: load, check, measure, summarise, draw."""

import dataclasses
import importlib.metadata
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from bioattack.attacks.request import AttackRequest
from bioattack.classifier import (
    Classifier,
    check_against_records,
    check_with_pictures,
    display_names,
    load_classifier,
)
from bioattack.defences import defend
from bioattack.errors import InputError, UnfitModelError
from bioattack.evaluation import output_folder
from bioattack.evaluation.audited import audit_identity, audit_models, has_audit, take_sample
from bioattack.evaluation.config import EvaluateConfig, MeasureConfig, MeasurePlan, PlannedAttack, make_plan
from bioattack.evaluation.examples import ExampleWriter, choose_examples, list_examples
from bioattack.evaluation.figures import write_figures
from bioattack.evaluation.findings import inputs_word
from bioattack.evaluation.group_report import check_columns, compare_groups, has_groups
from bioattack.evaluation.report import write_report
from bioattack.evaluation.results import (
    EXAMPLES,
    FORMAT_VERSION,
    JUDGED_WORDS,
    MODELS,
    RESULTS,
    SUMMARY,
    TABLES,
    read_results,
    read_summary,
)
from bioattack.evaluation.robustness import Batch, Pictures, RobustnessMeasurement
from bioattack.evaluation.row_plan import make_row_plan
from bioattack.evaluation.tables import adversarial_table, clean_table, least_epsilon_table, per_class_table
from bioattack.evaluation.vision_report import write_vision_figures
from bioattack.files import only_writer, replacing
from bioattack.provenance import git_commit, versions
from bioattack.tfrecords_builder.reading import Records, explain_read_errors, open_records

# Pictures on which a model is tried before anything is measured.
_NUM_TRIED = 128


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measures models on pictures and writes the table, the figures and the report.

    Args:
        config: What to measure and how; nothing is written with ``dry_run``.

    Returns:
        The summary (see ``bioattack.evaluation.results``) with ``"was_complete"`` added: whether everything
        had been there already. Where an audit is asked for and finds, too, what makes a model unfit to be
        attacked, the audit alone is made: ``"refusal"`` says why, and there are no figures.

    Raises:
        InputError: If models, records, numbers or the output folder cannot be used.
        RecordsError: If the records are damaged.
        OSError: If something cannot be read or written.
    """
    records = open_tested(config)
    check_columns(config.group_by, records.groups)
    plan = make_evaluation_plan(config, records)
    pictures = make_pictures(records, plan)
    classifiers = load_classifiers(config, records)
    frame = make_frame(plan, pictures, records, classifiers)
    identity = output_folder.identity_of(frame)
    is_measured = False
    if not config.overwrite:
        output_folder.compare_output(config.output, identity)
        is_measured = output_folder.is_complete(config.output)
        if is_measured:
            summary = read_summary(config.output)
            is_audited = not config.audit or has_audit(summary, num_images=config.audit_images)
            if is_audited and has_groups(summary, config.group_by):
                return summary | {"was_complete": True}
    try:
        with explain_read_errors(records):
            try_models(classifiers, pictures, plan)
    except UnfitModelError as refusal:
        if not config.audit or config.dry_run:
            raise
        audit = _audit_alone(config, classifiers, frame, records=records, batch_size=plan.batch_size)
        return frame | {"audit": audit, "refusal": str(refusal), "was_complete": False}
    if config.dry_run:
        return frame | {"was_complete": False}
    if not is_measured:
        summary = _measure(plan, pictures, classifiers, frame=frame, records=records)
    if config.audit:
        summary = _audit(config, classifiers, summary, records=records, batch_size=plan.batch_size)
    if not has_groups(summary, config.group_by):
        with only_writer(config.output):
            summary = summary | compare_groups(config.output, config.group_by)
            _write_json(config.output / SUMMARY, summary)
            write_report(config.output)
    return summary | {"was_complete": False}


def make_evaluation_plan(config: EvaluateConfig, records: Records) -> MeasurePlan:
    """Makes the plan of an evaluation of pictures, or of rows of a table, as the records hold.

    Raises:
        InputError: If something was asked for that does not go with them.
    """
    if records.table is not None:
        return make_row_plan(config, records.table, num_classes=records.num_classes)
    return make_plan(config, image_shape=records.image_shape, num_classes=records.num_classes)


def open_tested(config: MeasureConfig) -> Records:
    """Opens the records under test, once it is clear that the results have somewhere to go.

    Raises:
        InputError: If the output folder holds something else, or the records have no such split.
        RecordsError: If the records cannot be opened.
    """
    output_folder.check_output(config.output)
    records = open_records(config.data)
    if config.split not in records.splits:
        raise InputError(
            f"--split: the records in {config.data} have no split {config.split!r}; they have "
            f"{', '.join(records.splits)}"
        )
    return records


def _measure(
    plan: MeasurePlan,
    pictures: Pictures,
    classifiers: Sequence[Classifier],
    *,
    frame: dict[str, Any],
    records: Records,
) -> dict[str, Any]:
    config, start = plan.config, time.perf_counter()
    identity = output_folder.identity_of(frame)
    with output_folder.held_output(config.output, identity, overwrite=config.overwrite) as unfinished:
        measurement = RobustnessMeasurement(classifiers, pictures, plan=plan, folder=unfinished)
        with explain_read_errors(records):
            measurement.run(_example_writers(config.output / EXAMPLES, plan))
        measurement.write_table(config.output / RESULTS)
        summary = write_summary(config.output, frame, seconds=time.perf_counter() - start)
        write_figures(config.output)
        if records.table is None:
            with explain_read_errors(records):
                write_vision_figures(config.output, classifiers, pictures, class_names=records.class_names)
        write_report(config.output)
    return summary


def _audit(
    config: EvaluateConfig,
    classifiers: Sequence[Classifier],
    summary: dict[str, Any],
    *,
    records: Records,
    batch_size: int,
) -> dict[str, Any]:
    """Adds the audit to an evaluation that is complete without it."""
    with only_writer(config.output):
        audit = _make_audit(config, classifiers, summary, records=records, batch_size=batch_size)
        summary = summary | {"audit": audit}
        _write_json(config.output / SUMMARY, summary)
        write_report(config.output)
    return summary


def _audit_alone(
    config: EvaluateConfig,
    classifiers: Sequence[Classifier],
    frame: dict[str, Any],
    *,
    records: Records,
    batch_size: int,
) -> dict[str, Any]:
    """Audits models on which nothing is measured, and leaves ``audit.json`` alone."""
    identity = output_folder.identity_of(frame)
    with output_folder.held_output(config.output, identity, overwrite=config.overwrite):
        return _make_audit(config, classifiers, frame, records=records, batch_size=batch_size)


def _make_audit(
    config: EvaluateConfig,
    classifiers: Sequence[Classifier],
    summary: dict[str, Any],
    *,
    records: Records,
    batch_size: int,
) -> dict[str, Any]:
    with explain_read_errors(records):
        return audit_models(
            classifiers,
            take_sample(
                records,
                split=config.split,
                num_images=config.audit_images,
                limit=config.limit,
                batch_size=batch_size,
            ),
            output=config.output,
            identity=audit_identity(summary, num_images=config.audit_images),
            batch_size=batch_size,
            seed=config.seed,
            quiet=config.quiet,
        )


def _example_writers(
    folder: Path, plan: MeasurePlan
) -> Callable[[Classifier, pd.DataFrame], list[ExampleWriter]]:
    def writers(classifier: Classifier, clean: pd.DataFrame) -> list[ExampleWriter]:
        if plan.table is not None:
            return []
        chosen = choose_examples(clean)
        return [ExampleWriter(folder, model=classifier.name, image_ids=chosen, attacks=plan.attacks)]

    return writers


def make_pictures(records: Records, plan: MeasurePlan) -> Pictures:
    """Gives the pictures of a split in their stored order, which is that of a hash: a fixed random sample."""
    config = plan.config

    def batches() -> Iterator[Batch]:
        dataset = records.examples(config.split, batch_size=plan.batch_size, limit=config.limit)
        for batch in dataset.as_numpy_iterator():
            named = {"image" if name == "features" else name: values for name, values in batch.items()}
            yield {
                name: np.array([value.decode() for value in values]) if values.dtype == object else values
                for name, values in named.items()
            }

    num_images = min(records.num_examples(config.split), config.limit or sys.maxsize)
    if not num_images:
        raise InputError(f"--split: the split {config.split!r} of {config.data} holds no pictures")
    return Pictures(batches, num_images, -(-num_images // plan.batch_size), tuple(records.groups))


def load_classifiers(config: MeasureConfig, records: Records) -> list[Classifier]:
    """Loads the models, holds each against the records, and puts the defence in front of them."""
    if config.defence is not None and records.table is not None:
        raise InputError(
            f"--defence {config.defence} is done to pictures, and {config.data} holds rows of a table; leave"
            " it out"
        )
    classifiers = []
    for path, name in zip(config.model, display_names(config.model), strict=True):
        classifier = load_classifier(
            path,
            outputs=config.outputs,
            input_range=(config.input_range[0], config.input_range[1]),
            name=name,
            image_shape=records.input_shape,
        )
        check_against_records(
            classifier,
            image_shape=records.input_shape,
            class_names=records.class_names,
            records=str(config.data),
            table=records.table,
        )
        classifiers.append(defend(classifier, config.defence) if config.defence else classifier)
    return classifiers


def try_models(classifiers: Sequence[Classifier], pictures: Pictures, plan: MeasurePlan) -> None:
    """Refuses models on which an attack would measure something else, and prints the notes on the others."""
    tried: list[Batch] = []
    for batch in pictures.batches():
        tried.append(batch)
        if sum(len(one["label"]) for one in tried) >= _NUM_TRIED:
            break
    images, labels = (np.concatenate([batch[name] for batch in tried]) for name in ("image", "label"))
    notes = list(plan.notes)
    for classifier in classifiers:
        notes += check_with_pictures(
            classifier,
            images=images,
            labels=labels,
            batch_size=plan.batch_size,
            needs_gradient=any(attack.needs_gradient for attack in plan.attacks),
            table=plan.table,
        )
    if not plan.config.quiet:
        sys.stderr.write("".join(f"note: {note}\n" for note in notes))


def make_frame(
    plan: MeasurePlan, pictures: Pictures, records: Records, classifiers: Sequence[Classifier]
) -> dict[str, Any]:
    """Makes the part of the summary that is known before anything is measured."""
    return {
        "format_version": FORMAT_VERSION,
        "settings": plan.settings,
        "protocol": {
            "name": plan.settings.get("protocol", "attack"),
            "judged": plan.attacks[0].judged,
            "judged_words": JUDGED_WORDS[plan.attacks[0].judged],
            "attacks": [_describe_attack(attack) for attack in plan.attacks if not attack.is_search],
        },
        "data": {
            "path": str(plan.config.data),
            "kind": records.manifest.kind,
            "fingerprint": records.manifest.fingerprint,
            "split": plan.config.split,
            "num_images": pictures.num_images,
            "class_names": list(records.class_names),
            **_describe_inputs(plan, records),
            "groups": list(records.groups),
        },
        "models": [_describe(classifier) for classifier in classifiers],
    }


def _describe_inputs(plan: MeasurePlan, records: Records) -> dict[str, Any]:
    if records.table is None:
        return {"image_shape": list(records.image_shape)}
    first = plan.attacks[0].stages[0]
    bounds = first.bounds if isinstance(first, AttackRequest) else None
    return {
        "image_shape": None,
        "input_shape": list(records.input_shape),
        "table": dataclasses.asdict(records.table),
        "moved": list(bounds.moved_names) if bounds else [],
    }


def _describe_attack(attack: PlannedAttack) -> dict[str, Any]:
    first = attack.stages[0]
    described: dict[str, Any] = {"norm": attack.norm, "attack": attack.name}
    if isinstance(first, AttackRequest):
        kind = "ProjectedGradientDescent" if first.has_random_start else "BasicIterative"
        described |= {
            "foolbox_class": f"{attack.norm.capitalize()}{kind}Attack",
            "steps": first.num_steps,
            "relative_step": first.relative_step,
            "has_random_start": first.has_random_start,
        }
    return described


def _describe(classifier: Classifier) -> dict[str, Any]:
    card = classifier.card
    return {
        "name": classifier.name,
        "source": str(classifier.source) if classifier.source else None,
        "fingerprint": classifier.fingerprint,
        "folder": f"{MODELS}/{classifier.name}" if card else None,
        "num_parameters": card.get("num_parameters") if card else None,
        "card": card,
    }


def write_summary(output: Path, frame: dict[str, Any], *, seconds: float) -> dict[str, Any]:
    """Computes every figure from the long table; writes ``tables/``, the examples' index and the summary.

    Args:
        output: The evaluation's folder, which holds the long table and the example pictures.
        frame: The part of the summary that was known before.
        seconds: How long measuring took.

    Returns:
        The summary.
    """
    results, class_names = read_results(output), frame["data"]["class_names"]
    tables = {
        "clean": clean_table(results),
        "adversarial": adversarial_table(results, of_rows=bool(frame["data"].get("table"))),
        "per_class": per_class_table(results, class_names=class_names),
    }
    if (least := least_epsilon_table(results)).size:
        tables["least_epsilon"] = least
    (output / TABLES).mkdir(exist_ok=True)
    for name, table in tables.items():
        with replacing(output / TABLES / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, lineterminator="\n")
    _copy_run_files(output, frame["models"])
    examples = list_examples(
        results[results["epsilon_high"].isna()], folder=output / EXAMPLES, class_names=class_names
    )
    if examples:
        _write_json(output / EXAMPLES / "index.json", examples)
    summary = frame | {
        **{name: _to_json(table) for name, table in tables.items()},
        "notes": _notes(frame, results),
        "versions": versions() | {"foolbox": importlib.metadata.version("foolbox")},
        "git_commit": git_commit(),
        "device": "GPU" if tf.config.list_physical_devices("GPU") else "CPU",
        "seconds": round(seconds, 1),
    }
    _write_json(output / SUMMARY, summary)
    return summary


def _notes(frame: dict[str, Any], results: pd.DataFrame) -> list[str]:
    inputs = inputs_word(frame)
    without = results[results["has_zero_gradient"]].groupby("model", sort=False)["image_id"].nunique()
    notes = [
        f"For {number} {inputs} {model} is so certain that the gradient of its loss is exactly 0: "
        "the attack cannot start there, and that is not robustness."
        for model, number in without.items()
    ]
    fingerprint = frame["data"]["fingerprint"]
    notes += [
        f"{model['name']} was trained on other records than these."
        for model in frame["models"]
        if model["card"] and model["card"].get("data", {}).get("fingerprint") not in (None, fingerprint)
    ]
    if frame["settings"]["input_range"] != [0.0, 1.0]:
        low, high = frame["settings"]["input_range"]
        notes.append(
            f"The models take pixels in [{low:g}, {high:g}]; pictures and epsilons are given here in [0, 1] "
            "and rescaled inside."
        )
    if frame["settings"]["outputs"] == "probabilities":
        notes.append("The models give probabilities, of which the logarithm was taken.")
    return notes


def _copy_run_files(output: Path, models: Sequence[dict[str, Any]]) -> None:
    for model in models:
        if model["folder"]:
            folder = output / model["folder"]
            folder.mkdir(parents=True, exist_ok=True)
            _write_json(folder / "model_card.json", model["card"])
            history = Path(model["source"]) / "history.csv"
            if history.exists():
                with replacing(folder / "history.csv") as partial:
                    shutil.copyfile(history, partial)


def _to_json(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON objects; a missing mean is null."""
    return json.loads(table.to_json(orient="records", double_precision=15))


def _write_json(path: Path, content: Any) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in JSON")
