"""What a reproduction is told, and how large each preset makes it; read without TensorFlow."""

import dataclasses
from pathlib import Path
from typing import Any

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.registry import EXPERIMENTS

_MOST_SEEDS = 1000
_LARGEST_SEED = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is.

    Args:
        model_preset: Of the networks, ``"small"`` or ``"paper"``.
        image_size: Side of the pictures in pixels where no records say.
        epochs: Of training.
        batch_size: Of training.
        num_train: Training pictures that are drawn, or assumed where there are no records yet.
        num_test: Test pictures likewise.
        train_limit: Train on this many pictures at most.
        test_limit: Test and attack this many pictures at most.
        honest_limit: The same for the stronger attacks.
        num_restarts: Random starts of the strongest attack.
        epsilons: Linf budgets, fractions of the pixel range, rising.
        num_draws: Passes in which accuracy with random gazes is measured; calls over which an attack on
            random gazes averages.
    """

    model_preset: str = "small"
    image_size: int = 48
    epochs: int = 8
    batch_size: int = 32
    num_train: int = 1000
    num_test: int = 100
    train_limit: int | None = None
    test_limit: int | None = None
    honest_limit: int = 20
    num_restarts: int = 2
    epsilons: tuple[float, ...] = (0.001, 0.005, 0.01, 0.02, 0.05)
    num_draws: int = 10


# demo: drawn pictures, to see all of it in minutes; small: real pictures on two cores; paper: as published.
SCALES = {
    "demo": Scale(),
    "small": Scale(
        image_size=64,
        epochs=12,
        num_train=3000,
        num_test=500,
        train_limit=5000,
        test_limit=1000,
        honest_limit=100,
        num_restarts=3,
    ),
    "paper": Scale(
        model_preset="paper",
        image_size=320,
        epochs=400,
        batch_size=64,
        num_train=13000,
        num_test=500,
        honest_limit=500,
        num_restarts=5,
    ),
}


@dataclasses.dataclass(frozen=True)
class ReproduceConfig:
    """Everything that decides a reproduction.

    Args:
        name: The table or figure to make; listed below.
        output: Folder to write; the same command goes on where a killed one stopped, and other names find
            there what they share.
        preset: Sizes: demo (drawn pictures, minutes), small (records of real pictures, two cores), paper (as
            published; it takes a graphics processor).
        data: Records folder, made by bioattack-build-records; demo draws its own pictures without one. The
            attacks that people cannot see also take a .zip of ImageNet pictures with its list, a .csv of the
            same name, beside it.
        weights: Folder of published weights, for the attacks that people cannot see: of the network that is
            attacked (mobilenet_v2_imagenet.npz) and of the distances; docs/papers.md lists the files.
        saliency: SavedModel folder that maps where people look, in place of the classical default.
        seeds: From how many seeds each network is trained.
        seed: The first of them.
        models: Only these networks, by the names that a dry run lists.
        epochs: Passes over the training pictures; the preset's own unless given.
        limit: Test and attack this many pictures only, always the same ones.
        overwrite: Delete what this command has left in the output folder before.
        dry_run: Say what would be done and how long it would take here, and do nothing.
        quiet: No progress on standard error.
        json: Print the result as one JSON object.
    """

    name: str = dataclasses.field(metadata={"positional": True})
    output: Path
    preset: str = dataclasses.field(default="demo", metadata={"choices": tuple(SCALES)})
    data: Path | None = None
    weights: Path | None = None
    saliency: Path | None = None
    seeds: int = 1
    seed: int = 0
    models: tuple[str, ...] = ()
    epochs: int | None = None
    limit: int | None = None
    overwrite: bool = False
    dry_run: bool = False
    quiet: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        """Refuses what cannot be, before anything is loaded.

        Raises:
            InputError: If something is unknown or out of range.
        """
        if self.name not in EXPERIMENTS:
            raise InputError(f"there is no experiment {self.name!r}; there are {', '.join(EXPERIMENTS)}")
        if self.preset not in SCALES:
            raise InputError(f"--preset must be one of {', '.join(SCALES)}. Received: {self.preset!r}")
        if not 1 <= self.seeds <= _MOST_SEEDS:
            raise InputError(f"--seeds must be between 1 and {_MOST_SEEDS}. Received: {self.seeds}")
        if not 0 <= self.seed <= _LARGEST_SEED - self.seeds:
            raise InputError(f"--seed must be between 0 and 2147483646. Received: {self.seed}")
        for name in ("epochs", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} must be at least 1. Received: {value}")
        for name in ("weights", "saliency"):
            value = getattr(self, name)
            if value is not None and not value.is_dir():
                raise InputError(f"--{name}: {value} is not a folder")

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds, rising."""
        return tuple(range(self.seed, self.seed + self.seeds))

    def scale(self) -> Scale:
        """Gives the preset's sizes with what replaces them."""
        scale = SCALES[self.preset]
        changes: dict[str, Any] = {}
        if self.epochs is not None:
            changes["epochs"] = self.epochs
        if self.limit is not None:
            changes |= {"test_limit": self.limit, "honest_limit": min(self.limit, scale.honest_limit)}
        return dataclasses.replace(scale, **changes)
