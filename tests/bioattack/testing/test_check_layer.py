import keras
import numpy as np
import pytest
from keras import ops

from bioattack.testing.check_layer import LayerExpectations, check_layer


def _registered(cls):
    return keras.saving.register_keras_serializable(package="broken")(cls)


@_registered
class Scaling(keras.layers.Layer):
    """Right in every way; the others each break one promise."""

    def __init__(self, *, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, inputs):
        return inputs * self.scale * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Unregistered(Scaling):
    pass


@_registered
class Forgetful(Scaling):
    def get_config(self):
        return keras.layers.Layer.get_config(self)


@_registered
class Altering(Scaling):
    def get_config(self):
        return {**super().get_config(), "factor": self.factor + 1}


@_registered
class UnsavedWeight(Scaling):
    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass


@_registered
class FixedBatch(Scaling):
    def call(self, inputs):
        return super().call(inputs) * ops.arange(1.0, 4.0)[:, None]


@_registered
class MisleadingShape(Scaling):
    def call(self, inputs):
        return super().call(inputs)[:, :1]

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


@_registered
class BatchMixing(Scaling):
    def call(self, inputs):
        return super().call(inputs) + ops.mean(inputs, axis=0)


@_registered
class HalfWeights(Scaling):
    def build(self, input_shape):
        self.scale = self.add_weight(
            shape=(input_shape[-1],), initializer="ones", name="scale", dtype=self.compute_dtype
        )


@_registered
class Imprecise(Scaling):
    def call(self, inputs):
        # The small difference of large numbers, which bfloat16 cannot hold.
        return super().call(inputs) + 64.0 - 64.0


@_registered
class Blocking(Scaling):
    def call(self, inputs):
        return ops.stop_gradient(inputs) * self.scale * self.factor


@_registered
class WrongGradient(Scaling):
    def call(self, inputs):
        outputs = super().call(inputs)
        return outputs + ops.stop_gradient(outputs)


@_registered
class InfiniteGradient(Scaling):
    def call(self, inputs):
        return super().call(inputs) + ops.sqrt(inputs - ops.stop_gradient(inputs))


@_registered
class HiddenRandomness(Scaling):
    def call(self, inputs, training=False):
        noise = np.random.default_rng().random() if training else 0.0
        return super().call(inputs) + noise


@_registered
class NeverRandom(Scaling):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(0)


@_registered
class UnseededRandomness(Scaling):
    def __init__(self, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(int(np.random.default_rng().integers(2**31)))

    def call(self, inputs, training=False):
        noise = keras.random.uniform((), seed=self.seed_generator) if training else 0.0
        return super().call(inputs) + ops.cast(noise, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def test_a_right_layer_passes():
    check_layer(Scaling, {"factor": 3.0}, input_shape=(4,), expected=LayerExpectations(output_shape=(4,)))


@pytest.mark.parametrize(
    ("layer_class", "init_kwargs"),
    [
        (keras.layers.BatchNormalization, {}),
        (keras.layers.Dropout, {"rate": 0.5, "seed": 1}),
        (keras.layers.LayerNormalization, {}),
    ],
)
def test_layers_of_keras_pass(layer_class, init_kwargs):
    check_layer(layer_class, init_kwargs, input_shape=(4,))


def test_several_inputs_and_an_input_without_gradient():
    random = np.random.default_rng(0)
    images = random.random((3, 4, 4, 1), dtype="float32")
    rows = np.array([0, 2, 1], dtype="int32")[:, None]
    check_layer(TakeRow, {}, inputs=(images, rows), expected=LayerExpectations(output_shape=(1, 4, 1)))
    blocked = LayerExpectations(has_gradient=(False,))
    check_layer(Blocking, {}, input_shape=(4,), expected=blocked)
    with pytest.raises(AssertionError, match="a gradient reaches input 0, against has_gradient"):
        check_layer(Scaling, {}, input_shape=(4,), expected=blocked)


@_registered
class TakeRow(keras.layers.Layer):
    def call(self, images, rows):
        return ops.take_along_axis(images, rows[:, :, None, None], axis=1)


@pytest.mark.parametrize(
    ("layer_class", "init_kwargs", "message"),
    [
        (Unregistered, {}, "Unregistered is not registered with register_keras_serializable"),
        (Forgetful, {"factor": 3.0}, r"get_config\(\) lacks the argument factor"),
        (Altering, {}, "the rebuilt layer has another configuration"),
        (UnsavedWeight, {}, "the layer loaded from a .keras file gives something else"),
        (MisleadingShape, {}, "the symbolic shapes are"),
        (BatchMixing, {}, "a batch of 1 in tf.function gives something else"),
        (HalfWeights, {}, "mixed_bfloat16 makes .*scale bfloat16"),
        (Imprecise, {}, "mixed_bfloat16 is off"),
        (Blocking, {}, "no gradient reaches input 0"),
        (WrongGradient, {}, "the gradient of input 0 with training=False is off finite differences by"),
        (InfiniteGradient, {}, "the gradient of input 0 with training=False is not finite"),
        (HiddenRandomness, {}, "though there is no random state in layer.variables, gives something else"),
        (NeverRandom, {}, "eight calls with training=True all gave the same"),
        (UnseededRandomness, {"seed": 1}, "another layer with the same seed gives something else"),
    ],
)
def test_a_broken_layer_is_found_out(layer_class, init_kwargs, message):
    with pytest.raises(AssertionError, match=message):
        check_layer(layer_class, init_kwargs, input_shape=(4,))


def test_a_layer_for_one_batch_size_is_found_out():
    with pytest.raises(Exception, match="shape"):
        check_layer(FixedBatch, {}, input_shape=(4,))


def test_a_wrong_output_shape_is_found_out():
    with pytest.raises(AssertionError, match=r"the output shape is \(4,\), not \(5,\)"):
        check_layer(Scaling, {}, input_shape=(4,), expected=LayerExpectations(output_shape=(5,)))


@pytest.mark.parametrize("arguments", [{}, {"input_shape": (4,), "inputs": (np.ones((2, 4)),)}])
def test_one_way_to_say_the_inputs(arguments):
    with pytest.raises(ValueError, match="exactly one of input_shape and inputs must be given"):
        check_layer(Scaling, {}, **arguments)
