"""Perceptual projected gradient descent: steps that are longest in features for the loss that they gain."""

from typing import ClassVar, Final

import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, State, rows_where
from bioattack.attacks.balls import clip_to_unit
from bioattack.attacks.feature_attack import FeatureAttack, FeatureAttackSettings, length_of
from bioattack.attacks.measured_distance import FEATURES, on_rows

# The authors' constants.
_NUM_SOLVER_STEPS: Final = 5
_DIFFERENCE: Final = 1e-3
_SMALL_RESIDUAL: Final = 0.1
_LEAST_GRADIENT: Final = 1e-4


class PerceptualGradientDescent(FeatureAttack):
    """Goes where the loss grows most for a step of given length in features, back within epsilon each time.

    With J the Jacobian of the features and g the gradient of the loss, the direction d solves
    ``(J^T J) d = g`` by five steps of conjugate gradients; J d is a finite difference and J^T u one backward
    pass. d is made ``2 * epsilon / num_steps`` long in features, and the image brought back by
    ``FeatureAttack.project``. An image whose gradient vanishes, as it does once the best wrong logit leads by
    1, is left alone from there on.

    In the authors' program the solver stops when the largest residual of the batch is small, and gradients
    count as 0 where all of the batch's are; here each image goes by its own.

    Args:
        norm: Name of the distance.
        settings: Distance and steps; epsilon is the radius in that distance.
        num_classes: Number of logits.

    Source:
        Laidlaw et al. 2021, "Perceptual adversarial robustness", algorithm 1, and their program, whose
        evaluation takes 40 steps and not its default of 5.
    """

    defaults: ClassVar[dict[str, FeatureAttackSettings]] = {FEATURES: FeatureAttackSettings(num_steps=5)}

    def advance(self, model: AttackedModel, slots: Slots, state: State) -> State:
        """Judges the images and makes one step."""
        images, is_first = state["adversarial_images"], state["num_steps"] == 0
        logits, _, gradients = model.logits_losses_and_gradients(images, slots, self.loss)
        sizes = tf.norm(tf.reshape(gradients, (tf.shape(gradients)[0], -1)), axis=1)
        is_still = sizes < _LEAST_GRADIENT
        is_final = (state["num_steps"] >= self.num_steps) | (is_still & ~is_first)
        state = self.judged(slots, state, logits, is_final=is_final)
        is_moving = ~state["is_over"]
        state["has_zero_gradient"] |= is_first & is_moving & (sizes == 0) & ~self.fooled(slots, logits)
        is_stepping = is_moving & ~is_still
        (stepped,) = on_rows(
            lambda *rows: (self._stepped(model, *rows),),
            is_stepping,
            images,
            gradients,
            2 * slots.epsilons / self.num_steps,
        )
        moved = rows_where(is_stepping, stepped, images)
        moved = self.project(model, slots, state, images=moved, is_wanted=is_moving)
        num_steps = state["num_steps"] + tf.cast(is_moving, tf.int32)
        return state | {"adversarial_images": moved, "num_steps": num_steps}

    def _stepped(
        self, model: AttackedModel, images: tf.Tensor, gradients: tf.Tensor, lengths: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(images)
            features = self.features(model, images)

        def forward(direction: tf.Tensor) -> tf.Tensor:
            return (self.features(model, images + _DIFFERENCE * direction) - features) / _DIFFERENCE

        def normal(direction: tf.Tensor) -> tf.Tensor:
            return tape.gradient(features, images, output_gradients=forward(direction))

        direction, residual, search = tf.zeros_like(images), gradients, gradients
        for number in range(_NUM_SOLVER_STEPS):
            squares = _inner(residual, residual)
            is_open = (squares >= _SMALL_RESIDUAL) | (number == 0)
            product = normal(search)
            share = tf.where(is_open, tf.math.divide_no_nan(squares, _inner(search, product)), 0.0)
            direction += share * search
            residual -= share * product
            search = residual + tf.math.divide_no_nan(_inner(residual, residual), squares) * search
        speeds = length_of(forward(direction))
        factors = tf.math.divide_no_nan(lengths, speeds)[:, None, None, None]
        return clip_to_unit(images + factors * direction)


def _inner(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Inner products, in a shape that broadcasts against the images."""
    return tf.reduce_sum(one * other, axis=(1, 2, 3), keepdims=True)
