"""Training on clean examples and on attacks on a standard model, made once."""

from pathlib import Path

import tensorflow as tf

from bioattack.tfrecords_builder.exact_records import ExactRecords, open_exact_records
from bioattack.tfrecords_builder.reading import Records
from bioattack.tfrecords_builder.selection import Selection, select
from bioattack.training.adversarial_folder import (
    open_dataset,
    refuse_deleting,
    refuse_several,
)
from bioattack.training.classifier_training import ClassifierTraining, Part, TrainingData
from bioattack.training.merged_dataset import KIND, copy_name, merged_dataset, standard_model
from bioattack.training.run_folder import ADVERSARIAL


class MergedTraining(ClassifierTraining):
    """Minimises the cross-entropy of clean examples and of their adversarial copies alike.

    The copies are made against another model, the standard one, before the training begins, and stay as they
    are. What is left out is left out with its copy; the others' copies are not made anew. An epoch reads
    every example and every copy once, in an order shuffled by seed and epoch.

    Args:
        classifier: See ``ClassifierTraining``; with initial weights the standard model can be retrained.
        plan: With ``MergedOptions``.

    Source:
        Sooksatra and Rivas 2022, section III.
    """

    def check_records(self, records: Records, part: Part = (0, 1)) -> None:
        """Opens the dataset that is given, or the standard model that is to be attacked."""
        folder = self._given_folder()
        if folder is None:
            refuse_several(part)
            refuse_deleting(
                Path(self.plan.training_options.standard_model), self.plan, option="standard_model"
            )
            standard_model(self.plan, records=records)
            return
        refuse_deleting(folder, self.plan, option="dataset")
        self._open(folder, records)

    def training_data(self, records: Records, *, run: Path, part: Part = (0, 1)) -> TrainingData:
        """Makes the dataset in the run folder unless another one is given, and reads it."""
        folder = self._given_folder()
        # First, for its message: that something to be left out is not there is a matter of the clean records.
        self._selection(records)
        if folder is None:
            refuse_several(part)
            folder = run / ADVERSARIAL
            merged_dataset(self.plan, records=records, folder=folder)
        dataset = self._open(folder, records)
        selection = self._merged_selection(dataset)
        config = self.plan.config
        steps_per_epoch, batch_size = self.steps_and_share(self._count(dataset, selection), part)

        def from_epoch(first_epoch: int) -> tf.data.Dataset:
            return dataset.training_dataset(
                "train",
                batch_size=batch_size,
                seed=config.seed,
                first_epoch=first_epoch,
                limit=self._limit(dataset),
                part=part,
                selection=selection,
            )

        return TrainingData(steps_per_epoch, from_epoch, dataset)

    def num_examples(self, records: Records) -> int:
        """Counts examples and copies."""
        folder = self._given_folder()
        if folder is None:
            return 2 * super().num_examples(records)
        dataset = self._open(folder, records)
        return self._count(dataset, self._merged_selection(dataset))

    def _given_folder(self) -> Path | None:
        return Path(self.plan.training_options.dataset) if self.plan.training_options.dataset else None

    def _open(self, folder: Path, records: Records) -> ExactRecords:
        open_dataset(folder, kind=KIND, records=records)
        return open_exact_records(folder)

    def _limit(self, dataset: Records) -> int | None:
        """Copies stand behind their originals: twice as many records are the first so many of both."""
        limit = self.plan.config.limit
        return None if limit is None else min(2 * limit, dataset.num_examples("train"))

    def _merged_selection(self, dataset: Records) -> Selection | None:
        config = self.plan.config
        left_out = [name for each in config.leave_out for name in (each, copy_name(each))]
        return select(
            dataset, "train", left_out=left_out, is_balanced=config.balance, limit=self._limit(dataset)
        )

    def _count(self, dataset: Records, selection: Selection | None) -> int:
        if selection is not None:
            return selection.num_examples
        return self._limit(dataset) or dataset.num_examples("train")
