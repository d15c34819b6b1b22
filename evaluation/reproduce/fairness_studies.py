"""Opens the studies of the experiments on fairness: their networks trained, those of rows side by side."""

import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.fairness_networks import (
    PAPER_NETWORKS,
    networks_for,
    run_folder,
    train_networks,
)
from bioattack.evaluation.reproduce.fairness_sizes import sizes_of, subject_of
from bioattack.evaluation.reproduce.fairness_study import Study
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.workers import run_tasks


@dataclasses.dataclass(frozen=True)
class _Share:
    """One study, and what will be asked of it.

    Args:
        config: What the user gave.
        data: The records.
        seed: Of the networks.
        perturb: What of a row is moved; None for pictures.
        with_further: Whether the networks of the paper's open question belong to it.
        asked: Of ``WHITE_BOX`` and ``LEAST`` what is measured.
    """

    config: ReproduceConfig
    data: Path
    seed: int
    perturb: str | None
    with_further: bool
    asked: tuple[str, ...]


def open_studies(
    workplace: Workplace, *, asked: Sequence[str] = (), with_further: bool = False
) -> list[Study]:
    """Trains the networks of every seed, and of every way to move rows, that are not trained yet.

    A network of rows keeps one core busy, hardly more: the studies of rows are trained, and attacked as will
    be asked, in a process each, as many at a time as there are cores.

    Args:
        workplace: Where they go.
        asked: Of ``WHITE_BOX`` and ``LEAST`` what will be asked of all networks.
        with_further: Whether to train those of the paper's open question, too.

    Raises:
        InputError: If the records are not such as the networks take.
    """
    subject = subject_of(workplace.pictures)
    shares = [
        _Share(workplace.config, workplace.data, seed, perturb, with_further, tuple(asked))
        for seed in workplace.config.all_seeds
        for perturb in subject.perturbs
    ]
    if subject.name == "rows" and len(shares) > 1:
        _work_side_by_side(workplace, shares)
    studies = [_study(workplace, share) for share in shares]
    for study in studies:
        train_networks(workplace, study.networks, study.seed, perturb=study.perturb)
    return studies


def _study(workplace: Workplace, share: _Share) -> Study:
    subject = subject_of(workplace.pictures)
    networks = networks_for(subject, with_further=share.with_further)
    runs = {
        network.label: run_folder(workplace, network, share.seed, perturb=share.perturb)
        for network in networks
    }
    sizes = sizes_of(workplace.config, subject)
    return Study(workplace, subject, sizes, share.seed, share.perturb, networks, runs)


def _work_side_by_side(workplace: Workplace, shares: Sequence[_Share]) -> None:
    """Does what is missing of the shares, in a process each if there are several."""
    waiting = [share for share in shares if not _study(workplace, share).is_measured(share.asked)]
    if not waiting:
        return
    for seed in dict.fromkeys(share.seed for share in waiting):
        # The shares of a seed have this network in common.
        train_networks(workplace, PAPER_NETWORKS[:1], seed)
    num_parts = sum(len(_study(workplace, share).networks) * (1 + len(share.asked)) for share in waiting)
    with tqdm(
        total=num_parts,
        desc="networks trained and attacked",
        file=sys.stderr,
        disable=workplace.config.quiet,
        mininterval=0,
    ) as bar:

        def tell(number: int) -> None:
            bar.update(number)

        for error in run_tasks(waiting, _work, num_workers=os.cpu_count() or 1, progress=tell):
            if error is not None:
                raise error


def _work(share: _Share, progress: Callable[[int], None]) -> Exception | None:
    """Trains and attacks the networks of a share; returns what is for the user to hear of."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    config = dataclasses.replace(share.config, quiet=True)
    workplace = Workplace(config, config.scale(), open_records(share.data))
    study = _study(workplace, share)
    try:
        for network in study.networks:
            train_networks(workplace, (network,), study.seed, perturb=study.perturb)
            progress(1)
        for what in share.asked:
            for network in study.networks:
                study.measure(what, network)
                progress(1)
    except (InputError, OSError) as error:
        return error
    return None
