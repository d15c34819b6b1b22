"""What a check says, and when a difference counts: significant on the paired pictures, and large enough."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom

# A healthy model fails by chance once in a hundred checks at most, and not by less than two points.
SIGNIFICANCE, MARGIN = 0.01, 0.02

# So many pictures, all against the model, are the fewest that can be significant.
FEWEST_PICTURES = math.ceil(math.log(SIGNIFICANCE) / math.log(0.5))


@dataclasses.dataclass(frozen=True)
class Finding:
    """The outcome of a check.

    Args:
        verdict: A word of ``verdicts``.
        sentence: What it means and what to do.
        num_images: On how many pictures it rests.
        figures: What was measured, by name; numbers, texts or lists of these.
    """

    verdict: str
    sentence: str
    num_images: int
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)


class PairedGap(NamedTuple):
    """Two attacks on the same pictures, of which the second should be at least as strong.

    ``p_value`` is that of McNemar's exact test against it: how often a fair coin gives so many of the
    pictures on which they differ to the weaker attack.
    """

    num_images: int
    num_only_weaker: int
    num_only_stronger: int
    p_value: float

    @property
    def gap(self) -> float:
        """By which share of all pictures the attack that should be weaker is stronger."""
        return (self.num_only_weaker - self.num_only_stronger) / self.num_images

    def contradicts(self, *, num_comparisons: int = 1, margin: float = MARGIN) -> bool:
        """Tells whether the second attack is weaker, significantly and by more than the margin.

        Args:
            num_comparisons: Among how many comparisons this one is looked at (Bonferroni).
            margin: Share of the pictures that does not matter yet.
        """
        return self.p_value < SIGNIFICANCE / num_comparisons and self.gap > margin


def paired_gap(left_by_weaker: np.ndarray, left_by_stronger: np.ndarray) -> PairedGap:
    """Compares two attacks picture by picture.

    Args:
        left_by_weaker: ``(n,)`` truth values: still right under the attack that should be weaker.
        left_by_stronger: The same under the one that should be at least as strong.

    Source:
        McNemar 1947; the exact one-sided binomial version.

    >>> paired_gap(np.array([False] * 8 + [True]), np.array([True] * 9))
    PairedGap(num_images=9, num_only_weaker=8, num_only_stronger=0, p_value=0.00390625)
    """
    only_weaker = int(np.sum(~left_by_weaker & left_by_stronger))
    only_stronger = int(np.sum(left_by_weaker & ~left_by_stronger))
    # The probability of at least as many; of at least 0 it is 1.
    p_value = float(binom.sf(only_weaker - 1, only_weaker + only_stronger, 0.5))
    return PairedGap(len(left_by_weaker), only_weaker, only_stronger, p_value)


def is_more_than(count: int, total: int, *, tolerated: float) -> bool:
    """Tells whether more pictures than a tolerated share are concerned, significantly.

    >>> is_more_than(6, 100, tolerated=0.02), is_more_than(9, 100, tolerated=0.02)
    (False, True)
    """
    return count > tolerated * total and float(binom.sf(count - 1, total, tolerated)) < SIGNIFICANCE


def share(count: float, total: float) -> str:
    """Says a share in percent.

    >>> share(3, 128)
    '2.34 %'
    """
    return f"{100 * count / total:.3g} %" if total else "none"
