"""What an attack is told; read without TensorFlow, so that ``--help`` and bad flags answer at once."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bioattack.attacks.registry import ATTACKS, JUDGED, ROW_ATTACKS, find_attack
from bioattack.attacks.request import (
    PIXEL_NORMS,
    PIXEL_UNIT,
    STEP_RULES,
    AttackRequest,
    FoolboxRequest,
    check_epsilon,
)
from bioattack.attacks.row_bounds import row_bounds
from bioattack.distances import DISTANCES
from bioattack.errors import InputError
from bioattack.evaluation.attack_distances import (
    KNOWN_TO,
    check_distance_flags,
    check_judges,
    goes_by_distance,
    has_radius,
    json_epsilons,
    option_files,
    parse_distance_options,
    requested,
    used_distances,
)
from bioattack.evaluation.config import (
    MeasureConfig,
    MeasurePlan,
    PlannedAttack,
    choose_probabilities,
    default_batch_size,
    holds_rows,
    order_notes,
    refuse_row_flags,
    two_digits,
)
from bioattack.evaluation.row_plan import check_row_epsilons, describe_bounds, row_batch_size
from bioattack.tfrecords_builder.table import Table

BALL_NORMS = ("linf", "l2", "rms", "l1")
SAVED = ("none", "png", "records")
WORST_CASE, FOOLBOX = "worst-case", "foolbox:"

# Strongest first, as AutoAttack's, with the classes and the norms that each needs.
_WORST_CASE = (
    ("apgd-ce", 2, BALL_NORMS),
    ("apgd-dlr-targeted", 3, BALL_NORMS),
    ("square", 2, ("linf", "l2", "rms")),
)

# What a request has for attacks that go by a distance.
_DISTANCE_FIELDS = (
    *("distance", "distance_options", "distance_weight", "confidence"),
    *("step_length", "step_rule"),
)

# In the L-infinity norm; for the others, what has the same root mean square.
_DEFAULT_EPSILONS = (1 / 255, 2 / 255, 4 / 255, 8 / 255)


@dataclasses.dataclass(frozen=True)
class AttackConfig(MeasureConfig):
    """Everything that decides an attack.

    Args:
        attack: One or several of fgsm, bim, pgd, mifgsm, apgd, square, with -LOSS for another loss (ce,
            margin, dlr, dlr-targeted) as in apgd-dlr; any attack class of Foolbox as foolbox:CLASS;
            worst-case for the union of apgd-ce, apgd-dlr-targeted and square (not in l1), each meeting only
            what withstood those before. Rows of a table are attacked by the first five of them, and by
            worst-case without square. By a distance instead of a norm go lagrangian and perc-al, which
            have no radius, and ppgd and lpa, whose epsilon is one of that distance; pgd-unbounded knows
            neither.
        norm: Norm of the ball; Foolbox's classes, and attacks that go by a distance, have their own.
        epsilons: Radii of the ball; a picture that fell at one counts as fallen at the larger ones. linf and
            rms: fractions of the pixel range (8/255 is 0.0314); l2 and l1: norms over the whole picture. By
            default 1/255, 2/255, 4/255 and 8/255 in linf, and the same root mean square in other norms; for
            rows of a table, in the attributes' own units, 10, 15 and 20.
        independent: Attack at every epsilon, also the pictures that fell at a smaller one.
        least_epsilon: Search, to this precision, the least epsilon at which each picture falls, up to the
            largest of the epsilons.
        steps: Gradient steps, or queries of square; each attack's own number unless given.
        relative_step: Length of a step as a fraction of epsilon; each attack's own unless given.
        random_start: Whether to start at a random point of the ball; as each attack does unless given.
        judged: A picture counts as fooled as soon as any iterate fools, or only if the last one does; any
            unless given.
        quantise: Search among pictures of 8 bits per channel, so that what is saved fools.
        restarts: Random starts, each met only by the pictures that withstood those before.
        target: Class (name or number) that every picture is to be taken for; otherwise any wrong one will do.
        draws: Calls over which a model that draws random numbers is averaged.
        foolbox_options: Arguments of the Foolbox class, as NAME=VALUE. Such a class gives nothing back before
            a whole batch is done, so that a killed run loses that much; --batch-size 8 loses less, but what
            the class finds can depend on the batch.
        distance: What lagrangian keeps small, ssim unless given.
        lambda_: What a unit of that distance costs lagrangian; 1 unless given.
        confidence: The lead of a wrong class over the true one, in logits, beyond which lagrangian and
            pgd-unbounded leave a picture alone; 0 unless given.
        step_size: Length of their steps, in L2 over the whole picture; 0.1 unless given.
        step_rule: Whether their steps are normalised to that length (as unless given), or are the gradient
            times it (raw), or of that size in every value (sign).
        judges: Distances to measure all attacked pictures with, a column of the table for each.
        distance_options: Arguments of distances, as DISTANCE.OPTION=VALUE, such as the file that holds the
            weights of one.
        figure: Draw this picture (its image_id, or "first" for the first one that a model gets right) under
            each attack at its largest epsilon, and under Foolbox's searches for the nearest picture at any.
        save: Keep the attacked pictures, one folder for each model, attack and epsilon: as png files, or as
            records that can be read like any others.
    """

    attack: tuple[str, ...] = ("pgd",)
    norm: str = dataclasses.field(default="linf", metadata={"choices": BALL_NORMS})
    epsilons: tuple[float, ...] = ()
    independent: bool = False
    least_epsilon: float | None = None
    steps: int | None = None
    relative_step: float | None = None
    random_start: bool | None = None
    judged: str | None = dataclasses.field(default=None, metadata={"choices": JUDGED})
    quantise: bool = False
    restarts: int = 1
    target: str | None = None
    draws: int = 1
    foolbox_options: tuple[str, ...] = ()
    distance: str | None = dataclasses.field(default=None, metadata={"choices": tuple(DISTANCES)})
    lambda_: float | None = None
    confidence: float | None = None
    step_size: float | None = None
    step_rule: str | None = dataclasses.field(default=None, metadata={"choices": STEP_RULES})
    judges: tuple[str, ...] = dataclasses.field(default=(), metadata={"choices": tuple(DISTANCES)})
    distance_options: tuple[str, ...] = ()
    figure: str | None = None
    save: str = dataclasses.field(default="none", metadata={"choices": SAVED})

    def __post_init__(self) -> None:
        """Refuses what cannot be, before anything is loaded.

        Raises:
            InputError: If something is out of range or unknown.
        """
        super().__post_init__()
        self._check_at_least_1("steps", "restarts", "draws")
        self._check_attacks()
        if self.relative_step is not None and not 0 < self.relative_step < math.inf:
            raise InputError(f"--relative-step must be above 0. Received: {self.relative_step:g}")
        # Foolbox's classes have norms of their own, and only Foolbox knows which.
        has_norm = not all(name.startswith(FOOLBOX) or goes_by_distance(name) for name in self.attack)
        for epsilon in self.epsilons:
            of_rows = 1 < epsilon < math.inf and holds_rows(self.data)
            _check_epsilon(epsilon, self.norm if has_norm and not of_rows else None)
        if self.epsilons and not any(has_radius(name) for name in self.attack):
            raise InputError(f"--epsilons: {self.attack[0]} keeps to no radius; leave them out")
        check_distance_flags(self.distance_flags(), self.attack)
        check_judges(self.judges)
        self.parsed_distance_options()
        self._check_foolbox()
        self._check_worst_case()
        self._check_least_epsilon()

    def distance_flags(self) -> dict[str, Any]:
        """The flags of attacks that go by a distance, None where they were not given."""
        return {name: getattr(self, name) for name in KNOWN_TO}

    def parsed_distance_options(self) -> dict[str, tuple[tuple[str, Any], ...]]:
        """The options of each distance that something goes by.

        Raises:
            InputError: If one is malformed or its distance not used.
        """
        used = used_distances(self.attack, self.judges, distance=self.distance)
        return parse_distance_options(self.distance_options, used=used)

    def _check_attacks(self) -> None:
        for name in self.attack:
            if name != WORST_CASE and not name.startswith(FOOLBOX):
                try:
                    find_attack(name)
                except InputError as error:
                    more = "" if "loss" in str(error) else f", {FOOLBOX}CLASS and {WORST_CASE}"
                    raise InputError(f"--attack: {error}{more}") from error
        if not self.attack or len(set(self.attack)) < len(self.attack):
            raise InputError("--attack: name at least one attack, and each once")
        if self.judged is not None and self.judged not in JUDGED:
            raise InputError(f"--judged must be one of {', '.join(JUDGED)}. Received: {self.judged!r}")

    def _check_foolbox(self) -> None:
        named = [name for name in self.attack if name.startswith(FOOLBOX)]
        if named:
            unfit = self._given("independent", "quantise", "restarts", "target", "draws")
            if len(named) == len(self.attack):
                unfit += self._given("steps", "relative_step", "random_start", "judged")
            if unfit:
                raise InputError(
                    f"--attack {named[0]}: Foolbox's attacks know nothing of {', '.join(unfit)}; leave that "
                    "out, or give what the class has of its own with --foolbox-options"
                )
        elif self.foolbox_options:
            raise InputError(f"--foolbox-options go with --attack {FOOLBOX}CLASS, and there is none")
        for option in self.foolbox_options:
            if "=" not in option:
                raise InputError(f"--foolbox-options are NAME=VALUE. Received: {option!r}")

    def _check_worst_case(self) -> None:
        unfit = self._given("relative_step", "random_start", "judged")
        if WORST_CASE in self.attack and unfit:
            raise InputError(
                f"--attack {WORST_CASE} runs each attack with its own step, start and judging: leave out "
                f"{', '.join(unfit)}"
            )
        if WORST_CASE in self.attack and self.independent:
            raise InputError(
                f"--attack {WORST_CASE} is a union, over attacks and over epsilons: leave out --independent"
            )

    def _check_least_epsilon(self) -> None:
        if self.least_epsilon is None:
            return
        if not 0 < self.least_epsilon < math.inf:
            raise InputError(f"--least-epsilon must be above 0. Received: {self.least_epsilon:g}")
        if self.independent:
            raise InputError("--least-epsilon tries its own epsilons: leave out --independent")
        if any(
            name == WORST_CASE or name.startswith(FOOLBOX) or goes_by_distance(name) for name in self.attack
        ):
            searched = [name for name in ATTACKS if not goes_by_distance(name)]
            raise InputError(
                f"--least-epsilon: search with one of {', '.join(searched)}; of worst-case, of Foolbox's "
                "attacks and of those that go by a distance there is no least epsilon to search"
            )

    def _given(self, *names: str) -> list[str]:
        """The flags among these that are not at their defaults."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) != defaults[name]]


def make_attack_plan(
    config: AttackConfig,
    *,
    image_shape: Sequence[int],
    class_names: Sequence[str],
    table: Table | None = None,
) -> MeasurePlan:
    """Makes the choices that the pictures' size and the classes decide.

    Args:
        config: What the user gave.
        image_shape: ``(height, width, channels)`` of the records; ``(features,)`` of rows of a table.
        class_names: Names of the classes, by label.
        table: The attributes of these.

    Raises:
        InputError: If the target is no class, an attack of Foolbox or its option is unknown, an epsilon is
            larger than any picture allows, epsilons of two norms are mixed up, or something is asked for
            that only pictures have, or only rows of a table.
    """
    if table is None:
        refuse_row_flags(config)
    else:
        _check_of_rows(config)
    attacks = tuple(
        _plan_attack(name, config, image_shape=image_shape, class_names=class_names, table=table)
        for name in config.attack
    )
    norms = list(dict.fromkeys(attack.norm for attack in attacks if attack.epsilons != (math.inf,)))
    if config.epsilons and len(norms) > 1:
        raise InputError(
            f"--epsilons mean one thing in {norms[0]} and another in {norms[1]} ({attacks[-1].name}): leave "
            "them out, or run attacks of different norms one by one"
        )
    of_rows = table is not None
    batch_size = row_batch_size(config) if of_rows else config.batch_size or default_batch_size(image_shape)
    probabilities = choose_probabilities(config, num_classes=len(class_names), of_rows=of_rows)
    own = {
        "attack": list(config.attack),
        "norm": config.norm,
        "epsilons": {attack.norm: json_epsilons(attack.epsilons) for attack in attacks},
        "foolbox_options": list(config.foolbox_options),
        "batch_size": batch_size,
    }
    names = ("independent", "least_epsilon", "steps", "relative_step", "random_start", "judged", "quantise")
    own |= {name: getattr(config, name) for name in (*names, "restarts", "target", "draws", "figure", "save")}
    # What was not given is left out, so that outputs from before there were such flags can be gone on with.
    own |= {name.strip("_"): value for name, value in config.distance_flags().items() if value is not None}
    lists = {"judges": list(config.judges), "distance_options": list(config.distance_options)}
    own |= {name: values for name, values in lists.items() if values}
    own |= {"perturb": config.perturb} if of_rows else {}
    own |= {"probabilities": probabilities} if probabilities != "none" else {}
    if files := option_files(config.distance_options):
        own["distance_files"] = files
    notes = order_notes({"--epsilons": config.epsilons})
    return MeasurePlan(
        config,
        attacks,
        batch_size,
        notes,
        config.shared_settings() | own,
        judges=config.judges,
        distance_options=config.parsed_distance_options(),
        probabilities=probabilities,
        num_classes=len(class_names),
        table=table,
    )


def _check_of_rows(config: AttackConfig) -> None:
    """Refuses what makes sense for pictures only.

    Raises:
        InputError: If it was asked for.
    """
    for name in config.attack:
        if name != WORST_CASE and (name.startswith(FOOLBOX) or find_attack(name)[0] not in ROW_ATTACKS):
            raise InputError(
                f"--attack {name} is for pictures; rows of a table are attacked by {', '.join(ROW_ATTACKS)} "
                f"and {WORST_CASE}"
            )
    if config.norm != "linf":
        raise InputError("--norm: rows of a table are attacked in linf, on the attributes' own scales")
    refused = {
        "--quantise": config.quantise,
        "--judges": bool(config.judges),
        "--figure": config.figure is not None,
        "--save png": config.save == "png",
    }
    for flag, is_given in refused.items():
        if is_given:
            raise InputError(f"{flag} is for pictures; leave it out for rows of a table")


def _plan_attack(
    name: str,
    config: AttackConfig,
    *,
    image_shape: Sequence[int],
    class_names: Sequence[str],
    table: Table | None,
) -> PlannedAttack:
    if name.startswith(FOOLBOX):
        return _plan_foolbox(name, config, image_shape)
    stages = [name]
    if name == WORST_CASE:
        stages = [
            stage
            for stage, least_classes, norms in _WORST_CASE
            if len(class_names) >= least_classes
            and config.norm in norms
            and (table is None or find_attack(stage)[0] in ROW_ATTACKS)
        ]
    own: dict[str, Any] = {}
    if goes_by_distance(name):
        own = requested(config.distance_flags(), name)
        used = used_distances((name,), (), distance=config.distance)
        options = config.parsed_distance_options()
        own["distance_options"] = tuple(pair for distance in used for pair in options.get(distance, ()))
        facts = AttackRequest(name, distance=own.get("distance"))
        norm = facts.norm
        epsilons = (tuple(sorted(set(config.epsilons))) if facts.has_radius else ()) or facts.epsilons
    elif table is not None:
        norm, epsilons = config.norm, check_row_epsilons(config.epsilons)
        own["bounds"] = row_bounds(table, perturb=config.perturb)
    else:
        norm, epsilons = config.norm, _epsilons(config, config.norm, image_shape)
    if config.least_epsilon is not None and config.least_epsilon >= epsilons[-1]:
        raise InputError(
            f"--least-epsilon is the precision, and must be below the largest of --epsilons ({epsilons[-1]:g}"
            f"). Received: {config.least_epsilon:g}"
        )
    requests = tuple(
        AttackRequest(
            stage,
            norm,
            epsilons,
            is_independent=config.independent,
            least_epsilon_width=config.least_epsilon,
            num_steps=config.steps,
            relative_step=config.relative_step,
            has_random_start=config.random_start,
            judged=config.judged,
            is_quantised=config.quantise,
            num_restarts=config.restarts,
            target=_target(config.target, class_names),
            num_draws=config.draws,
            **own,
        )
        for stage in stages
    )
    return PlannedAttack(name, norm, requests)


def _plan_foolbox(name: str, config: AttackConfig, image_shape: Sequence[int]) -> PlannedAttack:
    # Foolbox itself has to be asked which norm a class has; it is imported only if one is named.
    from bioattack.attacks.foolbox_names import attack_norm, build_foolbox_attack

    class_name = name.removeprefix(FOOLBOX)
    pairs = [option.partition("=") for option in config.foolbox_options]
    options = tuple((key, value) for key, _, value in pairs)
    norm = attack_norm(build_foolbox_attack(class_name, dict(options)))
    request = FoolboxRequest(class_name, options, norm, _epsilons(config, norm, image_shape))
    return PlannedAttack(name, norm, (request,))


def _epsilons(config: AttackConfig, norm: str, image_shape: Sequence[int]) -> tuple[float, ...]:
    """The radii in rising order; none is longer than what turns the whole picture from black to white."""
    num_values = math.prod(image_shape)
    largest = {"l2": math.sqrt(num_values), "l1": float(num_values), "l0": float(num_values)}.get(norm, 1.0)
    for epsilon in config.epsilons:
        _check_epsilon(epsilon, norm, image_shape, largest=largest)
    if config.epsilons:
        return tuple(sorted(set(config.epsilons)))
    if norm in PIXEL_NORMS:
        return _DEFAULT_EPSILONS
    return tuple(two_digits(epsilon * largest) for epsilon in _DEFAULT_EPSILONS)


def _check_epsilon(
    epsilon: float, norm: str | None, image_shape: Sequence[int] = (), *, largest: float = math.inf
) -> None:
    """Refuses what no epsilon can be in a norm, as far as the norm and the pictures' size are known."""
    hint = ""
    if norm in PIXEL_NORMS:
        largest = 1.0
        hint = f"in {norm} {PIXEL_UNIT}"
    elif image_shape:
        size = " x ".join(map(str, image_shape))
        hint = f"in {norm} turning {size} values from black to white takes no more"
    check_epsilon(epsilon, flag="--epsilons", largest=largest, hint=hint)


def _target(target: str | None, class_names: Sequence[str]) -> int | None:
    if target is None:
        return None
    if target in class_names:
        return list(class_names).index(target)
    if target.isdecimal() and int(target) < len(class_names):
        return int(target)
    names = ", ".join([*class_names[:5], *(["..."] if len(class_names) > 5 else [])])
    raise InputError(
        f"--target: there is no class {target!r}; give one of {names} or a number from 0 to "
        f"{len(class_names) - 1}"
    )


def describe_plan(plan: MeasurePlan) -> list[dict[str, Any]]:
    """Says of each attack what it is made of, for the summary and for ``--dry-run``."""
    return [
        {
            "attack": attack.name,
            "norm": attack.norm,
            "epsilons": json_epsilons(attack.epsilons),
            "judged": attack.judged,
            "stages": [_describe_stage(stage) for stage in attack.stages],
        }
        for attack in plan.attacks
    ]


def _describe_stage(stage: AttackRequest | FoolboxRequest) -> dict[str, Any]:
    described = {field.name: getattr(stage, field.name) for field in dataclasses.fields(stage)}
    described["epsilons"] = json_epsilons(stage.epsilons)
    described = describe_bounds(described)
    if isinstance(stage, AttackRequest) and stage.distance is not None:
        described["distance"] = stage.norm
    # What only attacks that go by a distance have is left out where it was not given.
    return {
        name: value
        for name, value in described.items()
        if name not in _DISTANCE_FIELDS or value not in (None, ())
    }
