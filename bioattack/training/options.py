"""The settings of ways of training that have some of their own; read without TensorFlow."""

import dataclasses
import math
from typing import Any

from bioattack.errors import InputError

NORMS = ("linf", "l2", "rms", "l1")

# Smallest value of an option, and whether that value itself is allowed.
_LEAST: dict[str, tuple[float, bool]] = {
    "epsilon": (0, True),
    "num_steps": (1, True),
    "relative_step": (0, False),
    "beta": (0, True),
    "gamma": (0, False),
}


@dataclasses.dataclass(frozen=True)
class PgdOptions:
    """The attack inside ``--training pgd``.

    Args:
        epsilon: Radius of the ball, at least 0, in the unit of the pictures, which is [0, 1].
        num_steps: Steps of the attack in every step of training, at least 1.
        relative_step: Length of a step of the attack as a fraction of epsilon, above 0.
        has_random_start: Whether the attack starts at a random point of the ball, or at the picture.
        norm: ``"linf"``, ``"l2"``, ``"rms"`` or ``"l1"``.

    Source:
        Madry et al. 2018, CIFAR-10: seven steps of 2/255 in the ball of 8/255.
    """

    epsilon: float = 8 / 255
    num_steps: int = 7
    relative_step: float = 0.25
    has_random_start: bool = True
    norm: str = "linf"


@dataclasses.dataclass(frozen=True)
class TradesOptions:
    """The attack inside ``--training trades``, and what its success costs.

    Args:
        epsilon: Radius of the ball, at least 0, in the unit of the pictures, which is [0, 1].
        num_steps: Steps of the attack in every step of training, at least 1.
        relative_step: Length of a step of the attack as a fraction of epsilon, above 0.
        beta: Weight of the divergence between the answers to a picture and to the attacked one, at least 0.
        norm: ``"linf"``, ``"l2"``, ``"rms"`` or ``"l1"``.

    Source:
        Zhang et al. 2019, CIFAR-10: ten steps of 0.007 in the ball of 0.031; beta = 6.
    """

    epsilon: float = 0.031
    num_steps: int = 10
    relative_step: float = 0.007 / 0.031
    beta: float = 6.0
    norm: str = "linf"


@dataclasses.dataclass(frozen=True)
class WassersteinOptions:
    """The ascent inside ``--training wasserstein``.

    Args:
        gamma: What a unit of squared Euclidean distance costs, above 0; the larger, the nearer pictures stay.
        num_steps: Steps after the first one, at least 1.
        is_clipped: Whether the moved pictures are brought back into [0, 1] after each step; the authors'
            are not, and the network then learns from values that no picture has.

    Source:
        Sinha et al. 2018; the authors' code for MNIST has 0.5 / gamma = 1.3 and 15 steps.
    """

    gamma: float = 0.5 / 1.3
    num_steps: int = 15
    is_clipped: bool = False


TRAINING_OPTIONS: dict[str, type[Any]] = {
    "pgd": PgdOptions,
    "trades": TradesOptions,
    "wasserstein": WassersteinOptions,
}


def read_training_options(training: str, given: dict[str, Any]) -> Any:
    """Makes the settings of a way of training from what the user gave.

    Args:
        training: Name of the way of training.
        given: Option -> value, as after ``--training-options``; the others have their defaults.

    Returns:
        An object of the class that ``TRAINING_OPTIONS`` names; None where there is none.

    Raises:
        InputError: If an option is of another way of training, of another type, or out of range.

    >>> read_training_options("pgd", {"num_steps": 3}).num_steps
    3
    """
    options_class = TRAINING_OPTIONS.get(training)
    if options_class is None:
        for name in given:
            raise InputError(
                f"--training-options.{name}: --training {training} has no options; leave it out, or give"
                f" --training {' or '.join(TRAINING_OPTIONS)}"
            )
        return None
    fields = {field.name: field for field in dataclasses.fields(options_class)}
    for name in given:
        if name not in fields:
            raise InputError(
                f"--training-options.{name} is no option of --training {training}; it has {', '.join(fields)}"
            )
    options = options_class(
        **{name: _checked(name, value, kind=type(fields[name].default)) for name, value in given.items()}
    )
    if getattr(options, "norm", None) == "linf" and options.epsilon > 1:
        raise InputError(
            "--training-options.epsilon is in the unit of the pictures, which is [0, 1]: 0.0314 for 8 of 255."
            f" Received: {options.epsilon:g}"
        )
    return options


def _checked(name: str, value: Any, *, kind: type) -> Any:
    flag = f"--training-options.{name}"
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(f"{flag} must be true or false. Received: {value!r}")
        return value
    if kind is str:
        if value not in NORMS:
            raise InputError(f"{flag} must be one of {', '.join(NORMS)}. Received: {value!r}")
        return value
    is_number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    least, is_allowed = _LEAST[name]
    if not is_number or not math.isfinite(value) or value < least or (value == least and not is_allowed):
        what = "a whole number" if kind is int else "a number"
        bound = f"of at least {least}" if is_allowed else f"above {least}"
        raise InputError(f"{flag} must be {what} {bound}. Received: {value!r}")
    return kind(value)
