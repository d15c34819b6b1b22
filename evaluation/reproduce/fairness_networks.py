"""The networks of the experiments on fairness: a standard one, and robust ones of every kind of training."""

import dataclasses
from pathlib import Path
from typing import Any

import keras

from bioattack.evaluation.reproduce.fairness_sizes import Sizes, Subject, sizes_of, subject_of
from bioattack.evaluation.reproduce.workplace import RUNS, Workplace
from bioattack.training.config import TrainConfig
from bioattack.training.options import LONGEST_WAY
from bioattack.training.run import train
from bioattack.training.run_folder import ADVERSARIAL, MODEL, read_finished_card

STANDARD, ROBUST = "standard", "robust"


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to be trained.

    Args:
        label: Its name in folders and tables.
        title: What reports call it.
        training: How it is trained.
        is_retrained: Whether it starts from the standard network's weights.
        defence: What stands in front of it; it is then the standard network itself.
        takes_rows: Whether rows of a table can be trained on in this way.
    """

    label: str
    title: str
    training: str
    is_retrained: bool = False
    defence: str | None = None
    takes_rows: bool = True


#: The two of the paper.
PAPER_NETWORKS = (
    Network(STANDARD, "standard", "standard"),
    Network(ROBUST, "robust (merged)", "merged"),
)
#: What it leaves to others.
FURTHER_NETWORKS = (
    Network("retrained", "retrained (merged)", "merged", is_retrained=True),
    Network("pgd", "PGD", "pgd"),
    Network("trades", "TRADES", "trades"),
    Network("wasserstein", "Wasserstein", "wasserstein", takes_rows=False),
    Network("median", "standard behind a median", "standard", defence="median:3", takes_rows=False),
)


def networks_for(subject: Subject, *, with_further: bool) -> tuple[Network, ...]:
    """Lists the networks that can be trained on a kind of data, the paper's two first.

    Args:
        subject: The kind of data.
        with_further: Whether to take the paper's open question in.
    """
    networks = (*PAPER_NETWORKS, *(FURTHER_NETWORKS if with_further else ()))
    return tuple(network for network in networks if network.takes_rows or subject.name == "pictures")


def run_folder(workplace: Workplace, network: Network, seed: int, *, perturb: str | None = None) -> Path:
    """Returns where a network's run is, or will be; one behind a defence is the standard one."""
    label = STANDARD if network.defence else network.label
    is_moved = perturb is not None and network.training != "standard"
    moved = f"-{perturb}" if is_moved else ""
    return workplace.output / RUNS / f"fairness-{label}{moved}-seed-{seed}"


def train_networks(
    workplace: Workplace, networks: tuple[Network, ...], seed: int, *, perturb: str | None = None
) -> dict[str, Path]:
    """Trains networks, or goes on with it, unless they are trained; the standard one has to be the first.

    Args:
        workplace: Where the runs go.
        networks: What to train.
        seed: Of all of them.
        perturb: What of a row is moved in the adversarial examples that they learn from.

    Returns:
        The run folders by label.

    Raises:
        InputError: If the records are not such as the network takes.
    """
    runs = {}
    for network in networks:
        run = runs[network.label] = run_folder(workplace, network, seed, perturb=perturb)
        if not read_finished_card(run):
            workplace.say(f"training {run.name}")
            keras.utils.clear_session(free_memory=True)
            train(train_config(workplace, network, seed, perturb=perturb))
    return runs


def train_config(
    workplace: Workplace, network: Network, seed: int, *, perturb: str | None = None
) -> TrainConfig:
    """Says how a network is trained: Adam at a constant 1e-3, batches of 250, as the paper has it."""
    subject = subject_of(workplace.pictures)
    sizes = sizes_of(workplace.config, subject)
    standard, merged = (run_folder(workplace, each, seed, perturb=perturb) for each in PAPER_NETWORKS)
    options = _options(network, subject, sizes, standard=standard, perturb=perturb)
    if network.is_retrained:
        # What the standard network is trained on again is what the merged one learned from.
        options = {"dataset": str(merged / ADVERSARIAL)}
    return TrainConfig(
        model=subject.model,
        data=workplace.data,
        output=run_folder(workplace, network, seed, perturb=perturb),
        training=network.training,
        training_options=options,
        schedule="constant",
        epochs=sizes.epochs,
        batch_size=sizes.batch_size,
        seed=seed,
        limit=sizes.train_limit,
        balance=subject.is_balanced,
        initial_weights=standard / MODEL if network.is_retrained else None,
        quiet=workplace.config.quiet,
    )


def _options(
    network: Network, subject: Subject, sizes: Sizes, *, standard: Path, perturb: str | None
) -> dict[str, Any]:
    moved = {} if perturb is None else {"perturb": perturb}
    if network.training == "merged":
        facts = {"standard_model": str(standard), "epsilon": subject.training_epsilon}
        return facts | moved
    steps = {"num_steps": sizes.inner_steps}
    if network.training in ("pgd", "trades"):
        # So that the few steps can cross the ball, as those of the copies do.
        relative_step = LONGEST_WAY / sizes.inner_steps
        return {"epsilon": subject.training_epsilon, "relative_step": relative_step, **steps, **moved}
    return steps if network.training == "wasserstein" else {}
