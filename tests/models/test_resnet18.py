import keras
import numpy as np
import pytest

from bioattack.models.resnet18 import ResNet18Features, resnet18


def _num_trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _num_multiply_adds(model):
    """Multiply-adds of convolutions and dense layers for one image."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += int(np.prod(layer.output.shape[1:3])) * int(np.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


# The figures of this file were counted on the original Keras model of Vuyyuru et al. 2020.
def test_published_network():
    model = resnet18((320, 320, 3), 10)
    assert model.count_params() == 11_200_458
    assert _num_trainable(model) == 11_190_730
    assert round(_num_multiply_adds(model) / 1e9, 3) == 3.727
    assert model.name == "resnet18"


@pytest.mark.parametrize(
    ("side", "options", "num_parameters", "giga_multiply_adds"),
    [
        (320, {}, 11_195_328, 3.727),
        (224, {}, 11_195_328, 1.826),
        # Four branches each.
        (40, {"width": 45, "stem_width": 64, "stem_stride": 1, "pool_stride": 1}, 5_553_278, 1.839 / 4),
        (224, {"width": 27, "stem_width": 64}, 2_016_368, 1.814 / 4),
        (224, {"width": 32, "stem_width": 64}, 2_822_368, None),
    ],
)
def test_features_of_the_published_variants(side, options, num_parameters, giga_multiply_adds):
    images = keras.Input((side, side, 3))
    model = keras.Model(images, ResNet18Features(**options)(images))
    assert model.count_params() == num_parameters
    assert model.output_shape == (None, 8 * options.get("width", 64))
    if giga_multiply_adds:
        # Published with three decimals; the head is counted there and is some thousands.
        assert _num_multiply_adds(model) / 1e9 == pytest.approx(giga_multiply_adds, abs=6e-4)


def test_narrow_network_has_a_narrow_stem():
    model = resnet18((64, 64, 3), 10, width=16)
    assert model.count_params() == 707_322
    assert model.get_layer("conv1").filters == 16


def test_sizes_of_the_feature_maps():
    model = resnet18((320, 320, 3), 10)
    maps = {"conv1": 160, "pool": 80, "layer1_1_add": 80, "layer2_1_add": 40, "layer3_1_add": 20}
    for name, side in {**maps, "layer4_1_add": 10}.items():
        assert model.get_layer(name).output.shape[1:3] == (side, side)


def test_details_of_the_layers():
    model = resnet18((64, 64, 3), 10)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    normalisations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(convolutions) == len(normalisations) == 1 + 4 * 5
    assert all(layer.use_bias for layer in convolutions)
    assert all(
        isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform) for layer in convolutions
    )
    assert {(layer.momentum, layer.epsilon) for layer in normalisations} == {(0.99, 1.001e-5)}
    assert {layer.name for layer in convolutions if layer.kernel_size == (1, 1)} == {
        f"layer{stage}_0_shortcut_conv" for stage in (1, 2, 3, 4)
    }
    assert not model.losses


@pytest.mark.parametrize("side", [128, 64, 48, 32, 28])
def test_strides_by_image_size_leave_a_map_to_average(side):
    images = keras.Input((side, side, 3))
    model = keras.Model(images, ResNet18Features(width=4, stem_stride=None, pool_stride=None)(images))
    # The stages divide by 8: a single pixel would leave nothing for the average to be robust about.
    assert model.get_layer("layer4_1_add").output.shape[1] >= 2


def test_the_seed_alone_decides_the_weights():
    first, second, other = (resnet18((32, 32, 3), 10, width=4, seed=seed) for seed in (7, 7, 8))
    for one, two in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.allclose(first.get_layer("conv1").kernel, other.get_layer("conv1").kernel)
    kernels = [
        first.get_layer(f"layer1_{block}_conv{number}").kernel for block in (0, 1) for number in (1, 2)
    ]
    for kernel in kernels[1:]:
        assert not np.allclose(kernel, kernels[0])


def test_branches_of_one_model_keep_their_names_apart():
    images = keras.Input((40, 40, 3))
    branches = [ResNet18Features(width=4, prefix=f"scale{index}_", seed=0)(images) for index in range(2)]
    model = keras.Model(images, keras.layers.Concatenate()(branches))
    assert model.output_shape == (None, 64)
    assert not np.allclose(model.get_layer("scale0_conv1").kernel, model.get_layer("scale1_conv1").kernel)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be an integer of 1 or more. Received: width=0"),
        ({"stem_stride": 1.5}, "stem_stride must be an integer of 1 or more. Received: stem_stride=1.5"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum must be a number between 0 and 1. Received"),
        ({"augmentation": "mixup"}, "augmentation must be one of paper, reference, crop, none. Received"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        resnet18((32, 32, 3), 10, **options)
