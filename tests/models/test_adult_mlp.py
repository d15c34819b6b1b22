import keras
import numpy as np
import pytest

from bioattack.models.adult_mlp import adult_mlp
from bioattack.models.registry import build_model
from bioattack.testing.check_model import check_model

MEAN = (38.4, 189_793.8, 10.1, 1092.0)
STD = (13.1, 105_651.2, 2.5, 7406.2)


def test_published_network():
    model = adult_mlp((14,), 2)
    # Sooksatra and Rivas' layers: 14 * 64 + 64, three times 64 * 64 + 64, and 64 * 2 + 2.
    assert model.count_params() == 960 + 3 * 4_160 + 130 == 13_570
    assert [layer.activation.__name__ for layer in model.layers[1:]] == ["tanh"] * 4 + ["linear"]


def test_standardising_adds_no_parameters():
    model = adult_mlp((4,), 2, mean=MEAN, std=STD)
    assert model.count_params() == adult_mlp((4,), 2).count_params()


def test_keeps_the_promises_of_a_network():
    check_model(lambda: build_model("adult_mlp", image_shape=(4,), num_classes=3, seed=0))
    options = {"mean": (0.4, 0.5, 0.6, 0.5), "std": (0.1, 0.2, 0.3, 0.2)}
    check_model(lambda: build_model("adult_mlp", image_shape=(4,), num_classes=2, seed=0, options=options))


def test_logits_are_those_of_numpy():
    model = adult_mlp((4,), 2, mean=MEAN, std=STD, seed=3)
    rows = np.random.default_rng(0).normal(MEAN, STD, (5, 4))
    hidden = (rows - np.array(MEAN)) / np.array(STD)
    for name in ("dense1", "dense2", "dense3", "dense4"):
        kernel, bias = model.get_layer(name).get_weights()
        hidden = np.tanh(hidden @ kernel + bias)
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(model(rows.astype("float32")), hidden @ kernel + bias, atol=1e-5)


def test_half_precision_standardises_in_full():
    rows = np.array([[40.0, 189_793.0, 10.0, 0.0], [40.0, 190_293.0, 10.0, 0.0]], "float32")
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = adult_mlp((4,), 2, mean=MEAN, std=STD, seed=0)
    finally:
        keras.config.set_dtype_policy(policy)
    standardised = keras.Model(model.input, model.get_layer("standardise").output)(rows)
    # bfloat16 has steps of 1024 at 190,000: both rows would be the same.
    assert float(standardised[1, 1] - standardised[0, 1]) == pytest.approx(500 / STD[1], rel=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (32, 32, 3)}, r"image_shape must be \(features,\): adult_mlp takes rows of a table"),
        ({"image_shape": (0,)}, "features must be an integer of 1 or more. Received: features=0"),
        ({"num_classes": 1}, "num_classes must be an integer of 2 or more. Received: num_classes=1"),
        ({"mean": (1.0,)}, "mean must hold 4 numbers, one a feature"),
        ({"std": (1.0, 1.0, "x", 1.0)}, "std must hold 4 numbers, one a feature"),
        ({"std": (1.0, 1.0, 0.0, 1.0)}, "std must be above 0: leave out a feature that never varies"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    arguments = {"image_shape": (4,), "num_classes": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        adult_mlp(arguments.pop("image_shape"), arguments.pop("num_classes"), **arguments)
