"""What each class or group gets: accuracy with and without an attack, success rate, least epsilon."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bioattack.evaluation.groups import mean_interval, share
from bioattack.fairness.country_tables import Setting
from bioattack.fairness.result_rows import ModelRows

if TYPE_CHECKING:
    import pandas as pd


def rows_by_group(models: Sequence[ModelRows], *, has_confidences: bool) -> list[dict[str, Any]]:
    """Makes a row per model, setting, figure and group.

    Args:
        models: As read.
        has_confidences: Whether mean confidences within each true class are among the figures.

    Returns:
        ``model, attack, norm, epsilon, figure, group, num_images, value, low, high, num_censored``.
        ``figure`` is ``"accuracy"`` (after the attack, where there is one), ``"success_rate"`` (of the images
        that were right before), ``"success_rate_of_all"``, ``"least_epsilon"`` or ``"confidence"`` with the
        class's and the true class's name behind it. Intervals are 95 % Wilson's, or the mean's Student
        one, which is null of a single image; all are null where ``num_images`` is 0.
    """
    found = []
    for rows in models:
        found += _of_shares(rows.model, Setting(), "accuracy", rows.clean, "is_right")
        found += _of_confidences(rows) if has_confidences else []
        for setting, frame in rows.attacked.items():
            found += _of_shares(rows.model, setting, "accuracy", frame, "is_right_after")
            was_right = frame[frame["is_right"]]
            found += _of_shares(rows.model, setting, "success_rate", was_right, "is_fooled")
            found += _of_shares(rows.model, setting, "success_rate_of_all", frame, "is_fooled")
        for setting, frame in rows.searched.items():
            found += _of_means(rows.model, setting, "least_epsilon", frame, "least_epsilon")
    return found


def _of_shares(
    model: str, setting: Setting, figure: str, frame: "pd.DataFrame", column: str
) -> list[dict[str, Any]]:
    table = frame.groupby("group", observed=False)[column].agg(["size", "sum"])
    found = []
    for group, number, count in table.itertuples():
        row = _row(model, setting, figure, str(group), int(number))
        if number:
            row |= share(int(count), int(number))._asdict()
        found.append(row)
    return found


def _of_means(
    model: str, setting: Setting, figure: str, frame: "pd.DataFrame", column: str
) -> list[dict[str, Any]]:
    found = []
    largest = 1.0 if figure.startswith("confidence") else float(frame[column].max())
    for group, own in frame.groupby("group", observed=False):
        values = own[column].to_numpy(float)
        row = _row(model, setting, figure, str(group), len(values))
        if len(values):
            found_mean = mean_interval(values, largest=largest)._asdict()
            row |= {name: None if np.isnan(end) else end for name, end in found_mean.items()}
        if "is_censored" in own:
            row["num_censored"] = int(own["is_censored"].sum())
        found.append(row)
    return found


def _of_confidences(rows: ModelRows) -> list[dict[str, Any]]:
    probabilities = rows.probabilities
    if probabilities is None:
        return []
    found = []
    names = rows.class_names
    labels = rows.clean["label"].cat.codes.to_numpy()
    for true in np.unique(labels).tolist():
        place = 1 if len(names) == 2 else true
        frame = rows.clean[["group"]].assign(confidence=probabilities[:, place])[labels == true]
        figure = f"confidence {names[place]} | {names[true]}"
        found += _of_means(rows.model, Setting(), figure, frame, "confidence")
    return found


def _row(model: str, setting: Setting, figure: str, group: str, number: int) -> dict[str, Any]:
    return {
        "model": model,
        **setting_fields(setting),
        "figure": figure,
        "group": group,
        "num_images": number,
        "value": None,
        "low": None,
        "high": None,
        "num_censored": None,
    }


def setting_fields(setting: Setting) -> dict[str, Any]:
    """Gives a setting as fields of a row, as JSON takes it: an attack without a radius has no epsilon.

    >>> setting_fields(Setting("pgd", "linf", float("inf")))["epsilon"] is None
    True
    """
    is_finite = setting.epsilon is not None and np.isfinite(setting.epsilon)
    return {
        "attack": setting.attack,
        "norm": setting.norm,
        "epsilon": setting.epsilon if is_finite else None,
    }
