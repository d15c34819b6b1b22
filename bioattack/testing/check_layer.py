"""One call that tells whether a Keras layer is well made: saved, differentiated, batched and mixed right."""

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bioattack.testing.checking import Arrays, compare, random_states, require
from bioattack.testing.finite_differences import Differentiation, call, invoke


@dataclasses.dataclass(frozen=True)
class LayerExpectations:
    """What ``check_layer`` holds a layer to, beyond what holds for every layer.

    Args:
        output_shape: Of one example, without the batch axis; ``None``: not compared.
        has_gradient: For each input, whether a gradient reaches it; where not, it must be absent or 0.
            ``None``: for all.
        gradient_tolerance: Largest relative difference from central finite differences in float64.
        bfloat16_tolerance: Largest difference between mixed_bfloat16 and float32, relative to the largest
            absolute output.
    """

    output_shape: tuple[int, ...] | None = None
    has_gradient: tuple[bool, ...] | None = None
    gradient_tolerance: float = 1e-4
    bfloat16_tolerance: float = 0.03


def check_layer(
    layer_class: type[keras.layers.Layer],
    init_kwargs: Mapping[str, Any],
    *,
    input_shape: tuple[int, ...] | None = None,
    inputs: Sequence[np.ndarray[Any, Any]] | None = None,
    expected: LayerExpectations | None = None,
) -> None:
    """Checks everything that a layer of this project promises.

    - its configuration, and a ``.keras`` file without ``custom_objects``, rebuild it with the same output;
    - any batch size goes through one traced ``tf.function``, and the symbolic shape is the real one;
    - it gives the same inside ``tf.function`` and ``tf.data``;
    - mixed_bfloat16 keeps float32 weights and stays near the float32 output;
    - gradients with respect to inputs and trainable weights are those of finite differences;
    - its random draws follow from its seed, go on from the state in ``layer.variables``, and happen only
      where a state is found there.

    Random layers are checked with ``training=True`` as well, the state put back before each comparison. The
    global seed of Keras is set to 0 on the way.

    Args:
        layer_class: A class registered with ``keras.saving.register_keras_serializable``.
        init_kwargs: Its arguments.
        input_shape: Shape of one example; three examples are drawn from [0, 1). Give this or ``inputs``.
        inputs: The layer's positional inputs, each with a batch axis of 2 or more, where a shape does not say
            enough. Floating-point inputs are differentiated.
        expected: What else must hold.

    Raises:
        AssertionError: If a promise is not kept; the message says which.
        ValueError: If neither or both of ``input_shape`` and ``inputs`` are given.

    >>> check_layer(keras.layers.Dense, {"units": 4}, input_shape=(3,))
    """
    if (input_shape is None) == (inputs is None):
        raise ValueError("exactly one of input_shape and inputs must be given")
    if inputs is None:
        inputs = (np.random.default_rng(0).random((3, *(input_shape or ())), dtype="float32"),)
    check = _LayerCheck(layer_class, dict(init_kwargs), tuple(inputs), expected or LayerExpectations())
    check.configuration()
    check.saving()
    check.shapes_and_batches()
    check.graph_and_data()
    check.mixed_precision()
    check.gradients()
    check.randomness()


@dataclasses.dataclass(frozen=True)
class _LayerCheck:
    """The checks of one layer, each of which makes its own fresh layer."""

    layer_class: type[keras.layers.Layer]
    init_kwargs: dict[str, Any]
    inputs: Arrays
    expected: LayerExpectations

    def configuration(self) -> None:
        """The configuration holds every argument, is plain JSON, and rebuilds the layer."""
        registered_name = keras.saving.get_registered_name(self.layer_class)
        is_known = ">" in registered_name or self.layer_class.__module__.startswith("keras.")
        require(is_known, f"{self.layer_class.__name__} is not registered with register_keras_serializable")
        layer = self._new_layer()
        for name in self.init_kwargs:
            require(name in layer.get_config(), f"get_config() lacks the argument {name}")
        stored = json.dumps(keras.saving.serialize_keras_object(layer), sort_keys=True)
        rebuilt = keras.saving.deserialize_keras_object(json.loads(stored))
        again = json.dumps(keras.saving.serialize_keras_object(rebuilt), sort_keys=True)
        require(again == stored, f"the rebuilt layer has another configuration: {again} instead of {stored}")

    def saving(self) -> None:
        """A model in a ``.keras`` file comes back with the same output to the bit."""
        model = self._model(self._new_layer())
        random = np.random.default_rng(1)
        for weight in model.weights:
            # A weight that the file forgets would go unseen if it kept its initial value.
            weight.assign(weight + random.random(weight.shape).astype(weight.dtype) * 0.1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            loaded = keras.saving.load_model(path)
        compare("the layer loaded from a .keras file", call(loaded, self.inputs), call(model, self.inputs))

    def shapes_and_batches(self) -> None:
        """One traced function takes every batch size; shapes are what the symbolic call says."""
        layer = self._new_layer()
        model = self._model(layer)
        symbolic = [tuple(output.shape) for output in keras.tree.flatten(model.output)]
        reference = call(layer, self.inputs)
        if self.expected.output_shape is not None:
            require(
                reference[0].shape[1:] == self.expected.output_shape,
                f"the output shape is {reference[0].shape[1:]}, not {self.expected.output_shape}",
            )
        specification = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in self.inputs]
        function = tf.function(lambda *tensors: invoke(layer, tensors)).get_concrete_function(*specification)
        for size in (1, len(self.inputs[0])):
            outputs = [np.asarray(part) for part in keras.tree.flatten(function(*self._first(size)))]
            compare(f"a batch of {size} in tf.function", outputs, [part[:size] for part in reference], 1e-5)
            shapes = [(None, *part.shape[1:]) for part in outputs]
            require(shapes == symbolic, f"the symbolic shapes are {symbolic}, the real ones {shapes}")

    def graph_and_data(self) -> None:
        """The layer gives in the map of a dataset what it gives outside."""
        layer = self._new_layer()
        reference = call(layer, self.inputs)
        dataset = tf.data.Dataset.from_tensor_slices(self.inputs).batch(len(self.inputs[0]))
        mapped = dataset.map(lambda *tensors: invoke(layer, tensors))
        outputs = [np.asarray(part) for part in keras.tree.flatten(next(iter(mapped)))]
        compare("the layer inside tf.data", outputs, reference, 1e-5)

    def mixed_precision(self) -> None:
        """Weights stay float32; the output is near that of float32."""
        mixed, full = self._new_layer(dtype="mixed_bfloat16"), self._new_layer()
        reference = call(full, self.inputs)
        call(mixed, self.inputs)
        for source, target in zip(full.weights, mixed.weights, strict=True):
            require(target.dtype == source.dtype, f"mixed_bfloat16 makes {target.path} {target.dtype}")
            target.assign(source)
        for found, wanted in zip(call(mixed, self.inputs), reference, strict=True):
            limit = self.expected.bfloat16_tolerance * np.abs(wanted).max(initial=1e-6)
            np.testing.assert_allclose(
                found.astype("float32"), wanted, rtol=0, atol=limit, err_msg="mixed_bfloat16 is off"
            )

    def gradients(self) -> None:
        """Gradients are those of finite differences, in training too where that differs."""
        layer = self._new_layer(dtype="float64")
        inputs = tuple(
            array.astype("float64") if np.issubdtype(array.dtype, np.floating) else array
            for array in self.inputs
        )
        call(layer, inputs)
        for training in (False, True) if random_states(layer) else (False,):
            differentiation = Differentiation(layer, inputs, training)
            self._check_input_gradients(differentiation)
            for weight in layer.trainable_weights:
                differentiation.check_weight(weight, tolerance=self.expected.gradient_tolerance)

    def randomness(self) -> None:
        """Draws follow from the seed and go on from the state in the layer's variables."""
        layer = self._new_layer()
        call(layer, self.inputs)
        states = random_states(layer)
        if not states:
            compare(
                "a second call with training=True, though there is no random state in layer.variables,",
                call(layer, self.inputs, training=True),
                call(layer, self.inputs, training=True),
            )
            return
        start = [np.asarray(state) for state in states]
        draws = [call(layer, self.inputs, training=True) for _ in range(8)]
        require(
            any(not np.array_equal(draw[0], draws[0][0]) for draw in draws[1:]),
            "eight calls with training=True all gave the same",
        )
        for state, value in zip(states, start, strict=True):
            state.assign(value)
        compare("the layer with its state put back", call(layer, self.inputs, training=True), draws[0])
        if self.init_kwargs.get("seed") is not None:
            again = self._new_layer()
            compare("another layer with the same seed", call(again, self.inputs, training=True), draws[0])

    def _check_input_gradients(self, differentiation: "Differentiation") -> None:
        """Compares the gradient of each floating-point input with what is expected of it."""
        for index, array in enumerate(differentiation.inputs):
            if not np.issubdtype(array.dtype, np.floating):
                continue
            if self.expected.has_gradient is None or self.expected.has_gradient[index]:
                differentiation.check_input(index, tolerance=self.expected.gradient_tolerance)
            else:
                gradient = differentiation.gradient(index)
                is_absent = gradient is None or not np.any(gradient)
                require(is_absent, f"a gradient reaches input {index}, against has_gradient")

    def _new_layer(self, **more: Any) -> keras.layers.Layer:
        """A fresh layer, its initial weights the same each time."""
        keras.utils.set_random_seed(0)
        return self.layer_class(**self.init_kwargs, **more)

    def _model(self, layer: keras.layers.Layer) -> keras.Model:
        symbolic = [keras.Input(array.shape[1:], dtype=str(array.dtype)) for array in self.inputs]
        return keras.Model(symbolic if len(symbolic) > 1 else symbolic[0], layer(*symbolic))

    def _first(self, size: int) -> tuple[tf.Tensor, ...]:
        return tuple(tf.constant(array[:size]) for array in self.inputs)
