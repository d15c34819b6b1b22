import keras
import pytest
from keras import ops

from bioattack.testing.check_model import check_model


@keras.saving.register_keras_serializable(package="broken_models")
class AlwaysNoisy(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        return inputs + 1e-9 * keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)


def _build(*, name="logits", dtype="float32", middle=None, initializer="glorot_uniform"):
    images = keras.Input((4, 4, 3), name="images")
    outputs = keras.layers.Flatten()(images)
    if middle is not None:
        outputs = middle()(outputs)
    outputs = keras.layers.Dense(2, dtype=dtype, name=name, kernel_initializer=initializer)(outputs)
    return keras.Model(images, outputs)


def test_a_right_model_passes():
    check_model(_build)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "softmax"}, r"the outputs must be 'logits' alone, not \['softmax'\]"),
        ({"dtype": None}, "logits must be float32, not bfloat16"),
        ({"initializer": "zeros"}, "the gradient with respect to image 0 is 0"),
        ({"initializer": keras.initializers.Constant(float("nan"))}, "some logits are not finite"),
        ({"middle": AlwaysNoisy}, "the SavedModel draws random numbers: StatelessRandom"),
        ({"middle": lambda: keras.layers.Lambda(ops.stop_gradient)}, "no gradient reaches the images"),
    ],
)
def test_a_broken_model_is_found_out(arguments, message):
    with pytest.raises(AssertionError, match=message):
        check_model(lambda: _build(**arguments))


def test_the_policy_is_put_back():
    with pytest.raises(AssertionError, match="bfloat16"):
        check_model(lambda: _build(dtype=None))
    assert keras.config.dtype_policy().name == "float32"
