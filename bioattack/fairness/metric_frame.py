"""Fairlearn's MetricFrame of a model's rows, for those who go on from there."""

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bioattack.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

VALUES = ("accuracy", "adversarial_accuracy", "success_rate", "least_epsilon")


def as_metric_frame(
    rows: "pd.DataFrame",
    *,
    column: str,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
    **options: Any,
) -> Any:
    """Makes a ``fairlearn.metrics.MetricFrame`` of one model's rows.

    Its ``difference()`` is CAU for ``accuracy``, CRU_s for ``success_rate`` and CRU_eps for
    ``least_epsilon`` where ``column`` is the class.

    Args:
        rows: One row per image. ``label`` and ``predicted`` where ``metrics`` are given. Without, means of
            whichever of these are there: ``is_right`` (``accuracy``), ``is_right_after``
            (``adversarial_accuracy``), ``is_fooled`` and ``is_right`` (``success_rate``, of the rows that
            were right), ``least_epsilon``.
        column: What the groups are; any column.
        metrics: Functions of true and predicted classes, by name, as Fairlearn takes them.
        options: Of MetricFrame, such as ``n_boot`` or ``control_features``.

    Raises:
        InputError: If Fairlearn is not installed, or a column is missing.
    """
    try:
        frame = importlib.import_module("fairlearn.metrics").MetricFrame
    except ImportError as error:
        raise InputError("a MetricFrame needs Fairlearn: pip install fairlearn") from error
    _check_column(rows, column)
    if metrics is not None:
        for name in ("label", "predicted"):
            _check_column(rows, name)
        return frame(
            metrics=dict(metrics),
            y_true=rows["label"].to_numpy(),
            y_pred=rows["predicted"].to_numpy(),
            sensitive_features=rows[column],
            **options,
        )
    values = _values(rows)
    if not values:
        raise InputError(f"the rows have none of the columns of {', '.join(VALUES)}; name metrics")
    return frame(
        metrics=dict.fromkeys(values, _mean),
        y_true=np.arange(len(rows)),
        y_pred=np.zeros(len(rows)),
        sensitive_features=rows[column],
        sample_params={name: {"values": own} for name, own in values.items()},
        **options,
    )


def _check_column(rows: "pd.DataFrame", name: str) -> None:
    if name not in rows:
        raise InputError(f"the rows have no column {name!r}; they have {', '.join(map(str, rows))}")


def _values(rows: "pd.DataFrame") -> dict[str, np.ndarray]:
    """The values whose means are the metrics; rows that do not count are NaN."""
    found: dict[str, np.ndarray] = {}
    if "is_right" in rows:
        found["accuracy"] = rows["is_right"].to_numpy(float)
    if "is_right_after" in rows:
        found["adversarial_accuracy"] = rows["is_right_after"].to_numpy(float)
    if "is_fooled" in rows and "is_right" in rows:
        was_right = rows["is_right"].to_numpy(bool)
        found["success_rate"] = np.where(was_right, rows["is_fooled"].to_numpy(float), np.nan)
    if "least_epsilon" in rows:
        found["least_epsilon"] = rows["least_epsilon"].to_numpy(float)
    return found


def _mean(_true: np.ndarray, _predicted: np.ndarray, *, values: np.ndarray) -> float:
    counted = np.asarray(values)[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else float("nan")
