"""Scores of how unequal groups are, with interval, test and correction; and how two models' scores differ."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bioattack.fairness.difference_bounds import bound_difference, contrasts_of
from bioattack.fairness.group_sample import GroupSample
from bioattack.fairness.score_intervals import (
    MEASURES,
    TURNED,
    Drawing,
    interval_of,
    most_unequal,
    which_outcome,
)


@dataclasses.dataclass(frozen=True)
class ScoreInput:
    """What a score is made of.

    Args:
        name: Of the score.
        samples: Rows by group, of one model, or of two for a comparison; several samples (one per true class)
            make a largest over them.
        measure: ``"gap"``, the largest mean less the smallest; ``"worst"``, the smallest mean; ``"ratio"``,
            the smallest over the largest; ``"rate"``, the gap of the first outcome over the second. Where
            there are several outcomes or samples, of the worst of them.
        within: Names of the samples.
        outcomes: Names of the outcomes.
    """

    name: str
    samples: tuple[GroupSample, ...]
    measure: str = "gap"
    within: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Score:
    """One score of one model.

    Args:
        name: Such as ``"CAU"``.
        value: As defined, from the rows as they are.
        corrected: Without the upward bias of a largest difference (of a smallest share, the downward bias).
        low: Lower end of the interval of the true score.
        high: Upper end.
        confidence: Of the interval.
        p_value: Of the permutation test of "no difference between the groups"; ``None`` where there is none.
        num_rows: Denominator: rows that were counted.
        num_groups: Groups that were compared.
        least_rows: Rows of the smallest group.
        lowest: The group with the lowest mean of those that make the score.
        highest: The group with the highest.
        outcome: The predicted class that makes the score, where it is a largest over classes.
        within: The true class within which the score is largest, likewise.
        left_out: Groups that were too small, with their numbers of rows.
    """

    name: str
    value: float
    corrected: float
    low: float
    high: float
    confidence: float
    p_value: float | None
    num_rows: int
    num_groups: int
    least_rows: int
    lowest: str
    highest: str
    outcome: str | None = None
    within: str | None = None
    left_out: tuple[tuple[str, int], ...] = ()


@dataclasses.dataclass(frozen=True)
class ScoreDifference:
    """How a score differs between two models on the same rows.

    Args:
        name: Of the score.
        first: The first model's.
        second: The second model's.
        difference: ``second - first``.
        low: Lower end of its interval, rows drawn in pairs.
        high: Upper end.
        confidence: Of the interval.
        p_value: Of the permutation test that exchanges the two models' answers row by row; two-sided.
        num_rows: Rows that were counted.
        num_groups: Groups.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    confidence: float
    p_value: float
    num_rows: int
    num_groups: int


def score_groups(asked: ScoreInput, drawing: Drawing | None = None) -> Score:
    """Makes the score of one model.

    Args:
        asked: The score and its rows.
        drawing: How interval and test are made.

    Source:
        Permutation test: p is (1 + draws at least as large) / (1 + draws), Phipson and Smyth 2010.
        Bounds: see ``bound_largest``; a proportion's error is that of Agresti and Caffo 2000, one success and
        one failure added.

    >>> from bioattack.fairness.group_sample import make_group_sample
    >>> right = np.repeat([1, 0, 1, 0], [90, 10, 60, 40])
    >>> sample = make_group_sample(right, np.repeat(["cat", "dog"], 100))
    >>> score = score_groups(ScoreInput("CAU", (sample,)))
    >>> round(score.value, 2), score.lowest, score.p_value < 0.01, 0.1 < score.low < 0.3 < score.high < 0.5
    (0.3, 'dog', True, True)
    """
    blocks, measure, how = asked.samples, asked.measure, drawing or Drawing()
    generator = how.generator()
    means = [block.means for block in blocks]
    value = float(most_unequal(means, measure)[0])
    permuted = [block.permute(how.num_draws, generator) for block in blocks]
    resampled = [block.resample(how.num_draws, generator) for block in blocks]
    place = int(np.argmax([MEASURES[measure](part)[0] for part in means]))
    outcome = which_outcome(means[place], measure)
    by_group = means[place][:, 0, outcome]
    corrected, low, high = interval_of(blocks, resampled, value, measure=measure, how=how)
    turned = -1.0 if measure in TURNED else 1.0
    ends = sorted((turned * low, turned * high))
    most = _largest_possible(asked)
    return Score(
        name=asked.name,
        value=turned * value,
        corrected=float(np.clip(turned * corrected, 0.0, most)),
        low=float(np.clip(min(ends[0], turned * value), 0.0, most)),
        high=float(min(max(ends[1], turned * value), most)),
        confidence=how.confidence,
        p_value=_p_value(most_unequal(permuted, measure)[:, 0], value),
        num_rows=int(sum(block.num_rows.sum() for block in blocks)),
        num_groups=len(blocks[place].names),
        least_rows=int(min(block.num_rows.min() for block in blocks)),
        lowest=blocks[place].names[int(by_group.argmin())],
        highest=blocks[place].names[int(by_group.argmax())],
        outcome=asked.outcomes[outcome] if len(asked.outcomes) > 1 else None,
        within=asked.within[place] if asked.within else None,
        left_out=tuple(dict.fromkeys(entry for block in blocks for entry in block.left_out)),
    )


def compare_groups(asked: ScoreInput, drawing: Drawing | None = None) -> ScoreDifference:
    """Compares the scores of two models on the same rows.

    Args:
        asked: The score, and the rows with the values of both models.
        drawing: How interval and test are made; of the intervals, ``"bca"`` is the percentile one here.

    >>> from bioattack.fairness.group_sample import make_group_sample
    >>> both = np.stack([np.ones(200), np.repeat([1, 0], 100)], axis=1)
    >>> sample = make_group_sample(both, np.repeat(["cat", "dog"], 100))
    >>> found = compare_groups(ScoreInput("CAU", (sample,)))
    >>> found.difference, found.p_value < 0.01
    (1.0, True)
    """
    blocks, measure, how = asked.samples, asked.measure, drawing or Drawing()
    generator = how.generator()
    turned = -1.0 if measure in TURNED else 1.0
    first, second = (
        turned * float(score) for score in most_unequal([block.means for block in blocks], measure)
    )
    drawn = [block.resample(how.num_draws, generator) for block in blocks]
    swapped = most_unequal([block.exchange(how.num_draws, generator) for block in blocks], measure)
    difference = second - first
    low, high = _ends(asked, drawn, how)
    return ScoreDifference(
        name=asked.name,
        first=first,
        second=second,
        difference=difference,
        low=float(min(low, difference)),
        high=float(max(high, difference)),
        confidence=how.confidence,
        p_value=_p_value(np.abs(swapped[:, 1] - swapped[:, 0]), abs(difference)),
        num_rows=int(sum(block.num_rows.sum() for block in blocks)),
        num_groups=max(len(block.names) for block in blocks),
    )


def _ends(asked: ScoreInput, drawn: Sequence[np.ndarray], how: Drawing) -> tuple[float, float]:
    """Ends of the interval of the second model's score less the first one's."""
    is_turned = asked.measure in TURNED
    if how.interval == "bounds":
        contrasts = contrasts_of(asked.samples, drawn, measure=asked.measure)
        low, high = bound_difference(contrasts, confidence=how.confidence)
    else:
        scores = most_unequal(drawn, asked.measure)
        tail = (1 - how.confidence) / 2
        low, high = np.quantile(scores[:, 1] - scores[:, 0], (tail, 1 - tail))
    most = _largest_possible(asked)
    low, high = (-high, -low) if is_turned else (low, high)
    return float(np.clip(low, -most, most)), float(np.clip(high, -most, most))


def _largest_possible(asked: ScoreInput) -> float:
    """No score of shares or confidences is above 1, whatever its interval says."""
    if asked.measure in (*TURNED, "rate"):
        return 1.0
    cells = [cells.values for block in asked.samples for cells in block.groups]
    is_of_shares = all(bool(((values >= 0) & (values <= 1)).all()) for values in cells)
    return 1.0 if is_of_shares else np.inf


def _p_value(drawn: np.ndarray, value: float) -> float:
    # Sums in another order differ in the last bits: what is equal must count as equal.
    return float((1 + (drawn >= value - 1e-12).sum()) / (1 + len(drawn)))
