import keras
import numpy as np
import pytest

from bioattack.models.backbones import BACKBONES, Backbone
from bioattack.models.resnet18 import resnet18
from bioattack.models.resnet20 import resnet20


def _images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


# The published counts of the two networks.
@pytest.mark.parametrize(
    ("backbone", "image_shape", "num_parameters"),
    [
        (Backbone(), (320, 320, 3), 11_200_458),
        (Backbone(name="resnet20", width=16), (32, 32, 3), 274_442),
        (Backbone(width=16, stem_stride=None, pool_stride=None), (64, 64, 3), 707_322),
    ],
)
def test_networks_have_the_published_sizes(backbone, image_shape, num_parameters):
    model = backbone.network(image_shape, 10, name="classifier")
    assert model.count_params() == num_parameters
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(("name", "num_features"), [("resnet18", 8 * 4), ("resnet20", 4 * 4)])
def test_without_outputs_a_network_ends_in_its_features(name, num_features):
    model = Backbone(name=name, width=4).network((32, 32, 3), None, name="classifier")
    assert model.output_shape == (None, num_features)


@pytest.mark.parametrize(("name", "builder"), [("resnet18", resnet18), ("resnet20", resnet20)])
def test_with_the_same_seed_it_is_the_network_of_that_name(name, builder):
    backbone = Backbone(name=name, width=4, seed=3)
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, backbone.classify(backbone.features("")(images), 5))
    wanted = builder((32, 32, 3), 5, width=4, augmentation="none", seed=3)
    for one, other in zip(model.weights, wanted.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model(_images(2, 32, 32, 3)), wanted(_images(2, 32, 32, 3)))
    assert model.output_names == ["logits"]


@pytest.mark.parametrize("name", BACKBONES)
def test_options_reach_the_layers(name):
    model = Backbone(name=name, width=4, batch_norm_momentum=0.7).network((32, 32, 3), 3, name="n")
    normalisations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert normalisations
    assert {layer.momentum for layer in normalisations} == {0.7}
    assert all(layer.name.startswith("n_") for layer in model.layers)


def test_strides_and_stem_of_resnet18():
    model = Backbone(width=4, stem_width=6, stem_stride=1, pool_stride=1).network((40, 40, 3), 3, name="n")
    assert model.get_layer("n_conv1").output.shape == (None, 40, 40, 6)
    assert model.get_layer("n_pool").output.shape == (None, 40, 40, 6)
    assert model.get_layer("n_layer4_1_relu2").output.shape == (None, 5, 5, 32)


@pytest.mark.parametrize("name", BACKBONES)
def test_several_calls_share_one_set_of_weights(name):
    network = Backbone(name=name, width=2, seed=0).network((16, 16, 3), 3, name="classifier")
    first, second = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    model = keras.Model([first, second], [network(first), network(second)])
    assert model.count_params() == network.count_params()
    images = _images(2, 16, 16, 3)
    for outputs in model([images, images]):
        np.testing.assert_array_equal(outputs, network(images))


@pytest.mark.parametrize("name", BACKBONES)
def test_two_networks_of_one_model_differ_and_keep_their_names_apart(name):
    backbone = Backbone(name=name, width=2, seed=0)
    images = keras.Input((16, 16, 3))
    networks = [backbone.network((16, 16, 3), 3, name=f"classifier_{index}") for index in range(2)]
    model = keras.Model(images, [network(images) for network in networks])
    names = [layer.name for network in networks for layer in network.layers]
    assert len(set(names)) == len(names)
    assert model.count_params() == 2 * networks[0].count_params()
    kernels = [network.get_layer(f"{network.name}_conv1").kernel for network in networks]
    assert not np.allclose(*kernels)
    heads = [network.get_layer(f"{network.name}_outputs").kernel for network in networks]
    assert not np.allclose(*heads)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_seed_alone_decides_the_weights(name):
    first, second, other = (
        Backbone(name=name, width=2, seed=seed).network((16, 16, 3), 3, name="n") for seed in (1, 1, 2)
    )
    for one, two in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.allclose(first.get_layer("n_outputs").kernel, other.get_layer("n_outputs").kernel)


@pytest.mark.parametrize(
    ("name", "initializer"),
    [("resnet18", keras.initializers.GlorotUniform), ("resnet20", keras.initializers.HeNormal)],
)
def test_dense_layers_start_as_their_network_has_it(name, initializer):
    assert isinstance(Backbone(name=name).initializer("logits"), initializer)


def test_logits_are_float32_under_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = Backbone(width=2).network((16, 16, 3), 3, name="n")
        features = Backbone(width=2).network((16, 16, 3), None, name="n")
    finally:
        keras.config.set_dtype_policy(policy)
    images = _images(1, 16, 16, 3)
    assert network(images).dtype == "float32"
    assert features(images).dtype == "bfloat16"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "vgg"}, "backbone must be one of resnet18, resnet20. Received: backbone='vgg'"),
        ({"width": 0}, "width must be an integer of 1 or more. Received: width=0"),
        ({"name": "resnet20", "width": 0}, "width must be an integer of 1 or more. Received: width=0"),
        ({"pool_stride": -1}, "pool_stride must be an integer of 1 or more. Received: pool_stride=-1"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum must be a number between 0 and 1. Received"),
    ],
)
def test_options_out_of_range_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        Backbone(**options)
