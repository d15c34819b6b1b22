"""What is asked of an attack, by name; nothing heavy is imported."""

import dataclasses
import math
from typing import Any

from bioattack.attacks.registry import (
    DISTANCE_ATTACKS,
    JUDGED,
    NO_NORM,
    ROW_ATTACKS,
    DistanceFacts,
    find_attack,
)
from bioattack.attacks.row_bounds import RowBounds
from bioattack.errors import InputError

_EPSILONS = (8 / 255,)
STEP_RULES = ("normalised", "raw", "sign")

# In these norms an epsilon has the unit of a single value, however many there are.
PIXEL_NORMS = ("linf", "rms")
PIXEL_UNIT = "an epsilon is a fraction of the pixel range, and 8/255 is 0.0314"


@dataclasses.dataclass(frozen=True)
class AttackRequest:
    """An attack with its norm, its epsilons and how hard it tries.

    Args:
        attack: Name in the registry, with ``-LOSS`` after it for another loss than its own: ``"pgd"``,
            ``"pgd-margin"``, ``"apgd-dlr-targeted"``.
        norm: ``"linf"``, ``"l2"``, ``"rms"`` or ``"l1"``. Attacks that go by a distance have its name here
            (``registry.DISTANCE_ATTACKS``), whatever is given.
        epsilons: Rising, at least 0, of pictures in ``"linf"`` and ``"rms"`` at most 1 (8/255 is 0.0314); an
            image that fell at one counts as fallen at the larger ones. By default 8/255 or, of an attack
            that goes by a distance, its own radius: infinite for none.
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
        distance: Of ``lagrangian``, ``ppgd`` and ``lpa``: a name of ``bioattack.distances``, or a
            ``Distance``; None for the attack's own.
        distance_options: Arguments of that distance, as ``(name, value)``, such as ``("weights", path)``.
        distance_weight: What a unit of the distance costs, at least 0: the lambda of ``lagrangian``.
        confidence: By how much the best wrong logit must lead before an image is left alone, at least 0.
        step_length: Length of a step in the unit of the images, where there is no radius to measure it by.
        step_rule: ``"normalised"`` to that length in L2, ``"raw"`` (times the gradient) or ``"sign"``.
        bounds: Where rows of a table are attacked, what may be moved (``row_bounds``); epsilons are then in
            the attributes' own units, and only ``registry.ROW_ATTACKS`` know how, in ``"linf"``.

    Raises:
        InputError: If something is out of range or unknown.
    """

    attack: str = "pgd"
    norm: str = "linf"
    epsilons: tuple[float, ...] = _EPSILONS
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
    distance: Any = None
    distance_options: tuple[tuple[str, Any], ...] = ()
    distance_weight: float | None = None
    confidence: float | None = None
    step_length: float | None = None
    step_rule: str | None = None
    bounds: RowBounds | None = None

    def __post_init__(self) -> None:
        """Checks what needs no model."""
        name, _ = find_attack(self.attack)
        if self.bounds is not None and (name not in ROW_ATTACKS or self.norm != "linf"):
            raise InputError(
                f"rows of a table are attacked by {', '.join(ROW_ATTACKS)}, in linf. "
                f"Received: {name} in {self.norm}"
            )
        if name in DISTANCE_ATTACKS:
            self._go_by_distance(name, DISTANCE_ATTACKS[name])
        object.__setattr__(self, "epsilons", tuple(float(epsilon) for epsilon in self.epsilons))
        if self.bounds is None and name not in DISTANCE_ATTACKS and self.norm in PIXEL_NORMS:
            self._check_unit()
        self._check_numbers()

    @property
    def has_radius(self) -> bool:
        """Whether it keeps to a radius; attacks that go by a distance may have none."""
        name, _ = find_attack(self.attack)
        return name not in DISTANCE_ATTACKS or bool(DISTANCE_ATTACKS[name].epsilons)

    def _go_by_distance(self, name: str, facts: DistanceFacts) -> None:
        """Puts the distance in the norm's place, and the attack's own radius, or none, in that of epsilon."""
        distance = self.distance or facts.distance
        norm = distance if isinstance(distance, str) else getattr(distance, "name", NO_NORM)
        object.__setattr__(self, "norm", norm)
        # The default stands for any attack's own, which only the attack's name tells.
        if self.epsilons is _EPSILONS:
            object.__setattr__(self, "epsilons", facts.epsilons or (math.inf,))
        if not facts.epsilons and tuple(self.epsilons) != (math.inf,):
            raise InputError(f"{name} keeps to no radius: leave epsilons out")
        if self.least_epsilon_width is not None:
            raise InputError(
                f"{name} keeps to no ball of a norm, of which the least radius could be searched"
            )

    def _check_unit(self) -> None:
        """Refuses 8 where 8/255 is meant; what else is no epsilon the search says."""
        hint = f"in {self.norm} {PIXEL_UNIT}; rows of a table are attacked with bounds (row_bounds)"
        for epsilon in self.epsilons:
            if 1 < epsilon < math.inf:
                check_epsilon(epsilon, flag="epsilons", largest=1.0, hint=hint)

    def _check_numbers(self) -> None:
        if self.judged is not None and self.judged not in JUDGED:
            raise InputError(f"judged must be one of {', '.join(JUDGED)}. Received: judged={self.judged!r}")
        if self.step_rule is not None and self.step_rule not in STEP_RULES:
            raise InputError(
                f"step_rule must be one of {', '.join(STEP_RULES)}. Received: step_rule={self.step_rule!r}"
            )
        for name in ("num_steps", "num_restarts", "num_draws"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1. Received: {name}={value}")
        for name in ("distance_weight", "confidence"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"{name} must be a number of at least 0. Received: {name}={value}")
        if self.step_length is not None and not 0 < self.step_length < math.inf:
            raise InputError(f"step_length must be above 0. Received: step_length={self.step_length}")
        if self.target is not None and self.target < 0:
            raise InputError(f"target must be a class index. Received: target={self.target}")

    def overrides(self) -> dict[str, Any]:
        """Returns the settings that were given and replace the attack's own."""
        names = [
            *("num_steps", "relative_step", "has_random_start", "judged"),
            *("distance", "distance_weight", "confidence", "step_length", "step_rule"),
            "bounds",
        ]
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        facts = {"is_quantised": self.is_quantised, "is_targeted": self.target is not None}
        given |= {name: True for name, holds in facts.items() if holds}
        return given | ({"distance_options": self.distance_options} if self.distance_options else {})


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


def check_epsilon(epsilon: float, *, flag: str, largest: float, hint: str) -> None:
    """Refuses an epsilon below 0 or above the largest that makes sense.

    Raises:
        InputError: If it is.
    """
    if not 0 <= epsilon <= largest or math.isinf(epsilon):
        bound = f"in [0, {largest:.4g}]" if math.isfinite(largest) else "a number of at least 0"
        raise InputError(f"{flag} must be {bound}{': ' if hint else ''}{hint}. Received: {epsilon:g}")
