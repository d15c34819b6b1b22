"""Whether some classes or groups fare worse: what ``bioattack-fairness classes`` and ``groups`` compute.

The output folder::

    OUTPUT/
      summary.json            everything below, the settings and where it came from
      tables/scores.csv       a row per model, setting and score: the fields of ``Score``, p_holm
      tables/differences.csv  a row per later model, setting and score: how it differs from the first model's
      tables/accuracies.csv   a row per later model and setting: accuracies, and McNemar's exact test
      tables/by_group.csv     a row per model, setting, figure and group: what the scores are made of
      tables/left_out.csv     groups below the minimum count
      figures/*.png
      report.html

``summary.json`` has ``format_version, kind ("classes" or "groups"), identity, settings, inputs, data, models,
scores, differences, accuracies, by_group, left_out, undefined, notes, versions, git_commit``. A setting is
``attack, norm, epsilon``; attack ``"none"`` is the images as they are. Accuracies, success rates and
confidences are fractions, least epsilons are in the unit of the input.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioattack.errors import InputError
from bioattack.evaluation.paired import mcnemar_p_value
from bioattack.evaluation.scores_asked import AS_THEY_ARE, Asked, ask
from bioattack.evaluation.scores_by_group import rows_by_group, setting_fields
from bioattack.evaluation.scores_config import ScoresConfig
from bioattack.evaluation.scores_rows import aligned, read_models
from bioattack.evaluation.scores_words import notes
from bioattack.fairness.country_tables import RESULTS
from bioattack.fairness.group_scores import compare_groups, score_groups
from bioattack.fairness.income_regression import holm
from bioattack.fairness.result_rows import ModelRows
from bioattack.fairness.score_intervals import Drawing

FORMAT_VERSION = 1


def answer_scores(config: ScoresConfig) -> dict[str, Any]:
    """Reads the tables of a command and makes all scores and tests; writes nothing.

    Args:
        config: The command's options.

    Returns:
        What ``summary.json`` holds.

    Raises:
        InputError: If a table cannot be used; the message says which and why.
    """
    models = read_models(config)
    drawing = Drawing(num_draws=config.draws, seed=config.seed, interval=config.interval)
    scores, undefined, left_out = _scores(models, config, drawing)
    differences, accuracies = _differences(models, config, drawing)
    summary = {
        "format_version": FORMAT_VERSION,
        "kind": config.kind,
        "identity": identity_of(config),
        "settings": config.settings(),
        "inputs": config.inputs(),
        "data": _data(models, config),
        "models": [rows.model for rows in models],
        "scores": scores,
        "differences": differences,
        "accuracies": accuracies,
        "by_group": rows_by_group(models, has_confidences=config.kind == "groups"),
        "left_out": left_out,
        "undefined": undefined,
    }
    return summary | {"notes": notes(summary)}


def identity_of(config: ScoresConfig) -> str:
    """Gives a checksum of everything that decides the answer.

    Args:
        config: The command's options.

    Raises:
        InputError: If a table is not there.
    """
    digest = hashlib.sha256(repr((config.kind, sorted(config.settings().items()))).encode())
    for path in config.results:
        file = path / RESULTS if path.is_dir() else path
        if not file.is_file():
            raise InputError(f"there is no table {file}; give a folder with {RESULTS}, a CSV or an NPZ file")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _scores(
    models: Sequence[ModelRows], config: ScoresConfig, drawing: Drawing
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    rows, undefined, left_out = [], [], []
    for model in models:
        for asked in ask([model], config):
            place = {"model": model.model, **setting_fields(asked.setting)}
            if asked.score is None:
                undefined.append({**place, "name": asked.name, "reason": asked.problem})
                continue
            score = dataclasses.asdict(score_groups(asked.score, drawing))
            small = score.pop("left_out")
            left_out += [
                {**place, "name": asked.name, "group": group, "num_images": number} for group, number in small
            ]
            rows.append(place | score)
    for model in models:
        _correct([row for row in rows if row["model"] == model.model])
    return rows, undefined, left_out


def _correct(rows: list[dict[str, Any]]) -> None:
    """Adds Holm's correction over all these tests."""
    if rows:
        for row, corrected in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
            row["p_holm"] = corrected


def _differences(
    models: Sequence[ModelRows], config: ScoresConfig, drawing: Drawing
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows, accuracies = [], []
    for other in models[1:]:
        pair = aligned(models[0], other)
        accuracies += _accuracies(*pair)
        rows += [_difference(one, pair, drawing) for one in ask(pair, config) if one.score is not None]
    _correct(rows)
    _correct(accuracies)
    return rows, accuracies


def _difference(asked: Asked, pair: tuple[ModelRows, ModelRows], drawing: Drawing) -> dict[str, Any]:
    assert asked.score is not None  # noqa: S101
    fields = dataclasses.asdict(compare_groups(asked.score, drawing))
    fields |= {"first_score": fields.pop("first"), "second_score": fields.pop("second")}
    names = {"first": pair[0].model, "second": pair[1].model}
    return {**names, **setting_fields(asked.setting), **fields, "name": asked.name}


def _accuracies(first: ModelRows, second: ModelRows) -> list[dict[str, Any]]:
    """How accuracies differ, with McNemar's exact test, as they are and under each attack."""
    frames = [(AS_THEY_ARE, first.clean["is_right"], second.clean["is_right"])]
    for setting, own in first.attacked.items():
        frames.append((setting, own["is_right_after"], second.attacked[setting]["is_right_after"]))
    rows = []
    for setting, ours, others in frames:
        only_first, only_second = int((ours & ~others).sum()), int((~ours & others).sum())
        rows.append(
            {
                "first": first.model,
                "second": second.model,
                **setting_fields(setting),
                "num_images": len(ours),
                "first_accuracy": float(ours.mean()),
                "second_accuracy": float(others.mean()),
                "num_only_first": only_first,
                "num_only_second": only_second,
                "p_value": mcnemar_p_value(only_first, only_second),
            }
        )
    return rows


def _data(models: Sequence[ModelRows], config: ScoresConfig) -> dict[str, Any]:
    clean = models[0].clean
    counts = clean["group"].value_counts(sort=False)
    labels = clean["label"].value_counts(sort=False)
    return {
        "sources": list(dict.fromkeys(str(Path(rows.source)) for rows in models)),
        "column": config.grouped_by,
        "num_images": len(clean),
        "class_names": list(models[0].class_names),
        "absent_classes": [str(name) for name, number in labels.items() if not number],
        "groups": {str(name): int(number) for name, number in counts.items()},
        "has_probabilities": all(rows.probabilities is not None for rows in models),
        "has_predictions": all("predicted" in rows.clean for rows in models),
    }
