"""The work of Algorithm 4.1, chunk by chunk: draw, learn, attack, append."""

import dataclasses
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from bioattack.errors import InputError
from bioattack.files import replacing
from bioattack.tfrecords_builder.attacked_records import (
    Provenance,
    attacked_record,
    clean_record,
    label_of,
    name_of,
)
from bioattack.tfrecords_builder.reading import Records
from bioattack.tfrecords_builder.weighted_reading import WeightedRecords, explain_damage
from bioattack.tfrecords_builder.weighted_shards import (
    INDEX_NAME,
    WeightedShard,
    save_index,
    writing_shard,
)
from bioattack.training.adversarial_folder import SCRATCH, SUMMARY, write_manifest
from bioattack.training.batch_attack import BatchAttack, cost_name
from bioattack.training.classifier_training import ClassifierTraining
from bioattack.training.config import TrainPlan
from bioattack.training.dataset_chunks import Chunk, ChunkNotes, count_classes, plan_chunks
from bioattack.training.dro_round import AttackedDraws, DrawnBatch, RoundDraws
from bioattack.training.dro_summary import SUMS, summarise
from bioattack.training.model_card import weights_sha256
from bioattack.training.options import DroOptions
from bioattack.training.state import EpochState, restore_newest, save_state

KIND = "dro"


def num_samples(options: DroOptions, *, num_clean: int) -> int:
    """Says how many pictures are drawn in a round."""
    return options.samples or num_clean


def make_attack(classifier: keras.Model, plan: TrainPlan, *, records: Records) -> BatchAttack:
    """Makes the attack of a plan.

    Args:
        classifier: The model that is being trained.
        plan: With ``DroOptions``.
        records: Clean records.

    Raises:
        InputError: If the attack or its distance does not fit the pictures.
    """
    return BatchAttack(
        classifier,
        plan.training_options,
        image_shape=records.input_shape,
        num_classes=records.num_classes,
        batch_size=plan.batch_size,
        seed=plan.config.seed,
    )


class DatasetMaker:
    """Makes the chunks of an adversarial dataset, one after the other, and what is read of them together.

    Args:
        classifier: The initial model; it has its initial weights again afterwards.
        plan: With ``DroOptions``.
        records: Clean records.
        folder: Of the dataset; it is there, and no other process writes into it.
        settings: All that decides the content, for the manifest.

    Raises:
        InputError: If the attack does not fit the pictures.
    """

    def __init__(
        self,
        classifier: keras.Model,
        plan: TrainPlan,
        *,
        records: Records,
        folder: Path,
        settings: dict[str, Any],
    ) -> None:
        self.plan, self.records, self.folder, self.settings = plan, records, folder, settings
        self.options: DroOptions = plan.training_options
        self.num_clean = min(records.num_examples("train"), plan.config.limit or sys.maxsize)
        self.num_samples = num_samples(self.options, num_clean=self.num_clean)
        self.num_batches = -(-self.num_samples // plan.batch_size)
        chunks = plan_chunks(
            num_clean=self.num_clean,
            num_batches=self.num_batches,
            rounds=self.options.rounds,
            batch_size=plan.batch_size,
        )
        self.notes = ChunkNotes(folder, folder / SCRATCH, chunks)
        self.notes.scratch.mkdir(exist_ok=True)
        # Loss and optimizer alone: how the pictures are attacked is the business of this module.
        self.training = ClassifierTraining(classifier, dataclasses.replace(plan, epochs=self.options.rounds))
        self.training.compile_for(steps_per_epoch=self.num_batches)
        self.attack = make_attack(classifier, plan, records=records)
        self.attack_text = json.dumps(
            {name: value for name, value in dataclasses.asdict(self.options).items() if name != "dataset"}
        )
        self.clean: Iterator[bytes] = iter(())
        self.draws: tuple[int, RoundDraws] | None = None

    def make(self) -> None:
        """Makes what is missing, and gives the classifier its weights back.

        Raises:
            InputError: If a shard is half-written, or the loss is not finite any more.
        """
        variables = self.training.classifier.variables
        initial = [np.array(variable) for variable in variables]
        is_quiet = self.plan.config.quiet
        try:
            num_done = self._restore()
            with tqdm(
                total=self.options.rounds * self.num_batches,
                desc="adversarial dataset",
                unit="batch",
                file=sys.stderr,
                disable=is_quiet,
                mininterval=0.2 if sys.stderr.isatty() else 60,
            ) as bar:
                for chunk in self.notes.chunks[:num_done]:
                    bar.update((chunk.stop - chunk.first) * (chunk.round > 0))
                for chunk in self.notes.chunks[num_done:]:
                    self._make_chunk(chunk, bar)
        finally:
            for variable, values in zip(variables, initial, strict=True):
                variable.assign(values)
        self._finish()

    def _restore(self) -> int:
        """Brings model and optimizer to where they were; returns how many chunks are done."""
        state = restore_newest(self.notes.scratch, variables=self.training.state_variables())
        if state is None:
            return 0
        self.attack.counts = [np.array(counts, np.int64) for counts in state.identity["counts"]]
        for chunk in self.notes.chunks[: state.epoch]:
            self.notes.read(chunk)
        return state.epoch

    def _make_chunk(self, chunk: Chunk, bar: Any) -> None:
        begin = time.perf_counter()
        path, scratch = self.notes.shard_path(chunk), self.notes.scratch
        with explain_damage(), writing_shard(path, number=chunk.number, scratch=scratch) as shard:
            labels, sums = (
                self._write_clean(chunk, shard) if not chunk.round else self._write_round(chunk, shard, bar)
            )
        sums["seconds"] = time.perf_counter() - begin
        self.notes.write(
            chunk,
            shard.entry(path.name),
            index=shard.index(),
            labels=labels,
            sums=sums,
        )
        is_last_clean = not chunk.round and self.notes.chunks[chunk.number + 1].round
        if chunk.round or is_last_clean:
            self._save(chunk.number + 1)

    def _save(self, num_done: int) -> None:
        counts = [counts.tolist() for counts in self.attack.counts]
        state = EpochState(epoch=num_done, history=(), identity={"counts": counts})
        save_state(self.notes.scratch, state, variables=self.training.state_variables())

    def _write_clean(self, chunk: Chunk, shard: WeightedShard) -> tuple[list[int], dict[str, float]]:
        if chunk.first == 0:
            stored = self.records.serialised("train", limit=self.plan.config.limit)
            self.clean = stored.as_numpy_iterator()
        labels = []
        some = itertools.islice(self.clean, chunk.stop - chunk.first)
        for place, record in enumerate(some, start=chunk.first):
            shard.append(clean_record(record), weight=1.0, origin=place)
            labels.append(label_of(record))
        return labels, {}

    def _write_round(
        self, chunk: Chunk, shard: WeightedShard, bar: Any
    ) -> tuple[list[int], dict[str, float]]:
        labels: list[int] = []
        sums = dict.fromkeys(SUMS, 0.0)
        size = self.plan.batch_size
        batches = self._draws(chunk.round).batches(chunk.first * size, chunk.stop * size, batch_size=size)
        for number, batch in enumerate(batches, start=chunk.first):
            self._learn(batch.images, batch.labels, batch.shares, step=number + 1)
            made = self._attack(batch, chunk.round, first=number * size + 1)
            self._append(shard, batch, made, round_number=chunk.round, step=number + 1)
            for name, value in made.sums().items():
                sums[name] += value
            labels += batch.labels.tolist()
            bar.update()
        return labels, sums

    def _draws(self, round_number: int) -> RoundDraws:
        """What a round draws from the dataset as it was when the round began; the same for all its chunks."""
        if self.draws is None or self.draws[0] != round_number:
            self.draws = round_number, self._draw(round_number)
        return self.draws[1]

    def _draw(self, round_number: int) -> RoundDraws:
        chunks = self.notes.chunks
        first = next(other.number for other in chunks if other.round == round_number)
        names = [self.notes.shard_path(other).name for other in chunks[:first]]
        index = self.notes.index_before(first)
        return RoundDraws(
            WeightedRecords(self.folder, names, index, self.records.input_shape),
            self.options,
            num_samples=self.num_samples,
            seeds=(self.plan.config.seed, round_number),
        )

    def _attack(self, batch: DrawnBatch, round_number: int, *, first: int) -> AttackedDraws:
        """Attacks a batch with the weights of this moment; ``first`` is its first picture's number."""
        names = [
            f"round-{round_number}/{first + row:06d}/{name_of(record)}"
            for row, record in enumerate(batch.records)
        ]
        is_from_origin = self.options.reference == "origin"
        references = batch.origins if is_from_origin else batch.images
        attacked = self.attack(batch.images, references, batch.labels, names)
        costs = self.attack.costs(batch.origins, attacked.images)
        return AttackedDraws(
            names,
            attacked,
            weights=(round_number - 1) * self.num_samples + first + np.arange(len(names)),
            costs=costs,
            drawn_costs=costs if is_from_origin else self.attack.costs(references, attacked.images),
        )

    def _append(
        self, shard: WeightedShard, batch: DrawnBatch, made: AttackedDraws, *, round_number: int, step: int
    ) -> None:
        """Writes what came of a batch, with where it comes from."""
        model_sha256 = weights_sha256(self.training.classifier)
        for row, record in enumerate(batch.records):
            provenance = Provenance(
                origin_id=name_of(record),
                weight=int(made.weights[row]),
                round=round_number,
                step=step,
                attack=self.attack_text,
                model_sha256=model_sha256,
                num_steps=int(made.attacked.num_steps[row]),
                cost=float(made.costs[row]),
            )
            shard.append(
                attacked_record(
                    record, made.attacked.images[row], name=made.names[row], provenance=provenance
                ),
                weight=float(made.weights[row]),
                origin=int(batch.origin_places[row]),
            )

    def _learn(self, images: np.ndarray, labels: np.ndarray, shares: Any, *, step: int) -> None:
        self.training.reset_metrics()
        weights = None if shares is None else shares.astype(np.float32)
        measured = self.training.train_on_batch(images, labels, weights, return_dict=True)
        loss = float(measured["loss"])
        if not math.isfinite(loss):
            raise InputError(
                f"the loss became {loss} at step {step} of {self.num_batches} in a round of the adversarial"
                " dataset; give a --learning-rate below"
                f" {self.plan.config.learning_rate:g} together with --overwrite"
            )

    def _finish(self) -> None:
        notes = [(chunk, self.notes.read(chunk)) for chunk in self.notes.chunks]
        save_index(self.folder / INDEX_NAME, self.notes.index_before(len(self.notes.chunks)))
        summary = summarise(
            [(chunk, note["sums"]) for chunk, note in notes],
            options=self.options,
            cost=cost_name(self.options),
            num_clean=self.num_clean,
        )
        with replacing(self.folder / SUMMARY) as partial:
            partial.write_text(json.dumps(summary, indent=1) + "\n")
        write_manifest(
            self.folder,
            records=self.records,
            kind=KIND,
            shards=tuple(note["shard"] for _, note in notes),
            per_class=count_classes((note for _, note in notes), self.records.num_classes),
            settings=self.settings,
            index=self.folder / INDEX_NAME,
        )
