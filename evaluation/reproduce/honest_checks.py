"""Warnings where attacks on one network contradict each other: then an attack failed."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bioattack.evaluation.reproduce.attacks import END_EPSILONS, ENDS, LONG, RMS, STOPPED

PAPER = "paper"
# What rounding of the gradient may leave at half of the pixel range, as a share of the pictures.
TOLERATED_AT_THE_END = 0.02


def contradictions(answers: Mapping[str, pd.DataFrame], *, title: str) -> list[str]:
    """Holds the attacks on one network against each other.

    Args:
        answers: Name of an attack -> one row per picture, one column per epsilon (0: as it is), whether the
            answer is right, on the same pictures. ``ENDS`` has its attack at epsilon 0 in the column 0 and
            the pictures as they are in the column -1.
        title: Of the network.

    Returns:
        A sentence for each contradiction.

    Source:
        Athalye et al. 2018 and Carlini et al. 2019 on gradients that mislead.
    """
    shares = {name: right.mean() for name, right in answers.items()}
    return [
        f"{title}: {sentence}"
        for check in (_not_rising, _ends, _ball_inclusion, _longer_is_stronger, _stopped_gradient)
        for sentence in check(shares, answers)
    ]


def _not_rising(shares: Mapping[str, pd.Series], _: Mapping[str, pd.DataFrame]) -> list[str]:
    return [
        f"under the attack {name!r} more pictures are right at ε = {larger:g} than at {smaller:g}, although "
        "what is allowed at one is allowed at the other."
        for name, share in shares.items()
        for smaller, larger in zip(share.index[:-1], share.index[1:], strict=True)
        if share[larger] > share[smaller]
    ]


def _ends(shares: Mapping[str, pd.Series], answers: Mapping[str, pd.DataFrame]) -> list[str]:
    if ENDS not in shares:
        return []
    nothing, half = END_EPSILONS
    num_changed = int((answers[ENDS][-1.0] != answers[ENDS][nothing]).sum())
    changed = [f"an attack that may change nothing changes {num_changed} answers."] if num_changed else []
    left = shares[ENDS][half]
    standing = [
        f"{100 * left:.1f} % withstand ε = {half:g}, half of the pixel range, which can turn any picture "
        "into any other but for its colours: the attack fails there, so its other figures are too high as "
        "well."
    ]
    return [*changed, *(standing if left > TOLERATED_AT_THE_END else [])]


def _ball_inclusion(shares: Mapping[str, pd.Series], answers: Mapping[str, pd.DataFrame]) -> list[str]:
    return [
        f"at ε = {epsilon:g} RMS-L2 leaves {100 * shares[RMS][epsilon]:.1f} % and Linf "
        f"{100 * shares[PAPER][epsilon]:.1f} %, although every Linf change is within the RMS one: the RMS-L2 "
        f"attack fails on at least {_num_more(answers, RMS, PAPER, epsilon)} of {len(answers[RMS])} "
        "pictures."
        for epsilon in _shared(shares, (RMS, PAPER))
        if shares[RMS][epsilon] > shares[PAPER][epsilon]
    ]


def _longer_is_stronger(shares: Mapping[str, pd.Series], _: Mapping[str, pd.DataFrame]) -> list[str]:
    return [
        f"at ε = {epsilon:g} 100 steps with restarts leave {100 * shares[LONG][epsilon]:.1f} % and 20 steps "
        f"{100 * shares[PAPER][epsilon]:.1f} %: the longer attack is the weaker one."
        for epsilon in _shared(shares, (LONG, PAPER))
        if shares[LONG][epsilon] > shares[PAPER][epsilon]
    ]


def _stopped_gradient(shares: Mapping[str, pd.Series], _: Mapping[str, pd.DataFrame]) -> list[str]:
    return [
        f"at ε = {epsilon:g} an attack without the gradient through the choice of gazes leaves "
        f"{100 * shares[STOPPED][epsilon]:.1f} % and one with it {100 * shares[PAPER][epsilon]:.1f} %: that "
        "gradient misleads the attack, and the figures with it are too high."
        for epsilon in _shared(shares, (STOPPED, PAPER))
        if shares[STOPPED][epsilon] < shares[PAPER][epsilon]
    ]


def _shared(shares: Mapping[str, pd.Series], names: Sequence[str]) -> list[float]:
    """The epsilons above 0 that all of these attacks have."""
    if any(name not in shares for name in names):
        return []
    return [
        float(epsilon)
        for epsilon in shares[names[0]].index
        if epsilon > 0 and all(epsilon in shares[name].index for name in names)
    ]


def _num_more(answers: Mapping[str, pd.DataFrame], first: str, second: str, epsilon: float) -> int:
    """Pictures that are right under the first attack and not under the second."""
    return int((answers[first][epsilon] & ~answers[second][epsilon]).sum())
