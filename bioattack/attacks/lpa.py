"""The Lagrangian perceptual attack: the bound in features as a penalty that grows where it is not kept."""

from typing import ClassVar, Final

import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, State, lacks_gradient, rows_where
from bioattack.attacks.balls import clip_to_unit
from bioattack.attacks.feature_attack import FeatureAttack, FeatureAttackSettings, length_of
from bioattack.attacks.measured_distance import FEATURES, on_rows

# The authors' constants.
_NUM_ROUNDS: Final = 5
_FIRST_WEIGHT: Final = 0.01
_DIFFERENCE: Final = 0.1
_TINY: Final = 1e-8


class LagrangianPerceptualAttack(FeatureAttack):
    """Ascends the margin less a weight times what the distance exceeds epsilon by, in five rounds.

    The weight starts at 0.01 and is multiplied by 10 after each round for an image that is outside epsilon
    still. Steps fall from ``epsilon`` to a tenth of it in features within a round; a step's length in
    features is measured by a finite difference. An image that was wrong and inside before a step makes that
    step, as in the authors' program, and then no more; at the end ``FeatureAttack.project`` brings each image
    within epsilon.

    Args:
        norm: Name of the distance.
        settings: Distance and steps, those of all five rounds together; epsilon is the radius in it.
        num_classes: Number of logits.

    Source:
        Laidlaw et al. 2021, "Perceptual adversarial robustness", algorithm 2, and their program, whose
        evaluation takes 40 steps in a round and not its default of 20.
    """

    defaults: ClassVar[dict[str, FeatureAttackSettings]] = {FEATURES: FeatureAttackSettings(num_steps=100)}

    def start(self, model: AttackedModel, slots: Slots) -> State:
        """Starts at the image with Gaussian noise, and a small weight."""
        state = super().start(model, slots)
        state["weights"] = tf.fill(tf.shape(slots.epsilons), _FIRST_WEIGHT)
        state["is_final"] = tf.zeros_like(state["is_over"])
        return state

    def look(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges images that have made their last step."""
        logits = model.logits(state["adversarial_images"])
        return self.judged(slots, state, logits, is_final=state["is_final"])

    def advance(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the images and makes one step."""
        images, is_first = state["adversarial_images"], state["num_steps"] == 0
        logits, _, gradients = model.logits_losses_and_gradients(images, slots, self.loss)
        state = self.judged(slots, state, logits, is_final=state["is_final"])
        is_moving, is_wrong = ~state["is_over"], self.fooled(slots, logits)
        state["has_zero_gradient"] |= lacks_gradient(gradients, is_first & is_moving & ~is_wrong)
        length = -(-self.num_steps // _NUM_ROUNDS)
        place = state["num_steps"] % length
        steps = slots.epsilons * 0.1 ** (tf.cast(place, tf.float32) / length)
        stepped, distances = on_rows(
            lambda *rows: self._stepped(model, *rows),
            is_moving,
            images,
            gradients,
            state["features"],
            state["weights"],
            slots.epsilons,
            steps,
        )
        num_steps = state["num_steps"] + tf.cast(is_moving, tf.int32)
        is_hit = is_wrong & (distances <= slots.epsilons)
        is_ending = is_moving & (is_hit | (num_steps >= self.num_steps))
        is_heavier = (place == length - 1) & (distances >= slots.epsilons)
        moved = rows_where(is_moving, stepped, images)
        return state | {
            "adversarial_images": self.project(model, slots, state, images=moved, is_wanted=is_ending),
            "num_steps": num_steps,
            "weights": tf.where(is_heavier, 10 * state["weights"], state["weights"]),
            "is_final": state["is_final"] | is_ending,
        }

    def _stepped(
        self,
        model: AttackedModel,
        images: tf.Tensor,
        gradients: tf.Tensor,
        original_features: tf.Tensor,
        weights: tf.Tensor,
        epsilons: tf.Tensor,
        steps: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            features = self.features(model, images)
            distances = length_of(features - original_features)
        costs = tape.gradient(distances, images)
        weights = tf.where(distances > epsilons, weights, 0.0)
        ascent = gradients - weights[:, None, None, None] * costs
        sizes = tf.sqrt(tf.reduce_sum(ascent**2, axis=(1, 2, 3), keepdims=True))
        ascent /= sizes + _TINY
        # The authors look at the features behind the image, not before it.
        speeds = length_of(features - self.features(model, images - _DIFFERENCE * ascent)) / _DIFFERENCE
        factors = (steps / (speeds + _TINY))[:, None, None, None]
        return clip_to_unit(images + factors * ascent), distances
