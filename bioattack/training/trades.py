"""Training on the trade-off between right answers and equal answers."""

from typing import Any

import keras
import tensorflow as tf

from bioattack.training.inner_attack import ascend_in_ball, gaussian_point
from bioattack.training.row_training import RowTraining

# The attack starts beside the picture: at the picture itself the divergence has no gradient.
_START_DEVIATION = 0.001


def divergence(logits: Any, other_logits: Any) -> Any:
    """The Kullback-Leibler divergence of the second answer from the first, image by image.

    Args:
        logits: ``(batch, classes)`` float32; their probabilities weight the logarithms.
        other_logits: The same shape.

    Returns:
        ``(batch,)`` float32, at least 0 up to rounding, in natural units.

    Gradient:
        With respect to both.

    >>> print(divergence([[0.0, 0.0]], [[0.0, 1.0986123]]).numpy().round(4))
    [0.1438]
    """
    logarithms, others = tf.nn.log_softmax(logits), tf.nn.log_softmax(other_logits)
    return tf.reduce_sum(tf.exp(logarithms) * (logarithms - others), axis=-1)


class LogitDivergence(keras.losses.Loss):
    """``divergence(clean, attacked)``, averaged as Keras does: over the whole distributed batch."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Measures each image: ``y_true`` are the clean logits, ``y_pred`` those of the attacked image."""
        return divergence(y_true, y_pred)


class TradesTraining(RowTraining):
    """Minimises the cross-entropy of clean pictures plus beta times how far an attack can move the answer.

    The attack climbs the divergence between the answers to the picture and to the attacked one, from the
    picture with normal noise of deviation 0.001. Both passes of the update are in training mode, and both
    move the averages of batch normalisation. The auxiliary heads and the penalties of layers on their outputs
    are those of the clean pictures; so is the accuracy of training. The loss of the test is the
    cross-entropy.

    Args:
        classifier: See ``RowTraining``.
        plan: With ``TradesOptions``.

    Source:
        Zhang et al. 2019, equation 5 and the authors' code.
    """

    def adversarial_images(self, images: Any, labels: Any) -> Any:  # noqa: ARG002
        """Attacks a batch without looking at the labels; see ``AdversarialTraining``."""
        clean = self.attacked_logits(images)
        attacked = ascend_in_ball(
            lambda moved: divergence(clean, self.attacked_logits(moved)),
            images,
            starts=gaussian_point(images, keys=self.start_keys(images), deviation=_START_DEVIATION),
            options=self.options,
            ball=self.ball,
        )
        return self.as_shown(attacked, images)

    def batch_to_learn(self, images: Any, attacked: Any) -> Any:
        """Hands both to the update."""
        return images, attacked

    def call(self, images: Any, training: bool = False) -> Any:
        """Returns the outputs for the clean images of a pair, or for images."""
        return super().call(images[0] if isinstance(images, tuple | list) else images, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Adds the divergence to the loss of the clean images, where there is a pair of images."""
        # First, because the second pass of the classifier clears the penalties of the first one.
        loss = super().compute_loss(x, y, y_pred, sample_weight, training=training)
        if not isinstance(x, tuple | list):
            return loss
        logits = y_pred[0] if isinstance(y_pred, tuple | list) else y_pred
        attacked = self.classifier(x[1], training=training)
        return loss + self.options.beta * LogitDivergence()(logits, attacked, sample_weight)
