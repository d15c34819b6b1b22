"""Opens the studies of the experiments on fairness: their networks trained and attacked side by side."""

import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.fairness_networks import (
    ROBUST,
    Network,
    networks_for,
    run_folder,
    train_networks,
)
from bioattack.evaluation.reproduce.fairness_sizes import sizes_of, subject_of
from bioattack.evaluation.reproduce.fairness_study import Study
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.workers import run_tasks
from bioattack.training.many import divide_processor
from bioattack.training.many_config import num_cores
from bioattack.training.run_folder import read_finished_card

_MOST_PROCESSES = 8


@dataclasses.dataclass(frozen=True)
class _Share:
    """Networks of one study that one process trains and attacks, one after the other.

    Args:
        config: What the user gave.
        data: The records.
        seed: Of the networks.
        perturb: What of a row is moved; None for pictures.
        networks: In the order in which they need each other.
        asked: Of ``WHITE_BOX`` and ``LEAST`` what is measured of them.
    """

    config: ReproduceConfig
    data: Path
    seed: int
    perturb: str | None
    networks: tuple[Network, ...]
    asked: tuple[str, ...]

    @property
    def num_parts(self) -> int:
        """How often its process tells that something is done."""
        return len(self.networks) * (1 + len(self.asked))

    def is_trained(self, workplace: Workplace) -> bool:
        """Tells whether all its networks are trained."""
        runs = (run_folder(workplace, network, self.seed, perturb=self.perturb) for network in self.networks)
        return all(read_finished_card(run) is not None for run in runs)

    def train(self, workplace: Workplace) -> None:
        """Trains those of its networks that are not trained."""
        train_networks(workplace, self.networks, self.seed, perturb=self.perturb)


def open_studies(
    workplace: Workplace, *, asked: Sequence[str] = (), with_further: bool = False
) -> list[Study]:
    """Trains the networks of every seed, and of every way to move rows, and attacks them as will be asked.

    As many at a time as there are cores, each in a process of its own with its share of them: a network of
    rows keeps one core busy, hardly more, and one of pictures leaves a fifth of two idle. One that would be
    trained beside attacks alone is trained before, on all cores.

    Args:
        workplace: Where they go.
        asked: Of ``WHITE_BOX`` and ``LEAST`` what will be asked of all networks.
        with_further: Whether to train those of the paper's open question, too.

    Raises:
        InputError: If the records are not such as the networks take.
    """
    subject = subject_of(workplace.pictures)
    networks = networks_for(subject, with_further=with_further)
    studies = [
        _study(workplace, networks, seed, perturb)
        for seed in workplace.config.all_seeds
        for perturb in subject.perturbs
    ]
    shares = [share for study in studies for share in _missing_shares(study, tuple(asked))]
    for seed in dict.fromkeys(share.seed for share in shares):
        # All others of the seed need this one, and those that move rows in another way have it in common.
        train_networks(workplace, networks[:1], seed)
    untrained = [share for share in shares if not share.is_trained(workplace)]
    if len(untrained) == 1:
        untrained[0].train(workplace)
    if shares:
        _work_side_by_side(shares)
    return studies


def _study(workplace: Workplace, networks: tuple[Network, ...], seed: int, perturb: str | None) -> Study:
    runs = {network.label: run_folder(workplace, network, seed, perturb=perturb) for network in networks}
    subject = subject_of(workplace.pictures)
    return Study(workplace, subject, sizes_of(workplace.config, subject), seed, perturb, networks, runs)


def _missing_shares(study: Study, asked: tuple[str, ...]) -> list[_Share]:
    workplace = study.workplace
    chains: dict[str, list[Network]] = {}
    for network in study.networks:
        # What is trained again learns from the copies that the merged network made.
        chains.setdefault(ROBUST if network.is_retrained else network.label, []).append(network)
    return [
        _Share(workplace.config, workplace.data, study.seed, study.perturb, tuple(chain), asked)
        for chain in chains.values()
        if not all(study.is_measured(network, asked) for network in chain)
    ]


def _work_side_by_side(shares: Sequence[_Share]) -> None:
    num_workers = min(len(shares), _MOST_PROCESSES, num_cores())
    divide_processor(num_workers)
    with tqdm(
        total=sum(share.num_parts for share in shares),
        desc="networks trained, and attacks on them",
        file=sys.stderr,
        disable=shares[0].config.quiet,
        mininterval=0,
    ) as bar:

        def tell(number: int) -> None:
            bar.update(number)

        for error in run_tasks(shares, _work, num_workers=num_workers, progress=tell):
            if error is not None:
                raise error


def _work(share: _Share, progress: Callable[[int], None]) -> Exception | None:
    """Trains and attacks the networks of a share; returns what is for the user to hear of."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    config = dataclasses.replace(share.config, quiet=True)
    workplace = Workplace(config, config.scale(), open_records(share.data))
    study = _study(workplace, share.networks, share.seed, share.perturb)
    try:
        for network in share.networks:
            train_networks(workplace, (network,), share.seed, perturb=share.perturb)
            progress(1)
            for what in share.asked:
                study.measure(what, network)
                progress(1)
    except (InputError, OSError) as error:
        return error
    return None
