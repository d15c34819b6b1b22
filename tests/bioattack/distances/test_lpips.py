import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances import make_distance
from bioattack.distances.lpips import LearnedPatchSimilarity
from bioattack.distances.trunks import TORCHVISION_COLOURS, TRUNKS, ConvolutionTrunk, Step, TrunkDesign
from bioattack.testing.check_distance import DistanceExpectations, check_distance
from bioattack.testing.made_up_trunks import as_torchvision_arrays, numpy_taps, random_trunk_arrays
from bioattack.testing.written_torch_files import write_torch_file

ALEX = (64, 192, 384, 256, 256)
# The channels of AlexNet's taps, with kernels small enough for NumPy.
NARROW = TrunkDesign(
    tuple(
        step
        for place, width in enumerate(ALEX)
        for step in (Step("convolution", f"features.{place}", width, size=1, stride=2), Step("tap"))
    ),
    2,
    pools_rim=False,
    least_size=16,
)


def made_up_heads(channels=ALEX, net="alex"):
    random = np.random.default_rng(7)
    return {f"{net}/lin{place}": random.uniform(0, 0.3, width) for place, width in enumerate(channels)}


def narrow_lpips():
    trunk = ConvolutionTrunk("narrow", NARROW, arrays=random_trunk_arrays(NARROW))
    return LearnedPatchSimilarity(trunk, heads=made_up_heads())


def pictures(shape=(2, 20, 24, 3)):
    random = np.random.default_rng(3)
    reference = random.uniform(size=shape)
    return reference, np.clip(reference + 0.1 * random.normal(size=shape), 0, 1)


def test_lpips_keeps_its_promises():
    expected = DistanceExpectations(gradient_tolerance=1e-3, float32_tolerance=1e-2)
    check_distance(narrow_lpips(), (17, 18, 3), expected=expected)


def test_is_the_published_formula():
    reference, images = pictures()
    arrays, heads = random_trunk_arrays(NARROW), made_up_heads()
    wanted = []
    for one, other in zip(reference, images, strict=True):
        total = 0
        for place, maps in enumerate(
            zip(numpy_taps(NARROW, arrays, one), numpy_taps(NARROW, arrays, other), strict=True)
        ):
            units = [each / (np.sqrt((each**2).sum(-1, keepdims=True)) + 1e-10) for each in maps]
            total += (((units[0] - units[1]) ** 2) * heads[f"alex/lin{place}"]).sum(-1).mean()
        wanted.append(total)
    np.testing.assert_allclose(narrow_lpips()(reference, images), wanted, rtol=1e-8)


def test_colours_are_scaled_as_lpips_scales_them():
    # LPIPS 0.1 takes [-1, 1], shifts by (-.030, -.088, -.188) and divides by (.458, .448, .450).
    image = np.array([0.2, 0.7, 1.0])
    found = TORCHVISION_COLOURS(tf.constant(image[None, None, None]))
    wanted = (2 * image - 1 - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450])
    np.testing.assert_allclose(np.ravel(found), wanted, atol=1e-12)


def test_official_files_load(tmp_path):
    arrays = random_trunk_arrays(TRUNKS["alexnet"])
    weights = write_torch_file(tmp_path / "alexnet.pth", as_torchvision_arrays(arrays), layout="plain")
    heads = {
        f"lin{place}.model.1.weight": head.reshape(1, -1, 1, 1)
        for place, head in enumerate(made_up_heads().values())
    }
    path = write_torch_file(tmp_path / "alex.pth", heads)
    lpips = make_distance("lpips", trunk="alexnet", weights=weights, heads=path)
    assert lpips.name == "lpips[alexnet]"
    reference, images = pictures((1, 40, 40, 3))
    np.savez(tmp_path / "heads.npz", **made_up_heads())
    own = LearnedPatchSimilarity(
        "alexnet", weights=as_torchvision_arrays(arrays), heads=tmp_path / "heads.npz"
    )
    np.testing.assert_allclose(lpips(reference, images), own(reference, images), rtol=1e-12)
    assert lpips(reference, images).numpy()[0] > 0.01


@pytest.mark.realdata
def test_the_stand_in_for_squeezenet_1_1_is_named_and_orders_noise(realdata):
    lpips = make_distance(
        "lpips",
        trunk="squeezenet-1.0",
        weights=realdata / "weights" / "squeezenet_v10_imagenet.npz",
        heads=realdata / "weights" / "lpips_v0.1_heads.npz",
    )
    assert lpips.name == "lpips[squeezenet-1.0]"
    reference = np.full((1, 64, 64, 3), 0.5, np.float32)
    noise = np.random.default_rng(0).normal(size=reference.shape).astype(np.float32)
    weak, strong = (lpips(reference, reference + scale * noise).numpy()[0] for scale in (0.01, 0.1))
    assert 0 < weak < strong


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (None, r"lpips\[narrow\] needs heads: an \.npz of them or alex\.pth"),
        (made_up_heads((64, 192)), r"heads lack alex/lin2"),
        (made_up_heads((64, 191, 384, 256, 256)), "head alex/lin1 must be 192 numbers of 0 or more"),
    ],
)
def test_wrong_heads_are_refused(heads, message):
    trunk = ConvolutionTrunk("narrow", NARROW, arrays=random_trunk_arrays(NARROW))
    reference, images = pictures()
    with pytest.raises(ValueError, match=message):
        LearnedPatchSimilarity(trunk, heads=heads)(reference, images)
