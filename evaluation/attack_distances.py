"""What a command says of distances and of attacks that go by them; read without TensorFlow."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bioattack.attacks.registry import ATTACKS, DISTANCE_ATTACKS, find_attack
from bioattack.distances import DISTANCES
from bioattack.errors import InputError

#: The two attacks of which each knows ...
ITERATED: Final = ("lagrangian", "pgd-unbounded")

#: ... these flags; a distance and its weight the first alone.
KNOWN_TO: Final[Mapping[str, tuple[str, ...]]] = {
    "distance": ITERATED[:1],
    "lambda_": ITERATED[:1],
    "confidence": ITERATED,
    "step_size": ITERATED,
    "step_rule": ITERATED,
}

# The flags' names in an attack's request.
_REQUESTED: Final = {
    "distance": "distance",
    "lambda_": "distance_weight",
    "confidence": "confidence",
    "step_size": "step_length",
    "step_rule": "step_rule",
}


def attack_of(name: str) -> str | None:
    """Gives the attack of the registry that a name on the command line means, without its loss, if any.

    >>> attack_of("lagrangian-margin"), attack_of("worst-case")
    ('lagrangian', None)
    """
    return find_attack(name)[0] if any(name.startswith(attack) for attack in ATTACKS) else None


def goes_by_distance(name: str) -> bool:
    """Whether that attack goes by a distance, or none, and not by the ball of a norm."""
    return attack_of(name) in DISTANCE_ATTACKS


def has_radius(name: str) -> bool:
    """Whether epsilons mean something to that attack.

    >>> has_radius("pgd"), has_radius("ppgd"), has_radius("lagrangian")
    (True, True, False)
    """
    facts = DISTANCE_ATTACKS.get(attack_of(name) or "")
    return facts is None or bool(facts.epsilons)


def check_distance_flags(values: Mapping[str, Any], attacks: Sequence[str]) -> None:
    """Refuses values out of range, and flags that no attack knows.

    Args:
        values: By the names of ``KNOWN_TO``; None where a flag was not given.
        attacks: Names as given.

    Raises:
        InputError: If one is.
    """
    for name, value in values.items():
        if value is None:
            continue
        flag = f"--{name.strip('_').replace('_', '-')}"
        if not any(attack_of(attack) in KNOWN_TO[name] for attack in attacks):
            raise InputError(f"{flag} goes with --attack {' or '.join(KNOWN_TO[name])}, and there is none")
        if name in ("lambda_", "confidence") and not 0 <= value < math.inf:
            raise InputError(f"{flag} must be a number of at least 0. Received: {value:g}")
        if name == "step_size" and not 0 < value < math.inf:
            raise InputError(f"{flag} must be above 0. Received: {value:g}")
        if name == "distance":
            _check_known(value, flag=flag)


def requested(values: Mapping[str, Any], attack: str) -> dict[str, Any]:
    """Gives the flags that an attack knows, by their names in its request."""
    return {
        _REQUESTED[name]: value
        for name, value in values.items()
        if value is not None and attack_of(attack) in KNOWN_TO[name]
    }


def check_judges(judges: Sequence[str]) -> None:
    """Refuses distances to measure with that there are not, or that are named twice.

    Raises:
        InputError: If one is.
    """
    for name in judges:
        _check_known(name, flag="--judges")
    if len(set(judges)) < len(judges):
        raise InputError("--judges: name each distance once")


def parse_distance_options(
    options: Sequence[str], *, used: Sequence[str]
) -> dict[str, tuple[tuple[str, Any], ...]]:
    """Reads ``DISTANCE.OPTION=VALUE`` into the options of each distance.

    Args:
        options: As given.
        used: Names of the distances that something goes by, or is measured with.

    Returns:
        For each distance its options as ``(name, value)``; values that look like numbers or truth values
        are.

    Raises:
        InputError: If one is not of that form, or its distance is not used.

    >>> parse_distance_options(["lpips.trunk=a.npz", "pieapp.stride=6"], used=["lpips", "pieapp"])["pieapp"]
    (('stride', 6),)
    """
    found: dict[str, tuple[tuple[str, Any], ...]] = {}
    for option in options:
        key, equals, value = option.partition("=")
        distance, dot, name = key.rpartition(".")
        if not (equals and dot and name):
            raise InputError(
                f"--distance-options are DISTANCE.OPTION=VALUE, such as lpips.weights=heads.npz. Received: "
                f"{option!r}"
            )
        _check_known(distance, flag="--distance-options")
        if distance not in used:
            raise InputError(
                f"--distance-options: nothing goes by {distance}; it would go by "
                f"{', '.join(used) if used else 'a distance of --judges or of the attack'}"
            )
        found[distance] = (*found.get(distance, ()), (name, _value(value)))
    return found


def option_files(options: Sequence[str]) -> dict[str, str]:
    """Gives the SHA-256 of each file that options of distances name, by the option's ``DISTANCE.OPTION``.

    Args:
        options: As ``DISTANCE.OPTION=VALUE``.

    >>> option_files(["pieapp.stride=6"])
    {}
    """
    files = {key: Path(value) for key, _, value in (option.partition("=") for option in options)}
    return {
        key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in files.items() if path.is_file()
    }


def used_distances(attacks: Sequence[str], judges: Sequence[str], *, distance: str | None) -> list[str]:
    """Names the distances that attacks go by, and those that are measured with."""
    facts = {attack_of(name): DISTANCE_ATTACKS.get(attack_of(name) or "") for name in attacks}
    own = [
        distance if distance and name in KNOWN_TO["distance"] else its.distance
        for name, its in facts.items()
        if its
    ]
    return list(dict.fromkeys([*filter(None, own), *judges]))


def json_epsilons(epsilons: Sequence[float]) -> list[float | None]:
    """The epsilons as JSON can hold them: None for an infinite one, which stands for no radius."""
    return [epsilon if math.isfinite(epsilon) else None for epsilon in epsilons]


def _check_known(distance: str, *, flag: str) -> None:
    if distance not in DISTANCES:
        raise InputError(f"{flag}: there is no distance {distance!r}; there are {', '.join(DISTANCES)}")


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
