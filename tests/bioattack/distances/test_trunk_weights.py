import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances.keras_trunk import KerasTrunk
from bioattack.distances.trunk_weights import make_trunk, read_arrays
from bioattack.distances.trunks import TRUNKS, ConvolutionTrunk
from bioattack.testing.made_up_trunks import as_torchvision_arrays, numpy_taps, random_trunk_arrays
from bioattack.testing.written_torch_files import write_torch_file

# Caffe's name of each layer, in the order of torchvision's.
CAFFE_LAYERS = [
    "conv1",
    *(f"fire{number}/{part}" for number in range(2, 10) for part in ("conv1x1_1", "conv1x1_2", "conv3x3_2")),
]


def test_torchvision_weights_come_from_files_and_arrays(tmp_path):
    design = TRUNKS["squeezenet-1.1"]
    arrays = random_trunk_arrays(design)
    image = np.random.default_rng(0).uniform(size=(25, 26, 3))
    wanted = numpy_taps(design, arrays, image)
    np.savez(tmp_path / "weights.npz", **as_torchvision_arrays(arrays))
    write_torch_file(tmp_path / "weights.pth", as_torchvision_arrays(arrays))
    for weights in (tmp_path / "weights.npz", tmp_path / "weights.pth", as_torchvision_arrays(arrays)):
        trunk = make_trunk("squeezenet-1.1", weights)
        assert trunk.name == "squeezenet-1.1"
        for maps, expected in zip(trunk.taps(tf.constant(image[None])), wanted, strict=True):
            np.testing.assert_allclose(maps[0], expected, rtol=1e-8, atol=1e-10)


def test_the_caffe_squeezenet_sees_blue_first_from_0_to_255(tmp_path):
    design = TRUNKS["squeezenet-1.0"]
    arrays = random_trunk_arrays(design)
    renamed = {
        f"{theirs}/{kind}": arrays[f"{ours}/{kind}"]
        for ours, theirs in zip(design.shapes(), CAFFE_LAYERS, strict=True)
        for kind in ("kernel", "bias")
    }
    np.savez(tmp_path / "caffe.npz", **renamed)
    image = np.random.default_rng(0).uniform(size=(1, 29, 30, 3))
    found = make_trunk("squeezenet-1.0", tmp_path / "caffe.npz").taps(tf.constant(image))
    # The same kernels, for RGB in [0, 1] as torchvision standardises it.
    seen = 255 * image[..., ::-1] - np.array([104.0, 117.0, 123.0])
    undone = seen * np.array([0.229, 0.224, 0.225]) + np.array([0.485, 0.456, 0.406])
    wanted = ConvolutionTrunk("same", design, arrays=arrays).taps(tf.constant(undone))
    for maps, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(maps, expected, rtol=1e-8, atol=1e-8)


def test_trunks_and_models_pass_through():
    model = keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    trunk = make_trunk(model)
    assert isinstance(trunk, KerasTrunk)
    assert make_trunk(trunk) is trunk


@pytest.mark.parametrize(
    ("trunk", "weights", "message"),
    [
        ("resnet50", None, "trunk must be one of vgg16, alexnet, squeezenet-1.0, squeezenet-1.1"),
        ("vgg16", None, "trunk vgg16 needs weights: the .pth file of torchvision's vgg16"),
        ("alexnet", {}, "weights of alexnet lack features.0/kernel"),
        ("alexnet", keras.Sequential(), "weights of alexnet must come from a file"),
        ("vgg16", keras.Sequential(), "weights of vgg16-keras lack features.0/kernel"),
    ],
)
def test_wrong_weights_are_refused(trunk, weights, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        make_trunk(trunk, weights)


@pytest.mark.parametrize("name", ["none.npz", "none.pth"])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no weights file .*{name}"):
        read_arrays(tmp_path / name)
