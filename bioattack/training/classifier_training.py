"""What all ways of training share: a Keras model around the classifier, which itself is never compiled."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from bioattack.tfrecords_builder.reading import Records
from bioattack.tfrecords_builder.selection import Selection, select
from bioattack.training.adam import LayerwiseAdam
from bioattack.training.auxiliary import auxiliary_features, with_auxiliary_heads
from bioattack.training.config import TrainPlan
from bioattack.training.learning_rate import learning_rate_schedule
from bioattack.training.run_folder import CONFIG

# Index of a reader, and how many readers there are.
Part: TypeAlias = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run learns from.

    Args:
        steps_per_epoch: Batches in an epoch.
        from_epoch: Gives the batches ``(images, labels)``, or ``(images, labels, weights)``, of epoch after
            epoch, beginning with the one asked for (from 0): a function of it and of the plan alone, so that
            a run that goes on sees what it would have seen.
        adversarial: The adversarial dataset that is read, where it is one.
    """

    steps_per_epoch: int
    from_epoch: Callable[[int], tf.data.Dataset]
    adversarial: Records | None = None


class ClassifierTraining(keras.Model):
    """A classifier with the loss and optimizer of one way of training.

    The runner only calls ``training_data`` and ``fit`` and saves ``state_variables()``; the classifier is
    what is written at the end, free of optimizer, loss and auxiliary heads. A way of training is a subclass
    with its own ``train_step``; it hands what ``self(images, training=True)`` returns, as it is, to
    ``self.compute_loss`` (which divides by the replicas of a distribution strategy) and
    ``self.compute_metrics``, and draws from ``keras.random.SeedGenerator`` objects that are its attributes,
    so that their state is saved with it.

    Within the scope of a distribution strategy of several replicas, the statistics of batch normalisation are
    those of the whole batch.

    Args:
        classifier: Built network from images ``(batch, height, width, channels)`` to logits. Two attributes
            count where it has them: ``learning_rate_factors`` (beginning of a layer's name -> factor on the
            learning rate) and ``auxiliary_features`` (names of layers that get a softmax head and a
            cross-entropy of their own in training).
        plan: The settings of the run.

    Call arguments:
        images: float32, in [0, 1].

    Returns:
        The logits of the classifier, ``(batch, num_classes)``; in the training of a classifier with auxiliary
        features a list of them and of the heads' logits.

    Raises:
        ValueError: If an auxiliary feature is no layer of the classifier.
    """

    def __init__(self, classifier: keras.Model, plan: TrainPlan) -> None:
        # In mixed precision the images stay float32 up to the layers that are not.
        super().__init__(name="training", autocast=False)
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            _synchronise(classifier)
        self.classifier = classifier
        self.plan = plan
        self.with_heads = (
            with_auxiliary_heads(classifier, seed=plan.config.seed)
            if auxiliary_features(classifier)
            else None
        )
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        """Returns the logits, and in training those of the auxiliary heads after them."""
        if training and self.with_heads is not None:
            return self.with_heads(images, training=True)
        return self.classifier(images, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Adds up the loss of the logits, the penalties of layers, and the cross-entropy of every head."""
        logits, heads = _main_and_heads(y_pred)
        loss = super().compute_loss(x, y, logits, sample_weight, training=training)
        for head in heads:
            loss = loss + _cross_entropy()(y, head, sample_weight)
        return loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Measures the logits of the classifier itself."""
        return super().compute_metrics(x, y, _main_and_heads(y_pred)[0], sample_weight)

    def training_data(self, records: Records, *, run: Path, part: Part = (0, 1)) -> TrainingData:  # noqa: ARG002
        """Says what the run learns from: the split "train" as it is, or what a way of training makes of it.

        What takes long to make is kept in the run folder, so that a run that was killed finds it there.

        Args:
            records: The records of the plan.
            run: The run folder, which is there and which no other process writes into.
            part: ``(index, number)`` of one of several machines: it reads every ``number``-th example from
                ``index`` on, in its share of each batch.

        Raises:
            RecordsError: If something is to be left out that is not there.
        """
        config = self.plan.config
        selection = self._selection(records)
        steps_per_epoch, batch_size = self.steps_and_share(self.num_examples(records), part)

        def from_epoch(first_epoch: int) -> tf.data.Dataset:
            return records.training_dataset(
                "train",
                batch_size=batch_size,
                seed=config.seed,
                first_epoch=first_epoch,
                limit=config.limit,
                part=part,
                selection=selection,
            )

        return TrainingData(steps_per_epoch, from_epoch)

    def check_records(self, records: Records, part: Part = (0, 1)) -> None:
        """Refuses, before anything is written or overwritten, what ``training_data`` would refuse later.

        Args:
            records: The records of the plan.
            part: As for ``training_data``.

        Raises:
            InputError: If this way of training cannot learn from them with its settings.
            RecordsError: If something that it reads is damaged.
        """

    def check_before_writing(self, records: Records, part: Part = (0, 1)) -> None:
        """Calls ``check_records`` where a run begins; one that is there is gone on with, or is complete."""
        config = self.plan.config
        if config.overwrite or not (config.output / CONFIG).is_file():
            self.check_records(records, part)

    def steps_and_share(self, num_examples: int, part: Part) -> tuple[int, int]:
        """Says how many steps an epoch has, and what share of each batch a machine reads.

        Several machines make as many steps as all of them have whole batches for: what is left over at the
        end of an epoch is not read, and is something else in each epoch.

        Args:
            num_examples: In an epoch of all machines.
            part: As for ``training_data``.
        """
        if part[1] == 1:
            return -(-num_examples // self.plan.batch_size), self.plan.batch_size
        share = self.plan.batch_size // part[1]
        return max(1, num_examples // part[1] // share), share

    def num_examples(self, records: Records) -> int:
        """Counts what an epoch reads, repetitions included, without making anything that takes long.

        Args:
            records: The records of the plan.

        Raises:
            RecordsError: If something is to be left out that is not there.
        """
        selection = self._selection(records)
        num_train, limit = records.num_examples("train"), self.plan.config.limit
        return min(num_train, limit or num_train) if selection is None else selection.num_examples

    def _selection(self, records: Records) -> Selection | None:
        config = self.plan.config
        return select(
            records, "train", left_out=config.leave_out, is_balanced=config.balance, limit=config.limit
        )

    def compile_for(self, *, steps_per_epoch: int) -> None:
        """Compiles with cross-entropy on the logits and Adam on the schedule of the plan.

        Args:
            steps_per_epoch: Steps in each epoch, 1 or more.

        Raises:
            ValueError: If the classifier has a learning rate factor for layers that it does not have.
        """
        schedule = learning_rate_schedule(
            self.plan.schedule,
            learning_rate=self.plan.config.learning_rate,
            num_epochs=self.plan.epochs,
            steps_per_epoch=steps_per_epoch,
        )
        self.compile(
            optimizer=LayerwiseAdam(
                schedule, learning_rate_factors=getattr(self.classifier, "learning_rate_factors", None)
            ),
            loss=_cross_entropy(),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )
        self.optimizer.build(self.trainable_variables)

    def state_variables(self) -> list[keras.Variable]:
        """Returns everything that the next step depends on: weights, random states, optimizer."""
        return [*self.variables, *self.optimizer.variables]


def _synchronise(classifier: keras.Model) -> None:
    """Lets every batch normalisation look at the batch of all replicas, as one device would."""
    for layer in classifier._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def _cross_entropy() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _main_and_heads(outputs: Any) -> tuple[Any, list[Any]]:
    if isinstance(outputs, list | tuple):
        return outputs[0], list(outputs[1:])
    return outputs, []
