"""The attacks by name, and the settings under which they are reported; nothing heavy is imported."""

import dataclasses
import importlib
from typing import Any

from bioattack.attacks.row_bounds import RowBounds
from bioattack.errors import InputError

NORMS = ("linf", "l2")
JUDGED = ("any", "last")

ATTACKS: dict[str, str] = {
    "fgsm": "bioattack.attacks.gradient_descent:FastGradientMethod",
    "bim": "bioattack.attacks.gradient_descent:BasicIterativeMethod",
    "pgd": "bioattack.attacks.gradient_descent:ProjectedGradientDescent",
    "mifgsm": "bioattack.attacks.gradient_descent:MomentumIterativeMethod",
    "apgd": "bioattack.attacks.apgd:AutoProjectedGradientDescent",
    "ssim-newton": "bioattack.attacks.ssim_newton:SsimNewtonAttack",
    "square": "bioattack.attacks.square:SquareAttack",
    "lagrangian": "bioattack.attacks.lagrangian:LagrangianAttack",
    "pgd-unbounded": "bioattack.attacks.lagrangian:UnboundedGradientDescent",
    "ppgd": "bioattack.attacks.ppgd:PerceptualGradientDescent",
    "lpa": "bioattack.attacks.lpa:LagrangianPerceptualAttack",
    "perc-al": "bioattack.attacks.perc_al:ColourAlternatingAttack",
}

#: Go by the logits alone, so that a model without a gradient will do.
GRADIENT_FREE_ATTACKS = frozenset({"square"})

#: Attack rows of a table too: they go by a gradient, and by a ball that may have bounds of its own.
ROW_ATTACKS = ("fgsm", "bim", "pgd", "mifgsm", "apgd")

#: What ``norm`` says of attacks that go by no distance at all.
NO_NORM = "none"

#: Names of ``bioattack.attacks.losses``, which cannot be asked without TensorFlow.
LOSS_NAMES = ("ce", "margin", "dlr", "dlr-targeted")


@dataclasses.dataclass(frozen=True)
class DistanceFacts:
    """What is known of an attack that goes by an image distance where others have the ball of a norm.

    Args:
        distance: Name of the distance unless another one is asked for; None where there is none.
        epsilons: Its radius in that distance unless others are asked for; empty where it keeps to none.
    """

    distance: str | None
    epsilons: tuple[float, ...] = ()


#: Their ``norm`` is the name of the distance, and what they return is judged, not each iterate.
DISTANCE_ATTACKS: dict[str, DistanceFacts] = {
    "lagrangian": DistanceFacts("ssim"),
    "pgd-unbounded": DistanceFacts(None),
    "ppgd": DistanceFacts("nptm", (0.5,)),
    "lpa": DistanceFacts("nptm", (0.5,)),
    "perc-al": DistanceFacts("ciede2000"),
}


@dataclasses.dataclass(frozen=True)
class AttackSettings:
    """How an iterated gradient attack is run and judged.

    Args:
        num_steps: Gradient steps, at least 1.
        relative_step: Length of a step as a fraction of epsilon, above 0.
        has_random_start: Whether it starts at a random point of the ball instead of at the image.
        judged: ``"any"``, where an image is fooled as soon as one iterate is, and stays there, or ``"last"``,
            where only the last iterate counts.
        loss: What is ascended: a name of ``bioattack.attacks.losses``.
        momentum: Weight of the gradients before, from 0 on; None for none.
        is_quantised: Whether the search goes over pictures of 8 bits per channel: what is saved then fools.
        is_targeted: Whether success is to reach a target, and not just to leave the true class.
        bounds: Of rows of a table what may be moved, and where to; None for pictures.

    Raises:
        InputError: If a number is out of range, ``judged`` is none of the two, or a search over pictures of
            8 bits is asked for on rows.
    """

    num_steps: int
    relative_step: float
    has_random_start: bool
    judged: str
    loss: str = "ce"
    momentum: float | None = None
    is_quantised: bool = False
    is_targeted: bool = False
    bounds: RowBounds | None = None

    @property
    def is_rounded(self) -> bool:
        """Whether what the model is shown, and judged by, is the iterate rounded to what can be saved."""
        return self.is_quantised or (self.bounds is not None and self.bounds.has_whole)

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.is_quantised and self.bounds is not None:
            raise InputError("rows of a table are not saved with 8 bits: leave out is_quantised (--quantise)")
        if self.num_steps < 1:
            raise InputError(f"num_steps must be at least 1. Received: num_steps={self.num_steps}")
        if not self.relative_step > 0:
            raise InputError(f"relative_step must be above 0. Received: relative_step={self.relative_step}")
        if self.judged not in JUDGED:
            raise InputError(f"judged must be one of {', '.join(JUDGED)}. Received: judged={self.judged!r}")


# paper: Foolbox 2's basic iterative method as Vuyyuru et al. 2020 and Burhanpurkar 2021 ran it.
# foolbox: the defaults of Foolbox 3's own projected gradient descent; a test holds them to it.
# fairness: Sooksatra and Rivas 2022 name PGD and leave its numbers open; these are ours.
PROTOCOLS: dict[str, dict[str, AttackSettings]] = {
    "paper": {
        "linf": AttackSettings(20, 1 / 3, has_random_start=False, judged="any"),
        "l2": AttackSettings(20, 1 / 3, has_random_start=False, judged="any"),
    },
    "foolbox": {
        "linf": AttackSettings(40, 0.01 / 0.3, has_random_start=True, judged="last"),
        "l2": AttackSettings(50, 0.025, has_random_start=True, judged="last"),
    },
    "fairness": {
        "linf": AttackSettings(40, 2.5 / 40, has_random_start=True, judged="any"),
        "l2": AttackSettings(40, 2.5 / 40, has_random_start=True, judged="any"),
    },
}


def find_attack(name: str) -> tuple[str, str | None]:
    """Splits ``"apgd-dlr"`` into the attack and its loss; the loss is None where none is named.

    Raises:
        InputError: If there is no such attack or loss.

    >>> find_attack("apgd-dlr"), find_attack("perc-al")
    (('apgd', 'dlr'), ('perc-al', None))
    """
    # Some attacks have a hyphen of their own.
    named = [attack for attack in ATTACKS if name == attack or name.startswith(f"{attack}-")]
    if not named:
        raise InputError(f"there is no attack {name!r}; there are {', '.join(ATTACKS)}")
    attack = max(named, key=len)
    if attack == name:
        return attack, None
    loss = name.removeprefix(f"{attack}-")
    if loss not in LOSS_NAMES:
        raise InputError(f"there is no loss {loss!r} for {attack}; there are {', '.join(LOSS_NAMES)}")
    return attack, loss


def attack_class(name: str) -> Any:
    """Loads the class of an attack."""
    module, _, class_name = ATTACKS[find_attack(name)[0]].partition(":")
    return getattr(importlib.import_module(module), class_name)
