"""Measures clean and adversarial predictions, image by image, into the long table."""

import dataclasses
import gzip
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from tqdm import tqdm

from bioattack.attacks.request import AttackRequest, FoolboxRequest
from bioattack.attacks.run import make_engine
from bioattack.attacks.snapshot import restore_engine, save_engine
from bioattack.attacks.tasks import ImageResult
from bioattack.classifier import Classifier
from bioattack.evaluation import rows
from bioattack.evaluation.config import MeasurePlan, PlannedAttack
from bioattack.evaluation.judges import Judges
from bioattack.evaluation.results import COLUMNS, read_rows
from bioattack.files import remove_partials, replacing

# Between two looks at how far an attack of Foolbox is.
SHOW_SECONDS = 1.0
# What a killed run loses at most; a snapshot takes well below a second.
SNAPSHOT_SECONDS = 20.0

Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures under test, read again from the start as often as needed.

    Args:
        batches: Starts one pass; each batch is a dict of NumPy arrays ``image`` (float32, [0, 1]; rows of a
            table are ``(batch, features)`` on their own scales, and called pictures here), ``label``,
            ``image_id`` (text) and ``group_NAME`` (text) for each group. Every pass gives the same batches.
        num_images: In all.
        num_batches: In a pass.
        groups: Names of the groups.
    """

    batches: Callable[[], Iterable[Batch]]
    num_images: int
    num_batches: int
    groups: tuple[str, ...] = ()


class ImageWriter(Protocol):
    """Saves pictures of one model while they are at hand."""

    def write(
        self, batch: Batch, adversarial_images: np.ndarray, *, attack: str, norm: str, epsilon: float
    ) -> None:
        """Takes one batch under one attack at one epsilon."""


@dataclasses.dataclass(frozen=True)
class _Unit:
    """One model under one attack, or none."""

    model: int
    attack: PlannedAttack | None = None

    @property
    def epsilons(self) -> tuple[float, ...]:
        return self.attack.reported_epsilons if self.attack else (0.0,)

    @property
    def num_stages(self) -> int:
        return len(self.attack.stages) if self.attack else 1

    def file_name(self) -> str:
        if self.attack is None:
            return f"{self.model:02d}-clean"
        # A search ends at an epsilon that the same attack may be run at too.
        search = "-least" if self.attack.is_search else ""
        return f"{self.model:02d}-{self.attack.name.replace(':', '-')}-{self.attack.norm}{search}"


class RobustnessMeasurement:
    """Measures models on pictures, chunk by chunk, so that it can be killed and started again.

    Args:
        classifiers: Checked already; their names are the table's.
        pictures: The pictures under test.
        plan: Attacks, seed and split.
        folder: Where chunks are kept until the table is whole.
        judges: What attacked pictures are measured with beside the norms.
    """

    def __init__(
        self,
        classifiers: Sequence[Classifier],
        pictures: Pictures,
        *,
        plan: MeasurePlan,
        folder: Path,
        judges: Judges | None = None,
    ) -> None:
        self.classifiers = classifiers
        self.pictures = pictures
        self.plan = plan
        self.folder = folder
        self.judges = judges or Judges({}, image_shape=())
        self.columns = [*COLUMNS, *self.judges.names, *plan.probability_columns, *pictures.groups]
        self.clean_units = [_Unit(place) for place in range(len(classifiers))]
        self.attacked_units = [
            _Unit(place, attack) for place in range(len(classifiers)) for attack in plan.attacks
        ]

    def run(self, writers: Callable[[Classifier, pd.DataFrame], Sequence[ImageWriter]]) -> None:
        """Measures what is not measured yet, with progress on standard error.

        Args:
            writers: Gives, for a model and the first model's clean rows, what saves its pictures.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_partials(self.folder)
        num_passes = len(self.clean_units) + sum(unit.num_stages for unit in self.attacked_units)
        with tqdm(
            total=self.pictures.num_images * num_passes, unit="image", disable=self.plan.config.quiet
        ) as progress:
            for unit in self.clean_units:
                self._classify(unit, progress)
            clean = self.clean_results()
            for place, classifier in enumerate(self.classifiers):
                its_writers = writers(classifier, clean)
                for unit in self.attacked_units:
                    if unit.model == place:
                        self._attack(unit, its_writers, progress)

    def clean_results(self) -> pd.DataFrame:
        """Reads the rows of the first model on the pictures as they are, once these are measured."""
        return pd.concat(
            [self._read(self._chunk(self.clean_units[0], 0.0, place)) for place in self._places()],
            ignore_index=True,
        )

    def write_table(self, path: Path) -> None:
        """Joins the chunks into the long table; equal chunks give equal bytes."""
        header = pd.DataFrame(columns=self.columns).to_csv(index=False, lineterminator="\n")
        with (
            replacing(path) as partial,
            partial.open("wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as table,
        ):
            table.write(header.encode())
            for unit in [*self.clean_units, *self.attacked_units]:
                for epsilon in unit.epsilons:
                    for place in self._places():
                        table.write(self._chunk(unit, epsilon, place).read_bytes())

    def _places(self) -> range:
        return range(self.pictures.num_batches)

    def _chunk(self, unit: _Unit, epsilon: float, place: int, *, stage: int | None = None) -> Path:
        """The rows of one batch; those of the last stage are the unit's own."""
        earlier = "" if stage in (None, unit.num_stages - 1) else f"stage{stage}-"
        return self.folder / f"{unit.file_name()}-{epsilon!r}-{earlier}{place:06d}.csv"

    def _clean_logits(self, unit: _Unit, place: int) -> Path:
        return self.folder / f"{unit.model:02d}-clean-{place:06d}.npy"

    def _read(self, path: Path) -> pd.DataFrame:
        content = io.StringIO(path.read_text())
        return read_rows(content, columns=self.columns, has_header=False)

    def _write(self, path: Path, table: pd.DataFrame) -> None:
        with replacing(path) as partial:
            table.to_csv(partial, columns=self.columns, index=False, header=False, lineterminator="\n")

    def _facts(self, unit: _Unit) -> dict[str, Any]:
        """What is the same in all rows of a unit."""
        return {
            "split": self.plan.config.split,
            "model": self.classifiers[unit.model].name,
            "attack": unit.attack.name if unit.attack else "none",
            "norm": unit.attack.norm if unit.attack else "none",
            "seed": self.plan.config.seed,
            "judged": unit.attack.judged if unit.attack else "none",
        }

    # --- the pictures as they are ---

    def _classify(self, unit: _Unit, progress: "tqdm[Any]") -> None:
        done = [place for place in self._places() if self._chunk(unit, 0.0, place).exists()]
        if len(done) == self.pictures.num_batches:
            progress.update(self.pictures.num_images)
            return
        classifier = self.classifiers[unit.model]
        progress.set_description(f"{classifier.name} clean")
        for place, batch in enumerate(self.pictures.batches()):
            if place not in done:
                start = time.perf_counter()
                logits = classifier.logits(batch["image"]).numpy()
                seconds = (time.perf_counter() - start) / len(logits)
                with replacing(self._clean_logits(unit, place)) as partial, partial.open("wb") as file:
                    np.save(file, logits)
                table = rows.clean_rows(
                    batch,
                    logits,
                    seconds=seconds,
                    facts=self._facts(unit),
                    judges=self.judges.names,
                    probabilities=self.plan.probability_columns,
                )
                self._write(self._chunk(unit, 0.0, place), table)
            progress.update(len(batch["label"]))

    # --- the pictures attacked ---

    def _attack(self, unit: _Unit, writers: Sequence[ImageWriter], progress: "tqdm[Any]") -> None:
        if unit.attack is None:
            raise ValueError("unit must have an attack")
        classifier = self.classifiers[unit.model]
        progress.set_description(f"{classifier.name} {unit.attack.name} {unit.attack.norm}")
        for number, stage in enumerate(unit.attack.stages):
            if self._is_measured(unit, number):
                progress.update(self.pictures.num_images)
                continue
            done = 0
            for place, chunk in self._measured_chunks(unit, number, stage, progress):
                self._keep(unit, number, place, chunk, writers)
                # A run that was killed does not begin at the first.
                reached = min((place + 1) * self.plan.batch_size, self.pictures.num_images)
                progress.update(reached - done)
                done = reached
            progress.update(self.pictures.num_images - done)

    def _is_measured(self, unit: _Unit, stage: int) -> bool:
        return all(
            self._chunk(unit, epsilon, place, stage=stage).exists()
            for epsilon in unit.epsilons
            for place in self._places()
        )

    def _measured_chunks(
        self, unit: _Unit, stage: int, request: AttackRequest | FoolboxRequest, progress: "tqdm[Any]"
    ) -> Iterator[tuple[int, "_Chunk"]]:
        """Measures batch after batch, from where a killed run had got to."""
        if isinstance(request, FoolboxRequest):
            yield from self._foolbox_chunks(unit, request, progress)
            return
        snapshot = self.folder / f"{unit.file_name()}-stage{stage}.npz"
        engine = make_engine(
            self.classifiers[unit.model],
            request,
            num_classes=self._load_clean_logits(unit, 0).shape[1],
            batch_size=self.plan.batch_size,
            seed=self.plan.config.seed,
        )
        place = restore_engine(engine, snapshot)["num_chunks"] if snapshot.exists() else 0
        saved = time.monotonic()
        for results in engine.run(self._stream(unit, stage)):
            for start in range(0, len(results), self.plan.batch_size):
                some = results[start : start + self.plan.batch_size]
                is_search = request.least_epsilon_width is not None
                yield place, _Chunk.of_results(some, unit.epsilons, is_search=is_search)
                place += 1
            if time.monotonic() - saved >= SNAPSHOT_SECONDS:
                save_engine(engine, snapshot, note={"num_chunks": place})
                saved = time.monotonic()
        snapshot.unlink(missing_ok=True)

    def _stream(self, unit: _Unit, stage: int) -> Iterator[Batch]:
        """The pictures with what is known of them: the clean logits, and where they have fallen already."""
        for place, batch in enumerate(self.pictures.batches()):
            known = {"clean_logits": self._load_clean_logits(unit, place)}
            if stage:
                known["fallen_at"] = self._fallen_at(unit, stage - 1, place)
            yield {**batch, **known}

    def _fallen_at(self, unit: _Unit, stage: int, place: int) -> np.ndarray:
        """The least epsilon at which each picture has fallen for good: as saved with 8 bits, too."""
        fallen_at = np.full(len(self._load_clean_logits(unit, place)), math.inf)
        for epsilon in unit.epsilons:
            table = self._read(self._chunk(unit, epsilon, place, stage=stage))
            has_fallen = table["success"] & table["success_8bit"]
            fallen_at = np.where(has_fallen, np.minimum(fallen_at, epsilon), fallen_at)
        return fallen_at

    def _foolbox_chunks(
        self, unit: _Unit, request: FoolboxRequest, progress: "tqdm[Any]"
    ) -> Iterator[tuple[int, "_Chunk"]]:
        # Imported where it is used: Foolbox takes a while.
        from bioattack.evaluation.foolbox_batches import attack_batch

        for place, batch in enumerate(self.pictures.batches()):
            if any(not self._chunk(unit, epsilon, place).exists() for epsilon in unit.epsilons):
                logits = self._load_clean_logits(unit, place)
                attacked = attack_batch(
                    self.classifiers[unit.model],
                    batch,
                    request,
                    clean_logits=logits,
                    seed=self.plan.config.seed,
                    tell=_showing_calls(progress),
                )
                progress.set_postfix_str("", refresh=False)
                yield place, _Chunk(batch, logits, attacked)

    def _load_clean_logits(self, unit: _Unit, place: int) -> np.ndarray:
        return np.asarray(np.load(self._clean_logits(unit, place)))

    def _keep(
        self, unit: _Unit, stage: int, place: int, chunk: "_Chunk", writers: Sequence[ImageWriter]
    ) -> None:
        """Writes the rows of a batch; where an earlier stage has fooled a picture, its row stands."""
        if unit.attack is None:
            raise ValueError("unit must have an attack")
        known: tuple[np.ndarray, dict[str, np.ndarray]] | None = None
        for epsilon, attacked in zip(unit.epsilons, chunk.attacked, strict=True):
            judged = self.judges.measure(
                np.asarray(chunk.batch["image"]), attacked.adversarial_images, known=known
            )
            known = attacked.adversarial_images, judged
            table = rows.attacked_rows(
                chunk.batch,
                chunk.clean_logits,
                attacked,
                facts=self._facts(unit),
                target=unit.attack.target,
                judged=judged,
                probabilities=self.plan.probability_columns,
                has_probabilities=self.plan.probabilities == "all",
            )
            is_new = attacked.is_new
            if stage:
                before = self._read(self._chunk(unit, epsilon, place, stage=stage - 1))
                table, is_new = rows.better_rows(before, table, is_new=is_new)
            for writer in writers:
                writer.write(
                    {name: values[is_new] for name, values in chunk.batch.items()},
                    attacked.adversarial_images[is_new],
                    attack=unit.attack.name,
                    norm=unit.attack.norm,
                    epsilon=epsilon,
                )
            self._write(self._chunk(unit, epsilon, place, stage=stage), table)


def _showing_calls(progress: "tqdm[Any]") -> Callable[[int], None]:
    """Shows that an attack of Foolbox, which gives nothing back before a whole batch is done, is at work."""
    shown = time.monotonic()

    def tell(num_calls: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= SHOW_SECONDS:
            shown = time.monotonic()
            progress.set_postfix_str(f"calls of the model for this batch: {num_calls:,}")

    return tell


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """A batch of pictures under one attack, at all its epsilons."""

    batch: Batch
    clean_logits: np.ndarray
    attacked: list[rows.AttackedBatch]

    @classmethod
    def of_results(
        cls, results: Sequence[ImageResult], epsilons: Sequence[float], *, is_search: bool
    ) -> "_Chunk":
        batch, clean_logits = rows.batch_of(results)
        attacked = [
            rows.attacked_batch(results, place, epsilon=epsilon, is_search=is_search)
            for place, epsilon in enumerate(epsilons)
        ]
        return cls(batch, clean_logits, attacked)
