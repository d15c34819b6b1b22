"""How large each preset makes the experiments on fairness, and what they do to pictures and to rows."""

import dataclasses
from typing import Any

from bioattack.attacks.registry import PROTOCOLS
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.tfrecords_builder.reading import Records

_PROTOCOL = PROTOCOLS["fairness"]["linf"]
ATTACK_STEPS, RELATIVE_STEP = _PROTOCOL.num_steps, _PROTOCOL.relative_step


@dataclasses.dataclass(frozen=True)
class Subject:
    """A kind of data, as the paper has two.

    Args:
        name: ``"pictures"`` or ``"rows"``.
        model: The network.
        is_balanced: Whether the rarer class is repeated until the classes are level.
        training_epsilon: L-infinity radius of the adversarial examples that the robust networks learn from.
        epsilons: Radii of the tables.
        largest_epsilon: Up to where the least radius that fools is searched.
        precision: Of that search.
        perturbs: What of a row an attack moves, each another experiment; ``None`` for pictures.
    """

    name: str
    model: str
    is_balanced: bool
    training_epsilon: float
    epsilons: tuple[float, ...]
    largest_epsilon: float
    precision: float
    perturbs: tuple[str | None, ...] = (None,)


#: Sooksatra and Rivas 2022, section IV: CIFAR-10 with pixels in [0, 1], Adult with attributes as they are.
PICTURES = Subject("pictures", "small_cnn", False, 0.01, (0.01, 0.012, 0.014), 0.1, 1e-4)
ROWS = Subject("rows", "adult_mlp", True, 10.0, (10.0, 15.0, 20.0), 1000.0, 0.5, ("valid", "all"))


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is trained and attacked.

    Args:
        image_size: Side of the pictures where they are drawn.
        num_train: Training pictures where they are drawn.
        num_test: Test pictures where they are drawn.
        epochs: Of training.
        batch_size: Of training; the paper's.
        train_limit: Train on this many at most.
        test_limit: Test and attack this many at most.
        inner_steps: Of the attack inside every step of ``pgd``, ``trades`` and ``wasserstein`` training.
        num_left_out: Leave-one-out models.
        leave_one_out_epochs: Of their training.
        leave_one_out_limit: Training pictures of these.
        num_draws: Of every bootstrap and permutation test.
    """

    image_size: int = 32
    num_train: int = 2000
    num_test: int = 500
    epochs: int = 8
    batch_size: int = 250
    train_limit: int | None = None
    test_limit: int | None = None
    inner_steps: int = 3
    num_left_out: int = 4
    leave_one_out_epochs: int = 3
    leave_one_out_limit: int | None = None
    num_draws: int = 1000


SIZES = {
    "demo": Sizes(),
    "small": Sizes(
        epochs=20,
        num_left_out=20,
        leave_one_out_epochs=5,
        leave_one_out_limit=10_000,
        num_draws=2000,
    ),
    "paper": Sizes(epochs=20, inner_steps=10, num_left_out=100, leave_one_out_epochs=20, num_draws=10_000),
}


def subject_of(records: Records) -> Subject:
    """Tells which of the paper's two experiments the records are for."""
    return PICTURES if records.table is None else ROWS


def sizes_of(config: ReproduceConfig, subject: Subject) -> Sizes:
    """Gives the preset's sizes with what replaces them; rows take so little time that all are taken.

    Args:
        config: The settings.
        subject: The kind of data.
    """
    sizes = SIZES[config.preset]
    changes: dict[str, Any] = {}
    if subject is ROWS and config.preset != "demo":
        paper = SIZES["paper"]
        changes |= {
            "inner_steps": paper.inner_steps,
            "num_left_out": paper.num_left_out,
            "leave_one_out_epochs": paper.leave_one_out_epochs,
            "leave_one_out_limit": paper.leave_one_out_limit,
        }
    if config.epochs is not None:
        changes |= {"epochs": config.epochs, "leave_one_out_epochs": config.epochs}
    if config.limit is not None:
        changes["test_limit"] = config.limit
    return dataclasses.replace(sizes, **changes)
