"""What a training of many models is told, and which models these are; read without TensorFlow."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from bioattack.errors import InputError
from bioattack.training.config import TrainConfig, make_plan

WAYS = ("published", "paired", "noise")
FULL = "full"

# As in run_folder, which starts TensorFlow.
_ADVERSARIAL = "adversarial_records"

_LARGEST_SEED = 2**31 - 1
_MOST_MODELS = 100_000
# Their options have a dataset of attacked pictures, which the first model makes and the others share.
_SHARING = ("merged", "dro")


@dataclasses.dataclass(frozen=True)
class ManyConfig(TrainConfig):
    """Everything that decides one training run, or those of many models.

    Args:
        models: Train so many models that differ in their seed alone, which is --seed, the next number, and so
            on; each has a run folder in the output folder, beside the tables models.csv and, where the
            records have countries, countries.csv.
        leave_one_out: Draw so many training pictures by --seed and train a model without each, beside one
            with all of them, in each of the --ways.
        ways: How those models differ from the one with all pictures; published in the seed and the missing
            picture, paired in the missing picture alone, noise in the seed alone.
        jobs: Models trained at a time, each by a process of its own with its share of the processor cores; as
            many as there are cores, and at most 8, unless given.
    """

    models: int | None = None
    leave_one_out: int | None = None
    ways: tuple[str, ...] = dataclasses.field(default=WAYS, metadata={"choices": WAYS})
    jobs: int | None = None

    @property
    def is_many(self) -> bool:
        """Whether there is more to train than one run."""
        return self.models is not None or self.leave_one_out is not None

    @property
    def num_jobs(self) -> int:
        """How many models are trained at a time."""
        return min(_MOST_JOBS, num_cores()) if self.jobs is None else self.jobs

    def single(self, **changes: Any) -> TrainConfig:
        """Returns the settings of one run.

        Args:
            **changes: Settings of it that differ.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(TrainConfig)}
        return TrainConfig(**fields | changes)


_MOST_JOBS = 8


def num_cores() -> int:
    """Counts the processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


@dataclasses.dataclass(frozen=True)
class Member:
    """One of many models.

    Args:
        name: Of its folder in the output folder.
        config: Its settings; its output is that folder.
    """

    name: str
    config: TrainConfig


def check_many(config: ManyConfig) -> None:
    """Checks all that can be checked without the records.

    Raises:
        InputError: If a value is out of range; the sentence names the flag.
    """
    make_plan(config.single())
    if config.models is not None and config.leave_one_out is not None:
        raise InputError("give --models or --leave-one-out, not both")
    for flag, value, most in (
        ("--models", config.models, _MOST_MODELS),
        ("--leave-one-out", config.leave_one_out, _MOST_MODELS),
        ("--jobs", config.jobs, 256),
    ):
        if value is not None and not 1 <= value <= most:
            raise InputError(f"{flag} must be between 1 and {most}. Received: {value}")
    if not config.ways or len(set(config.ways)) < len(config.ways):
        raise InputError(f"--ways takes one or more of {', '.join(WAYS)}, each once")
    last = config.seed + (config.models - 1 if config.models else config.leave_one_out or 0)
    if last > _LARGEST_SEED:
        raise InputError(
            f"--seed must leave room for the models' own seeds up to {_LARGEST_SEED}. Received: {last}"
        )
    if config.leave_one_out is not None and (config.leave_out or config.training == "dro"):
        odd = "--leave-out" if config.leave_out else "--training dro"
        raise InputError(
            f"--leave-one-out: the models that it trains cannot have {odd}; leave one of them out"
        )


def ensemble_members(config: ManyConfig) -> tuple[Member, ...]:
    """Lists models that differ in their seed, under names that end in it.

    Args:
        config: With ``models``.

    >>> from pathlib import Path
    >>> config = ManyConfig("small_cnn", Path("records"), Path("out"), seed=7, models=2)
    >>> [member.name for member in ensemble_members(config)]
    ['small_cnn-standard-seed-7', 'small_cnn-standard-seed-8']
    """
    stem = f"{config.model}-{config.training}-seed-"
    seeds = range(config.seed, config.seed + (config.models or 0))
    return _sharing(config, [(f"{stem}{seed}", {"seed": seed}) for seed in seeds])


def left_out_members(config: ManyConfig, left_out: Sequence[str]) -> tuple[Member, ...]:
    """Lists the model with all records, and for each record that is left out one model in each way.

    In the ways published and noise the models of one number have the same seed, so that they too differ in
    the missing record alone.

    Args:
        config: With ``leave_one_out``.
        left_out: Names of records.

    >>> from pathlib import Path
    >>> config = ManyConfig("small_cnn", Path("records"), Path("out"), leave_one_out=1)
    >>> [(member.name, member.config.seed, member.config.leave_out)
    ...  for member in left_out_members(config, ["a.png"])]  # doctest: +NORMALIZE_WHITESPACE
    [('full', 0, ()), ('published-000', 1, ('a.png',)), ('paired-000', 0, ('a.png',)),
     ('noise-000', 1, ())]
    """
    changes: list[tuple[str, dict[str, Any]]] = [(FULL, {})]
    for number, name in enumerate(left_out):
        of_way: dict[str, dict[str, Any]] = {
            "published": {"seed": config.seed + 1 + number, "leave_out": (name,)},
            "paired": {"leave_out": (name,)},
            "noise": {"seed": config.seed + 1 + number},
        }
        changes += [(member_name(way, number), of_way[way]) for way in WAYS if way in config.ways]
    return _sharing(config, changes)


def member_name(way: str, number: int) -> str:
    """Names the model without the so many-th of the drawn records.

    >>> member_name("paired", 7)
    'paired-007'
    """
    return f"{way}-{number:03d}"


def _sharing(config: ManyConfig, changes: Sequence[tuple[str, dict[str, Any]]]) -> tuple[Member, ...]:
    """Lets all models but the first use the attacked pictures that the first one makes, if it makes some."""
    first = config.output / changes[0][0]
    options = dict(config.training_options)
    if config.training in _SHARING and not options.get("dataset"):
        options["dataset"] = str(first / _ADVERSARIAL)
    return tuple(
        Member(
            name,
            config.single(
                output=config.output / name,
                training_options=config.training_options if config.output / name == first else options,
                **change,
            ),
        )
        for name, change in changes
    )
