import keras
import numpy as np
import pytest

from bioattack.models.weights import load_published_weights


def _model(name="tiny"):
    images = keras.Input((8, 8, 3), name="images")
    outputs = keras.layers.Conv2D(4, 3, use_bias=False, name="layer1_0_conv1")(images)
    outputs = keras.layers.BatchNormalization(name="layer1_0_bn1")(outputs)
    outputs = keras.layers.GlobalAveragePooling2D()(outputs)
    return keras.Model(images, keras.layers.Dense(2, name="logits")(outputs), name=name)


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    shapes = {
        "layer1/0/conv1/kernel": (3, 3, 3, 4),
        "layer1/0/bn1/gamma": (4,),
        "layer1/0/bn1/beta": (4,),
        "layer1/0/bn1/moving_mean": (4,),
        "layer1/0/bn1/moving_variance": (4,),
        "linear/kernel": (4, 2),
        "linear/bias": (2,),
    }
    return {key: random.random(shape, dtype="float32") for key, shape in shapes.items()}


@pytest.fixture
def write(tmp_path):
    def write(arrays):
        np.savez(tmp_path / "weights.npz", **arrays)
        return tmp_path / "weights.npz"

    return write


def test_every_array_finds_its_weight(arrays, write):
    model = _model()
    arrays["linear/kernel"] = arrays["linear/kernel"].astype("float16")
    load_published_weights(model, write(arrays))
    np.testing.assert_array_equal(model.get_layer("layer1_0_conv1").kernel, arrays["layer1/0/conv1/kernel"])
    normalisation = model.get_layer("layer1_0_bn1")
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        np.testing.assert_array_equal(getattr(normalisation, name), arrays[f"layer1/0/bn1/{name}"])
    np.testing.assert_array_equal(model.get_layer("logits").kernel, arrays["linear/kernel"].astype("float32"))
    np.testing.assert_array_equal(model.get_layer("logits").bias, arrays["linear/bias"])


def test_models_inside_a_model_are_filled(arrays, write):
    inner = _model()
    images = keras.Input((8, 8, 3))
    load_published_weights(keras.Model(images, inner(images)), write(arrays))
    np.testing.assert_array_equal(inner.get_layer("logits").bias, arrays["linear/bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1/0/conv1/kernel": None}, "no array for the weight layer1_0_conv1/kernel of tiny"),
        ({"layer9/conv/kernel": np.ones(3)}, "array layer9/conv/kernel has no place in tiny"),
        ({"linear/bias": np.ones(3)}, r"array linear/bias has shape \(3,\), tiny wants \(2,\)"),
        ({"linear/bias": np.array([1, 2])}, "array linear/bias must hold floating-point numbers, not int64"),
        ({"linear/bias": np.array([1.0, np.nan])}, "array linear/bias holds values that are not finite"),
        ({"logits/bias": np.ones(2)}, "is the second one for the weight logits/bias of tiny"),
        ({"linear/bias": np.array([None, None])}, "not a NumPy archive"),
    ],
)
def test_misfits_are_refused_and_nothing_is_changed(arrays, write, change, message):
    model = _model()
    before = [np.asarray(weight) for weight in model.weights]
    arrays = {key: array for key, array in {**arrays, **change}.items() if array is not None}
    with pytest.raises(ValueError, match=message):
        load_published_weights(model, write(arrays))
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_files_that_are_no_archive_are_refused(tmp_path, content):
    path = tmp_path / "weights.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights.npz: not a NumPy archive \(.npz\) of plain arrays"):
        load_published_weights(_model(), path)


def test_a_single_array_is_refused(tmp_path):
    path = tmp_path / "weights.npy"
    np.save(path, np.ones(3))
    with pytest.raises(ValueError, match="not a NumPy archive"):
        load_published_weights(_model(), path)


def test_branches_without_a_prefix_are_refused(arrays, write):
    images = keras.Input((8, 8, 3))
    outputs = keras.layers.Add()([_model("left")(images), _model("right")(images)])
    with pytest.raises(ValueError, match="model must not name two weights layer1_0_conv1/kernel"):
        load_published_weights(keras.Model(images, outputs), write(arrays))
