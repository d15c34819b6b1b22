"""What is asked of an attack, by name; nothing heavy is imported."""

import dataclasses
from typing import Any

from bioattack.attacks.registry import JUDGED, find_attack
from bioattack.errors import InputError


@dataclasses.dataclass(frozen=True)
class AttackRequest:
    """An attack with its norm, its epsilons and how hard it tries.

    Args:
        attack: Name in the registry, with ``-LOSS`` after it for another loss than its own: ``"pgd"``,
            ``"pgd-margin"``, ``"apgd-dlr-targeted"``.
        norm: ``"linf"``, ``"l2"``, ``"rms"`` or ``"l1"``.
        epsilons: Rising, at least 0; an image that fell at one counts as fallen at the larger ones.
        is_independent: Whether every epsilon is run even so.
        least_epsilon_width: To this precision the least epsilon of each image is searched, up to the largest
            of ``epsilons``; None for no search.
        num_steps: Moves; None for the attack's own number, as all that follow.
        relative_step: Length of a step as a fraction of epsilon.
        has_random_start: Whether it starts at a random point of the ball.
        judged: ``"any"`` iterate, or the ``"last"``.
        is_quantised: Whether the search goes over pictures of 8 bits per channel: what is saved then fools.
        num_restarts: Random starts, each met only by the images that withstood those before.
        target: Class to reach, for every image; None to leave the true class.
        num_draws: Calls over which logits and gradients are averaged, for models that draw random numbers.

    Raises:
        InputError: If something is out of range or unknown.
    """

    attack: str = "pgd"
    norm: str = "linf"
    epsilons: tuple[float, ...] = (8 / 255,)
    is_independent: bool = False
    least_epsilon_width: float | None = None
    num_steps: int | None = None
    relative_step: float | None = None
    has_random_start: bool | None = None
    judged: str | None = None
    is_quantised: bool = False
    num_restarts: int = 1
    target: int | None = None
    num_draws: int = 1

    def __post_init__(self) -> None:
        """Checks what needs no model."""
        find_attack(self.attack)
        object.__setattr__(self, "epsilons", tuple(float(epsilon) for epsilon in self.epsilons))
        if self.judged is not None and self.judged not in JUDGED:
            raise InputError(f"judged must be one of {', '.join(JUDGED)}. Received: judged={self.judged!r}")
        for name in ("num_steps", "num_restarts", "num_draws"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1. Received: {name}={value}")
        if self.target is not None and self.target < 0:
            raise InputError(f"target must be a class index. Received: target={self.target}")

    def overrides(self) -> dict[str, Any]:
        """Returns the settings that were given and replace the attack's own."""
        names = ("num_steps", "relative_step", "has_random_start", "judged")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        facts = {"is_quantised": self.is_quantised, "is_targeted": self.target is not None}
        return given | {name: True for name, holds in facts.items() if holds}


@dataclasses.dataclass(frozen=True)
class FoolboxRequest:
    """An attack class of Foolbox, by name.

    Args:
        class_name: Such as ``"L2CarliniWagnerAttack"``.
        options: Arguments of the class as ``(name, value)``, the values as text.
        norm: The norm of its ball.
        epsilons: Rising, at least 0.
    """

    class_name: str
    options: tuple[tuple[str, str], ...]
    norm: str
    epsilons: tuple[float, ...]
