import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.retinal_sampling import RetinalSampling
from bioattack.testing.check_layer import LayerExpectations, check_layer

# Golden values: the public code of Vuyyuru et al. 2020, run as it is at 320 pixels.
GAZES = ((0, 0), (-80, 80), (80, -80), (-80, -80), (80, 80))
TARGETS = (
    *((0, 0), (0, 160), (0, 319), (40, 40), (80, 240), (120, 200)),
    *((159, 159), (160, 160), (160, 240), (239, 80), (240, 80), (319, 319)),
)
# For the first three gazes: the pixel that each target is read from, before and after rounding. -2 and 320
# stand for what is outside.
POSITIONS = (
    (
        *((-29.89332, -29.89332), (2.13581, 158.48860), (-29.89332, 345.89332), (37.77422, 37.77422)),
        *((91.51508, 225.32121), (131.75802, 184.90634), (157.75273, 157.75273), (158.24727, 158.24727)),
        *((158.36854, 217.33537), (224.31352, 91.68648), (225.32121, 91.51508), (345.89332, 345.89332)),
    ),
    (
        *((-22.12402, -63.63148), (11.68648, 171.68648), (11.68648, 304.31352), (34.13309, 16.44433)),
        *((78.24727, 238.24727), (104.90634, 211.75802), (144.48492, 170.67879), (145.32121, 171.51508)),
        *((137.33537, 238.36854), (265.89332, 50.10668), (267.41683, 49.76333), (379.63148, 338.12402)),
    ),
    (
        *((-63.63148, -22.12402), (-63.86212, 179.46096), (-126.49428, 442.49428), (16.44433, 34.13309)),
        *((49.76333, 267.41683), (117.51685, 199.49138), (170.67879, 144.48492), (171.51508, 145.32121)),
        *((155.57373, 244.40775), (237.75273, 78.24727), (238.24727, 78.24727), (338.12402, 379.63148)),
    ),
)
PIXELS = (
    (
        *((-2, -2), (2, 158), (-2, 320), (38, 38), (92, 225), (132, 185)),
        *((158, 158), (158, 158), (158, 217), (224, 92), (225, 92), (320, 320)),
    ),
    (
        *((-2, -2), (12, 172), (12, 304), (34, 16), (78, 238), (105, 212)),
        *((144, 171), (145, 172), (137, 238), (266, 50), (267, 50), (320, 320)),
    ),
    (
        *((-2, -2), (-2, 179), (-2, 320), (16, 34), (50, 267), (118, 199)),
        *((171, 144), (172, 145), (156, 244), (238, 78), (238, 78), (320, 320)),
    ),
)
# Sum of the pattern, sum of the checkerboard, and the pattern's view at three pixels.
NEAREST = (
    (143906.8283, 48012, "380952 841270 285714", "777778 222222 682540", "015873 476190 936508"),
    (119917.3516, 40004, "809524 253968 714286", "888889 333333 793651", "920635 365079 825397"),
    (119946.9865, 40004, "269841 730159 174603", "714286 158730 619048", "793651 238095 698413"),
    (120337.7960, 40144, "317460 777778 222222", "269841 730159 174603", "412698 873016 317460"),
    (119555.2881, 39888, "761905 206349 666667", "317460 777778 222222", "936508 380952 841270"),
)
BILINEAR = (
    (143897.086, 47959.950, "45945 66857 36421", "79018 23462 69494", "38621 38931 84962"),
    (119917.353, 39958.164, "74515 18959 64991", "71619 41183 81004", "78367 37909 71106"),
    (119927.695, 39958.164, "28224 74256 18700", "77400 21845 67876", "78926 23370 69402"),
)
VIEWED = ((160, 160), (80, 240), (200, 100))


def _pattern():
    row, column, channel = np.meshgrid(np.arange(320), np.arange(320), np.arange(3), indexing="ij")
    return (((7 * row + 13 * column + 29 * channel) % 64) / 63).astype("float32")


def _checkerboard():
    field = np.arange(320) // 20
    return ((field[:, None] + field) % 2).astype("float32")[..., None]


def _look(image, gazes, **options):
    """One view for each gaze."""
    images = np.broadcast_to(image, (len(gazes), *image.shape)).astype("float32")
    return np.asarray(RetinalSampling(**options)(images, np.array(gazes, dtype="float32")))


def _values(digits):
    return [float(f"0.{part}") for part in digits.split()]


@pytest.mark.parametrize(
    ("mode", "law", "frame"),
    [
        ("nearest", "quadratic", "reference"),
        ("floor", "log", "centered"),
        ("bilinear", "quadratic", "centered"),
        ("bilinear", "log", "reference"),
    ],
)
def test_layer_is_well_made(mode, law, frame):
    random = np.random.default_rng(0)
    check_layer(
        RetinalSampling,
        {"mode": mode, "law": law, "frame": frame},
        inputs=(
            random.random((3, 12, 12, 2), dtype="float32"),
            random.uniform(-4, 4, (3, 2)).astype("float32"),
        ),
        expected=LayerExpectations(output_shape=(12, 12, 2), has_gradient=(True, mode == "bilinear")),
    )


@pytest.mark.parametrize("index", range(3))
def test_positions_of_the_public_code(index):
    layer = RetinalSampling(frame="reference")
    rows, columns = layer.source_positions(np.array(GAZES[index : index + 1], dtype="float32"), size=320)
    found = [(float(rows[0, i, j]), float(columns[0, i, j])) for i, j in TARGETS]
    np.testing.assert_allclose(found, POSITIONS[index], rtol=0, atol=2e-4)


def test_pixels_of_the_public_code():
    # Each pixel holds its own position, counted from 1, so that outside is (0, 0).
    image = np.stack(np.meshgrid(np.arange(1, 321), np.arange(1, 321), indexing="ij"), axis=-1)
    views = _look(image, GAZES[:3], mode="nearest", frame="reference")
    for view, pixels in zip(views, PIXELS, strict=True):
        wanted = [
            (row + 1, column + 1) if 0 <= row < 320 and 0 <= column < 320 else (0, 0)
            for row, column in pixels
        ]
        assert [tuple(view[target]) for target in TARGETS] == wanted


def test_nearest_pixels_of_whole_images():
    patterns = _look(_pattern(), GAZES, mode="nearest", frame="reference")
    boards = _look(_checkerboard(), GAZES, mode="nearest", frame="reference")
    for view, board, (total, board_total, *viewed) in zip(patterns, boards, NEAREST, strict=True):
        # Up to four rounding ties differ, each by less than the three channels of a pixel.
        assert abs(view.sum(dtype="float64") - total) < 4 * 3
        assert board.sum() == board_total
        for pixel, digits in zip(VIEWED, viewed, strict=True):
            np.testing.assert_allclose(view[pixel], _values(digits), atol=1e-6)


def test_bilinear_views_of_whole_images():
    patterns = _look(_pattern(), GAZES[:3], frame="reference")
    boards = _look(_checkerboard(), GAZES[:3], frame="reference")
    for view, board, (total, board_total, *viewed) in zip(patterns, boards, BILINEAR, strict=True):
        assert view.sum(dtype="float64") == pytest.approx(total, abs=1e-2)
        assert board.sum(dtype="float64") == pytest.approx(board_total, abs=1e-2)
        assert 0.07 < np.mean((board > 0) & (board < 1)) < 0.1
        for pixel, digits in zip(VIEWED, viewed, strict=True):
            np.testing.assert_allclose(view[pixel], _values(digits), atol=5e-5)


# Measured on the public code; the centred frame on an independent NumPy version.
@pytest.mark.parametrize(
    ("size", "frame", "at_centre", "at_corner"),
    [
        (320, "reference", 0.0631, 0.2191),
        (320, "centered", 0.0627, 0.219),
        (64, "reference", 0.114, 0.255),
        (64, "centered", 0.109, 0.252),
        (32, "reference", 0.179, 0.301),
        (32, "centered", 0.172, 0.286),
    ],
)
def test_share_of_black(size, frame, at_centre, at_corner):
    gazes = ((0, 0), (-size // 4, size // 4))
    views = _look(np.ones((size, size, 1)), gazes, mode="nearest", frame=frame)
    assert set(np.unique(views)) == {0.0, 1.0}
    black = 1 - views.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(black, (at_centre, at_corner), atol=6e-4)


def test_constant_image_stays_constant_inside():
    view = _look(np.full((32, 32, 1), 0.25), [(3.0, -5.5)])[0]
    rows, columns = RetinalSampling().source_positions(np.array([[3.0, -5.5]]), size=32)
    rows, columns = np.asarray(rows[0]), np.asarray(columns[0])
    inside = (rows >= 0) & (rows <= 31) & (columns >= 0) & (columns <= 31)
    outside = (rows <= -1) | (rows >= 32) | (columns <= -1) | (columns >= 32)
    assert inside.any()
    assert outside.any()
    np.testing.assert_allclose(view[inside], 0.25, atol=1e-6)
    assert not view[outside].any()


@pytest.mark.parametrize("law", ["quadratic", "log"])
def test_bilinear_is_interpolation_with_black_around(law):
    image = np.random.default_rng(0).random((32, 32), dtype="float32")
    gaze = np.array([[6.3, -2.7]], dtype="float32")
    rows, columns = RetinalSampling(law=law).source_positions(gaze, size=32)
    # Keras' own interpolation, of an image that is black further out than any position.
    padded = np.pad(image, 64)
    wanted = keras.ops.image.map_coordinates(padded, [rows[0] + 64, columns[0] + 64], order=1)
    found = RetinalSampling(law=law)(image[None, :, :, None], gaze)[0, :, :, 0]
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_law_and_frame_of_a_picture():
    gaze = np.zeros((1, 2), dtype="float32")
    positions = {
        (law, frame): np.stack(RetinalSampling(law=law, frame=frame).source_positions(gaze, size=320))[:, 0]
        for law in ("quadratic", "log")
        for frame in ("centered", "reference")
    }
    for law in ("quadratic", "log"):
        shift = positions[law, "reference"] - positions[law, "centered"]
        np.testing.assert_allclose(shift, -1.5, atol=1e-4)
        # Mirrored about the centre.
        both_ends = positions[law, "centered"] + positions[law, "centered"][:, ::-1, ::-1]
        np.testing.assert_allclose(both_ends, 319, atol=1e-3)
    along_axis = np.linalg.norm(positions["log", "centered"][:, :, 160] - 159.5, axis=0)
    distance = np.linalg.norm([np.arange(320) - 159.5, np.full(320, 0.5)], axis=0)
    # -2 / growth * log(1 - growth * first_step * r / 2), whose slope is that of the root of the density.
    growth = np.log(10) / 160
    wanted = -2 / growth * np.log(1 - (1 - 10**-0.5) * distance / 159)
    np.testing.assert_allclose(along_axis, wanted, rtol=1e-4)


def test_jacobian_of_the_positions():
    # 40.5 rows below and 33.5 columns left of the centre; closed form I - (a r + b) I - a / r u u'.
    gaze = tf.constant([[13.3, -27.1]], dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(gaze)
        rows, columns = RetinalSampling().source_positions(gaze, size=320)
        position = tf.stack([rows[0, 200, 126], columns[0, 200, 126]])
    jacobian = tape.jacobian(position, gaze)[:, 0]
    wanted = [[0.34219078, 0.0189358], [0.0189358, 0.41821245]]
    np.testing.assert_allclose(jacobian, wanted, rtol=0, atol=1e-6)


def _smooth(size, dtype):
    """Waves longer than a cell, so that bilinear derivatives hardly jump."""
    place = np.arange(size) / size
    image = np.sin(5 * place)[:, None, None] * np.cos(4 * place + 1)[:, None] * [1.0, 0.7]
    return np.tile(image, (2, 1, 1, 1)).astype(dtype)


@pytest.mark.parametrize("law", ["quadratic", "log"])
def test_gaze_gradient_is_that_of_finite_differences(law):
    layer = RetinalSampling(law=law, dtype="float64")
    images = tf.constant(_smooth(32, "float64"))
    weights = np.random.default_rng(1).normal(size=images.shape)
    gaze = tf.constant([[1.3, -4.7], [5.2, 3.9]], dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(gaze)
        total = tf.reduce_sum(layer(images, gaze) * weights)
    gradient = np.asarray(tape.gradient(total, gaze))
    for place in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[place] = 1e-6
        ends = [np.sum(layer(images, gaze + sign * step) * weights) for sign in (1, -1)]
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("mode", "law"), [("nearest", "log"), ("bilinear", "quadratic"), ("bilinear", "log")]
)
def test_no_gaze_harms(mode, law):
    # On a pixel, whose distance from the gaze is then 0; in the corner; outside; far away.
    gazes = tf.constant([(0.5, 0.5), (-15.5, 15.5), (20.0, -18.0), (-3e4, 2e4)])
    images = tf.constant(np.repeat(_smooth(32, "float32")[:1] + 2.0, 4, axis=0))
    with tf.GradientTape() as tape:
        tape.watch([images, gazes])
        views = RetinalSampling(mode=mode, law=law)(images, gazes)
        total = tf.reduce_sum(views)
    gradients = tape.gradient(total, [images, gazes])
    assert np.isfinite(views).all()
    assert np.isfinite(gradients[0]).all()
    if mode == "bilinear":
        assert np.isfinite(gradients[1]).all()
        assert np.any(gradients[1][:3])
    else:
        assert gradients[1] is None or not np.any(gradients[1])
    assert [bool(np.any(view)) for view in views] == [True, True, True, False]


def test_nearest_gradient_counts_how_often_a_pixel_is_read():
    images = tf.constant(np.random.default_rng(0).random((2, 16, 16, 1), dtype="float32"))
    gazes = tf.constant([[0.0, 0.0], [4.0, -3.0]])
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(RetinalSampling(mode="nearest")(images, gazes))
    rows, columns = (np.round(part) for part in RetinalSampling().source_positions(gazes, size=16))
    counts = np.zeros((2, 16, 16, 1))
    for index, i, j in np.ndindex(2, 16, 16):
        row, column = int(rows[index, i, j]), int(columns[index, i, j])
        if 0 <= row < 16 and 0 <= column < 16:
            counts[index, row, column] += 1
    assert {0, 1, 2} <= set(counts.ravel())
    np.testing.assert_array_equal(tape.gradient(total, images), counts)


def test_gaze_is_not_rounded_in_mixed_precision():
    images, gaze = _smooth(64, "float32")[:1], np.array([[17.3, -14.6]], dtype="float32")
    wanted = RetinalSampling()(images, gaze)
    np.testing.assert_array_equal(RetinalSampling(dtype="mixed_bfloat16")(images, gaze), wanted)
    # The images themselves may be of less precision.
    views = RetinalSampling(dtype="mixed_bfloat16")(tf.cast(images, "bfloat16"), gaze)
    assert views.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(views, "float32"), wanted, atol=0.02)


def test_odd_images_are_seen():
    views = _look(np.ones((33, 33, 1)), [(0, 0)])
    np.testing.assert_allclose(views, views[:, ::-1, ::-1], atol=1e-5)
    assert views[0, 16, 16] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "cubic"}, "mode must be one of nearest, floor, bilinear. Received: mode='cubic'"),
        ({"law": "exp"}, "law must be one of quadratic, log. Received: law='exp'"),
        ({"frame": "padded"}, "frame must be one of centered, reference. Received: frame='padded'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RetinalSampling(**options)


@pytest.mark.parametrize(
    ("images_shape", "gaze_shape", "message"),
    [
        ((2, 32, 48, 3), (2, 2), r"images must be square, .*Received: images_shape=\(2, 32, 48, 3\)"),
        ((2, 4, 4, 3), (2, 2), r"images must be 6 x 6 pixels or larger. Received: images_shape=\(2, 4,"),
        ((2, 32, 32, 3), (2, 3), r"gaze must be \(batch, 2\). Received: gaze_shape=\(2, 3\)"),
    ],
)
def test_wrong_shapes_are_refused(images_shape, gaze_shape, message):
    with pytest.raises(ValueError, match=message):
        RetinalSampling()(np.zeros(images_shape, "float32"), np.zeros(gaze_shape, "float32"))
