import keras
import numpy as np
import pytest

from bioattack.models.resnet20 import ResNet20Features, resnet20
from bioattack.models.weights import load_published_weights


def _num_trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


# Counts of the projection form: the original Keras model of Vuyyuru et al. 2020.
def test_projection_form():
    model = resnet20((32, 32, 3), 10)
    assert model.count_params() == 274_442
    assert _num_trainable(model) == 273_066
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 21
    for layer in convolutions:
        assert layer.use_bias
        assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
        assert layer.kernel_regularizer.l2 == pytest.approx(1e-4)
        assert layer.bias_regularizer is None
    assert model.get_layer("logits").kernel_regularizer is None
    penalty = sum(float(np.sum(np.square(layer.kernel))) for layer in convolutions) * 1e-4
    np.testing.assert_allclose(float(sum(model.losses)), penalty, rtol=1e-5)
    normalisations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(normalisations) == 19  # the shortcuts have none
    assert {(layer.momentum, layer.epsilon) for layer in normalisations} == {(0.99, 1e-3)}


def test_projection_form_for_the_cortical_network():
    images = keras.Input((15, 15, 3))
    branches = [ResNet20Features(width=22, prefix=f"scale{index}_")(images) for index in range(2)]
    logits = keras.layers.Dense(10)(keras.layers.Concatenate()(branches))
    assert keras.Model(images, logits).count_params() == 1_032_954


# Counts of the pad form: the number of values in the published weights.
@pytest.mark.parametrize(("num_blocks", "num_values"), [(3, 271_098), (9, 857_082)])
def test_pad_form(num_blocks, num_values):
    model = resnet20((32, 32, 3), 10, shortcut="pad", num_blocks=num_blocks)
    assert model.count_params() == num_values
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert not layer.use_bias
            # "same" is symmetric where the stride is 1 only.
            assert layer.padding == ("same" if layer.strides == (1, 1) else "valid")
        elif isinstance(layer, keras.layers.BatchNormalization):
            assert layer.epsilon == 1e-5


def test_input_is_standardised_inside():
    images = np.random.default_rng(0).random((4, 32, 32, 3), dtype="float32")
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    plain = resnet20((32, 32, 3), 10, seed=0)
    inside = resnet20((32, 32, 3), 10, seed=0, mean=mean, std=std)
    wanted = plain(((images - np.array(mean)) / np.array(std)).astype("float32"))
    np.testing.assert_allclose(inside(images), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shortcut": "identity"}, "shortcut must be one of projection, pad. Received: shortcut='identity'"),
        ({"num_blocks": 0}, "num_blocks must be an integer of 1 or more. Received: num_blocks=0"),
        ({"mean": (0.5,)}, r"mean must hold 3 numbers, one a channel. Received: mean=\(0.5,\)"),
        ({"mean": 0.5}, "mean must hold 3 numbers, one a channel. Received: mean=0.5"),
        ({"std": ["1", "1", "1"]}, "std must hold 3 numbers, one a channel. Received"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be above 0. Received"),
        ({"batch_norm_momentum": 1}, "batch_norm_momentum must be a number between 0 and 1. Received"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        resnet20((32, 32, 3), 10, **options)


# 4,571 and 4,650 of the first 500 test images of each class: measured with an independent forward pass when
# the weights were converted. The published figures on all 10,000 are 91.73 % and 93.39 %.
@pytest.mark.realdata
@pytest.mark.parametrize(
    ("depth", "num_blocks", "num_correct"),
    [(20, 3, 4571), pytest.param(56, 9, 4650, marks=pytest.mark.slow)],
)
def test_published_weights_reach_their_accuracy(realdata, depth, num_blocks, num_correct):
    with np.load(realdata / "cifar10" / "cifar10_20k_5k.npz") as archive:
        images, labels = archive["x_test"].astype("float32") / 255, archive["y_test"]
    model = resnet20(
        (32, 32, 3),
        10,
        num_blocks=num_blocks,
        shortcut="pad",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    load_published_weights(model, realdata / "weights" / f"resnet{depth}_cifar10.npz")
    predicted = model.predict(images, batch_size=250, verbose=0).argmax(axis=1)
    assert int((predicted == labels).sum()) == num_correct
