"""XLA around a single function, which pays for warps on a processor where it does not for whole networks."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import keras

P = ParamSpec("P")
R = TypeVar("R")


def compiled_with_xla(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function of tensors with XLA on the TensorFlow backend, at its first call.

    The compiled function may be called inside a graph that is not compiled with XLA, is saved with a
    SavedModel, and has the gradients of the function. XLA compiles it once for each shape that it meets, the
    size of the batch included: about a second each. On the other backends the function is left as it is.

    Args:
        function: Of tensors alone, in ``keras.ops``, without state.

    >>> double = compiled_with_xla(lambda values: values * 2.0)
    >>> float(double(keras.ops.ones(())))
    2.0
    """

    @functools.cache
    def compiled() -> Callable[P, R]:
        if keras.backend.backend() != "tensorflow":
            return function
        import tensorflow as tf

        # Without AutoGraph errors keep their one sentence. `reduce_retracing` would forget the height and
        # width of images, which the functions need, at the second size that comes along.
        jitted: Callable[P, R] = tf.function(function, jit_compile=True, autograph=False)
        return jitted

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return compiled()(*args, **kwargs)

    return call
