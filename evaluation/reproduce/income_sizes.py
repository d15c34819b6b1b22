"""How large each preset makes the experiments on accuracy and income."""

import dataclasses
from typing import Any

from bioattack.evaluation.reproduce.config import ReproduceConfig


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Everything that Algorithms 4.1 and 4.2 and the tests of slopes are run with.

    The paper gives no number of rounds, passes, samples, learning rate or batch size: these are ours.

    Args:
        image_size: Side of the pictures where they are drawn.
        num_train: Training pictures where they are drawn.
        num_test: Test pictures where they are drawn; accuracies by country are of these.
        bias: How much worse the drawn pictures of poor countries are, from 0 to 1.
        model: Name of the network in the registry.
        model_preset: Of the network, ``"small"`` or ``"paper"``.
        model_options: Of the network, in place of the preset's own.
        epochs: Of the pretrained network's training.
        batch_size: Of all training; 1 is Algorithms 4.1 and 4.2 as they are printed.
        learning_rate: Of Adam in the pretrained network's training and in both algorithms.
        rounds: T1 of Algorithm 4.1.
        samples: N of Algorithm 4.1; None for as many as there are training pictures.
        passes: T2 of Algorithm 4.2.
        num_models: Networks that Algorithm 4.2 trains from each dataset.
        jobs: Of these, trained at a time; None for as many as there are processor cores, at most 8.
        num_steps: Of the attacks, at most.
        confidence: By how much the wrong logit must lead before an attack ends: a of Algorithm 3.1.
        distance_weight: Lambda of Algorithm 3.1; the paper's 1 keeps short attacks from success where
            pieapp-mini stands in for PieAPP.
        weights: Values of lambda over which the transport cost is swept, rising.
        swept_samples: N of this sweep, in which T1 is 1.
        swept_steps: Of the attacks of this sweep.
        swept_step_length: Of these; a step has a fixed length, and with 0.1 no large lambda keeps a picture
            near.
        swept_confidence: a of this sweep; so large that no attack ends before its last step.
        known_biases: Biases of the drawn pictures on which the test is tested, rising from 0.
        attack_epsilon: Linf radius of the attack under which their accuracies are tested again.
        attack_steps: Of that attack.
        num_attacked: Test pictures that it meets; None for all.
        num_tables: Simulated tables of each check.
    """

    image_size: int = 64
    num_train: int = 1500
    num_test: int = 2400
    bias: float = 1.0
    model: str = "small_cnn"
    model_preset: str = "small"
    model_options: tuple[tuple[str, Any], ...] = ()
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    rounds: int = 2
    samples: int | None = 512
    passes: int = 2
    num_models: int = 5
    jobs: int | None = None
    num_steps: int = 20
    confidence: float = 0.0
    distance_weight: float = 0.1
    weights: tuple[float, ...] = (0.001, 0.01, 0.03, 0.1, 0.3)
    swept_samples: int = 48
    swept_steps: int = 40
    swept_step_length: float = 0.02
    swept_confidence: float = 1000.0
    known_biases: tuple[float, ...] = (0.0, 1.0)
    attack_epsilon: float = 0.005
    attack_steps: int = 5
    num_attacked: int | None = None
    num_tables: int = 200


SIZES = {
    "demo": Sizes(),
    "small": Sizes(
        model="resnet18",
        num_train=3000,
        num_test=3000,
        epochs=12,
        rounds=3,
        samples=2000,
        passes=3,
        num_models=10,
        swept_samples=500,
        swept_steps=100,
        attack_steps=20,
        num_tables=2000,
    ),
    "paper": Sizes(
        model="resnet18",
        num_train=3000,
        num_test=3000,
        model_preset="paper",
        epochs=90,
        batch_size=64,
        learning_rate=1e-4,
        rounds=5,
        samples=None,
        passes=5,
        num_models=50,
        num_steps=100,
        distance_weight=1.0,
        swept_samples=1000,
        swept_steps=100,
        attack_steps=20,
        num_tables=2000,
    ),
}


def sizes_of(config: ReproduceConfig) -> Sizes:
    """Gives the preset's sizes with what replaces them.

    ``--seeds`` above 1 is the number of networks, ``--epochs`` the length of the pretrained network's
    training, ``--limit`` caps N and the pictures that are attacked.

    Args:
        config: The settings.
    """
    sizes = SIZES[config.preset]
    changes: dict[str, Any] = {}
    if config.seeds > 1:
        changes["num_models"] = config.seeds
    if config.epochs is not None:
        changes["epochs"] = config.epochs
    if config.limit is not None:
        names = ("samples", "swept_samples", "num_attacked")
        changes |= {name: min(config.limit, getattr(sizes, name) or config.limit) for name in names}
    return dataclasses.replace(sizes, **changes)


def known_bias_sizes(config: ReproduceConfig) -> Sizes:
    """Gives the same for the check on drawn pictures, whose network is the demonstration's in all presets.

    Args:
        config: The settings.
    """
    sizes, demo = sizes_of(config), SIZES["demo"]
    same = ("image_size", "model", "model_preset", "model_options", "batch_size", "learning_rate")
    changes: dict[str, Any] = {name: getattr(demo, name) for name in same}
    return dataclasses.replace(sizes, **changes, epochs=config.epochs or demo.epochs)
