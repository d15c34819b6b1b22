"""Measures clean and adversarial predictions, image by image, into the long table."""

import dataclasses
import gzip
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from bioattack.attacks.foolbox_bridge import AttackBatch, BridgedModel
from bioattack.attacks.registry import build_attack
from bioattack.classifier import Classifier
from bioattack.evaluation.config import EvaluatePlan, PlannedAttack
from bioattack.evaluation.examples import ExampleWriter, choose_examples
from bioattack.evaluation.results import COLUMNS, read_rows
from bioattack.files import remove_partials, replacing

Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures under test, read again from the start as often as needed.

    Args:
        batches: Starts one pass; each batch is a dict of NumPy arrays ``image`` (float32, [0, 1]), ``label``,
            ``image_id`` (text) and ``group_NAME`` (text) for each group. Every pass gives the same batches.
        num_images: In all.
        num_batches: In a pass.
        groups: Names of the groups.
    """

    batches: Callable[[], Iterable[Batch]]
    num_images: int
    num_batches: int
    groups: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns of the long table."""
        return [*COLUMNS, *self.groups]


@dataclasses.dataclass(frozen=True)
class _Unit:
    """One model under one attack, or none, at one epsilon: what one chunk per batch is kept of."""

    model: int
    attack: PlannedAttack | None = None
    epsilon: float = 0.0

    def __str__(self) -> str:
        return f"{self.attack.norm} {self.epsilon:g}" if self.attack else "clean"


class RobustnessMeasurement:
    """Measures models on pictures, chunk by chunk, so that it can be killed and started again.

    Args:
        classifiers: Checked already; their names are the table's.
        pictures: The pictures under test.
        plan: Attacks, seed and split.
        folder: Where chunks are kept until the table is whole.
    """

    def __init__(
        self, classifiers: Sequence[Classifier], pictures: Pictures, *, plan: EvaluatePlan, folder: Path
    ) -> None:
        self.classifiers = classifiers
        self.pictures = pictures
        self.plan = plan
        self.folder = folder
        self.clean_units = [_Unit(place) for place in range(len(classifiers))]
        self.attacked_units = [
            _Unit(place, attack, epsilon)
            for place in range(len(classifiers))
            for attack in plan.attacks
            for epsilon in attack.epsilons
        ]

    def run(self, *, examples: Path) -> None:
        """Measures what is not measured yet, with progress on standard error.

        Args:
            examples: Folder for the example pictures.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_partials(self.folder)
        total = self.pictures.num_images * (len(self.clean_units) + len(self.attacked_units))
        with tqdm(total=total, unit="image", disable=self.plan.config.quiet) as progress:
            for place, classifier in enumerate(self.classifiers):
                self._pass(classifier, [self.clean_units[place]], progress=progress)
            chosen = choose_examples(self.clean_results())
            for place, classifier in enumerate(self.classifiers):
                writer = ExampleWriter(examples, model=classifier.name, image_ids=chosen)
                units = [unit for unit in self.attacked_units if unit.model == place]
                self._pass(classifier, units, progress=progress, writer=writer)

    def clean_results(self) -> pd.DataFrame:
        """Reads the rows of the first model on the pictures as they are, once these are measured."""
        chunks = [self._read(self.clean_units[0], batch) for batch in range(self.pictures.num_batches)]
        return pd.concat(chunks, ignore_index=True)

    def write_table(self, path: Path) -> None:
        """Joins the chunks into the long table; equal chunks give equal bytes."""
        header = pd.DataFrame(columns=self.pictures.columns).to_csv(index=False, lineterminator="\n")
        with (
            replacing(path) as partial,
            partial.open("wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as table,
        ):
            table.write(header.encode())
            for unit in [*self.clean_units, *self.attacked_units]:
                for batch in range(self.pictures.num_batches):
                    table.write(self._chunk(unit, batch).read_bytes())

    def _chunk(self, unit: _Unit, batch: int) -> Path:
        attack = f"{unit.attack.name}-{unit.attack.norm}-{unit.epsilon!r}" if unit.attack else "clean"
        return self.folder / f"{unit.model:02d}-{attack}-{batch:06d}.csv"

    def _read(self, unit: _Unit, batch: int) -> pd.DataFrame:
        content = io.StringIO(self._chunk(unit, batch).read_text())
        return read_rows(content, columns=self.pictures.columns, has_header=False)

    def _pass(
        self,
        classifier: Classifier,
        units: Sequence[_Unit],
        *,
        progress: "tqdm[Any]",
        writer: ExampleWriter | None = None,
    ) -> None:
        """Goes through the pictures once and measures one model under the given units."""
        if all(
            self._chunk(unit, batch).exists() for unit in units for batch in range(self.pictures.num_batches)
        ):
            progress.update(self.pictures.num_images * len(units))
            return
        model = BridgedModel(classifier)
        for place, batch in enumerate(self.pictures.batches()):
            for unit in units:
                if not self._chunk(unit, place).exists():
                    progress.set_description(f"{classifier.name} {unit}")
                    rows = (
                        self._attacked_rows(model, unit, batch, place=place, writer=writer)
                        if unit.attack
                        else self._clean_rows(classifier, batch)
                    )
                    with replacing(self._chunk(unit, place)) as partial:
                        rows.to_csv(partial, index=False, header=False, lineterminator="\n")
                progress.update(len(batch["label"]))

    def _clean_rows(self, classifier: Classifier, batch: Batch) -> pd.DataFrame:
        start, labels = time.perf_counter(), np.asarray(batch["label"])
        logits = classifier.logits(batch["image"]).numpy()
        predicted, margin = logits.argmax(1), _margin(logits, labels)
        rows = {
            "image_id": batch["image_id"],
            "origin_id": batch["image_id"],
            "label": labels,
            "split": self.plan.config.split,
            "model": classifier.name,
            "attack": "none",
            "norm": "none",
            "epsilon": 0.0,
            "seed": self.plan.config.seed,
            "predicted_clean": predicted,
            "predicted_adversarial": predicted,
            "correct_clean": predicted == labels,
            "success": False,
            "success_8bit": False,
            "steps": 0,
            "seconds": (time.perf_counter() - start) / len(labels),
            "l1": 0.0,
            "l2": 0.0,
            "linf": 0.0,
            "margin_clean": margin,
            "margin_adversarial": margin,
            "judged": "none",
            "has_zero_gradient": False,
        } | {group: batch[f"group_{group}"] for group in self.pictures.groups}
        return pd.DataFrame(rows, columns=self.pictures.columns)

    def _attacked_rows(
        self, model: BridgedModel, unit: _Unit, batch: Batch, *, place: int, writer: ExampleWriter | None
    ) -> pd.DataFrame:
        if unit.attack is None:
            raise ValueError("unit must have an attack")
        rows = self._read(_Unit(unit.model), place)
        start, settings = time.perf_counter(), unit.attack.settings
        is_attacked = rows["correct_clean"].to_numpy()
        attack = build_attack(unit.attack.name, norm=unit.attack.norm, settings=settings)
        outcome = attack.attack(
            model,
            AttackBatch(batch["image"], batch["label"], list(batch["image_id"]), is_attacked),
            epsilon=unit.epsilon,
            seed=self.plan.config.seed,
        )
        seconds = time.perf_counter() - start
        rows = rows.assign(
            attack=unit.attack.name,
            norm=unit.attack.norm,
            epsilon=unit.epsilon,
            judged=settings.judged,
            steps=outcome.num_steps,
            seconds=np.where(is_attacked, seconds / max(1, is_attacked.sum()), 0.0),
            has_zero_gradient=outcome.has_zero_gradient,
            **_distances(outcome.adversarial_images, np.asarray(batch["image"])),
        )
        # Where nothing was attacked, the clean row's own prediction stands.
        moved = np.flatnonzero(is_attacked & (unit.epsilon > 0))
        labels = np.asarray(batch["label"])[moved]
        if len(moved):
            logits = outcome.logits[moved]
            rounded = np.round(outcome.adversarial_images[moved] * 255) / np.float32(255)
            predicted_8bit = model.classifier.logits(rounded).numpy().argmax(1)
            rows.loc[moved, "predicted_adversarial"] = logits.argmax(1)
            rows.loc[moved, "margin_adversarial"] = _margin(logits, labels)
            rows.loc[moved, "success"] = logits.argmax(1) != labels
            rows.loc[moved, "success_8bit"] = predicted_8bit != labels
        if writer is not None and unit.epsilon in example_epsilons(unit.attack.epsilons):
            writer.write(batch, outcome.adversarial_images, norm=unit.attack.norm, epsilon=unit.epsilon)
        return rows


def example_epsilons(epsilons: Sequence[float]) -> list[float]:
    """Chooses at which epsilons example pictures are saved: a third, two thirds of the way, and the largest.

    >>> example_epsilons((0.001, 0.005, 0.01, 0.02, 0.05, 0.1))
    [0.01, 0.02, 0.1]
    """
    last = len(epsilons) - 1
    return [epsilons[place] for place in sorted({(last + 1) // 3, (last + 2) // 2, last}) if place <= last]


def _margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logit of the true class minus the largest other one."""
    is_true = np.arange(logits.shape[1]) == labels[:, None]
    others = np.where(is_true, -np.inf, logits).max(1)
    return (logits[is_true] - others).astype(np.float32)


def _distances(adversarial_images: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
    difference = np.abs(adversarial_images.astype(np.float64) - images).reshape(len(images), -1)
    return {
        "l1": difference.sum(1),
        "l2": np.sqrt((difference**2).sum(1)),
        "linf": difference.max(1, initial=0.0),
    }
