"""Distributionally robust training on a weighted adversarial dataset."""

from pathlib import Path

import keras

from bioattack.errors import InputError
from bioattack.tfrecords_builder.reading import Records
from bioattack.tfrecords_builder.weighted_reading import open_weighted_records
from bioattack.training.adversarial_folder import (
    open_dataset,
    refuse_deleting,
    refuse_several,
)
from bioattack.training.classifier_training import ClassifierTraining, Part, TrainingData
from bioattack.training.config import TrainPlan
from bioattack.training.dro_dataset import dro_dataset
from bioattack.training.dro_maker import KIND, make_attack, num_samples
from bioattack.training.run_folder import ADVERSARIAL


class DroTraining(ClassifierTraining):
    """Makes the adversarial dataset of Algorithm 4.1, or takes one, and learns from it by Algorithm 4.2.

    Both begin at the same initial weights. An epoch is as many draws as the dataset has records, with
    replacement and in proportion to their weights; the loss of each is multiplied by its weight, divided by
    the mean weight of what is drawn, so that the learning rate keeps its meaning. ``weighting`` leaves one of
    the two out. Auxiliary heads learn from the same pictures.

    Args:
        classifier: See ``ClassifierTraining``. It takes pictures.
        plan: With ``DroOptions``; without initial weights the initial model is a fresh network, which has
            learned nothing that an attack could turn.

    Raises:
        InputError: If the classifier takes something else than pictures, or tells fewer than two classes.

    Source:
        Hua et al. 2022, Algorithms 4.1 and 4.2.
    """

    def __init__(self, classifier: keras.Model, plan: TrainPlan) -> None:
        if len(classifier.input_shape) != 4 or classifier.output_shape[-1] < 2:
            raise InputError(
                "--training dro attacks pictures of at least two classes, which"
                f" --model {plan.config.model} does not take here; give --training standard"
            )
        super().__init__(classifier, plan)
        self.options = plan.training_options

    def check_records(self, records: Records, part: Part = (0, 1)) -> None:
        """Opens the dataset that is given, or tries whether the attack fits the pictures."""
        folder = self._given_folder()
        if folder is None:
            refuse_several(part)
            make_attack(self.classifier, self.plan, records=records)
            return
        refuse_deleting(folder, self.plan, option="dataset")
        open_weighted_records(folder, open_dataset(folder, kind=KIND, records=records).manifest)

    def training_data(self, records: Records, *, run: Path, part: Part = (0, 1)) -> TrainingData:
        """Makes the dataset in the run folder unless another one is given, and draws from it."""
        folder = self._given_folder()
        if folder is None:
            refuse_several(part)
            folder = run / ADVERSARIAL
            dro_dataset(self.classifier, self.plan, records=records, folder=folder)
        dataset = open_dataset(folder, kind=KIND, records=records)
        weighted = open_weighted_records(folder, dataset.manifest)
        seed = self.plan.config.seed
        steps_per_epoch, batch_size = self.steps_and_share(weighted.num_examples, part)
        return TrainingData(
            steps_per_epoch,
            lambda first_epoch: weighted.drawn_dataset(
                batch_size=batch_size,
                num_draws=weighted.num_examples,
                seed=seed,
                first_epoch=first_epoch,
                is_proportional=self.options.is_proportional,
                is_weighted=self.options.is_loss_weighted,
                part=part,
            ),
            dataset,
        )

    def num_examples(self, records: Records) -> int:
        """Counts the draws of an epoch."""
        folder = self._given_folder()
        if folder is not None:
            return open_dataset(folder, kind=KIND, records=records).num_examples("train")
        num_clean = super().num_examples(records)
        return num_clean + self.options.rounds * num_samples(self.options, num_clean=num_clean)

    def _given_folder(self) -> Path | None:
        return Path(self.options.dataset) if self.options.dataset else None
