"""What ways of training that attack every batch afresh share."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.training.classifier_training import ClassifierTraining
from bioattack.training.config import TrainPlan
from bioattack.training.inner_attack import start_keys


class AdversarialTraining(ClassifierTraining):
    """Trains on pictures that are attacked in every step, against the weights of that step.

    The attack sees the classifier as it is used: in inference mode, with the moving averages of its batch
    normalisation, without augmentation, without auxiliary heads. The update is made in training mode: the
    network's own augmentation then turns and moves the attacked pictures. The statistics of training, the
    accuracy among them, are those of the pictures the update saw; the test is of clean pictures.

    Args:
        classifier: See ``ClassifierTraining``. It takes pictures.
        plan: The settings of the run, with those of this way of training.

    Raises:
        InputError: If the classifier takes something else than pictures, or tells fewer than two classes.
    """

    #: Of the inputs, batch included: 4 for pictures.
    ranks: ClassVar[tuple[int, ...]] = (4,)

    def __init__(self, classifier: keras.Model, plan: TrainPlan) -> None:
        if len(classifier.input_shape) not in self.ranks:
            raise InputError(
                f"--training {plan.config.training} attacks pictures with values in [0, 1], which"
                f" --model {plan.config.model} does not take; give --training standard"
            )
        if classifier.output_shape[-1] < 2:
            raise InputError(f"--training {plan.config.training} needs records of at least two classes")
        super().__init__(classifier, plan)
        self.options = plan.training_options

    def train_step(self, data: Any) -> Any:
        """Attacks the batch, then makes Keras' own step with ``batch_to_learn``."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        images = tf.cast(images, tf.float32)
        attacked = self.adversarial_images(images, labels)
        return super().train_step((self.batch_to_learn(images, attacked), labels, weights))

    def adversarial_images(self, images: Any, labels: Any) -> Any:
        """Attacks a batch.

        Args:
            images: ``(batch, height, width, channels)`` float32, in [0, 1].
            labels: ``(batch,)``, whole numbers.

        Returns:
            The shape of ``images``, float32.
        """
        raise NotImplementedError

    def batch_to_learn(self, images: Any, attacked: Any) -> Any:  # noqa: ARG002
        """Chooses what the update sees: the attacked images."""
        return attacked

    def attacked_logits(self, images: Any) -> Any:
        """Returns the logits that the attack sees."""
        return tf.cast(self.classifier(images, training=False), tf.float32)

    def start_keys(self, images: Any) -> Any:
        """Returns a key for the random start of each image; see ``inner_attack.start_keys``."""
        step = keras.ops.cast(self.optimizer.iterations, "int32")
        return start_keys(self.plan.config.seed, step=step, num_images=tf.shape(images)[0])
