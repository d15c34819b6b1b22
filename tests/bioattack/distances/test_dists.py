import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances import make_distance
from bioattack.distances.dists import CHANNELS, StructureAndTexture, pool_by_energy
from bioattack.distances.trunks import TORCHVISION_COLOURS, TRUNKS
from bioattack.testing.check_distance import DistanceExpectations, check_distance
from bioattack.testing.made_up_trunks import as_torchvision_arrays, random_trunk_arrays
from bioattack.testing.written_torch_files import write_torch_file


@pytest.fixture(scope="module")
def arrays():
    return random_trunk_arrays(TRUNKS["vgg16"])


@pytest.fixture(scope="module")
def alpha_beta():
    random = np.random.default_rng(5)
    return {name: random.uniform(0.1, 1, (1, sum(CHANNELS), 1, 1)) for name in ("alpha", "beta")}


@pytest.fixture(scope="module")
def dists(arrays, alpha_beta):
    return StructureAndTexture(weights=as_torchvision_arrays(arrays), alpha_beta=alpha_beta)


def pictures(shape):
    random = np.random.default_rng(3)
    reference = random.uniform(size=shape)
    return reference, np.clip(reference + 0.1 * random.normal(size=shape), 0, 1)


def numpy_stages(arrays, image):
    """The published description, in NumPy: VGG16 with L2 pooling, one pixel of 0 on every side."""
    values = (image - np.array(TORCHVISION_COLOURS.mean)) / np.array(TORCHVISION_COLOURS.spread)
    stages = [image]
    for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
        if block[0]:
            values = numpy_pooled(values)
        for layer in block:
            padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
            kernel = np.float64(arrays[f"features.{layer}/kernel"])
            values = np.einsum("yxcij,ijco->yxo", windows, kernel, optimize=True)
            values = np.maximum(values + arrays[f"features.{layer}/bias"], 0)
        stages.append(values)
    return stages


def numpy_pooled(values):
    window = np.hanning(5)[1:-1]
    window = np.outer(window, window) / np.outer(window, window).sum()
    padded = np.pad(values**2, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))[::2, ::2]
    return np.sqrt((windows * window).sum((-1, -2)) + 1e-12)


def test_is_the_published_formula(dists, arrays, alpha_beta):
    reference, images = pictures((1, 21, 18, 3))
    stages = [numpy_stages(arrays, picture[0]) for picture in (reference, images)]
    means, variances, covariances = [[], []], [[], []], []
    for one, other in zip(*stages, strict=True):
        for place, maps in enumerate((one, other)):
            means[place].append(maps.mean((0, 1)))
            variances[place].append(maps.var((0, 1)))
        covariances.append((one * other).mean((0, 1)) - means[0][-1] * means[1][-1])
    (mx, my), (vx, vy) = (
        [np.concatenate(each) for each in means],
        [np.concatenate(each) for each in variances],
    )
    texture = (2 * mx * my + 1e-6) / (mx**2 + my**2 + 1e-6)
    structure = (2 * np.concatenate(covariances) + 1e-6) / (vx + vy + 1e-6)
    alpha, beta = (np.ravel(alpha_beta[name]) for name in ("alpha", "beta"))
    wanted = 1 - (alpha * texture + beta * structure).sum() / (alpha.sum() + beta.sum())
    np.testing.assert_allclose(dists(reference, images), [wanted], rtol=1e-7)


def test_pooling_is_the_published_one():
    # 299 gives 150, where padding at two sides only would give 149.
    for size in (8, 9, 299):
        values = np.random.default_rng(0).uniform(size=(size, 7, 2))
        np.testing.assert_allclose(pool_by_energy(tf.constant(values[None]))[0], numpy_pooled(values))


@pytest.mark.slow
def test_dists_keeps_its_promises(dists):
    expected = DistanceExpectations(gradient_tolerance=1e-3, float32_tolerance=1e-2)
    check_distance(dists, (16, 17, 3), expected=expected)


def test_official_files_load(dists, arrays, alpha_beta, tmp_path):
    weights = write_torch_file(tmp_path / "vgg16.pth", as_torchvision_arrays(arrays), layout="plain")
    learned = write_torch_file(tmp_path / "weights.pt", alpha_beta)
    loaded = make_distance("dists", weights=weights, alpha_beta=learned)
    assert loaded.name == "dists[vgg16]"
    reference, images = pictures((1, 20, 20, 3))
    np.testing.assert_allclose(loaded(reference, images), dists(reference, images), rtol=1e-12)


def test_weights_of_keras_are_named_and_see_blue_first(alpha_beta):
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    dists = StructureAndTexture(weights=model, alpha_beta=alpha_beta)
    assert dists.name == "dists[vgg16-keras]"
    image = np.random.default_rng(0).uniform(size=(1, 32, 32, 3)).astype(np.float32)
    blue_first = keras.applications.vgg16.preprocess_input(255 * image)
    first = keras.Model(model.input, model.get_layer("block1_conv2").output)
    found = dists.prepare(tf.constant(image))["stage1"]
    np.testing.assert_allclose(found, first(blue_first), rtol=1e-4, atol=1e-3)


@pytest.mark.realdata
def test_the_published_alpha_and_beta_load(realdata, arrays):
    path = realdata / "weights" / "dists_alpha_beta.npz"
    dists = StructureAndTexture(weights=as_torchvision_arrays(arrays), alpha_beta=path)
    reference, images = pictures((1, 20, 20, 3))
    assert 0 < dists(reference, images).numpy()[0] < 1


def test_wrong_weights_are_refused(arrays, alpha_beta):
    with pytest.raises(ValueError, match=r"dists\[vgg16\] needs alpha_beta: weights\.pt"):
        StructureAndTexture(weights=as_torchvision_arrays(arrays))
    with pytest.raises(ValueError, match="alpha_beta must hold beta, 1475 numbers of 0 or more"):
        StructureAndTexture(weights=as_torchvision_arrays(arrays), alpha_beta={"alpha": alpha_beta["alpha"]})
