import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances import make_distance
from bioattack.distances.pieapp import PieApp
from bioattack.distances.pieapp_patches import patch_corners
from bioattack.testing.check_distance import DistanceExpectations, check_distance
from bioattack.testing.made_up_pieapp import NARROW_DESIGN, numpy_patch_values, random_pieapp_weights

# 4 patches at stride 27.
SHAPE = (70, 96, 3)


def pictures(number=2, *, shape=SHAPE, strength=0.1, seed=0):
    random = np.random.default_rng(seed)
    reference = random.uniform(size=(number, *shape))
    return reference, np.clip(reference + strength * random.normal(size=reference.shape), 0, 1)


def narrow_pieapp(*, relu_after_weight=False, **options):
    weights = random_pieapp_weights(NARROW_DESIGN, relu_after_weight=relu_after_weight)
    return PieApp(weights, **options)


def gradient_of(distance, reference, images):
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        values = distance(tf.constant(reference), images)
    return values.numpy(), tape.gradient(values, images).numpy()


def test_pieapp_keeps_its_promises():
    # In float32, scores of equal images are noise, which the rounded modulus keeps below its width.
    # Rectifiers and maxima have kinks within the steps of finite differences.
    expected = DistanceExpectations(gradient_tolerance=1e-2, float32_tolerance=2e-3)
    check_distance(narrow_pieapp(stride=32), (64, 65, 3), expected=expected)


@pytest.mark.parametrize("relu_after_weight", [True, False])
def test_score_is_that_of_an_independent_forward_pass(relu_after_weight):
    reference, images = pictures()
    pieapp = narrow_pieapp(relu_after_weight=relu_after_weight)
    weights = random_pieapp_weights(NARROW_DESIGN, relu_after_weight=relu_after_weight)
    wanted = []
    for one, other in zip(reference, images, strict=True):
        corners = patch_corners(*SHAPE[:2], 27, grid="plain")
        values = [
            numpy_patch_values(weights, *(picture[y : y + 64, x : x + 64] for picture in (one, other)))
            for y, x in corners
        ]
        scores, importance = np.transpose(values)
        wanted.append((scores * importance).sum() / importance.sum())
    np.testing.assert_allclose(pieapp.score(reference, images), wanted, rtol=1e-9)
    found = pieapp.score(reference.astype(np.float32), images.astype(np.float32))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_the_two_official_codes_differ_where_weights_are_negative():
    weights = random_pieapp_weights(NARROW_DESIGN, relu_after_weight=True)
    weights.arrays["fc2_weight/bias"][:] = -0.01
    reference, images = pictures(strength=0.3)
    clipped = PieApp(weights).score(reference, images)
    plain = PieApp(weights, relu_after_weight=False).score(reference, images)
    assert np.isfinite(clipped).all()
    assert np.isfinite(plain).all()
    assert np.abs(clipped - plain).max() > 1e-3


def test_distance_is_the_score_without_sign_and_constant():
    reference, images = pictures(6, strength=0.02)
    pieapp = narrow_pieapp()
    of_equal = pieapp.score(reference, reference).numpy()
    np.testing.assert_allclose(of_equal, of_equal[0], rtol=1e-12)
    assert abs(of_equal[0]) > 0.01
    excess = pieapp.score(reference, images).numpy() - of_equal
    assert len(set(np.sign(excess))) == 2, "both signs must occur for this test to tell"
    np.testing.assert_allclose(pieapp(reference, images), np.abs(excess), atol=1e-3)


# 0.8 of an image, whole images, one and a half of them, all in one.
@pytest.mark.parametrize("chunk_size", [1, 3, 4, 6, 9, 100])
def test_no_chunk_changes_value_or_gradient(chunk_size):
    reference, images = pictures(3)
    wanted = gradient_of(narrow_pieapp(chunk_size=12), reference, images)
    for found, expected in zip(
        gradient_of(narrow_pieapp(chunk_size=chunk_size), reference, images), wanted, strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())
    single = gradient_of(
        narrow_pieapp(chunk_size=chunk_size), reference.astype(np.float32), images.astype(np.float32)
    )
    for found, expected in zip(single, wanted, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5 + 1e-4 * np.abs(expected).max())


def test_a_reference_is_remembered_by_its_projections_alone():
    reference, images = pictures()
    pieapp = narrow_pieapp()
    prepared = pieapp.prepare(tf.constant(reference))
    assert {name: value.shape for name, value in prepared.items()} == {
        "score": (2, 2, NARROW_DESIGN.hidden),
        "weight": (2, 2, NARROW_DESIGN.hidden),
    }
    np.testing.assert_allclose(pieapp.compare(prepared, tf.constant(images)), pieapp(reference, images))


def test_colours_go_in_as_blue_green_red_and_grey_as_all_three():
    reference, images = pictures()
    pieapp = narrow_pieapp()
    turned = pieapp.score(reference[..., ::-1], images[..., ::-1])
    assert np.abs(turned - pieapp.score(reference, images)).max() > 1e-3
    grey, greys = reference[..., :1], images[..., :1]
    np.testing.assert_allclose(pieapp(grey, greys), pieapp(grey.repeat(3, -1), greys.repeat(3, -1)))


def test_strides_have_their_published_names():
    reference, images = pictures(1, shape=(70, 76, 3))
    assert narrow_pieapp(stride="dense").prepare(tf.constant(reference))["score"].shape[1] == 2 * 3
    for name, stride in (("sparse", 27), ("dense", 6)):
        found = narrow_pieapp(stride=name)(reference, images)
        np.testing.assert_allclose(found, narrow_pieapp(stride=stride)(reference, images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"pieapp needs weights: PieAPPv0\.1\.pth or PieAPP_model_v0\.1\.ckpt"),
        ({"stride": 0}, "stride must be one of sparse, dense, or 1 or more. Received: stride=0"),
        ({"grid": "tight"}, "grid must be one of plain, official. Received: grid='tight'"),
        ({"chunk_size": 0}, "chunk_size must be 1 or more. Received: chunk_size=0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_distance("pieapp", **options)


def test_bad_images_are_refused():
    pieapp = narrow_pieapp()
    with pytest.raises(ValueError, match="pieapp needs images of 64 x 64 pixels or more"):
        pieapp(np.zeros((1, 63, 70, 3), np.float32), np.zeros((1, 63, 70, 3), np.float32))
    with pytest.raises(ValueError, match="images must have 1 or 3 channels"):
        pieapp(np.zeros((1, 64, 64, 2), np.float32), np.zeros((1, 64, 64, 2), np.float32))
