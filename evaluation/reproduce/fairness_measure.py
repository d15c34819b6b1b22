"""Attacks the networks of the experiments on fairness, each measurement once in an output folder."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.row_bounds import row_bounds
from bioattack.attacks.run import make_engine
from bioattack.classifier import Classifier, load_classifier
from bioattack.defences import defend
from bioattack.evaluation.attack import attack
from bioattack.evaluation.attack_config import AttackConfig
from bioattack.evaluation.reproduce.fairness_sizes import (
    ATTACK_STEPS,
    RELATIVE_STEP,
    Subject,
    sizes_of,
    subject_of,
)
from bioattack.evaluation.reproduce.workplace import ATTACKS, MEASUREMENTS, Workplace
from bioattack.evaluation.rows import softmax
from bioattack.files import replacing

WHITE_BOX, LEAST = "white-box", "least"

_BATCH_SIZE = 500


@dataclasses.dataclass(frozen=True)
class Attacked:
    """A network to be attacked.

    Args:
        key: Of its measurements, such as ``"robust-seed-0"``.
        model: Its run folder, or a folder or file that is loaded like one.
        perturb: What of a row is moved; None for pictures.
        defence: What stands in front of it; attacks know of it.
    """

    key: str
    model: Path
    perturb: str | None = None
    defence: str | None = None

    @property
    def name(self) -> str:
        """Of its folders."""
        return self.key if self.perturb is None else f"{self.key}-{self.perturb}"


def white_box_folder(workplace: Workplace, attacked: Attacked) -> Path:
    """Attacks a network with its own gradient at the radii of the tables.

    Args:
        workplace: Where the results go.
        attacked: The network.

    Returns:
        The folder, with the long table of ``bioattack.evaluation.results``.
    """
    subject = subject_of(workplace.pictures)
    return _attack(workplace, attacked, WHITE_BOX, epsilons=subject.epsilons)


def least_epsilon_folder(workplace: Workplace, attacked: Attacked) -> Path:
    """Searches for every picture or row the least radius that fools.

    Args:
        workplace: Where the results go.
        attacked: The network.

    Returns:
        The folder, with the long table, in which ``epsilon_high`` is the least radius.
    """
    subject = subject_of(workplace.pictures)
    return _attack(
        workplace,
        attacked,
        LEAST,
        epsilons=(subject.largest_epsilon,),
        least_epsilon=subject.precision,
    )


def attack_folder(workplace: Workplace, attacked: Attacked, what: str) -> Path:
    """Returns where the results of an attack are, or will be.

    Args:
        workplace: Where the results go.
        attacked: The network.
        what: ``WHITE_BOX`` or ``LEAST``.
    """
    return workplace.output / ATTACKS / f"fairness-{what}-{attacked.name}"


def _attack(workplace: Workplace, attacked: Attacked, what: str, **settings: Any) -> Path:
    output = attack_folder(workplace, attacked, what)
    config = workplace.config
    if attacked.perturb is not None:
        settings["perturb"] = attacked.perturb
    attack(
        AttackConfig(
            model=(attacked.model,),
            data=workplace.data,
            output=output,
            steps=ATTACK_STEPS,
            relative_step=RELATIVE_STEP,
            random_start=True,
            judged="any",
            defence=attacked.defence,
            limit=sizes_of(config, subject_of(workplace.pictures)).test_limit,
            batch_size=_BATCH_SIZE,
            seed=config.seed,
            quiet=config.quiet,
            **settings,
        )
    )
    return output


def transfer(
    workplace: Workplace, standard: Attacked, networks: Sequence[Attacked]
) -> dict[str, pd.DataFrame]:
    """Shows networks the adversarial examples of another one, at the radius of training.

    Each goes all the way, also where the other network is wrong from the beginning, as in merged training.

    Args:
        workplace: Where the results go.
        standard: The network that is attacked, once for all.
        networks: Those that are shown what comes of it.

    Returns:
        For the name of each, one row for each picture: ``image_id, label, is_right``.
    """
    folder = workplace.output / MEASUREMENTS
    paths = {network.name: folder / f"fairness-transfer-{network.name}.csv" for network in networks}
    missing = [network for network in networks if not paths[network.name].is_file()]
    if missing:
        names = ", ".join(network.name for network in missing)
        workplace.say(f"adversarial examples of {standard.name} shown to {names}")
        folder.mkdir(exist_ok=True)
        for name, table in _transfer(workplace, standard, missing).items():
            with replacing(paths[name]) as partial:
                table.to_csv(partial, index=False, lineterminator="\n")
    return {name: pd.read_csv(path, dtype={"image_id": str}) for name, path in paths.items()}


def _transfer(
    workplace: Workplace, standard: Attacked, networks: Sequence[Attacked]
) -> dict[str, pd.DataFrame]:
    records = workplace.pictures
    subject = subject_of(records)
    limit = sizes_of(workplace.config, subject).test_limit
    request = _transfer_request(workplace, subject, perturb=standard.perturb)
    engine = make_engine(
        _load(standard),
        request,
        num_classes=records.num_classes,
        batch_size=_BATCH_SIZE,
        seed=workplace.config.seed,
        attacks_all=True,
    )
    others = {network.name: _load(network) for network in networks}
    batches = records.examples("test", batch_size=_BATCH_SIZE, limit=limit).as_numpy_iterator()
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in others}
    for results in filter(None, engine.run(_named(batches))):
        shown = np.stack([result.adversarial_image for result in results])
        labels = np.array([result.image.label for result in results])
        facts = {"image_id": [result.image.image_id for result in results], "label": labels}
        for name, other in others.items():
            is_right = other.logits(shown).numpy().argmax(1) == labels
            tables[name].append(pd.DataFrame(facts | {"is_right": is_right}))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}


def _load(attacked: Attacked) -> Classifier:
    """Loads a network with what stands in front of it."""
    classifier = load_classifier(attacked.model, name=attacked.key)
    return classifier if attacked.defence is None else defend(classifier, attacked.defence)


def _named(batches: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for batch in batches:
        yield {**batch, "image_id": [name.decode() for name in batch["image_id"]]}


def _transfer_request(workplace: Workplace, subject: Subject, *, perturb: str | None) -> AttackRequest:
    table = workplace.pictures.table
    return AttackRequest(
        "pgd",
        epsilons=(subject.training_epsilon,),
        num_steps=ATTACK_STEPS,
        relative_step=RELATIVE_STEP,
        has_random_start=True,
        judged="last",
        bounds=None if table is None or subject.name != "rows" else row_bounds(table, perturb=perturb or ""),
    )


def predictions(workplace: Workplace, attacked: Attacked) -> Path:
    """Classifies the test split as it is.

    Args:
        workplace: Where the results go.
        attacked: The network.

    Returns:
        A table with one row for each picture: ``image_id, label``, a column for each group, and the
        probabilities ``p0, p1, ...``.
    """
    path = workplace.output / MEASUREMENTS / f"fairness-answers-{attacked.key}.csv"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as partial:
            _predictions(workplace, attacked).to_csv(partial, index=False, lineterminator="\n")
    return path


def _predictions(workplace: Workplace, attacked: Attacked) -> pd.DataFrame:
    records = workplace.pictures
    classifier = _load(attacked)
    limit = sizes_of(workplace.config, subject_of(records)).test_limit
    tables = []
    for batch in records.examples("test", batch_size=_BATCH_SIZE, limit=limit).as_numpy_iterator():
        inputs = batch["image"] if "image" in batch else batch["features"]
        groups = {name: [value.decode() for value in batch[f"group_{name}"]] for name in records.groups}
        found = softmax(classifier.logits(inputs).numpy())
        probabilities = {f"p{label}": found[:, label] for label in range(found.shape[1])}
        ids = [name.decode() for name in batch["image_id"]]
        tables.append(pd.DataFrame({"image_id": ids, "label": batch["label"], **groups, **probabilities}))
    return pd.concat(tables, ignore_index=True)
