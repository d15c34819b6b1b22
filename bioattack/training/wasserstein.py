"""Training on pictures moved as far as their distance pays for: robustness in a Wasserstein ball."""

from typing import Any

import tensorflow as tf

from bioattack.attacks.losses import cross_entropy
from bioattack.training.adversarial_training import AdversarialTraining
from bioattack.training.inner_attack import gradient_of, repeat


class WassersteinTraining(AdversarialTraining):
    """Minimises the cross-entropy of pictures that have climbed ``loss - gamma * ||moved - picture||^2``.

    As in the authors' code, what is climbed is that divided by ``2 gamma``: a whole gradient step from the
    picture itself, then ``num_steps`` of length ``1 / sqrt(t + 2)``, t from 0. There is no ball and no random
    start, and, unless ``is_clipped``, no bound on the values either. Auxiliary heads learn from the moved
    pictures too.

    Args:
        classifier: See ``AdversarialTraining``.
        plan: With ``WassersteinOptions``.

    Source:
        Sinha, Namkoong and Duchi 2018, Algorithm 1 and the authors' code.
    """

    def adversarial_images(self, images: Any, labels: Any) -> Any:
        """Moves a batch; see ``AdversarialTraining``."""
        labels = tf.cast(labels, tf.int32)
        loss_weight = 0.5 / self.options.gamma

        def gradient(moved: Any) -> Any:
            return loss_weight * gradient_of(
                lambda shown: cross_entropy(self.attacked_logits(shown), labels), moved
            )

        def step(number: Any, moved: Any) -> Any:
            # That of half the squared distance is the distance itself.
            ascent = gradient(moved) - (moved - images)
            return self._bounded(moved + tf.math.rsqrt(number + 2.0) * ascent)

        return repeat(step, self._bounded(images + gradient(images)), num_steps=self.options.num_steps)

    def _bounded(self, images: Any) -> Any:
        return tf.clip_by_value(images, 0.0, 1.0) if self.options.is_clipped else images
