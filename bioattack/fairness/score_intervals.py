"""How unequal group means are, in several measures, and the intervals of these."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bioattack.fairness.group_sample import GroupSample
from bioattack.fairness.largest import Estimates, bound_largest

INTERVALS = ("bounds", "percentile", "bca")

# How unequal means are: (models,) or (draws, models) from (..., groups, models, outcomes).
MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gap": lambda means: np.ptp(means, axis=-3).max(axis=-1),
    "worst": lambda means: -means.min(axis=(-3, -1)),
    "ratio": lambda means: -_ratios(means).min(axis=-1),
    "rate": lambda means: np.ptp(_rates(means), axis=-2),
}


# Measures that are small where groups are unequal; their negatives are worked with.
TURNED = ("worst", "ratio")


def _ratios(means: np.ndarray) -> np.ndarray:
    largest = means.max(axis=-3)
    # What no group is ever given is given to all alike.
    return np.divide(means.min(axis=-3), largest, out=np.ones_like(largest), where=largest > 0)


def _rates(means: np.ndarray) -> np.ndarray:
    events, chances = means[..., 0], means[..., 1]
    return np.divide(events, chances, out=np.zeros_like(events), where=chances > 0)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How intervals and tests are made.

    Args:
        num_draws: Bootstrap draws, and as many permutations.
        seed: Of both.
        confidence: Of the intervals.
        interval: ``"bounds"`` holds with its confidence also where groups are alike, ``"percentile"`` and
            ``"bca"`` are the plain bootstrap's, which then do not.
    """

    num_draws: int = 1000
    seed: int = 0
    confidence: float = 0.95
    interval: str = "bounds"

    def generator(self) -> np.random.Generator:
        """Returns fresh random numbers from the seed."""
        return np.random.default_rng(self.seed)


def most_unequal(means: Sequence[np.ndarray], measure: str) -> np.ndarray:
    """Gives how unequal the means of the most unequal sample are; larger is worse in every measure.

    Args:
        means: Of each sample, ``(..., groups, models, outcomes)``.
        measure: A key of ``MEASURES``.

    Returns:
        ``(..., models)``.

    >>> most_unequal([np.array([[[0.9]], [[0.6]]])], "worst")
    array([-0.6])
    """
    return np.max([MEASURES[measure](part) for part in means], axis=0)


def which_outcome(means: np.ndarray, measure: str) -> int:
    """Gives the place of the outcome whose means are most unequal, of the first model."""
    by_outcome = [MEASURES[measure](means[..., place : place + 1])[0] for place in range(means.shape[-1])]
    return int(np.argmax(by_outcome))


def interval_of(
    blocks: Sequence[GroupSample], drawn: Sequence[np.ndarray], value: float, *, measure: str, how: Drawing
) -> tuple[float, float, float]:
    """Gives the corrected score and the ends of its interval, for a score that is worse the larger it is.

    Args:
        blocks: The samples.
        drawn: Their bootstrap means.
        value: The score as it is.
        measure: A key of ``MEASURES``.
        how: Which interval.
    """
    scores = most_unequal(drawn, measure)[:, 0]
    bounds = _bounds(blocks, drawn, measure=measure, confidence=how.confidence)
    if how.interval == "bounds":
        return bounds
    tails = np.array([(1 - how.confidence) / 2, (1 + how.confidence) / 2])
    if how.interval == "bca":
        tails = _bca_tails(tails, scores, value, blocks, measure=measure)
    low, high = np.quantile(scores, tails)
    return bounds[0], float(low), float(high)


def _bounds(
    blocks: Sequence[GroupSample], drawn: Sequence[np.ndarray], *, measure: str, confidence: float
) -> tuple[float, float, float]:
    parts = [_estimates(block, draws, measure=measure) for block, draws in zip(blocks, drawn, strict=True)]
    together: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) for name in ("values", "centres", "variances")
    }
    estimates = Estimates(
        **together,
        draws=np.hstack([part["draws"] for part in parts]),
        num_rows=int(sum(block.num_rows.sum() for block in blocks)),
    )
    plus, minus, start = [], [], 0
    for block in blocks:
        number, outcomes = len(block.names), block.shape[1]
        places = start + np.arange(number * outcomes).reshape(outcomes, number)
        if measure == "worst":
            plus.append(places.ravel())
            minus.append(np.full(number * outcomes, -1))
        else:
            first, second = np.nonzero(~np.eye(number, dtype=bool))
            plus.append(places[:, first].ravel())
            minus.append(places[:, second].ravel())
        start += number * outcomes
    found = bound_largest(estimates, np.concatenate(plus), np.concatenate(minus), confidence=confidence)
    ends = np.array([found.corrected, found.low, found.high])
    if measure == "ratio":
        ends = -np.exp(-np.maximum(ends, 0.0))
    return float(ends[0]), float(ends[1]), float(ends[2])


def _estimates(block: GroupSample, draws: np.ndarray, *, measure: str) -> dict[str, Any]:
    """What is compared, outcome by outcome and group by group: means, their negatives or their logarithms."""
    number = block.num_rows[:, None]
    means, drawn = block.means[:, 0], draws[:, :, 0]
    centres = (means * number + 1) / (number + 2) if block.is_of_counts else means
    if measure == "ratio":
        variances = (1 - centres) / (centres * (number + 2))
        centres = values = np.log(centres)
        moved = np.log((drawn * number + 1) / (number + 2)) - centres
    else:
        sign = -1.0 if measure == "worst" else 1.0
        variances = _variances(block, centres)
        values, moved, centres = sign * means, sign * (drawn - means), sign * centres
    flat = {"values": values, "centres": centres, "variances": variances}
    found: dict[str, Any] = {name: array.T.ravel() for name, array in flat.items()}
    return found | {"draws": moved.transpose(0, 2, 1).reshape(len(moved), -1)}


def _variances(block: GroupSample, centres: np.ndarray) -> np.ndarray:
    """Of the means, ``(groups, outcomes)``."""
    number = block.num_rows[:, None].astype(float)
    if block.is_of_counts:
        return centres * (1 - centres) / (number + 2)
    own = block.variances[:, 0] * number
    # As if each group had two more rows that scatter as all groups do: few rows know little of their scatter.
    pooled = own.sum(axis=0) / max(number.sum() - len(number), 1)
    return (own + 2 * pooled) / (number + 1) / number


def _bca_tails(
    tails: np.ndarray, scores: np.ndarray, value: float, blocks: Sequence[GroupSample], *, measure: str
) -> np.ndarray:
    """Where to cut the bootstrap distribution: bias-corrected and accelerated (Efron 1987)."""
    from scipy.stats import norm

    share = (np.sum(scores < value) + 0.5 * np.sum(scores == value)) / len(scores)
    shift = norm.ppf(np.clip(share, 0.5 / len(scores), 1 - 0.5 / len(scores)))
    cubes, squares = _influences(blocks, measure=measure)
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    moved = shift + norm.ppf(tails)
    return norm.cdf(shift + moved / (1 - acceleration * moved))


def _influences(blocks: Sequence[GroupSample], *, measure: str) -> tuple[float, float]:
    """Sums of cubes and squares of what each row does to the score, over the groups that make it."""
    block = blocks[int(np.argmax([MEASURES[measure](block.means)[0] for block in blocks]))]
    outcome = which_outcome(block.means, measure)
    means = block.means[:, 0, outcome]
    ends = {int(means.argmin()): -1.0} | ({int(means.argmax()): 1.0} if measure != "worst" else {})
    cubes = squares = 0.0
    for place, sign in ends.items():
        cells = block.groups[place]
        scale = abs(sign) if measure != "ratio" else 1 / max(means[place], 1e-300)
        rests = sign * scale * (cells.values[:, outcome] - means[place]) / cells.num_rows
        cubes += float(cells.counts @ rests**3)
        squares += float(cells.counts @ rests**2)
    return cubes, squares
