"""How little an attack can be seen: success, distances and time, read off long tables, with intervals."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bioattack.evaluation.defences import with_wilson

NUM_RESAMPLES = 2000


class Mean(NamedTuple):
    """A mean with the ends of its 95 % bootstrap interval; NaN where there is nothing to average."""

    mean: float
    low: float
    high: float


def bootstrap_mean(values: Any, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> Mean:
    """Computes a mean and its 95 % percentile interval over resampled pictures.

    Args:
        values: ``(pictures,)``.
        num_resamples: Samples with replacement.
        seed: Of the samples; the same seed gives the same interval.

    Source:
        Efron 1979; percentile interval.

    >>> bootstrap_mean([1.0, 1.0, 1.0])
    Mean(mean=1.0, low=1.0, high=1.0)
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        return Mean(math.nan, math.nan, math.nan)
    drawn = np.random.default_rng(seed).integers(0, len(values), (num_resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return Mean(float(values.mean()), float(low), float(high))


def imperceptibility_table(results: pd.DataFrame, *, distances: Sequence[str]) -> pd.DataFrame:
    """Summarises attacks as Hua et al. 2022 do in Table 3.1.

    Args:
        results: Attacked rows of long tables (``bioattack.evaluation.results``), with a column for each
            distance; a picture stands there once for each ``attack``.
        distances: Names of columns.

    Returns:
        One row per attack: ``num_images`` (right before), ``num_success``, ``rate, low, high`` (Wilson), the
        same with ``_8bit`` once the pictures are rounded to 8 bits, and ``mean_X, low_X, high_X`` for every
        distance X, for ``steps`` (all over the successes) and for ``seconds`` (over all that were attacked).
    """
    attacked = results[results["correct_clean"].astype(bool)]
    rows = [
        {"attack": name, **_counts(group), **_means(group, distances)}
        for name, group in attacked.groupby("attack", sort=False)
    ]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    num_images = table["num_images"].to_numpy()
    for suffix in ("", "_8bit"):
        found = with_wilson(table[f"num_success{suffix}"].to_numpy(), num_images)
        table = table.assign(**{f"{name}{suffix}": values for name, values in found.items()})
    return table


def _counts(group: pd.DataFrame) -> dict[str, int]:
    return {
        "num_images": len(group),
        "num_success": int(group["success"].sum()),
        "num_success_8bit": int(group["success_8bit"].sum()),
    }


def _means(group: pd.DataFrame, distances: Sequence[str]) -> dict[str, float]:
    fallen = group[group["success"].astype(bool)]
    found = {name: bootstrap_mean(fallen[name]) for name in (*distances, "steps")}
    found["seconds"] = bootstrap_mean(group["seconds"])
    return {f"{part}_{name}": value for name, mean in found.items() for part, value in mean._asdict().items()}


def paired_distances(
    results: pd.DataFrame, *, first: str, distances: Sequence[str], num_resamples: int = NUM_RESAMPLES
) -> pd.DataFrame:
    """Compares one attack's distances with those of each other one, on the pictures that both fooled.

    Args:
        results: As for ``imperceptibility_table``.
        first: The attack that the others are compared with.
        distances: Names of columns.
        num_resamples: Of the bootstrap over pictures.

    Returns:
        One row per other attack and distance: ``attack, distance, num_images``, the mean ``difference``
        (first less other) with ``low`` and ``high``, and ``share_smaller``, the share of pictures on which
        the first one is nearer to the original.
    """
    fallen = results[results["success"].astype(bool)]
    of_first = fallen[fallen["attack"] == first].set_index("image_id")
    rows: list[dict[str, Any]] = []
    for name, group in fallen[fallen["attack"] != first].groupby("attack", sort=False):
        other = group.set_index("image_id")
        shared = of_first.index.intersection(other.index)
        for distance in distances:
            change = (of_first.loc[shared, distance] - other.loc[shared, distance]).to_numpy(float)
            mean = bootstrap_mean(change, num_resamples=num_resamples)
            row = {"attack": name, "distance": distance, "num_images": len(shared)}
            share = float((change < 0).mean()) if len(shared) else math.nan
            row |= {"difference": mean.mean, "low": mean.low, "high": mean.high, "share_smaller": share}
            rows.append(row)
    return pd.DataFrame(rows)
