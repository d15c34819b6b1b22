import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.coarse_fixation import CoarseFixation
from bioattack.testing.check_layer import LayerExpectations, check_layer

# One gaze from which a part of the crop lies outside.
_GAZES = np.array([[0.3, -0.6], [1.7, 2.2], [-4.4, 3.6]], "float32")


def _images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


@pytest.mark.parametrize(
    ("init_kwargs", "side"),
    [
        ({"crop": 7}, 7),
        ({"crop": 6, "upsample": 2}, 12),
        ({"crop": 8, "sigma": 0.9}, 8),
        ({"crop": 5, "upsample": 3, "sigma": 0.4}, 15),
    ],
)
def test_layer_is_well_made(init_kwargs, side):
    check_layer(
        CoarseFixation,
        init_kwargs,
        inputs=(_images(3, 12, 10, 3), _GAZES),
        expected=LayerExpectations(output_shape=(side, side, 3)),
    )


# Windows of the public code of Vuyyuru et al. 2020: they begin at N / 2 + gaze - crop / 2.
@pytest.mark.parametrize(
    ("size", "crop", "offset"), [(320, 224, 48), (320, 160, 80), (320, 240, 40), (32, 24, 4), (32, 16, 8)]
)
def test_crops_are_windows_to_the_bit(size, crop, offset):
    images = _images(1, size, size, 3)
    gazes = [(0, 0), (-offset, offset), (offset, -offset), (1 - offset, 3)]
    views = CoarseFixation(crop)(np.repeat(images, len(gazes), axis=0), np.array(gazes, "float32"))
    for view, (row, column) in zip(np.asarray(views), gazes, strict=True):
        top, left = size // 2 + row - crop // 2, size // 2 + column - crop // 2
        assert min(top, left) >= 0
        np.testing.assert_array_equal(view, images[0, top : top + crop, left : left + crop])


@pytest.mark.parametrize(("height", "width", "crop"), [(9, 11, 5), (9, 11, 4), (8, 13, 5)])
def test_odd_sides_are_not_resampled(height, width, crop):
    images = _images(1, height, width, 2)
    top, left = height // 2 + 1 - crop // 2, width // 2 - 2 - crop // 2
    view = CoarseFixation(crop)(images, np.array([[1, -2]], "float32"))
    np.testing.assert_array_equal(view, images[:, top : top + crop, left : left + crop])


def test_gaze_between_pixels_interpolates():
    images = _images(1, 12, 12, 3).astype("float64")
    view = np.asarray(CoarseFixation(4, dtype="float64")(images, np.array([[0.25, -0.5]])))[0]
    image = images[0]
    rows = 0.75 * image[4:8] + 0.25 * image[5:9]
    np.testing.assert_allclose(view, 0.5 * rows[:, 3:7] + 0.5 * rows[:, 4:8], atol=1e-12)


def test_gaze_outside_the_image_sees_black():
    images = _images(1, 12, 12, 3)
    half, none = np.asarray(
        CoarseFixation(4)(np.repeat(images, 2, axis=0), np.array([[-6, 0], [0, 1e6]], "float32"))
    )
    np.testing.assert_array_equal(half[:2], 0)
    np.testing.assert_array_equal(half[2:], images[0, :2, 4:8])
    np.testing.assert_array_equal(none, 0)


def test_gradient_finds_the_way_of_the_gaze():
    # On a ramp of rows a step down adds one to each of the 16 pixels, a step to the side nothing.
    ramp = tf.constant(np.tile(np.arange(12, dtype="float32")[None, :, None, None], (1, 1, 12, 1)))
    gaze = tf.constant([[0.3, 0.6]])
    with tf.GradientTape() as tape:
        tape.watch(gaze)
        total = tf.reduce_sum(CoarseFixation(4)(ramp, gaze))
    np.testing.assert_allclose(tape.gradient(total, gaze), [[16.0, 0.0]], atol=1e-4)


def test_upsampling_repeats_pixels():
    images, gazes = _images(3, 12, 12, 3), np.round(_GAZES)
    view, larger = (np.asarray(CoarseFixation(6, upsample=factor)(images, gazes)) for factor in (1, 2))
    np.testing.assert_array_equal(larger, np.repeat(np.repeat(view, 2, axis=1), 2, axis=2))


def test_blur_knows_nothing_from_outside_the_crop():
    images = np.zeros((1, 20, 20, 1), "float32")
    # The crop has rows and columns 6 to 13.
    images[0, 5], images[0, :, 14] = 1, 1
    gaze = np.zeros((1, 2), "float32")
    np.testing.assert_array_equal(CoarseFixation(8, sigma=2.0)(images, gaze), 0)
    images[0, 9, 9] = 1
    view = np.asarray(CoarseFixation(8, sigma=1.0)(images, gaze))[0, :, :, 0]
    assert view[3, 3] == pytest.approx(0.159156, abs=1e-6)
    assert view[3, 4] == pytest.approx(0.159156 * np.exp(-0.5), abs=1e-6)


def test_mixed_precision_does_not_round_the_gaze():
    # bfloat16 knows 78 and 78.5, but not 78.25.
    images, gaze = _images(1, 192, 192, 1), np.array([[78.25, -78.25]], "float32")
    exact = np.asarray(CoarseFixation(8)(images, gaze))
    mixed = np.asarray(CoarseFixation(8, dtype="mixed_bfloat16")(images, gaze)).astype("float32")
    np.testing.assert_allclose(mixed, exact, atol=0.005)


@pytest.mark.parametrize(
    ("init_kwargs", "message"),
    [
        ({"crop": 0}, "crop must be an integer of 1 or more. Received: crop=0"),
        ({"crop": 4, "upsample": 1.5}, "upsample must be an integer of 1 or more. Received: upsample=1.5"),
        ({"crop": 4, "sigma": 0.0}, "sigma must be a number above 0, in pixels. Received: sigma=0.0"),
    ],
)
def test_arguments_out_of_range_are_refused(init_kwargs, message):
    with pytest.raises(ValueError, match=message):
        CoarseFixation(**init_kwargs)


def test_wrong_shapes_are_refused():
    with pytest.raises(
        ValueError, match=r"at least the crop's 13 pixels. Received: images_shape=\(1, 12, 20"
    ):
        CoarseFixation(13)(np.zeros((1, 12, 20, 3), "float32"), np.zeros((1, 2), "float32"))
    with pytest.raises(ValueError, match=r"gaze must be \(batch, 2\), row and column. Received: gaze_shape="):
        CoarseFixation(4)(np.zeros((1, 12, 12, 3), "float32"), np.zeros((1, 3), "float32"))
