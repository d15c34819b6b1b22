"""Training on projected gradient descent."""

from typing import Any

import tensorflow as tf

from bioattack.attacks.losses import cross_entropy_ascent
from bioattack.training.inner_attack import ascend_in_ball, random_point
from bioattack.training.row_training import RowTraining


class PgdTraining(RowTraining):
    """Minimises the cross-entropy of the worst inputs that projected gradient descent finds in each step.

    The attack climbs the log-odds of an error: as the cross-entropy, but without standing still where that
    saturates. Auxiliary heads learn from the attacked pictures too.

    Args:
        classifier: See ``RowTraining``.
        plan: With ``PgdOptions``.

    Source:
        Madry et al. 2018.
    """

    def adversarial_images(self, images: Any, labels: Any) -> Any:
        """Attacks a batch; see ``AdversarialTraining``."""
        labels = tf.cast(labels, tf.int32)
        starts = images
        if self.options.has_random_start:
            starts = random_point(images, keys=self.start_keys(images), options=self.options, ball=self.ball)
        moved_images = ascend_in_ball(
            lambda moved: cross_entropy_ascent(
                self.attacked_logits(moved), labels, tf.fill(tf.shape(labels), -1)
            ),
            images,
            starts=starts,
            options=self.options,
            ball=self.ball,
        )
        return self.as_shown(moved_images, images)
