"""What all ways of training share: a Keras model around the classifier, which itself is never compiled."""

from typing import Any

import keras

from bioattack.training.config import TrainPlan
from bioattack.training.learning_rate import learning_rate_schedule


class ClassifierTraining(keras.Model):
    """A classifier with the loss and optimizer of one way of training.

    The runner only calls ``fit`` and saves ``state_variables()``; the classifier is what is written at the
    end, free of optimizer and loss. A way of training is a subclass with its own ``train_step``; it goes
    through ``self.compute_loss`` (which divides by the replicas of a distribution strategy) and draws from
    ``keras.random.SeedGenerator`` objects that are its attributes, so that their state is saved with it.

    Args:
        classifier: Built network from images ``(batch, height, width, channels)`` to logits.
        plan: The settings of the run.

    Call arguments:
        images: float32, in [0, 1].

    Returns:
        The logits of the classifier, ``(batch, num_classes)``.
    """

    def __init__(self, classifier: keras.Model, plan: TrainPlan) -> None:
        super().__init__(name="training")
        self.classifier = classifier
        self.plan = plan
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        """Returns the logits."""
        return self.classifier(images, training=training)

    def compile_for(self, *, steps_per_epoch: int) -> None:
        """Compiles with cross-entropy on the logits and Adam on the schedule of the plan.

        Args:
            steps_per_epoch: Steps in each epoch, 1 or more.
        """
        schedule = learning_rate_schedule(
            self.plan.schedule,
            learning_rate=self.plan.config.learning_rate,
            num_epochs=self.plan.epochs,
            steps_per_epoch=steps_per_epoch,
        )
        self.compile(
            optimizer=keras.optimizers.Adam(schedule),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )
        self.optimizer.build(self.trainable_variables)

    def state_variables(self) -> list[keras.Variable]:
        """Returns everything that the next step depends on: weights, random states, optimizer."""
        return [*self.variables, *self.optimizer.variables]
