"""Bounds of how two models' largest differences differ, on the same rows.

Each model's score is biased upwards, the more so the more alike its groups are, so that the plain bootstrap
of a fair model beside an unfair one misses the truth far too often. The difference is a largest of smallest
differences of pairs of groups, which can be bounded as a largest difference is (see ``largest``).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bioattack.fairness.group_sample import GroupSample

_MOST_CONTRASTS = 300


@dataclasses.dataclass(frozen=True)
class Contrasts:
    """For each model, the differences (or shares, or ratios) of which its score is the largest.

    Args:
        values: ``(2, contrasts)``.
        draws: Bootstrap draws of them, rows drawn in pairs, less the values, ``(draws, 2, contrasts)``.
        excess: Variance that the draws lack where few rows are all alike, ``(2, contrasts)``.
        num_rows: All rows from which they are made.
    """

    values: np.ndarray
    draws: np.ndarray
    excess: np.ndarray
    num_rows: int


def bound_difference(contrasts: Contrasts, *, confidence: float = 0.95) -> tuple[float, float]:
    """Bounds the second model's largest contrast less the first one's.

    Args:
        contrasts: Of both models.
        confidence: Of the interval.

    Returns:
        Its ends.

    Source:
        Chernozhukov, Lee and Rosen 2013, "Intersection bounds", applied to the smallest over the first
        model's contrasts of how far one of the second model's is above it.

    >>> draws = np.random.default_rng(0).normal(0, 0.01, (2000, 2, 1))
    >>> both = Contrasts(np.array([[0.1], [0.3]]), draws, np.zeros((2, 1)), 5000)
    >>> [round(end, 2) for end in bound_difference(both)]
    [0.17, 0.23]
    """
    tail = (1 + confidence) / 2
    chosen = [_may_be_largest(contrasts, model) for model in range(2)]
    high = _upper(contrasts, chosen, model=1, tail=tail)
    return -_upper(contrasts, chosen, model=0, tail=tail), high


def _may_be_largest(contrasts: Contrasts, model: int) -> np.ndarray:
    """The contrasts of one model of which the largest true one may be, ``(chosen,)``."""
    values, draws = contrasts.values[model], contrasts.draws[:, model]
    errors = np.sqrt(draws.var(axis=0) + contrasts.excess[model])
    gamma = 1 - 0.1 / np.log(max(contrasts.num_rows, 3))
    slack = np.quantile((draws / np.where(errors > 0, errors, np.inf)).max(axis=1), gamma)
    return np.flatnonzero(values >= (values - slack * errors).max() - 2 * slack * errors)


def _upper(contrasts: Contrasts, chosen: Sequence[np.ndarray], *, model: int, tail: float) -> float:
    """Upper bound of this model's largest contrast less the other's."""
    other = 1 - model
    others = chosen[other]
    highest = -np.inf
    for place in chosen[model]:
        values = contrasts.values[model, place] - contrasts.values[other, others]
        draws = contrasts.draws[:, model, place, None] - contrasts.draws[:, other][:, others]
        excess = contrasts.excess[model, place] + contrasts.excess[other, others]
        errors = np.sqrt(draws.var(axis=0) + excess)
        lowest = (-draws / np.where(errors > 0, errors, np.inf)).max(axis=1)
        highest = max(highest, float((values + np.quantile(lowest, tail) * errors).min()))
    return highest


def contrasts_of(blocks: Sequence[GroupSample], drawn: Sequence[np.ndarray], *, measure: str) -> Contrasts:
    """Makes the contrasts of two models.

    Args:
        blocks: Samples with the rows of both.
        drawn: Their bootstrap means.
        measure: ``"gap"``, ``"worst"``, ``"ratio"`` or ``"rate"``, as for ``ScoreInput``.

    >>> from bioattack.fairness.group_sample import make_group_sample
    >>> sample = make_group_sample(np.array([[1, 0], [0, 0], [1, 1]]), ["a", "a", "b"])
    >>> drawn = sample.resample(5, np.random.default_rng(0))
    >>> contrasts_of([sample], [drawn], measure="gap").values.tolist()
    [[-0.5, 0.5], [-1.0, 1.0]]
    """
    parts = [_of_block(block, draws, measure) for block, draws in zip(blocks, drawn, strict=True)]
    values, draws, excess = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
    if values.shape[1] > _MOST_CONTRASTS:
        # Of very many, those that are far from the largest of either model do not matter.
        reach = (values + 3 * draws.std(axis=0)).max(axis=0)
        kept = np.sort(np.argpartition(-reach, _MOST_CONTRASTS)[:_MOST_CONTRASTS])
        values, draws, excess = values[:, kept], draws[..., kept], excess[:, kept]
    number = int(sum(block.num_rows.sum() for block in blocks))
    return Contrasts(values, draws - values, excess, number)


def _of_block(
    block: GroupSample, draws: np.ndarray, measure: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, draws and excess of one sample, contrasts last."""
    means, excess = block.means, _excess(block)
    if measure == "rate":
        means, draws, excess = (
            means[..., :1] / means[..., 1:],
            _divided(draws),
            np.zeros_like(excess[..., :1]),
        )
    if measure == "worst":
        return -_flat(means), -_flat(draws), _flat(excess)
    first, second = np.nonzero(~np.eye(len(block.names), dtype=bool))
    if measure == "ratio":
        return (
            -_flat(_ratio(means[first], means[second])),
            -_flat(_ratio(draws[:, first], draws[:, second])),
            _flat(np.zeros_like(excess[first])),
        )
    return (
        _flat(means[first] - means[second]),
        _flat(draws[:, first] - draws[:, second]),
        _flat(excess[first] + excess[second]),
    )


def _excess(block: GroupSample) -> np.ndarray:
    """What Agresti and Caffo's variance of a share has beyond the bootstrap's, ``(groups, 2, outcomes)``."""
    means, number = block.means, block.num_rows[:, None, None]
    if not block.is_of_counts:
        return np.zeros_like(means)
    centres = (means * number + 1) / (number + 2)
    return np.maximum(centres * (1 - centres) / (number + 2) - means * (1 - means) / number, 0.0)


def _divided(draws: np.ndarray) -> np.ndarray:
    return _ratio(draws[..., :1], draws[..., 1:], otherwise=0.0)


def _ratio(above: np.ndarray, below: np.ndarray, *, otherwise: float = 1.0) -> np.ndarray:
    return np.divide(above, below, out=np.full_like(above, otherwise), where=below > 0)


def _flat(array: np.ndarray) -> np.ndarray:
    """``(..., groups, 2, outcomes)`` to ``(..., 2, contrasts)``."""
    moved = np.moveaxis(array, -2, -3)
    return moved.reshape(*moved.shape[:-2], -1)
