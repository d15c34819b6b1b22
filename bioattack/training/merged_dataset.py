"""The dataset of merged training: every clean example, and what an attack on a standard model made of it."""

import itertools
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.row_bounds import row_bounds
from bioattack.attacks.run import make_engine
from bioattack.attacks.tasks import ImageResult
from bioattack.classifier import Classifier, check_against_records, load_classifier
from bioattack.errors import InputError
from bioattack.files import naming_the_place, only_writer, remove_partials, replacing
from bioattack.tfrecords_builder.attacked_records import (
    Provenance,
    attacked_record,
    clean_record,
    label_of,
    name_of,
)
from bioattack.tfrecords_builder.manifest import MANIFEST_NAME
from bioattack.tfrecords_builder.reading import Records
from bioattack.tfrecords_builder.weighted_shards import WeightedShard, writing_shard
from bioattack.training.adversarial_folder import SCRATCH, SUMMARY, check_settings, write_manifest
from bioattack.training.config import TrainPlan
from bioattack.training.dataset_chunks import Chunk, ChunkNotes, count_classes, plan_chunks
from bioattack.training.options import LONGEST_WAY, MergedOptions

KIND = "merged"


def copy_name(name: str) -> str:
    """Names the adversarial copy of an example.

    >>> copy_name("train/1.png")
    'adversarial/train/1.png'
    """
    return f"adversarial/{name}"


def merged_dataset(plan: TrainPlan, *, records: Records, folder: Path) -> dict[str, Any]:
    """Makes the dataset, goes on with one that a killed process left, or finds it finished.

    The attack is projected gradient descent in the largest change, from a random start, all the way on every
    example, or to the first iterate that is wrong (``MergedOptions.judged``). Each copy stands behind its
    original. The same settings give the same bytes, but for the seconds in ``summary.json``.

    Args:
        plan: With ``MergedOptions``; of the rest, batch size, seed and limit count.
        records: Clean records, pictures or rows of a table, of which the split "train" is taken.
        folder: Of the dataset; made if it is not there.

    Returns:
        The content of ``summary.json``: samples, success rates, steps, seconds.

    Raises:
        InputError: If the standard model is no model of such records, the folder holds something else, or
            another process writes into it.
        RecordsError: If the records cannot be read.
        OSError: If the folder cannot be written.

    Source:
        Sooksatra and Rivas 2022, section III.
    """
    classifier = standard_model(plan, records=records)
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder), naming_the_place(folder):
        check_settings(folder, _settings(classifier, plan, records))
        remove_partials(folder)
        if not (folder / MANIFEST_NAME).is_file():
            _Maker(classifier, plan, records=records, folder=folder).make()
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    return summary


def standard_model(plan: TrainPlan, *, records: Records) -> Classifier:
    """Opens the model that is attacked.

    Args:
        plan: With ``MergedOptions``.
        records: Clean records.

    Raises:
        InputError: If it is no model of such records, or the attack does not fit them.
    """
    options: MergedOptions = plan.training_options
    if records.table is None and options.epsilon > 1:
        raise InputError(
            "--training-options.epsilon is in the unit of the pictures, which is [0, 1]: 0.01 for the"
            f" published one. Received: {options.epsilon:g}"
        )
    if records.table is None and options.perturb != "valid":
        raise InputError(
            f"--training-options.perturb {options.perturb} is of rows of a table, and {records.directory}"
            " holds pictures; leave it out"
        )
    classifier = load_classifier(Path(options.standard_model))
    check_against_records(
        classifier,
        image_shape=records.input_shape,
        class_names=records.class_names,
        records=str(records.directory),
        table=records.table,
    )
    return classifier


def _settings(classifier: Classifier, plan: TrainPlan, records: Records) -> dict[str, Any]:
    return {
        "standard_model": classifier.fingerprint,
        "records": records.manifest.fingerprint,
        "epsilon": plan.training_options.epsilon,
        "num_steps": plan.training_options.num_steps,
        "perturb": plan.training_options.perturb,
        "judged": plan.training_options.judged,
        "batch_size": plan.batch_size,
        "seed": plan.config.seed,
        "limit": plan.config.limit,
    }


class _Maker:
    """The work of ``merged_dataset``."""

    def __init__(self, classifier: Classifier, plan: TrainPlan, *, records: Records, folder: Path) -> None:
        self.classifier, self.plan, self.records, self.folder = classifier, plan, records, folder
        options: MergedOptions = plan.training_options
        self.request = AttackRequest(
            "pgd",
            norm="linf",
            epsilons=(options.epsilon,),
            num_steps=options.num_steps,
            relative_step=LONGEST_WAY / options.num_steps,
            has_random_start=True,
            judged=options.judged,
            bounds=None if records.table is None else row_bounds(records.table, perturb=options.perturb),
        )
        self.num_clean = min(records.num_examples("train"), plan.config.limit or sys.maxsize)
        self.notes = ChunkNotes(folder, folder / SCRATCH, plan_chunks(num_clean=self.num_clean))
        self.notes.scratch.mkdir(exist_ok=True)
        self.attack_text = json.dumps(
            {
                "attack": "pgd",
                "norm": "linf",
                "epsilon": options.epsilon,
                "num_steps": options.num_steps,
                "judged": options.judged,
            }
        )

    def make(self) -> None:
        """Makes the chunks that are missing; each is a function of the settings alone."""
        num_done = next(
            (chunk.number for chunk in self.notes.chunks if not self.notes.is_done(chunk)),
            len(self.notes.chunks),
        )
        examples = self._examples(num_done)
        with tqdm(
            total=self.num_clean,
            desc="adversarial examples",
            file=sys.stderr,
            disable=self.plan.config.quiet,
            mininterval=0.2 if sys.stderr.isatty() else 60,
        ) as bar:
            for chunk in self.notes.chunks[num_done:]:
                self._make_chunk(chunk, list(itertools.islice(examples, chunk.stop - chunk.first)))
                bar.update(chunk.stop - chunk.first)
        self._finish()

    def _examples(self, num_done: int) -> Iterator[tuple[dict[str, Any], bytes]]:
        """The examples of the chunks that are still to do, with the records they come from."""
        first = self.notes.chunks[num_done].first if num_done < len(self.notes.chunks) else self.num_clean
        limit = self.plan.config.limit
        parsed = self.records.examples("train", batch_size=self.plan.batch_size, limit=limit).unbatch()
        both = zip(
            parsed.skip(first).as_numpy_iterator(),
            self.records.serialised("train", limit=limit).skip(first).as_numpy_iterator(),
            strict=True,
        )
        yield from both

    def _make_chunk(self, chunk: Chunk, examples: list[tuple[dict[str, Any], bytes]]) -> None:
        begin = time.perf_counter()
        results = self._attacked([example for example, _ in examples])
        path, scratch = self.notes.shard_path(chunk), self.notes.scratch
        with writing_shard(path, number=chunk.number, scratch=scratch) as shard:
            for place, ((_, record), result) in enumerate(zip(examples, results, strict=True), chunk.first):
                self._append(shard, record, result, origin=place)
        sums = _sums(results) | {"seconds": time.perf_counter() - begin}
        labels = [label_of(record) for _, record in examples for _ in range(2)]
        entry = shard.entry(path.name)
        self.notes.write(chunk, entry, index=shard.index(), labels=labels, sums=sums)

    def _attacked(self, examples: list[dict[str, Any]]) -> list[ImageResult]:
        options: MergedOptions = self.plan.training_options
        engine = make_engine(
            self.classifier,
            self.request,
            num_classes=self.records.num_classes,
            batch_size=self.plan.batch_size,
            seed=self.plan.config.seed,
            attacks_all=options.judged == "last",
        )
        content = "image" if self.records.table is None else "features"

        def stream() -> Iterator[dict[str, Any]]:
            for start in range(0, len(examples), self.plan.batch_size):
                some = examples[start : start + self.plan.batch_size]
                yield {
                    name: np.stack([example[name] for example in some])
                    for name in (content, "label", "image_id")
                }

        return [result for complete in engine.run(stream()) for result in complete]

    def _append(self, shard: WeightedShard, record: bytes, result: ImageResult, *, origin: int) -> None:
        shard.append(clean_record(record), weight=1.0, origin=origin)
        finding = result.first_finding
        provenance = Provenance(
            origin_id=name_of(record),
            round=1,
            attack=self.attack_text,
            model_sha256=self.classifier.fingerprint or "",
            num_steps=0 if finding is None else finding.num_steps,
            cost=0.0 if finding is None else finding.length,
        )
        copied = attacked_record(
            record, result.adversarial_image, name=copy_name(name_of(record)), provenance=provenance
        )
        shard.append(copied, weight=1.0, origin=origin)

    def _finish(self) -> None:
        notes = [self.notes.read(chunk) for chunk in self.notes.chunks]
        sums = {name: sum(note["sums"][name] for note in notes) for name in notes[0]["sums"]}
        num_correct = sums["correct"]
        summary = {
            "num_clean": self.num_clean,
            "num_correct": num_correct,
            "success_rate": sums["fooled"] / num_correct if num_correct else None,
            "success_rate_8bit": sums["fooled_8bit"] / num_correct if num_correct else None,
            "attack_steps": sums["attack_steps"],
            "seconds": sums["seconds"],
        }
        with replacing(self.folder / SUMMARY) as partial:
            partial.write_text(json.dumps(summary, indent=1) + "\n")
        write_manifest(
            self.folder,
            records=self.records,
            kind=KIND,
            shards=tuple(note["shard"] for note in notes),
            per_class=count_classes(notes, self.records.num_classes),
            settings=_settings(self.classifier, self.plan, self.records),
        )


def _sums(results: list[ImageResult]) -> dict[str, float]:
    of_correct = [
        (result.image.label, outcome)
        for result in results
        if result.image.is_correct
        for outcome in result.outcomes
    ]
    return {
        "correct": sum(result.image.is_correct for result in results),
        "fooled": sum(outcome.is_fooled for _, outcome in of_correct),
        "fooled_8bit": sum(
            outcome.is_fooled
            and outcome.finding is not None
            and outcome.finding.logits_8bit is not None
            and int(outcome.finding.logits_8bit.argmax()) != label
            for label, outcome in of_correct
        ),
        "attack_steps": sum(outcome.num_steps for result in results for outcome in result.outcomes),
    }
