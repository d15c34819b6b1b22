import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances.trunks import TRUNKS, ConvolutionTrunk, Step, TrunkDesign
from bioattack.testing.made_up_trunks import numpy_taps, random_trunk_arrays

SMALL_PLAIN = TrunkDesign(
    (
        Step("convolution", "features.0", 4, size=5, stride=2, padding=2),
        Step("tap"),
        Step("pool"),
        Step("convolution", "features.3", 5, padding=1),
        Step("tap"),
    ),
    3,
    pools_rim=False,
    least_size=9,
)
SMALL_FIRE = TrunkDesign(
    (
        Step("convolution", "features.0", 4, size=3, stride=2),
        Step("tap"),
        Step("pool"),
        Step("fire", "features.3", 4, size=2),
        Step("tap"),
    ),
    3,
    pools_rim=True,
    least_size=9,
)


@pytest.mark.parametrize("design", [SMALL_PLAIN, SMALL_FIRE])
@pytest.mark.parametrize("shape", [(15, 18), (16, 17), (17, 19), (18, 20)])
def test_taps_are_those_of_an_independent_forward_pass(design, shape):
    arrays = random_trunk_arrays(design)
    images = np.random.default_rng(1).uniform(size=(2, *shape, 3))
    found = ConvolutionTrunk("small", design, arrays=arrays).taps(tf.constant(images))
    for place, image in enumerate(images):
        for maps, wanted in zip(found, numpy_taps(design, arrays, image), strict=True):
            np.testing.assert_allclose(maps[place], wanted, rtol=1e-9, atol=1e-12)


def test_shapes_are_those_of_torchvision():
    # Layer, kernel (OIHW there, HWIO here) of torchvision's alexnet, vgg16, squeezenet1_0 and squeezenet1_1.
    for name, layer, shape in (
        ("alexnet", "features.0", (11, 11, 3, 64)),
        ("alexnet", "features.10", (3, 3, 256, 256)),
        ("vgg16", "features.2", (3, 3, 64, 64)),
        ("vgg16", "features.28", (3, 3, 512, 512)),
        ("squeezenet-1.0", "features.0", (7, 7, 3, 96)),
        ("squeezenet-1.0", "features.12.squeeze", (1, 1, 512, 64)),
        ("squeezenet-1.0", "features.7.expand3x3", (3, 3, 32, 128)),
        ("squeezenet-1.1", "features.6.squeeze", (1, 1, 128, 32)),
        ("squeezenet-1.1", "features.12.expand1x1", (1, 1, 64, 256)),
    ):
        assert TRUNKS[name].shapes()[layer] == shape, (name, layer)
    # Numbers of parameters of torchvision's convolutions (its models less their classifiers).
    numbers = {
        name: sum(int(np.prod(shape)) + shape[-1] for shape in design.shapes().values())
        for name, design in TRUNKS.items()
    }
    assert numbers == {
        "vgg16": 14_714_688,
        "alexnet": 2_469_696,
        "squeezenet-1.0": 735_424,
        "squeezenet-1.1": 722_496,
    }


# Sizes and channels of the taps at 224 x 224, from the papers' and torchvision's tables.
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("alexnet", [(55, 64), (27, 192), (13, 384), (13, 256), (13, 256)]),
        (
            "squeezenet-1.1",
            [(111, 64), (55, 128), (27, 256), (13, 384), (13, 384), (13, 512), (13, 512)],
        ),
        (
            "squeezenet-1.0",
            [(109, 96), (54, 128), (27, 256), (27, 384), (27, 384), (27, 512), (13, 512)],
        ),
    ],
)
def test_taps_have_the_published_sizes(name, sizes):
    design = TRUNKS[name]
    trunk = ConvolutionTrunk(name, design, arrays=random_trunk_arrays(design))
    found = trunk.taps(tf.zeros((1, 224, 224, 3)))
    assert [tuple(maps.shape) for maps in found] == [(1, size, size, width) for size, width in sizes]


@pytest.mark.parametrize("name", list(TRUNKS))
def test_the_least_size_is_large_enough(name):
    design = TRUNKS[name]
    trunk = ConvolutionTrunk(name, design, arrays=random_trunk_arrays(design))
    for maps in trunk.taps(tf.zeros((1, design.least_size, design.least_size, 1))):
        assert min(maps.shape[1:3]) >= 1


def test_wrong_arrays_are_refused():
    arrays = random_trunk_arrays(SMALL_PLAIN)
    with pytest.raises(ValueError, match=r"features\.3/kernel of small must have the shape \(3, 3, 4, 5\)"):
        ConvolutionTrunk("small", SMALL_PLAIN, arrays=arrays | {"features.3/kernel": np.ones((3, 3, 4, 6))})
    del arrays["features.0/bias"]
    with pytest.raises(ValueError, match=r"weights of small lack features\.0/bias"):
        ConvolutionTrunk("small", SMALL_PLAIN, arrays=arrays)


def test_images_of_two_channels_are_refused():
    trunk = ConvolutionTrunk("small", SMALL_PLAIN, arrays=random_trunk_arrays(SMALL_PLAIN))
    with pytest.raises(ValueError, match="images must have 1 or 3 channels"):
        trunk.taps(tf.zeros((1, 16, 16, 2)))
