"""XLA around a single function, which pays for warps on a processor where it does not for whole networks."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import keras

R = TypeVar("R")


def compiled_with_xla(function: Callable[..., R]) -> Callable[..., R]:
    """Compiles a function of tensors with XLA on the TensorFlow backend, at its first call.

    The compiled function may be called inside a graph that is not compiled with XLA, is saved with a
    SavedModel, and has the gradients of the function. The gradient to each argument is a program of its own,
    so that a graph leaves out those that nothing asks for: in training none to the images, in an attack none
    to fixed gazes. XLA compiles it once for each shape that it meets, the size of the batch included: about a
    second each. On the other backends the function is left as it is.

    Args:
        function: Of float tensors alone, in ``keras.ops``, without state; gives one tensor.

    >>> double = compiled_with_xla(lambda values: values * 2.0)
    >>> float(double(keras.ops.ones(())))
    2.0
    """

    @functools.cache
    def compiled() -> Callable[..., R]:
        return _compile(function) if keras.backend.backend() == "tensorflow" else function

    @functools.wraps(function)
    def call(*tensors: Any) -> R:
        return compiled()(*tensors)

    return call


def _compile(function: Callable[..., R]) -> Callable[..., R]:
    import tensorflow as tf

    # Without AutoGraph errors keep their one sentence. `reduce_retracing` would forget the height and
    # width of images, which the functions need, at the second size that comes along.
    jitted = tf.function(function, jit_compile=True, autograph=False)

    @functools.cache
    def gradient_to(place: int) -> Callable[..., Any]:
        def gradient(upstream: Any, *tensors: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(tensors[place])
                outputs = function(*tensors)
            return tape.gradient(
                outputs, tensors[place], upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )

        return tf.function(gradient, jit_compile=True, autograph=False)

    @tf.custom_gradient
    def call(*tensors: Any) -> Any:
        def gradients(upstream: Any) -> list[Any]:
            return [gradient_to(place)(upstream, *tensors) for place in range(len(tensors))]

        return jitted(*tensors), gradients

    return call
