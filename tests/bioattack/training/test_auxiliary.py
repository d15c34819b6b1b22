import keras
import numpy as np
import pytest

from bioattack.models.registry import build_model
from bioattack.training.auxiliary import auxiliary_features, with_auxiliary_heads


def cortical(**options):
    return build_model("cortical", image_shape=(32, 32, 3), num_classes=10, options=options, seed=0)


def test_most_networks_have_none():
    model = build_model("small_cnn", image_shape=(32, 32, 3), num_classes=10)
    assert auxiliary_features(model) == ()


# Vuyyuru et al. 2020: four scales of 360 features each, ten classes.
def test_heads_of_the_published_cortical_network():
    model = build_model(
        "cortical", image_shape=(320, 320, 3), num_classes=10, preset="paper", options={"match": "macs"}
    )
    assert len(auxiliary_features(model)) == 4
    assert with_auxiliary_heads(model, seed=0).count_params() - model.count_params() == 14_440


def test_layers_are_shared_with_the_classifier():
    model = cortical()
    trained = with_auxiliary_heads(model, seed=0)
    num_heads = len(auxiliary_features(model))
    assert num_heads > 0
    images = np.random.default_rng(0).random((4, 32, 32, 3), dtype=np.float32)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.01)
    # In the test, where there are five looks at each image, the heads answer each of them.
    logits, *heads = trained(images, training=False)
    np.testing.assert_array_equal(logits, model(images, training=False))
    assert [head.shape for head in heads] == [(5 * 4, 10)] * num_heads
    assert [head.shape for head in trained(images, training=True)] == [(4, 10)] * (1 + num_heads)
    ours = {id(weight) for weight in trained.weights}
    assert ours >= {id(weight) for weight in model.weights}
    assert len(ours) == len(model.weights) + 2 * num_heads


def test_heads_are_functions_of_the_seed_and_stay_float32():
    model = cortical()
    one, again, other = (with_auxiliary_heads(model, seed=seed).weights[-2] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        heads = with_auxiliary_heads(cortical(), seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {output.dtype for output in heads.outputs} == {"float32"}


def made_up(*, name):
    """A network with a layer of each kind, one of them named as auxiliary feature."""
    images = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(2, 3, name="maps")(images)
    inner_images = keras.Input((6, 6, 2))
    inner = keras.Model(inner_images, keras.layers.Flatten()(inner_images), name="inner")
    model = keras.Model(images, keras.layers.Dense(3)(inner(maps)), name="made_up")
    model.auxiliary_features = (name,)
    return model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("elsewhere", "must name layers of made_up. Received: 'elsewhere'"),
        ("inner", "must name layers of made_up. Received: 'inner'"),
        ("maps", r"Received: 'maps', whose output has the shape \(None, 6, 6, 2\)"),
    ],
)
def test_feature_that_cannot_have_a_head(name, message):
    with pytest.raises(ValueError, match=message):
        with_auxiliary_heads(made_up(name=name), seed=0)
