"""Gradients of layers beside central finite differences."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bioattack.testing.checking import Arrays, random_states, require

# Wide enough for float64 not to drown in rounding, small enough to stay within one linear piece.
_STEP = 1e-6


@dataclasses.dataclass(frozen=True)
class Differentiation:
    """Compares a layer's gradients with central differences along one random direction."""

    layer: keras.layers.Layer
    inputs: Arrays
    training: bool

    def check_input(self, index: int, *, tolerance: float) -> None:
        """Raises AssertionError unless the gradient of one input is that of finite differences."""

        def shift(step: np.ndarray[Any, Any]) -> float:
            moved = (*self.inputs[:index], self.inputs[index] + step, *self.inputs[index + 1 :])
            return self._objective(moved)

        where = f"input {index} with training={self.training}"
        self._compare(where, self.gradient(index), shift, tolerance=tolerance)

    def check_weight(self, weight: keras.Variable, *, tolerance: float) -> None:
        """Raises AssertionError unless the gradient of one weight is that of finite differences."""
        value = np.asarray(weight)

        def shift(step: np.ndarray[Any, Any]) -> float:
            weight.assign(value + step)
            objective = self._objective(self.inputs)
            weight.assign(value)
            return objective

        with tf.GradientTape() as tape:
            objective = self._objective_tensor([tf.constant(array) for array in self.inputs])
        gradient = tape.gradient(objective, weight.value)
        where = f"weight {weight.path} with training={self.training}"
        self._compare(where, None if gradient is None else np.asarray(gradient), shift, tolerance=tolerance)

    def gradient(self, index: int) -> np.ndarray[Any, Any] | None:
        """The gradient with respect to one input, or None."""
        tensors = [tf.constant(array) for array in self.inputs]
        with tf.GradientTape() as tape:
            tape.watch(tensors[index])
            objective = self._objective_tensor(tensors)
        gradient = tape.gradient(objective, tensors[index])
        return None if gradient is None else np.asarray(gradient)

    def _compare(
        self,
        where: str,
        gradient: np.ndarray[Any, Any] | None,
        shift: Callable[[np.ndarray[Any, Any]], float],
        *,
        tolerance: float,
    ) -> None:
        if gradient is None:
            raise AssertionError(f"no gradient reaches {where}")
        require(bool(np.isfinite(gradient).all()), f"the gradient of {where} is not finite")
        direction = np.random.default_rng(2).normal(size=gradient.shape)
        differences = (shift(_STEP * direction) - shift(-_STEP * direction)) / (2 * _STEP)
        # The scale of the sum's terms: their sum itself may happen to be near 0.
        scale = float(np.sqrt(np.sum((gradient * direction) ** 2))) + 1e-9
        error = abs(float(np.sum(gradient * direction)) - differences) / scale
        require(error <= tolerance, f"the gradient of {where} is off finite differences by {error:.2g}")

    def _objective(self, inputs: Arrays) -> float:
        return float(self._objective_tensor([tf.constant(array) for array in inputs]))

    def _objective_tensor(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """A fixed random weighting of all outputs; random layers draw the same each time."""
        states = random_states(self.layer)
        start = [np.asarray(state) for state in states]
        outputs = keras.tree.flatten(invoke(self.layer, tensors, training=self.training))
        for state, value in zip(states, start, strict=True):
            state.assign(value)
        random = np.random.default_rng(3)
        return tf.add_n([tf.reduce_sum(output * random.normal(size=output.shape)) for output in outputs])


def invoke(layer: Callable[..., Any], tensors: Sequence[Any], *, training: bool = False) -> Any:
    """Calls a layer, passing ``training`` to those that know it."""
    call = getattr(layer, "call", layer)
    takes_training = "training" in inspect.signature(call).parameters
    return layer(*tensors, training=training) if takes_training else layer(*tensors)


def call(layer: Any, inputs: Arrays, *, training: bool = False) -> list[np.ndarray[Any, Any]]:
    """The outputs of a layer or of a model around it, as arrays."""
    if isinstance(layer, keras.Model):
        outputs = layer(list(inputs) if len(inputs) > 1 else inputs[0], training=training)
    else:
        outputs = invoke(layer, [tf.constant(array) for array in inputs], training=training)
    return [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(outputs)]
