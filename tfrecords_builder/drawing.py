"""Drawing records with replacement in proportion to their weights, as a function of seed and pass alone."""

from collections.abc import Sequence

import numpy as np

from bioattack.tfrecords_builder.errors import RecordsError


def check_weights(weights: np.ndarray, *, where: str) -> None:
    """Refuses weights from which nothing can be drawn.

    Args:
        weights: ``(records,)``.
        where: Which dataset the message names.

    Raises:
        RecordsError: If there are none, one is not finite or not above 0, or their sum overflows.
    """
    if not len(weights):
        raise RecordsError(f"{where} holds no records; make the dataset again")
    is_bad = ~(np.isfinite(weights) & (weights > 0))
    if is_bad.any():
        place = int(np.flatnonzero(is_bad)[0])
        raise RecordsError(
            f"the weight of record {place} of {where} is {weights[place]}, and must be a finite number above"
            " 0; make the dataset again"
        )
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total):
        raise RecordsError(
            f"the weights of {where} add up to more than a number can hold (the largest is"
            f" {weights.max():.3g}); divide all of them by the same number"
        )


def draw_places(
    weights: np.ndarray, number: int, *, seeds: Sequence[int], is_proportional: bool = True
) -> np.ndarray:
    """Draws independently, with replacement.

    Args:
        weights: ``(records,)``, finite and above 0.
        number: How many draws.
        seeds: Numbers of at least 0, such as the seed and the pass, that decide the draws.
        is_proportional: Whether a record is drawn in proportion to its weight, or each as often as any other.

    Returns:
        Places of the records, int64 ``(number,)``.

    >>> places = draw_places(np.array([1.0, 3.0]), 10_000, seeds=(0, 0))
    >>> bool(abs(np.mean(places) - 0.75) < 0.02)
    True
    """
    numbers = np.random.default_rng(list(seeds)).random(number)
    if not is_proportional:
        return np.minimum((numbers * len(weights)).astype(np.int64), len(weights) - 1)
    cumulative = np.cumsum(weights / weights.max())
    places = np.searchsorted(cumulative, numbers * cumulative[-1], side="right")
    # The product may be rounded up to the sum itself.
    return np.minimum(places, len(weights) - 1).astype(np.int64)


def expected_weight(weights: np.ndarray, *, is_proportional: bool = True) -> float:
    """Returns the mean weight of what ``draw_places`` draws.

    Args:
        weights: As there.
        is_proportional: As there.

    >>> expected_weight(np.array([1.0, 3.0])), expected_weight(np.array([1.0, 3.0]), is_proportional=False)
    (2.5, 2.0)
    """
    largest = float(weights.max())
    shares = weights / largest
    mean = float((shares**2).sum() / shares.sum()) if is_proportional else float(shares.mean())
    return largest * mean
