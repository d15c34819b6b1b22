"""What an evaluation is told; read without TensorFlow, so that ``--help`` and bad flags answer at once."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bioattack.attacks.registry import (
    DISTANCE_ATTACKS,
    GRADIENT_FREE_ATTACKS,
    NORMS,
    PROTOCOLS,
    find_attack,
)
from bioattack.attacks.request import PIXEL_UNIT, AttackRequest, FoolboxRequest, check_epsilon
from bioattack.attacks.row_bounds import PERTURBED
from bioattack.defences import read_defence
from bioattack.errors import InputError
from bioattack.tfrecords_builder.manifest import MANIFEST_NAME
from bioattack.tfrecords_builder.table import Table

ATTACK = "pgd"
EPSILONS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
PROBABILITIES = ("none", "clean", "all")
# A column for each class: more make a table that nobody can read.
_MOST_PROBABILITIES = 100

# Images of 64 x 64 pixels whose gradient takes about a gigabyte in a ResNet-18.
_BATCH_PIXELS = 64 * 64 * 64
_LEAST_BATCH, _LARGEST_BATCH = 4, 64


@dataclasses.dataclass(frozen=True)
class MeasureConfig:
    """Which models are measured on which pictures, and where the results go.

    Args:
        model: A run folder, a .keras file or a SavedModel folder; give it several times to compare models on
            the same pictures.
        data: Records folder, made by bioattack-build-records.
        output: Folder to write; the same command goes on where a killed one stopped.
        split: Which part of the records.
        limit: Use this many pictures only, always the same ones.
        batch_size: Pictures per batch; by default as many, from 4 to 64, as have the pixels of 64 pictures
            of 64 x 64.
        seed: Random starts are drawn from it and each picture's name.
        outputs: What the models give; of "probabilities" the logarithm is taken.
        input_range: Lowest and highest pixel value that the models themselves expect.
        defence: Put this in front of every model, for attacks that know of it: jpeg:QUALITY (1 to 100),
            bits:BITS per channel (1 to 8) or median:SIZE of the window (2 to 9).
        perturb: Of rows of a table what is moved: "valid": continuous attributes within their ranges, those
            that count something in whole numbers, categories never; "all": every attribute within its range
            as if it were a real number, the codes of categories too.
        probabilities: Keep the probability of every class as columns p0, p1, ..., on no rows of the results
            table, on those of the pictures as they are (clean), or on all of them; for at most 100 classes.
            Unless given: all where the records are rows of a table, none where they are pictures.
        overwrite: Delete what this command has left in the output folder before.
        dry_run: Load and check everything, say what would be done, and do nothing.
        quiet: No progress on standard error.
        json: Print the result as one JSON object.
    """

    model: tuple[Path, ...] = dataclasses.field(metadata={"repeat": True})
    data: Path
    output: Path
    split: str = "test"
    limit: int | None = None
    batch_size: int | None = None
    seed: int = 0
    outputs: str = dataclasses.field(default="logits", metadata={"choices": ("logits", "probabilities")})
    input_range: tuple[float, ...] = (0.0, 1.0)
    defence: str | None = None
    perturb: str = dataclasses.field(default="valid", metadata={"choices": PERTURBED})
    probabilities: str | None = dataclasses.field(default=None, metadata={"choices": PROBABILITIES})
    overwrite: bool = False
    dry_run: bool = False
    quiet: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        """Refuses numbers out of range before anything is loaded.

        Raises:
            InputError: If one is.
        """
        self._check_at_least_1("limit", "batch_size")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"--seed must be in 0 to 2147483647. Received: {self.seed}")
        if len(self.input_range) != 2 or not -math.inf < self.input_range[0] < self.input_range[1] < math.inf:
            received = " ".join(map(str, self.input_range))
            raise InputError(
                f"--input-range takes two numbers, the lower first, such as 0 255. Received: {received}"
            )
        if self.defence is not None:
            read_defence(self.defence)

    def _check_at_least_1(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} must be at least 1. Received: {value}")

    def shared_settings(self) -> dict[str, Any]:
        """Returns what of these decides the results, as it stands in ``summary.json``."""
        return {
            "model": [str(path) for path in self.model],
            "data": str(self.data),
            "split": self.split,
            "limit": self.limit,
            "seed": self.seed,
            "outputs": self.outputs,
            "input_range": list(self.input_range),
            # Absent without one, so that what was measured before there were any goes on.
            **({} if self.defence is None else {"defence": self.defence}),
        }


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(MeasureConfig):
    """Everything that decides an evaluation.

    Args:
        protocol: "paper": 20 steps of epsilon / 3 without random start, an image counts as fooled at any
            iterate; "foolbox": Foolbox's own defaults, random start, judged at the last iterate; "fairness":
            40 steps of epsilon / 16 from a random start, any iterate, which is also what "paper" means for
            rows of a table.
        norms: In which norms to attack; rows of a table in linf.
        epsilons: Linf budgets, fractions of the pixel range in [0, 1] (8/255 is 0.0314). For rows of a table
            in the attributes' own units, and 10, 15, 20 unless given.
        epsilons_l2: L2 budgets, norms over the whole picture; by default the Linf budgets times
            sqrt(height * width * channels), which is the same root mean square per pixel, in two digits.
        steps: Gradient steps; the protocol's unless given.
        independent: Attack at every epsilon, also the pictures that fell at a smaller one.
        least_epsilon: Search too, to this precision, the least Linf epsilon at which each picture falls, up
            to the largest of the budgets; for whole numbers 1 is exact.
        group_by: Compare the pictures of the groups of these columns (label, or those of the records such as
            race): a table and a figure for each, and a section of the report. What was measured is not
            measured again for it.
        audit: Afterwards ask of each model whether its gradient can be believed (random answers, zero or
            false gradients, attacks that are weaker where they should be stronger), and exit with 1 when a
            check does not hold. A model that is refused for what the audit finds, too (probabilities, NaN,
            no gradient), is audited alone and not measured. It takes as long as some 30,000 gradients of
            single pictures: half a minute for a small network, some minutes for a ResNet-20.
        audit_images: Pictures of the audit, the first of those under test.
    """

    protocol: str = dataclasses.field(default="paper", metadata={"choices": tuple(PROTOCOLS)})
    norms: tuple[str, ...] = dataclasses.field(default=NORMS, metadata={"choices": NORMS})
    epsilons: tuple[float, ...] = EPSILONS
    epsilons_l2: tuple[float, ...] = ()
    steps: int | None = None
    independent: bool = False
    least_epsilon: float | None = None
    group_by: tuple[str, ...] = ()
    audit: bool = False
    audit_images: int = 128

    def __post_init__(self) -> None:
        """Refuses numbers out of range before anything is loaded.

        Raises:
            InputError: If one is.
        """
        super().__post_init__()
        self._check_at_least_1("steps", "audit_images")
        for epsilon in self.epsilons:
            check_epsilon(
                epsilon,
                flag="--epsilons",
                largest=math.inf if 1 < epsilon < math.inf and holds_rows(self.data) else 1.0,
                hint=PIXEL_UNIT,
            )
        for epsilon in self.epsilons_l2:
            check_epsilon(epsilon, flag="--epsilons-l2", largest=math.inf, hint="")
        if self.least_epsilon is not None and not 0 < self.least_epsilon < math.inf:
            raise InputError(f"--least-epsilon must be above 0. Received: {self.least_epsilon:g}")
        if len(set(self.group_by)) < len(self.group_by):
            raise InputError("--group-by: name each column once")


@dataclasses.dataclass(frozen=True)
class PlannedAttack:
    """An attack, or a list of attacks of which each meets only the survivors, in one norm.

    Args:
        name: What the table calls it.
        norm: Norm of the ball, or the distance that the attack goes by.
        stages: The attacks, strongest first; all with the same norm and epsilons.
    """

    name: str
    norm: str
    stages: tuple[AttackRequest | FoolboxRequest, ...]

    @property
    def epsilons(self) -> tuple[float, ...]:
        """Rising, without repeats."""
        return self.stages[0].epsilons

    @property
    def reported_epsilons(self) -> tuple[float, ...]:
        """One for each set of rows: the largest alone where the least epsilon is searched."""
        return self.epsilons[-1:] if self.is_search else self.epsilons

    @property
    def is_search(self) -> bool:
        """Whether the least epsilon is searched."""
        first = self.stages[0]
        return isinstance(first, AttackRequest) and first.least_epsilon_width is not None

    @property
    def target(self) -> int | None:
        """The class that every picture is to be taken for, if there is one."""
        first = self.stages[0]
        return first.target if isinstance(first, AttackRequest) else None

    @property
    def needs_gradient(self) -> bool:
        """Whether a model without a gradient is to be refused; Foolbox's attacks see to that themselves."""
        return any(
            isinstance(stage, AttackRequest) and find_attack(stage.attack)[0] not in GRADIENT_FREE_ATTACKS
            for stage in self.stages
        )

    @property
    def judged(self) -> str:
        """``"any"`` or ``"last"`` iterate, or ``"returned"`` for the one image that an attack gives back."""
        first = self.stages[0]
        if not isinstance(first, AttackRequest) or find_attack(first.attack)[0] in DISTANCE_ATTACKS:
            return "returned"
        return first.judged or "any"


@dataclasses.dataclass(frozen=True)
class MeasurePlan:
    """A configuration whose every open choice has been made.

    Args:
        config: What the user gave.
        attacks: What is run on every model.
        batch_size: Pictures per batch.
        notes: What was understood in another way than it was written.
        settings: The settings as they stand in ``summary.json``; equal settings give equal results.
        judges: Names of the distances that attacked pictures are measured with.
        distance_options: Arguments of distances, by the names of these.
        probabilities: On which rows of the table the probabilities of the classes are kept.
        num_classes: How many classes there are, where that is to be known.
        table: Where rows of a table are attacked, their attributes.
    """

    config: MeasureConfig
    attacks: tuple[PlannedAttack, ...]
    batch_size: int
    notes: tuple[str, ...]
    settings: dict[str, Any]
    judges: tuple[str, ...] = ()
    distance_options: Mapping[str, tuple[tuple[str, Any], ...]] = dataclasses.field(default_factory=dict)
    probabilities: str = "none"
    num_classes: int = 0
    table: Table | None = None

    @property
    def probability_columns(self) -> tuple[str, ...]:
        """Names of the columns of probabilities, in the order of the classes."""
        if self.probabilities == "none":
            return ()
        return tuple(f"p{label}" for label in range(self.num_classes))


def holds_rows(data: Path) -> bool:
    """Tells, from its manifest alone, whether a records folder holds rows of a table; False if it is none."""
    try:
        return "table" in json.loads((Path(data) / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def choose_probabilities(config: MeasureConfig, *, num_classes: int, of_rows: bool) -> str:
    """Decides on which rows of the results the probabilities of the classes are kept.

    Raises:
        InputError: If there are more classes than columns make sense for.
    """
    chosen = config.probabilities or ("all" if of_rows and num_classes <= _MOST_PROBABILITIES else "none")
    if chosen != "none" and num_classes > _MOST_PROBABILITIES:
        raise InputError(
            f"--probabilities: {num_classes:,} classes are too many, for each has a column of the table; "
            f"leave it out where there are more than {_MOST_PROBABILITIES}"
        )
    return chosen


def make_plan(config: EvaluateConfig, *, image_shape: Sequence[int], num_classes: int = 0) -> MeasurePlan:
    """Makes the choices that the pictures' size and the protocol decide.

    Args:
        config: What the user gave.
        image_shape: ``(height, width, channels)`` of the records.
        num_classes: Of the records; needed only where probabilities are kept.

    Raises:
        InputError: If an L2 epsilon is longer than the whole pixel range, or something makes sense for rows
            of a table only.
    """
    refuse_row_flags(config)
    largest = math.sqrt(math.prod(image_shape))
    for epsilon in config.epsilons_l2:
        check_epsilon(
            epsilon,
            flag="--epsilons-l2",
            largest=largest,
            hint=f"turning {' x '.join(map(str, image_shape))} values from black to white takes no more",
        )
    wanted = {
        "linf": config.epsilons,
        "l2": config.epsilons_l2 or tuple(two_digits(epsilon * largest) for epsilon in config.epsilons),
    }
    requests = []
    for norm in dict.fromkeys(config.norms):
        settings = PROTOCOLS[config.protocol][norm]
        requests.append(
            AttackRequest(
                ATTACK,
                norm,
                tuple(sorted(set(wanted[norm]))),
                is_independent=config.independent,
                num_steps=config.steps or settings.num_steps,
                relative_step=settings.relative_step,
                has_random_start=settings.has_random_start,
                judged=settings.judged,
            )
        )
    given = {"--epsilons": config.epsilons, "--epsilons-l2": config.epsilons_l2}
    batch_size = config.batch_size or default_batch_size(image_shape)
    probabilities = choose_probabilities(config, num_classes=num_classes, of_rows=False)
    return MeasurePlan(
        config,
        planned_attacks(config, requests),
        batch_size,
        order_notes(given),
        made_settings(config, requests, batch_size=batch_size, probabilities=probabilities),
        probabilities=probabilities,
        num_classes=num_classes,
    )


def refuse_row_flags(config: MeasureConfig) -> None:
    """Refuses, for pictures, what makes sense for rows of a table only.

    Raises:
        InputError: If it was asked for.
    """
    if config.perturb != "valid":
        raise InputError(
            f"--perturb {config.perturb}: {config.data} holds pictures; it is for rows of a table"
        )


def planned_attacks(config: EvaluateConfig, requests: Sequence[AttackRequest]) -> tuple[PlannedAttack, ...]:
    """Gives the attacks at fixed epsilons and, if asked for, the search for the least one in Linf.

    Raises:
        InputError: If the search is to be more precise than it is long, or has no norm to search in.
    """
    attacks = [PlannedAttack(ATTACK, request.norm, (request,)) for request in requests]
    if config.least_epsilon is not None:
        searched = next((request for request in requests if request.norm == "linf"), None)
        if searched is None:
            raise InputError("--least-epsilon searches in linf, which --norms leaves out")
        largest = searched.epsilons[-1]
        if config.least_epsilon >= largest:
            raise InputError(
                "--least-epsilon is the precision, and must be below the largest of --epsilons "
                f"({largest:g}). Received: {config.least_epsilon:g}"
            )
        search = dataclasses.replace(searched, least_epsilon_width=config.least_epsilon, is_independent=False)
        attacks.append(PlannedAttack(ATTACK, "linf", (search,)))
    return tuple(attacks)


def made_settings(
    config: EvaluateConfig, requests: Sequence[AttackRequest], *, batch_size: int, probabilities: str
) -> dict[str, Any]:
    """Returns the settings as they stand in ``summary.json``."""
    settings = config.shared_settings() | {
        "protocol": config.protocol,
        "norms": [request.norm for request in requests],
        "epsilons": {request.norm: list(request.epsilons) for request in requests},
        "steps": {request.norm: request.num_steps for request in requests},
        "independent": config.independent,
        "batch_size": batch_size,
    }
    # What was not asked for is left out: outputs from before there were such flags can be gone on with.
    own = {"least_epsilon": config.least_epsilon, "probabilities": probabilities}
    return settings | {name: value for name, value in own.items() if value not in (None, "none")}


def order_notes(given: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """Says of each list of epsilons that was not in rising order that it is now."""
    return tuple(
        f"{flag} were put in rising order, without repeats: {' '.join(map(str, sorted(set(values))))}."
        for flag, values in given.items()
        if list(values) != sorted(set(values))
    )


def default_batch_size(image_shape: Sequence[int]) -> int:
    """Chooses, from 4 to 64, as many pictures as have the pixels of 64 pictures of 64 x 64."""
    batch = 2 ** round(math.log2(_BATCH_PIXELS / (image_shape[0] * image_shape[1])))
    return max(_LEAST_BATCH, min(_LARGEST_BATCH, batch))


def two_digits(value: float) -> float:
    """Rounds to two significant digits.

    >>> two_digits(0.11085)
    0.11
    """
    return float(f"{value:.2g}")
