import numpy as np
import pytest

from bioattack.models.layers.cortical_fixation import CorticalFixation, cortical_geometry
from bioattack.models.layers.fixations import five_gazes
from bioattack.testing.check_layer import LayerExpectations, check_layer

# One gaze from which a part of the crops lies outside.
_GAZES = np.array([[0.3, -0.6], [1.7, 2.2], [-6.4, 5.6]], "float32")


def _images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def _pattern(size):
    row, column, channel = np.ogrid[:size, :size, :3]
    return (((7 * row + 13 * column + 29 * channel) % 64) / 63).astype("float32")[None]


@pytest.mark.parametrize(
    ("crops", "radii", "num_still"),
    [((4, 8), (1, 2), 0), ((3, 9, 12), (1, 3, 4), 1), ((10,), (5,), 0)],
)
def test_layer_is_well_made(crops, radii, num_still):
    side = crops[0] // radii[0]
    check_layer(
        CorticalFixation,
        {"crops": list(crops), "radii": list(radii), "num_still": num_still},
        inputs=(_images(3, 14, 12, 3), _GAZES),
        expected=LayerExpectations(output_shape=(side, side, 3)),
    )


# From the public code of Vuyyuru et al. 2020, run on the pattern: sums of the views and one pixel of each.
_GOLDEN = {
    (0, 0): (
        (2373.3246, 2356.2529, 2360.5783, 2361.1967),
        (20, 20),
        (
            (0.19368, 0.46035, 0.72698),
            (0.37496, 0.64611, 0.35389),
            (0.49309, 0.51575, 0.49287),
            (0.49835, 0.50075, 0.50059),
        ),
    ),
    (-40, 40): (
        (2374.8814, 2356.7674, 2360.3886, 2361.1849),
        (0, 0),
        (
            (0.43562, 0.62085, 0.35965),
            (0.52085, 0.36556, 0.45085),
            (0.39902, 0.41059, 0.40069),
            (0.39050, 0.38528, 0.38816),
        ),
    ),
}


@pytest.mark.parametrize("gaze", list(_GOLDEN))
def test_views_are_those_of_the_reference(gaze):
    geometry = cortical_geometry(320)
    layer = CorticalFixation(geometry.crops, geometry.radii)
    views = [np.asarray(view) for view in layer(_pattern(320), np.array([gaze], "float32"))]
    sums, (row, column), pixels = _GOLDEN[gaze]
    assert [view.shape for view in views] == [(1, 40, 40, 3)] * 4
    np.testing.assert_allclose([view.astype("float64").sum() for view in views], sums, atol=1e-2)
    np.testing.assert_allclose([view[0, row, column] for view in views], pixels, atol=1e-4)


# From the same source: its form for CIFAR.
@pytest.mark.parametrize(("gaze", "sums"), [((0, 0), (326.5502, 321.4393)), ((-1, 1), (328.7852, 321.3922))])
def test_small_views_are_those_of_the_reference(gaze, sums):
    geometry = cortical_geometry(32)
    layer = CorticalFixation(geometry.crops, geometry.radii)
    views = [np.asarray(view) for view in layer(_pattern(32), np.array([gaze], "float32"))]
    assert [view.shape for view in views] == [(1, 15, 15, 3)] * 2
    np.testing.assert_allclose([view.astype("float64").sum() for view in views], sums, atol=1e-2)


def _look(image, *, gaze, crop, radius):
    """Crop, blur, subsample, one after the other, in NumPy."""
    top, left = (size // 2 + offset - crop // 2 for size, offset in zip(image.shape, gaze, strict=False))
    view = image[top : top + crop, left : left + crop].astype("float64")
    taps = np.exp(-(np.arange(-2 * radius, 2 * radius + 1) ** 2) / (2 * (radius / 2) ** 2))
    for axis in (0, 1):
        view = np.apply_along_axis(
            lambda line: np.convolve(line, taps / taps.sum())[2 * radius : -2 * radius], axis, view
        )
    return view[radius // 2 :: radius, radius // 2 :: radius]


@pytest.mark.parametrize("gaze", [(0, 0), (-3, 2), (1, -2)])
def test_each_view_is_a_crop_blurred_and_subsampled(gaze):
    image = _images(24, 26, 3)
    scales = ((5, 1), (10, 2), (15, 3), (16, 4))
    views = CorticalFixation(*zip(*scales, strict=True))(image[None], np.array([gaze], "float32"))
    for view, (crop, radius) in zip(views, scales, strict=True):
        wanted = _look(image, gaze=gaze, crop=crop, radius=radius)
        np.testing.assert_allclose(view[0], wanted, atol=1e-6)


def test_gaze_between_pixels_is_the_mean_of_its_neighbours():
    images = np.repeat(_images(1, 24, 24, 3), 3, axis=0)
    gazes = np.array([[0.25, -2], [0, -2], [1, -2]], "float32")
    for view in CorticalFixation((4, 12), (1, 3))(images, gazes):
        between, above, below = np.asarray(view)
        np.testing.assert_allclose(between, 0.75 * above + 0.25 * below, atol=1e-6)


def test_gaze_outside_the_image_is_harmless():
    images = np.repeat(_images(1, 24, 24, 3), 3, axis=0)
    gazes = np.array([[500, 0], [-1e6, 1e6], [12, -12]], "float32")
    for view in CorticalFixation((6, 12), (1, 2))(images, gazes):
        far, farther, corner = np.asarray(view)
        np.testing.assert_array_equal(far, 0)
        np.testing.assert_array_equal(farther, 0)
        assert np.isfinite(corner).all()
        assert corner.any()


# Below 48 pixels two scales, to 159 four close ones, then those of 320.
@pytest.mark.parametrize("side", [16, 17, 28, 31, 32, 47, 48, 49, 64, 96, 159, 160, 224, 320, 331])
def test_scales_fit_at_every_size(side):
    crops, radii, offset = cortical_geometry(side)
    views = {crop / radius for crop, radius in zip(crops, radii, strict=True)}
    assert len(views) == 1
    for row, _ in five_gazes(offset):
        first = side // 2 + int(row) - crops[-1] // 2
        assert 0 <= first <= first + crops[-1] <= side
    # Published: 240 of 320 pixels with four scales, 30 of 32 with two; a view has whole pixels.
    widest = side * (240 / 320 if len(crops) == 4 else 30 / 32)
    assert widest - radii[-1] < crops[-1] <= widest


@pytest.mark.parametrize("side", [16, 17, 28, 31, 32, 47, 48, 49, 64, 96, 159, 160, 224, 320, 331])
def test_scales_with_the_whole_image_fit_at_every_size(side):
    crops, radii, offset = cortical_geometry(side, whole=True)
    assert len({crop / radius for crop, radius in zip(crops, radii, strict=True)}) == 1
    assert side - radii[-1] < crops[-1] <= side
    for row, _ in five_gazes(offset):
        first = side // 2 + int(row) - crops[-2] // 2
        assert 0 <= first <= first + crops[-2] <= side


def test_published_scales():
    assert cortical_geometry(320) == ((40, 80, 160, 240), (1, 2, 4, 6), 40)
    assert cortical_geometry(64) == ((12, 24, 36, 48), (1, 2, 3, 4), 8)
    assert cortical_geometry(32) == ((15, 30), (1, 2), 1)


def test_images_too_small_are_refused():
    with pytest.raises(ValueError, match=r"image_shape must be 16 x 16 or larger. Received: a side of 15"):
        cortical_geometry(15)


@pytest.mark.parametrize(
    ("crops", "radii", "message"),
    [
        ((), (), r"crops and radii must be as many, one or more. Received: crops=\(\), radii=\(\)"),
        ((4, 8), (1,), r"crops and radii must be as many, one or more. Received: crops=\(4, 8\)"),
        ((4, 9), (1, 2), r"each crop must be a multiple of its radius. Received: crops=\(4, 9\)"),
        ((4.0,), (1,), "crop must be an integer of 1 or more. Received: crop=4.0"),
        ((4,), (0,), "radius must be an integer of 1 or more. Received: radius=0"),
    ],
)
def test_arguments_out_of_range_are_refused(crops, radii, message):
    with pytest.raises(ValueError, match=message):
        CorticalFixation(crops, radii)


@pytest.mark.parametrize("num_still", [-1, 2, 0.5])
def test_more_still_crops_than_crops_are_refused(num_still):
    with pytest.raises(ValueError, match=f"number of crops. Received: num_still={num_still}"):
        CorticalFixation((4,), (1,), num_still=num_still)


def test_wrong_shapes_are_refused():
    layer = CorticalFixation((4, 16), (1, 2))
    with pytest.raises(
        ValueError, match=r"at least the crop's 16 pixels. Received: images_shape=\(1, 12, 20"
    ):
        layer(np.zeros((1, 12, 20, 3), "float32"), np.zeros((1, 2), "float32"))
