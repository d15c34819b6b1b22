"""What is tried next on one image: many epsilons in one run, restarts, targets, the least epsilon.

A search holds no state. It reads what has been found on an image so far and names the next trial, so that an
image can be taken up again from its findings alone.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from bioattack.errors import InputError

UNTARGETED = -1


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of an attack on one image.

    Args:
        epsilon: Radius of the ball.
        restart: Number of the random start.
        target: Class to reach, or ``UNTARGETED``.
    """

    epsilon: float
    restart: int = 0
    target: int = UNTARGETED


@dataclasses.dataclass
class Finding:
    """What came of a trial.

    Args:
        trial: The trial.
        is_fooled: Whether it succeeded.
        length: Length of the perturbation in the attack's norm.
        margin: Logit of the true class less the largest other one; the lower, the closer to success.
        clean_margin: The same of the image as it was.
        num_steps: Moves that it took.
        has_zero_gradient: Whether the attack had no gradient to start with.
        seconds: Its share of the time of the passes it took part in.
        logits: ``(classes,)`` of the adversarial image.
        adversarial_image: ``(height, width, channels)``, or None once no result can need it.
        logits_8bit: ``(classes,)`` of that image rounded to 8 bits per channel; None until it is looked at.
        is_fooled_8bit: Whether it succeeded, and the rounded image does too; False until it is looked at.
    """

    trial: Trial
    is_fooled: bool
    length: float
    margin: float
    clean_margin: float
    num_steps: int
    has_zero_gradient: bool
    seconds: float
    logits: np.ndarray
    adversarial_image: np.ndarray | None
    logits_8bit: np.ndarray | None = None
    is_fooled_8bit: bool = False

    def required_image(self) -> np.ndarray:
        """Gives the adversarial image, which a finding that stands in a result always has."""
        if self.adversarial_image is None:
            raise ValueError("this finding's image was let go")
        return self.adversarial_image


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one image at one epsilon.

    Args:
        epsilon: Radius of the ball.
        is_fooled: Whether the attack succeeded within it.
        finding: The adversarial image and what is known of it; None where nothing was tried, as at 0.
        num_steps: Moves over all the trials at this epsilon.
        seconds: The same for time.
        epsilon_low: Largest epsilon tried that the image withstood, where the least one was searched.
        epsilon_high: Least epsilon at which it fell; infinite where it never did.
    """

    epsilon: float
    is_fooled: bool
    finding: Finding | None
    num_steps: int
    seconds: float
    epsilon_low: float = math.nan
    epsilon_high: float = math.nan


@dataclasses.dataclass(frozen=True)
class Attempts:
    """How often an attack is tried at one epsilon before the image counts as standing.

    Args:
        num_restarts: Random starts for each target.
        num_targets: With 0 the attack is untargeted; otherwise it aims at this many wrong classes, the most
            likely ones on the clean image first.
        target: One class to aim at, for every image; success is then to reach it.

    Raises:
        InputError: If a number is out of range.
    """

    num_restarts: int = 1
    num_targets: int = 0
    target: int | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.num_restarts < 1:
            raise InputError(f"num_restarts must be at least 1. Received: num_restarts={self.num_restarts}")
        if self.num_targets < 0:
            raise InputError(f"num_targets must be at least 0. Received: num_targets={self.num_targets}")

    def list(self, clean_logits: np.ndarray, label: int) -> list[tuple[int, int]]:
        """Lists ``(restart, target)`` in the order in which they are tried.

        There are none for an image of the class that is aimed at: it is there already.
        """
        targets = [UNTARGETED]
        if self.target is not None:
            targets = [self.target] if self.target != label else []
        elif self.num_targets:
            # A stable order, so that equal logits give the same targets every time.
            ranked = [int(place) for place in np.argsort(-clean_logits, kind="stable") if place != label]
            targets = ranked[: self.num_targets]
        return [(restart, target) for restart in range(self.num_restarts) for target in targets]


class Search(Protocol):
    """What the engine asks of a search."""

    @property
    def reported_epsilons(self) -> tuple[float, ...]:
        """The largest epsilon of each outcome."""

    @property
    def num_outcomes(self) -> int:
        """The most outcomes, and so adversarial images, that an image can have."""

    @property
    def goes_by_8_bits(self) -> bool:
        """Whether it must know at once if an image that fools still does after rounding."""

    def next_trial(
        self, findings: Sequence[Finding], attempts: Sequence[tuple[int, int]], fallen_at: float
    ) -> Trial | None:
        """Names the next trial, or None when the image is done."""

    def outcomes(
        self, findings: Sequence[Finding], attempts: Sequence[tuple[int, int]], fallen_at: float
    ) -> list[Outcome]:
        """Reads the results off the findings of an image that is done."""


@dataclasses.dataclass(frozen=True)
class EpsilonLadder:
    """Goes through rising epsilons; an image that fell at one counts as fallen at the larger ones.

    That is the running union of separate runs, which is what robustness at an epsilon means: the adversarial
    image of a smaller ball lies in the larger one too. The same holds after rounding to 8 bits: where that
    undoes the image that was found, the search goes on at the next epsilon.

    Args:
        epsilons: Rising, without repeats, at least 0; 0 is the clean image itself.
        is_independent: Whether every epsilon is run even so.

    Raises:
        InputError: If the epsilons do not rise, or one is negative or not finite.
    """

    epsilons: tuple[float, ...]
    is_independent: bool = False

    def __post_init__(self) -> None:
        """Checks the order."""
        epsilons = list(self.epsilons)
        is_rising = all(low < high for low, high in itertools.pairwise(epsilons))
        if not epsilons or not is_rising or not all(0 <= epsilon < math.inf for epsilon in epsilons):
            words = " ".join(f"{epsilon:g}" for epsilon in epsilons) or "none"
            raise InputError(
                f"epsilons must be finite, at least 0, rising and without repeats. Received: {words}"
            )

    @property
    def reported_epsilons(self) -> tuple[float, ...]:
        """The epsilons."""
        return self.epsilons

    @property
    def num_outcomes(self) -> int:
        """One for each epsilon."""
        return len(self.epsilons)

    @property
    def goes_by_8_bits(self) -> bool:
        """Where one epsilon's image stands for the next."""
        return len(self.epsilons) > 1 and not self.is_independent

    def next_trial(
        self, findings: Sequence[Finding], attempts: Sequence[tuple[int, int]], fallen_at: float
    ) -> Trial | None:
        """Names the next restart or target at the same epsilon, or the first one at the next."""
        for epsilon in self.epsilons:
            if epsilon == 0 or epsilon >= fallen_at:
                continue
            tried = [finding for finding in findings if finding.trial.epsilon == epsilon]
            if any(finding.is_fooled_8bit for finding in tried) and self.goes_by_8_bits:
                return None
            if any(finding.is_fooled for finding in tried):
                continue
            if len(tried) < len(attempts):
                restart, target = attempts[len(tried)]
                return Trial(epsilon, restart, target)
        return None

    def outcomes(
        self, findings: Sequence[Finding], attempts: Sequence[tuple[int, int]], fallen_at: float
    ) -> list[Outcome]:
        """Gives one outcome for each epsilon below ``fallen_at``."""
        del attempts
        outcomes: list[Outcome] = []
        before: list[Finding] = []
        for epsilon in self.epsilons:
            if epsilon >= fallen_at:
                break
            tried = [finding for finding in findings if finding.trial.epsilon == epsilon]
            # The earlier ones first: of two that are as good, the image of the smaller ball stands.
            best = _best([*before, *tried])
            outcomes.append(
                Outcome(
                    epsilon,
                    is_fooled=best is not None and best.is_fooled,
                    finding=best,
                    num_steps=sum(finding.num_steps for finding in tried),
                    seconds=sum(finding.seconds for finding in tried),
                )
            )
            if best is not None and best.is_fooled and not self.is_independent:
                before = [best]
        return outcomes


@dataclasses.dataclass(frozen=True)
class LeastEpsilon:
    """Brackets the least epsilon at which an image falls, then closes the bracket.

    Every result is certified by two trials: the adversarial image that was found is ``epsilon_high`` away,
    and the attack failed with ``epsilon_low``. The bracket is halved until the image has withstood an
    epsilon. A straight line through the margins it had before and kept there tells where none would be left:
    that is tried next, then what lies one width, two, four nearer to the other end, as long as the same end
    moves.

    Args:
        largest: Where an image withstands this epsilon the result is censored: ``epsilon_high`` is infinite.
        width: The search ends when ``epsilon_high - epsilon_low`` is at most this.

    Raises:
        InputError: If not 0 < width < largest.
    """

    largest: float
    width: float = 1e-4

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not 0 < self.width < self.largest < math.inf:
            raise InputError(
                "the least epsilon is searched with 0 < width < largest. "
                f"Received: width={self.width:g}, largest={self.largest:g}"
            )

    @property
    def reported_epsilons(self) -> tuple[float, ...]:
        """The largest one."""
        return (self.largest,)

    @property
    def num_outcomes(self) -> int:
        """One."""
        return 1

    @property
    def goes_by_8_bits(self) -> bool:
        """It closes in on the least epsilon of all pictures, whether or not they can be saved."""
        return False

    def next_trial(
        self, findings: Sequence[Finding], attempts: Sequence[tuple[int, int]], fallen_at: float
    ) -> Trial | None:
        """Names the next restart or target at the same epsilon, or the first one within the bracket."""
        bracket = _Bracket.read(findings, len(attempts), fallen_at)
        if not attempts or bracket.low >= self.largest or bracket.high - bracket.low <= self.width:
            return None
        epsilon = self.largest if math.isinf(bracket.high) else bracket.inner_epsilon(self.width)
        num_tried = sum(finding.trial.epsilon == epsilon for finding in findings)
        restart, target = attempts[num_tried]
        return Trial(epsilon, restart, target)

    def outcomes(
        self, findings: Sequence[Finding], attempts: Sequence[tuple[int, int]], fallen_at: float
    ) -> list[Outcome]:
        """Gives the one outcome: at ``epsilon_high``, or at ``largest`` where nothing fools."""
        fooling = [finding for finding in findings if finding.is_fooled]
        bracket = _Bracket.read(findings, len(attempts), fallen_at)
        # Of the images that fool, the nearest; where none does, the one that came closest to it.
        best = min(fooling, key=lambda finding: finding.length) if fooling else _best(findings)
        return [
            Outcome(
                bracket.high if fooling else self.largest,
                is_fooled=bool(fooling),
                finding=best,
                num_steps=sum(finding.num_steps for finding in findings),
                seconds=sum(finding.seconds for finding in findings),
                epsilon_low=bracket.low,
                epsilon_high=bracket.high,
            )
        ]


@dataclasses.dataclass(frozen=True)
class _Bracket:
    """What is known of the least epsilon of one image.

    Args:
        low: The largest epsilon withstood in all attempts, 0 where there is none.
        high: The least length that fooled.
        expected: Where no margin would be left, going by the two largest epsilons withstood, the clean image
            being one; NaN where these do not tell.
        has_fallen_last: Whether the last epsilon tried fooled.
        num_in_a_row: How many epsilons up to the last one ended as that one did.
    """

    low: float
    high: float
    expected: float
    has_fallen_last: bool
    num_in_a_row: int

    @classmethod
    def read(cls, findings: Sequence[Finding], num_attempts: int, fallen_at: float) -> "_Bracket":
        """Reads it off the findings; an epsilon with attempts still to come does not count."""
        high = fallen_at
        failed: dict[float, list[Finding]] = {}
        endings: list[bool] = []
        for finding in findings:
            if finding.is_fooled:
                high = min(high, finding.trial.epsilon, finding.length)
                endings.append(True)
                continue
            tried = failed.setdefault(finding.trial.epsilon, [])
            tried.append(finding)
            if len(tried) == num_attempts:
                endings.append(False)
        # An attack that failed with a larger epsilon than one with which it succeeded tells nothing.
        margins = {
            epsilon: min(finding.margin for finding in tried)
            for epsilon, tried in sorted(failed.items())
            if len(tried) >= num_attempts and epsilon < high
        }
        if findings:
            margins = {0.0: findings[0].clean_margin} | margins
        has_fallen_last = bool(endings) and endings[-1]
        num_in_a_row = len(list(itertools.takewhile(lambda end: end == has_fallen_last, reversed(endings))))
        return cls(max(margins, default=0.0), high, _expected_fall(margins), has_fallen_last, num_in_a_row)

    def inner_epsilon(self, width: float) -> float:
        """Chooses the next epsilon to try, a width from both ends where there is room for that."""
        middle = (self.low + self.high) / 2
        if math.isnan(self.expected) or self.high - self.low <= 2 * width:
            return middle
        # A little less than the width, so that rounding leaves no bracket a hair too wide.
        width *= 0.999
        stride = width * 2 ** (self.num_in_a_row - 1)
        epsilon = self.expected + width / 2
        if self.has_fallen_last:
            epsilon = min(epsilon, max(middle, self.high - stride))
        else:
            epsilon = max(epsilon, min(middle, self.low + stride))
        return min(max(epsilon, self.low + width), self.high - width)


def _expected_fall(margins: Mapping[float, float]) -> float:
    """Where the straight line through the last two margins, by rising epsilon, comes to 0."""
    if len(margins) < 2:
        return math.nan
    (before, larger), (last, smaller) = list(margins.items())[-2:]
    return last + smaller * (last - before) / (larger - smaller) if 0 <= smaller < larger else math.nan


@dataclasses.dataclass(frozen=True)
class NoRadius:
    """Tries each image once without a radius, or with every restart and target until one of them fools.

    There is one outcome, at an infinite epsilon.
    """

    @property
    def reported_epsilons(self) -> tuple[float, ...]:
        """An infinite one."""
        return (math.inf,)

    @property
    def num_outcomes(self) -> int:
        """One."""
        return 1

    @property
    def goes_by_8_bits(self) -> bool:
        """No image stands for that of another epsilon."""
        return False

    def next_trial(
        self, findings: Sequence[Finding], attempts: Sequence[tuple[int, int]], fallen_at: float
    ) -> Trial | None:
        """Names the next restart or target until one has fooled."""
        is_done = math.isfinite(fallen_at) or any(finding.is_fooled for finding in findings)
        if is_done or len(findings) >= len(attempts):
            return None
        restart, target = attempts[len(findings)]
        return Trial(math.inf, restart, target)

    def outcomes(
        self, findings: Sequence[Finding], attempts: Sequence[tuple[int, int]], fallen_at: float
    ) -> list[Outcome]:
        """Gives the one outcome, unless the image is known to have fallen already."""
        del attempts
        best = _best(findings)
        outcome = Outcome(
            math.inf,
            is_fooled=best is not None and best.is_fooled,
            finding=best,
            num_steps=sum(finding.num_steps for finding in findings),
            seconds=sum(finding.seconds for finding in findings),
        )
        return [] if math.isfinite(fallen_at) else [outcome]


def _best(findings: Sequence[Finding]) -> Finding | None:
    """The finding that fools, in 8 bits too if there is one, or else the one with the lowest margin."""
    if not findings:
        return None

    def rank(finding: Finding) -> tuple[bool, bool, float]:
        # Of several that fool, the first.
        return not finding.is_fooled_8bit, not finding.is_fooled, 0.0 if finding.is_fooled else finding.margin

    return min(findings, key=rank)
