"""What a training run is told; read without TensorFlow, so that ``--help`` and bad flags answer at once."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from bioattack.errors import InputError
from bioattack.models.registry import MODELS
from bioattack.training.options import read_training_options
from bioattack.training.registry import TRAININGS

MODEL_PRESETS = ("small", "paper")
SCHEDULES = ("short", "paper", "constant")

# (epochs, batch size) of Vuyyuru et al. 2020: those of ImageNet10 for all but the network made for CIFAR-10,
# alone or behind an eye.
_PAPER_LENGTHS = {"resnet20": (200, 128)}
_PAPER_LENGTH = (400, 64)
_SMALL_LENGTH = (12, 32)

_MOST_EPOCHS = 100_000
_LARGEST_BATCH = 65_536
_LARGEST_SEED = 2**31 - 1

# What does not change the result of a run, and so is neither stored with it nor compared.
_MANNERS = ("overwrite", "dry_run", "quiet", "json")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run.

    Args:
        model: Name of the network.
        data: Records folder with a split "train" and, for the accuracy, "test".
        output: Run folder to write; the same command goes on where a killed one stopped.
        training: How the network is trained.
        preset: Sizes: "small" learns in minutes on two cores, "paper" is the published network and length.
        model_options: Options of the network, as in --model-options.width 16.
        training_options: Options of --training, as in --training-options.epsilon 0.0314; pgd has epsilon,
            num_steps, relative_step, has_random_start, norm and perturb; trades epsilon, num_steps,
            relative_step, beta, norm and perturb; wasserstein gamma, num_steps and is_clipped; merged
            standard_model, epsilon, num_steps, perturb and dataset; dro attack, distance, norm, epsilon,
            num_steps, step_length, confidence, distance_weight, rounds, samples, weighting, reference and
            dataset.
        schedule: Course of the learning rate: "short" warms up and falls along a cosine, "paper" falls in
            four steps, "constant" stays; the preset's own unless given.
        epochs: Passes over the training pictures, 0 to 100000; the preset's own unless given. 0 makes a run
            folder of the initial weights.
        batch_size: Pictures per step, 1 to 65536; the preset's own unless given.
        learning_rate: Largest learning rate of Adam, above 0 and at most 1; a network that learns where to
            look learns that at a tenth of it.
        seed: Reaches the initial weights, the order of the pictures and the augmentation; 0 to 2147483647.
        limit: Train on this many pictures only.
        leave_out: Train without the pictures of these names (image_id in a results table), whose absence
            changes nothing else: not the initial weights, not the order of the others.
        balance: Repeat pictures of rarer classes until all classes are level.
        initial_weights: Start from a .keras file, a .weights.h5 file or published weights in a .npz file.
        overwrite: Delete a run that is already in the output folder.
        dry_run: Say what would be done, and do nothing.
        quiet: No progress on standard error.
        json: Print the result as one JSON object.
    """

    model: str = dataclasses.field(metadata={"choices": tuple(MODELS)})
    data: Path
    output: Path
    training: str = dataclasses.field(default="standard", metadata={"choices": tuple(TRAININGS)})
    preset: str = dataclasses.field(default="small", metadata={"choices": MODEL_PRESETS})
    model_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    training_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    schedule: str | None = dataclasses.field(default=None, metadata={"choices": SCHEDULES})
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float = 1e-3
    seed: int = 0
    limit: int | None = None
    leave_out: tuple[str, ...] = ()
    balance: bool = False
    initial_weights: Path | None = None
    overwrite: bool = False
    dry_run: bool = False
    quiet: bool = False
    json: bool = False


@dataclasses.dataclass(frozen=True)
class TrainPlan:
    """A configuration whose every open choice has been made.

    Args:
        config: What the user gave.
        epochs: Passes over the training pictures.
        batch_size: Pictures per step.
        schedule: ``"short"``, ``"paper"`` or ``"constant"``.
        training_options: The settings of the way of training, an object of a class of
            ``bioattack.training.options``; None where it has none.
    """

    config: TrainConfig
    epochs: int
    batch_size: int
    schedule: str
    training_options: Any = None

    def training_settings(self) -> dict[str, Any]:
        """Returns every setting of the way of training by name, in plain types; none where it has none."""
        return {} if self.training_options is None else dataclasses.asdict(self.training_options)

    def settings(self) -> dict[str, Any]:
        """Returns what decides the result, in plain types: the content of ``config.toml``.

        Choices that are "none", and parts of the records that are not chosen, are left out.
        """
        resolved = dataclasses.asdict(self.config) | {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "schedule": self.schedule,
            "training_options": self.training_settings() or None,
            "leave_out": list(self.config.leave_out) or None,
            "balance": self.config.balance or None,
        }
        kept = {name: value for name, value in resolved.items() if name not in _MANNERS and value is not None}
        return {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}


def make_plan(config: TrainConfig) -> TrainPlan:
    """Checks the ranges of a configuration and fills in what its preset decides.

    Raises:
        InputError: If a value is out of range; the sentence names the flag.
    """
    _check_choice("--model", config.model, tuple(MODELS))
    _check_choice("--training", config.training, tuple(TRAININGS))
    _check_choice("--preset", config.preset, MODEL_PRESETS)
    epochs, batch_size = _SMALL_LENGTH
    if config.preset == "paper":
        network = str(config.model_options.get("backbone", config.model))
        epochs, batch_size = _PAPER_LENGTHS.get(network, _PAPER_LENGTH)
    plan = TrainPlan(
        config=config,
        epochs=epochs if config.epochs is None else config.epochs,
        batch_size=batch_size if config.batch_size is None else config.batch_size,
        schedule=config.schedule or ("paper" if config.preset == "paper" else "short"),
        training_options=read_training_options(config.training, config.training_options),
    )
    _check_choice("--schedule", plan.schedule, SCHEDULES)
    _check_whole("--epochs", plan.epochs, least=0, most=_MOST_EPOCHS)
    _check_whole("--batch-size", plan.batch_size, least=1, most=_LARGEST_BATCH)
    _check_whole("--seed", config.seed, least=0, most=_LARGEST_SEED)
    if config.limit is not None and config.limit < 1:
        raise InputError(f"--limit must be at least 1. Received: {config.limit}")
    if config.training == "dro" and (config.leave_out or config.balance):
        raise InputError("--training dro draws by its own weights: leave out --leave-out and --balance")
    for option, value in config.model_options.items():
        if value is None or isinstance(value, dict):
            raise InputError(f"--model-options.{option} must be a value. Received: {value!r}")
    if not (math.isfinite(config.learning_rate) and 0 < config.learning_rate <= 1):
        raise InputError(f"--learning-rate must be above 0 and at most 1. Received: {config.learning_rate}")
    return plan


def _check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{flag} must be one of {', '.join(choices)}. Received: {value!r}")


def _check_whole(flag: str, value: int, *, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InputError(f"{flag} must be between {least} and {most}. Received: {value}")


def to_toml(settings: dict[str, Any]) -> str:
    """Writes settings as TOML that ``--config`` reads back; tables come last, as TOML wants it.

    Args:
        settings: Text, numbers, booleans, lists of them, and dictionaries of those.
    """
    plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    lines = [f"{name} = {_toml_value(value)}" for name, value in plain.items()]
    for name, table in settings.items():
        if isinstance(table, dict) and table:
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {_toml_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    # A JSON string, number, boolean or list of these is also TOML, but for the numbers that are not finite
    # and for the one control character that JSON leaves as it is.
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value).replace("\x7f", "\\u007f")
