import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.registry import build_model
from bioattack.training.export import write_saved_model

NUM_IMAGES = 4


@pytest.fixture(scope="module")
def classifier():
    return build_model("small_cnn", image_shape=(8, 8, 3), num_classes=3, seed=0)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((NUM_IMAGES, 8, 8, 3), dtype=np.float32)


def off(classifier, *, logits=(0.0,) * NUM_IMAGES, gradient=(0.0,) * NUM_IMAGES):
    """The classifier with something added to its logits, and to their gradient, on each image."""

    @tf.custom_gradient
    def turn(images):
        return images, lambda upstream: upstream + tf.reshape(tf.constant(gradient), (-1, 1, 1, 1))

    def serve(images):
        return classifier(turn(images)) + tf.constant(logits)[:, None] * tf.constant([1.0, 0.0, -1.0])

    return types.SimpleNamespace(serve=serve)


@pytest.mark.parametrize(
    "change",
    [{}, {"logits": (0.0, 1e-5, 0.0, 0.0)}, {"gradient": (1.0, 0.0, 0.0, 1.0)}],
    ids=["none", "rounding", "gradient of half the images"],
)
def test_saved_model_that_is_the_classifier_is_kept(classifier, images, tmp_path, monkeypatch, change):
    monkeypatch.setattr(tf.saved_model, "load", lambda _: off(classifier, **change))
    write_saved_model(classifier, tmp_path / "saved_model", images=images)
    assert (tmp_path / "saved_model" / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": (0.0, 0.0, 0.01, 0.0)}, "the SavedModel's logits differ from the classifier's by 0.01"),
        ({"logits": (0.0, 0.0, np.nan, 0.0)}, "logits differ .* by nan"),
        ({"gradient": (0.01, 0.0, 0.02, 0.03)}, "the SavedModel's gradient differ .* by 0.01"),
        ({"gradient": (np.nan,) * NUM_IMAGES}, "gradient differ .* by nan"),
    ],
)
def test_saved_model_that_is_something_else_is_not_kept(
    classifier, images, tmp_path, monkeypatch, change, message
):
    monkeypatch.setattr(tf.saved_model, "load", lambda _: off(classifier, **change))
    with pytest.raises(RuntimeError, match=message):
        write_saved_model(classifier, tmp_path / "saved_model", images=images)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("policy", "most"), [("mixed_bfloat16", 0.0625), ("mixed_float16", 1 / 128)])
def test_mixed_precision_may_be_rounded_otherwise_but_no_more(policy, most, images, tmp_path, monkeypatch):
    keras.config.set_dtype_policy(policy)
    try:
        mixed = build_model("small_cnn", image_shape=(8, 8, 3), num_classes=3, seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    loads = {
        "kept": lambda _: off(mixed, logits=(0.0, 0.9 * most, 0.0, 0.0)),
        "refused": lambda _: off(mixed, logits=(0.0, 4 * most, 0.0, 0.0)),
    }
    monkeypatch.setattr(tf.saved_model, "load", loads["kept"])
    write_saved_model(mixed, tmp_path / "kept", images=images)
    monkeypatch.setattr(tf.saved_model, "load", loads["refused"])
    with pytest.raises(RuntimeError, match="the SavedModel's logits differ"):
        write_saved_model(mixed, tmp_path / "refused", images=images)


def test_network_without_a_gradient_is_not_kept(images, tmp_path):
    pictures = keras.Input((8, 8, 3))
    rounded = keras.layers.Lambda(lambda inputs: tf.stop_gradient(inputs))(pictures)
    model = keras.Model(pictures, keras.layers.Dense(3)(keras.layers.Flatten()(rounded)))
    with pytest.raises(RuntimeError, match="no gradient from the logits to the images"):
        write_saved_model(model, tmp_path / "saved_model", images=images)
