"""How large each preset makes the attacks that people cannot see."""

import dataclasses
from typing import Any

from bioattack.evaluation.reproduce.config import ReproduceConfig


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Pictures, and how hard every attack tries.

    Args:
        image_size: Side of the pictures in pixels, where they are drawn or cut from others.
        num_train: Training pictures that are drawn for the demonstration's network.
        num_test: Test pictures that are drawn.
        epochs: Of its training.
        num_pictures: How many our attack and PGD meet; None for all.
        num_rival_pictures: How many the slow rivals meet.
        num_steps: Of our attack and PGD: N.
        num_colour_steps: Of PerC_AL.
        num_ablated: Pictures of the ablations.
        num_adaptive: Pictures that are attacked through a defence.
        adaptive_defences: The defences that are attacked.
        digit_size: Side of the pictures of Figure 3.1 where they are drawn.
        digit_epochs: Of training on them.
        num_digits: Of them, how many test pictures are attacked.
    """

    image_size: int = 96
    num_train: int = 800
    num_test: int = 80
    epochs: int = 8
    num_pictures: int | None = 24
    num_rival_pictures: int | None = 12
    num_steps: int = 100
    num_colour_steps: int = 100
    num_ablated: int = 8
    num_adaptive: int = 8
    adaptive_defences: tuple[str, ...] = ("jpeg:75", "jpeg:30", "bits:3")
    digit_size: int = 28
    digit_epochs: int = 4
    num_digits: int = 100


SIZES = {
    "demo": Sizes(),
    "small": Sizes(
        image_size=299,
        num_pictures=80,
        num_rival_pictures=20,
        num_colour_steps=1000,
        num_ablated=20,
        num_adaptive=20,
        adaptive_defences=("jpeg:90", "jpeg:75", "jpeg:50", "jpeg:20", "bits:4", "bits:3", "bits:2"),
    ),
    "paper": Sizes(
        image_size=299,
        num_pictures=None,
        num_rival_pictures=None,
        num_colour_steps=1000,
        num_ablated=200,
        num_adaptive=200,
        adaptive_defences=("jpeg:90", "jpeg:75", "jpeg:50", "jpeg:20", "bits:4", "bits:3", "bits:2"),
        num_digits=1000,
    ),
}


def sizes_of(config: ReproduceConfig) -> Sizes:
    """Gives the preset's sizes, with at most as many pictures as ``--limit`` says."""
    sizes = SIZES[config.preset]
    changes: dict[str, Any] = {}
    if config.epochs is not None:
        changes |= {"epochs": config.epochs, "digit_epochs": config.epochs}
    if config.limit is not None:
        names = ("num_pictures", "num_rival_pictures", "num_ablated", "num_adaptive", "num_digits")
        changes |= {name: min(config.limit, getattr(sizes, name) or config.limit) for name in names}
    return dataclasses.replace(sizes, **changes)
