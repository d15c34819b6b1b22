"""The settings of ways of training that have some of their own; read without TensorFlow."""

import dataclasses
import math
from typing import Any

from bioattack.attacks.registry import ATTACKS, DISTANCE_ATTACKS, JUDGED
from bioattack.attacks.row_bounds import PERTURBED
from bioattack.distances.registry import DISTANCES
from bioattack.errors import InputError

NORMS = ("linf", "l2", "rms", "l1")
#: Steps of an attack in a ball that is made once are together so many epsilons long.
LONGEST_WAY = 2.5
WEIGHTINGS = ("both", "sampling", "loss")
REFERENCES = ("origin", "drawn")

# Options that are one of a few words; other texts are paths.
_CHOICES: dict[str, tuple[str, ...]] = {
    "norm": NORMS,
    "attack": tuple(ATTACKS),
    "distance": tuple(DISTANCES),
    "weighting": WEIGHTINGS,
    "reference": REFERENCES,
    "perturb": PERTURBED,
    "judged": JUDGED,
}

#: Attacks that can begin at another picture than the one from which distances are measured.
STARTING_ANYWHERE = ("lagrangian", "pgd-unbounded", "fgsm", "bim", "pgd", "mifgsm")

# Smallest value of an option, and whether that value itself is allowed.
_LEAST: dict[str, tuple[float, bool]] = {
    "epsilon": (0, True),
    "num_steps": (1, True),
    "relative_step": (0, False),
    "beta": (0, True),
    "gamma": (0, False),
    "confidence": (0, True),
    "distance_weight": (0, True),
    "step_length": (0, False),
    "rounds": (1, True),
    "samples": (0, True),
}

# Largest value of an option: of numbers that of float32, in which they are computed, of the others what a
# machine can count and hold.
_MOST: dict[str, float] = {"num_steps": 100_000, "rounds": 10_000, "samples": 1_000_000_000}
_LARGEST = 3e38


@dataclasses.dataclass(frozen=True)
class PgdOptions:
    """The attack inside ``--training pgd``.

    Args:
        epsilon: Radius of the ball, at least 0: of pictures in their unit, which is [0, 1], of rows of a
            table in the attributes' own units.
        num_steps: Steps of the attack in every step of training, at least 1.
        relative_step: Length of a step of the attack as a fraction of epsilon, above 0.
        has_random_start: Whether the attack starts at a random point of the ball, or at the picture.
        norm: ``"linf"``, ``"l2"``, ``"rms"`` or ``"l1"``; of rows of a table the first.
        perturb: Of rows of a table, whether only what leaves a row ``"valid"`` is moved, or ``"all"``.

    Source:
        Madry et al. 2018, CIFAR-10: seven steps of 2/255 in the ball of 8/255.
    """

    epsilon: float = 8 / 255
    num_steps: int = 7
    relative_step: float = 0.25
    has_random_start: bool = True
    norm: str = "linf"
    perturb: str = "valid"


@dataclasses.dataclass(frozen=True)
class TradesOptions:
    """The attack inside ``--training trades``, and what its success costs.

    Args:
        epsilon: Radius of the ball, at least 0: of pictures in their unit, which is [0, 1], of rows of a
            table in the attributes' own units.
        num_steps: Steps of the attack in every step of training, at least 1.
        relative_step: Length of a step of the attack as a fraction of epsilon, above 0.
        beta: Weight of the divergence between the answers to a picture and to the attacked one, at least 0.
        norm: ``"linf"``, ``"l2"``, ``"rms"`` or ``"l1"``; of rows of a table the first.
        perturb: Of rows of a table, whether only what leaves a row ``"valid"`` is moved, or ``"all"``.

    Source:
        Zhang et al. 2019, CIFAR-10: ten steps of 0.007 in the ball of 0.031; beta = 6.
    """

    epsilon: float = 0.031
    num_steps: int = 10
    relative_step: float = 0.007 / 0.031
    beta: float = 6.0
    norm: str = "linf"
    perturb: str = "valid"


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


@dataclasses.dataclass(frozen=True)
class DroOptions:
    """Distributionally robust training: the weighted adversarial dataset, and how it is learned.

    Args:
        attack: Any streamed attack of the registry.
        distance: What the attack keeps small, of ``lagrangian``, ``ppgd`` and ``lpa``. The cost that is
            reported is measured in it too, but of attacks in a ball, whose own norm it is.
        norm: Of attacks in a ball.
        epsilon: Radius of the ball, at least 0, in the unit of the pictures.
        num_steps: Steps of the attack at most, at least 1; the attack's own number where that is fixed.
        step_length: Length of a step of ``lagrangian`` and ``pgd-unbounded``, above 0; in a ball the steps
            are 2.5 epsilon / num_steps.
        confidence: By how much the best wrong logit must lead before a picture is left alone, at least 0.
        distance_weight: What a unit of the distance costs, at least 0: lambda.
        rounds: Rounds of the first algorithm, at least 1: T1.
        samples: Pictures drawn and attacked in a round; 0 for as many as there are clean ones: N.
        weighting: What a weight P does: ``"sampling"``: P decides what is drawn, ``"loss"``: the loss of what
            is drawn evenly is multiplied by P, or ``"both"``, as in print.
        reference: Whether the distance of an attack on a picture that was attacked before is that from the
            clean ``"origin"`` or from the picture as ``"drawn"``.
        dataset: Folder of an adversarial dataset that was made before, so that several models share one; with
            an empty one the run makes its own.

    Source:
        Hua et al. 2022, Algorithms 4.1 and 4.2, which leave most of these numbers open.
    """

    attack: str = "lagrangian"
    distance: str = "pieapp-mini"
    norm: str = "l2"
    epsilon: float = 1.0
    num_steps: int = 20
    step_length: float = 0.1
    confidence: float = 0.0
    distance_weight: float = 1.0
    rounds: int = 2
    samples: int = 0
    weighting: str = "both"
    reference: str = "origin"
    dataset: str = ""

    @property
    def is_proportional(self) -> bool:
        """Whether weights decide what is drawn."""
        return self.weighting != "loss"

    @property
    def is_loss_weighted(self) -> bool:
        """Whether weights multiply the loss."""
        return self.weighting != "sampling"


@dataclasses.dataclass(frozen=True)
class MergedOptions:
    """Training on clean pictures and on attacks on a standard model, made once.

    Args:
        standard_model: The model that is attacked: a run folder, a ``.keras`` file or a SavedModel folder;
            needed unless ``dataset`` is given.
        epsilon: Radius of the ball in the largest change, at least 0: of pictures in their unit, which is
            [0, 1], of rows of a table in the attributes' own units.
        num_steps: Steps of 2.5 epsilon / num_steps, at least 1.
        perturb: Of rows of a table, whether only what leaves a row ``"valid"`` is moved, or ``"all"``.
        judged: Which iterate becomes the copy: the ``"last"``, of every example, or the first of ``"any"``
            that is wrong; what is wrong already then comes twice as it is. Copies that go all the way show
            the gradient of their true class, and a model may learn to read it: it is then right more often
            on such examples of the standard model than on clean ones, and no harder to fool.
        dataset: Folder of such a dataset that was made before, so that several models share one; with an
            empty one the run makes its own.

    Source:
        Sooksatra and Rivas 2022, section III, which leaves the steps open.
    """

    standard_model: str = ""
    epsilon: float = 0.01
    num_steps: int = 40
    perturb: str = "valid"
    judged: str = "last"
    dataset: str = ""


TRAINING_OPTIONS: dict[str, type[Any]] = {
    "pgd": PgdOptions,
    "trades": TradesOptions,
    "wasserstein": WassersteinOptions,
    "dro": DroOptions,
    "merged": MergedOptions,
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
    if isinstance(options, DroOptions):
        _check_dro(options, given)
    if isinstance(options, MergedOptions) and not (options.standard_model or options.dataset):
        raise InputError(
            "--training-options.standard_model is needed: the model (a run folder, a .keras file or a"
            " SavedModel folder) whose attacked pictures --training merged learns from"
        )
    if isinstance(options, DroOptions) and options.norm == "linf" and options.epsilon > 1:
        # Other ways of training take rows of a table, too, and ask once they know whether it is one.
        raise InputError(
            "--training-options.epsilon is in the unit of the pictures, which is [0, 1]: 0.0314 for 8 of 255."
            f" Received: {options.epsilon:g}"
        )
    return options


def _check_dro(options: DroOptions, given: dict[str, Any]) -> None:
    if options.reference == "origin" and options.attack not in STARTING_ANYWHERE:
        raise InputError(
            f"--training-options.reference: {options.attack} starts at the picture that distances are"
            f" measured from; give reference drawn, or one of the attacks {', '.join(STARTING_ANYWHERE)}"
        )
    is_in_ball = options.attack not in DISTANCE_ATTACKS
    for name in ("distance",) if is_in_ball else ("norm", "epsilon"):
        # A config.toml holds them all, as they are unless given.
        if given.get(name, getattr(DroOptions, name)) != getattr(DroOptions, name):
            measure = "in the ball of norm and epsilon" if is_in_ball else "by a distance and no ball"
            raise InputError(
                f"--training-options.{name}: {options.attack} keeps pictures near {measure}; leave it out, or"
                " give another attack"
            )
    if is_in_ball and options.norm == "linf" and options.epsilon == 1:
        raise InputError(
            "--training-options.epsilon is needed with the norm linf: a ball of 1, the default, holds every"
            " picture; 0.0314 is 8 of 255"
        )


def _checked(name: str, value: Any, *, kind: type) -> Any:
    flag = f"--training-options.{name}"
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(f"{flag} must be true or false. Received: {value!r}")
        return value
    if kind is str:
        choices = _CHOICES.get(name)
        if not isinstance(value, str) or (choices is not None and value not in choices):
            what = f"one of {', '.join(choices)}" if choices is not None else "a path"
            raise InputError(f"{flag} must be {what}. Received: {value!r}")
        return value
    is_number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    least, is_allowed = _LEAST[name]
    most = _MOST.get(name, _LARGEST)
    is_too_low = not is_number or not math.isfinite(value) or value < least
    if is_too_low or value > most or (value == least and not is_allowed):
        what = "a whole number" if kind is int else "a number"
        bound = f"of at least {least}" if is_allowed else f"above {least}"
        bound += f" and at most {most:g}" if is_number and value > most else ""
        raise InputError(f"{flag} must be {what} {bound}. Received: {value!r}")
    return kind(value)
