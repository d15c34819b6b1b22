"""The work of Algorithm 4.1, chunk by chunk: draw, learn, attack, append."""

import dataclasses
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

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
from bioattack.tfrecords_builder.drawing import draw_places, expected_weight
from bioattack.tfrecords_builder.reading import Records
from bioattack.tfrecords_builder.weighted_reading import WeightedRecords
from bioattack.tfrecords_builder.weighted_shards import (
    INDEX_NAME,
    WeightedShard,
    save_index,
    writing_shard,
)
from bioattack.training.adversarial_folder import SCRATCH, SUMMARY, write_manifest
from bioattack.training.batch_attack import AttackedBatch, BatchAttack, cost_name
from bioattack.training.classifier_training import ClassifierTraining
from bioattack.training.config import TrainPlan
from bioattack.training.dataset_chunks import Chunk, ChunkNotes, plan_chunks
from bioattack.training.dro_summary import SUMS, summarise
from bioattack.training.model_card import weights_sha256
from bioattack.training.options import DroOptions
from bioattack.training.state import EpochState, restore_newest, save_state

KIND = "dro"
# Beside the seed, where the draws of this algorithm come from; those of the second one have the epoch there.
_DRAWS = 1


class _Batch(NamedTuple):
    """What is drawn at a time: places in the index, pictures, labels, and the clean pictures and records."""

    places: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    origins: np.ndarray
    records: np.ndarray


def num_samples(options: DroOptions, *, num_clean: int) -> int:
    """Says how many pictures are drawn in a round."""
    return options.samples or num_clean


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
        self.attack = BatchAttack(
            classifier,
            self.options,
            image_shape=records.input_shape,
            num_classes=records.num_classes,
            batch_size=plan.batch_size,
            seed=plan.config.seed,
        )
        self.attack_text = json.dumps(
            {name: value for name, value in dataclasses.asdict(self.options).items() if name != "dataset"}
        )
        self.model_sha256 = ""
        self.clean: Iterator[bytes] = iter(())

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
        self.model_sha256 = state.identity["model_sha256"]
        for chunk in self.notes.chunks[: state.epoch]:
            self.notes.read(chunk)
        return state.epoch

    def _make_chunk(self, chunk: Chunk, bar: Any) -> None:
        begin = time.perf_counter()
        path, scratch = self.notes.shard_path(chunk), self.notes.scratch
        with writing_shard(path, number=chunk.number, scratch=scratch) as shard:
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
        identity = {"counts": counts, "model_sha256": self.model_sha256}
        state = EpochState(epoch=num_done, history=(), identity=identity)
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
        if chunk.first == 0:
            self.model_sha256 = weights_sha256(self.training.classifier)
        view, places = self._drawn(chunk)
        scale = expected_weight(view.weights, is_proportional=self.options.is_proportional)
        labels: list[int] = []
        sums = dict.fromkeys(SUMS, 0.0)
        for number, batch in enumerate(self._batches(view, places), start=chunk.first):
            shares = view.weights[batch.places] / scale if self.options.is_loss_weighted else None
            self._learn(batch.images, batch.labels, shares, step=number + 1)
            first = number * self.plan.batch_size + 1
            names = [
                f"round-{chunk.round}/{first + row:06d}/{name_of(record)}"
                for row, record in enumerate(batch.records)
            ]
            references = batch.origins if self.options.reference == "origin" else batch.images
            attacked = self.attack(batch.images, references, batch.labels, names)
            costs = self.attack.costs(batch.origins, attacked.images)
            weights = (chunk.round - 1) * self.num_samples + first + np.arange(len(names))
            for row, record in enumerate(batch.records):
                provenance = Provenance(
                    origin_id=name_of(record),
                    weight=int(weights[row]),
                    round=chunk.round,
                    step=number + 1,
                    attack=self.attack_text,
                    model_sha256=self.model_sha256,
                    num_steps=int(attacked.num_steps[row]),
                    cost=float(costs[row]),
                )
                shard.append(
                    attacked_record(record, attacked.images[row], name=names[row], provenance=provenance),
                    weight=float(weights[row]),
                    origin=int(view.index["origin"][batch.places[row]]),
                )
            _add(sums, attacked, costs=costs, weights=weights)
            labels += batch.labels.tolist()
            bar.update()
        return labels, sums

    def _batches(self, view: WeightedRecords, places: np.ndarray) -> Iterator[_Batch]:
        size = self.plan.batch_size
        origins = view.index["origin"][places].astype(np.int64)
        parts = zip(
            np.array_split(places, range(size, len(places), size)),
            view.dataset_at(places, batch_size=size).as_numpy_iterator(),
            view.dataset_at(origins, batch_size=size).as_numpy_iterator(),
            view.serialised_at(origins, batch_size=size).as_numpy_iterator(),
            strict=True,
        )
        for its_places, (images, labels, _), (clean, _, _), stored in parts:
            yield _Batch(its_places, images, labels, clean, stored)

    def _drawn(self, chunk: Chunk) -> tuple[WeightedRecords, np.ndarray]:
        """The dataset as it was when the round began, and what of it the chunk draws."""
        chunks = self.notes.chunks
        first = next(other.number for other in chunks if other.round == chunk.round)
        names = [self.notes.shard_path(other).name for other in chunks[:first]]
        index = self.notes.index_before(first)
        view = WeightedRecords(self.folder, names, index, self.records.input_shape)
        places = draw_places(
            view.weights,
            self.num_samples,
            seeds=(self.plan.config.seed, _DRAWS, chunk.round),
            is_proportional=self.options.is_proportional,
        )
        batch_size = self.plan.batch_size
        return view, places[chunk.first * batch_size : chunk.stop * batch_size]

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
        per_class = np.zeros(self.records.num_classes, np.int64)
        for _, note in notes:
            per_class[: len(note["labels"])] += note["labels"]
        write_manifest(
            self.folder,
            records=self.records,
            kind=KIND,
            shards=tuple(note["shard"] for _, note in notes),
            per_class=tuple(per_class.tolist()),
            settings=self.settings,
        )


def _add(sums: dict[str, float], attacked: AttackedBatch, *, costs: np.ndarray, weights: np.ndarray) -> None:
    """Adds a batch to the sums of its chunk."""
    sums["samples"] += len(costs)
    sums["correct"] += int(attacked.is_correct.sum())
    sums["fooled"] += int(attacked.is_fooled.sum())
    sums["fooled_8bit"] += int(attacked.is_fooled_8bit.sum())
    sums["attack_steps"] += int(attacked.num_steps.sum())
    sums["cost"] += float(costs.astype(np.float64).sum())
    sums["loss"] += float(attacked.losses.astype(np.float64).sum())
    sums["weight"] += float(weights.sum())
    sums["weighted_cost"] += float((weights * costs.astype(np.float64)).sum())
