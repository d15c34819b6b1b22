import keras
import numpy as np
import pytest

from bioattack.distances import make_distance
from bioattack.distances.keras_trunk import KerasTrunk
from bioattack.distances.nptm import FeatureDistance
from bioattack.distances.trunks import ConvolutionTrunk, Step, TrunkDesign
from bioattack.testing.check_distance import DistanceExpectations, check_distance
from bioattack.testing.made_up_trunks import numpy_taps, random_trunk_arrays

DESIGN = TrunkDesign(
    (
        Step("convolution", "features.0", 6, size=3, stride=2, padding=1),
        Step("tap"),
        Step("pool"),
        Step("convolution", "features.3", 5, padding=1),
        Step("tap"),
    ),
    2,
    pools_rim=False,
    least_size=8,
)


def made_up_nptm():
    return FeatureDistance(ConvolutionTrunk("small", DESIGN, arrays=random_trunk_arrays(DESIGN)))


def pictures(shape=(2, 12, 15, 3)):
    random = np.random.default_rng(3)
    reference = random.uniform(size=shape)
    return reference, np.clip(reference + 0.1 * random.normal(size=shape), 0, 1)


def test_nptm_keeps_its_promises():
    expected = DistanceExpectations(gradient_tolerance=1e-3, float32_tolerance=1e-2)
    check_distance(made_up_nptm(), (9, 10, 3), expected=expected)


def test_is_the_published_formula():
    reference, images = pictures()
    arrays = random_trunk_arrays(DESIGN)
    wanted = []
    for pair in zip(reference, images, strict=True):
        vectors = []
        for image in pair:
            maps = numpy_taps(DESIGN, arrays, image)
            units = [each / (np.sqrt((each**2).sum(-1, keepdims=True)) + 1e-10) for each in maps]
            vectors.append(np.concatenate([each.ravel() / np.sqrt(each[..., 0].size) for each in units]))
        wanted.append(np.linalg.norm(vectors[0] - vectors[1]))
    np.testing.assert_allclose(made_up_nptm()(reference, images), wanted, rtol=1e-8)
    np.testing.assert_allclose(made_up_nptm().features(images)[1], vectors[1], rtol=1e-8, atol=1e-12)


def small_model():
    return keras.Sequential(
        [
            keras.layers.Input((16, 16, 3)),
            keras.layers.Rescaling(2.0, -1.0),
            keras.layers.Conv2D(4, 3, padding="same", name="one"),
            keras.layers.ReLU(name="two"),
            keras.layers.ZeroPadding2D(1),
            keras.layers.Conv2D(6, 3, strides=2, activation="relu", name="three"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ],
        name="made_up",
    )


def test_a_keras_model_is_compared_by_its_stages():
    nptm = make_distance("nptm", trunk=small_model())
    assert nptm.name == "nptm[made_up]"
    assert nptm._trunk.layers == ("two", "three")
    reference, images = (each.astype(np.float32) for each in pictures((2, 16, 16, 3)))
    np.testing.assert_allclose(nptm(reference, reference), [0, 0], atol=1e-7)
    assert (nptm(reference, images).numpy() > 0.01).all()


def test_layers_may_be_named():
    model = small_model()
    assert KerasTrunk(model, layers=["one"]).layers == ("one",)
    with pytest.raises(ValueError, match="layers must be of the model made_up, which has no layer 'four'"):
        KerasTrunk(model, layers=["four"])
    with pytest.raises(ValueError, match="layers must give feature maps"):
        KerasTrunk(model, layers=[model.layers[-1].name])


@pytest.mark.realdata
def test_the_bundled_squeezenet_serves_as_a_judge(realdata):
    weights = realdata / "weights" / "squeezenet_v10_imagenet.npz"
    nptm = make_distance("nptm", trunk="squeezenet-1.0", weights=weights)
    assert nptm.name == "nptm[squeezenet-1.0]"
    reference, images = (each.astype(np.float32) for each in pictures((1, 64, 64, 3)))
    assert 0 < nptm(reference, images).numpy()[0] < 2 * np.sqrt(7)
