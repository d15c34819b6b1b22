"""Checks that what must make an attack stronger does: steps, starts, epsilon, a larger ball."""

import itertools

import numpy as np
from scipy.stats import binom

from bioattack.evaluation.audit_checks.evidence import LADDER, AttackRun, Evidence
from bioattack.evaluation.audit_checks.finding import (
    FEWEST_PICTURES,
    SIGNIFICANCE,
    Finding,
    PairedGap,
    paired_gap,
    share,
)
from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS, UNDECIDED

_STEP_COUNTS = (5, 20, 60)
_NUM_RESTARTS = 4
# Accuracy that is no more than chance plus this counts as reaching chance.
_CHANCE_MARGIN = 0.05


def check_iterated(evidence: Evidence) -> Finding:
    """Compares one step of epsilon with many smaller ones."""
    epsilon = evidence.middle_epsilon
    one = AttackRun(epsilon, num_steps=1, relative_step=1.0, judged="last")
    many = AttackRun(epsilon, judged="last")
    return _compare(
        evidence,
        [one, many],
        names=["one step", f"{many.num_steps} steps"],
        meaning="Going on after the first step helps, as it must where the gradient leads somewhere.",
        remedy=(
            "the gradient leads astray after the first step (a loss surface made rough, often by training on "
            "one-step attacks): use many more steps and random starts, and an attack without gradient"
        ),
    )


def check_more_steps(evidence: Evidence) -> Finding:
    """Compares ever more, ever smaller steps."""
    epsilon = evidence.middle_epsilon
    runs = [AttackRun(epsilon, num_steps=steps, judged="last") for steps in _STEP_COUNTS]
    return _compare(
        evidence,
        runs,
        names=[f"{steps} steps" for steps in _STEP_COUNTS],
        meaning="More and smaller steps lose nothing, so the way of the attack is not a matter of luck.",
        remedy=(
            "smaller steps follow a gradient that holds only close by (a rough or random surface): average "
            "it over noise, or attack without gradient"
        ),
    )


def check_more_restarts(evidence: Evidence) -> Finding:
    """Compares one random start with the best of several others."""
    return _compare(
        evidence,
        restart_runs(evidence),
        names=["one start", f"{_NUM_RESTARTS} starts"],
        meaning="More random starts find what one finds, so one run is not a lucky draw.",
        remedy="one run of the attack is a draw of luck: take many more starts and report the worst",
    )


def restart_runs(evidence: Evidence) -> list[AttackRun]:
    """One random start, and several others: those of the first would otherwise be among them."""
    epsilon = evidence.middle_epsilon
    return [AttackRun(epsilon, num_restarts=number, seed=number) for number in (1, _NUM_RESTARTS)]


def check_growing_epsilon(evidence: Evidence) -> Finding:
    """Compares independent attacks at rising epsilons with the best of the smaller ones."""
    left = [evidence.is_right, *(attacked.is_left for attacked in evidence.ladder)]
    gaps = [paired_gap(smaller, larger) for smaller, larger in itertools.combinations(left, 2)]
    total = int(evidence.is_right.sum())
    accuracies = [float(one.mean()) for one in left]
    figures = {"epsilons": [0.0, *LADDER], "accuracies": accuracies}
    if total < FEWEST_PICTURES or len(set(accuracies)) == 1:
        sentence = "No epsilon changes how many pictures are right, so there is nothing to compare."
        return Finding(UNDECIDED, sentence, evidence.num_images, figures)
    worst = max(gaps, key=lambda gap: (gap.contradicts(num_comparisons=len(gaps)), gap.gap))
    if worst.contradicts(num_comparisons=len(gaps)):
        sentence = (
            f"A larger epsilon leaves {share(worst.gap, 1)} more of the pictures right than a smaller one, "
            "which no model can do: the attack fails at the larger, so take more steps, smaller against "
            "epsilon, and read the worst over all smaller epsilons."
        )
        return Finding(FAILS, sentence, evidence.num_images, figures | {"p_value": worst.p_value})
    sentence = "Whoever may change more fools more, as it must be."
    return Finding(HOLDS, sentence, evidence.num_images, figures)


def check_unbounded_epsilon(evidence: Evidence) -> Finding:
    """Lets the attack paint any picture it likes."""
    num_classes, total = evidence.logits.shape[1], evidence.num_images
    chance = 1 / num_classes
    is_left = evidence.attack(AttackRun(1.0)).is_left
    if _is_above_chance(int(is_left.sum()), total, chance):
        is_left = is_left & evidence.attack(AttackRun(1.0, num_restarts=2)).is_left
    num_left, num_right = int(is_left.sum()), int(evidence.is_right.sum())
    figures = {"num_left": num_left, "num_right": num_right, "chance": chance}
    if not _is_above_chance(num_right, total, chance):
        sentence = "The model is no better than chance to begin with."
        return Finding(UNDECIDED, sentence, total, figures)
    if _is_above_chance(num_left, total, chance):
        sentence = (
            f"Free to paint any picture, the attack still leaves {share(num_left, total)} right where "
            f"chance is {share(chance, 1)}: it does not work on this model, and no figure at any epsilon "
            "means anything before it does."
        )
        return Finding(FAILS, sentence, total, figures)
    sentence = "With no bound the attack takes everything, so that it fails by the bound and not by itself."
    return Finding(HOLDS, sentence, total, figures)


def check_ball_inclusion(evidence: Evidence) -> Finding:
    """Compares the L-infinity ball with the root-mean-square ball of the same epsilon, which contains it."""
    epsilon = evidence.middle_epsilon
    return _compare(
        evidence,
        [AttackRun(epsilon), AttackRun(epsilon, norm="rms")],
        names=["the L-infinity ball", "the larger root-mean-square ball"],
        meaning="The larger ball, which contains the smaller, holds no fewer adversarial pictures.",
        remedy=(
            "the attack misses in the larger ball what lies in the smaller: its figures in that norm are too "
            "good, so take more steps and starts there, or report the worst of both"
        ),
    )


def _compare(
    evidence: Evidence, runs: list[AttackRun], *, names: list[str], meaning: str, remedy: str
) -> Finding:
    """Holds attacks, in the order in which their strength must not fall, against each other.

    Args:
        evidence: The model and its pictures.
        runs: The attacks, the one that must be strongest last.
        names: How people call them.
        meaning: What it means where they do.
        remedy: What it means and what to do where they do not.
    """
    left = [evidence.attack(run).is_left for run in runs]
    figures = {
        "epsilon": runs[0].epsilon,
        "num_left": {name: int(one.sum()) for name, one in zip(names, left, strict=True)},
    }
    return judge_strength(evidence, left, names=names, figures=figures, meaning=meaning, remedy=remedy)


def judge_strength(
    evidence: Evidence,
    left: list[np.ndarray],
    *,
    names: list[str],
    figures: dict[str, object],
    meaning: str,
    remedy: str,
) -> Finding:
    """Finds the pair of attacks that contradicts their order most; arguments as those of ``_compare``."""
    total, num_right = evidence.num_images, int(evidence.is_right.sum())
    if num_right < FEWEST_PICTURES:
        sentence = f"Only {num_right} pictures are right, too few for a difference to be significant."
        return Finding(UNDECIDED, sentence, total, figures)
    if all(int(one.sum()) == num_right for one in left):
        return Finding(
            UNDECIDED, "None of these attacks fools the model, so they cannot differ.", total, figures
        )
    pairs = list(itertools.combinations(range(len(left)), 2))
    gaps: dict[tuple[int, int], PairedGap] = {
        pair: paired_gap(left[pair[0]], left[pair[1]]) for pair in pairs
    }
    pair = max(pairs, key=lambda one: (gaps[one].contradicts(num_comparisons=len(pairs)), gaps[one].gap))
    figures = figures | {"p_value": gaps[pair].p_value}
    if gaps[pair].contradicts(num_comparisons=len(pairs)):
        weaker, stronger = (names[place] for place in pair)
        sentence = (
            f"{weaker.capitalize()} fools {share(gaps[pair].gap, 1)} more of the pictures than {stronger}: "
            f"{remedy}."
        )
        return Finding(FAILS, sentence, total, figures)
    return Finding(HOLDS, meaning, total, figures)


def _is_above_chance(count: int, total: int, chance: float) -> bool:
    is_significant = float(binom.sf(count - 1, total, chance)) < SIGNIFICANCE
    return is_significant and count / total > chance + _CHANCE_MARGIN
