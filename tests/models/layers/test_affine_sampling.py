import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.affine_sampling import AffineSampling, source_positions
from bioattack.testing.check_layer import LayerExpectations, check_layer

CONVENTIONS = pytest.mark.parametrize("align_corners", [True, False], ids=["centres", "edges"])
IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def _matrices(is_axis_aligned=False):
    """Rotation, shear, mirroring and windows across the border; without the first two if so asked."""
    matrices = np.random.default_rng(1).normal(scale=0.6, size=(3, 2, 3))
    if is_axis_aligned:
        matrices[:, 0, 1] = matrices[:, 1, 0] = 0.0
    return matrices


def _images(shape=(3, 5, 7, 2)):
    return np.random.default_rng(0).random(shape)


@CONVENTIONS
@pytest.mark.parametrize("is_axis_aligned", [False, True], ids=["general", "aligned"])
def test_layer_is_well_made(align_corners, is_axis_aligned):
    check_layer(
        AffineSampling,
        {"align_corners": align_corners, "is_axis_aligned": is_axis_aligned},
        inputs=(_images().astype("float32"), _matrices(is_axis_aligned).astype("float32")),
        expected=LayerExpectations(output_shape=(5, 7, 2)),
    )


@CONVENTIONS
@pytest.mark.parametrize("is_axis_aligned", [False, True], ids=["general", "aligned"])
@pytest.mark.parametrize("size", [(320, 320), (33, 64), (1, 6)])
def test_identity_gives_the_image_itself(align_corners, is_axis_aligned, size):
    images = _images((1, *size, 3)).astype("float32")
    layer = AffineSampling(align_corners=align_corners, is_axis_aligned=is_axis_aligned)
    outputs = layer(images, np.array([IDENTITY], "float32"))
    np.testing.assert_allclose(outputs, images, rtol=0, atol=1e-6)


# Worked out by hand: the window s_x = s_y = 0.5, t_x = 0.25, t_y = -0.5 of a 320 x 320 image; (row, column).
@pytest.mark.parametrize("is_axis_aligned", [False, True], ids=["general", "aligned"])
@pytest.mark.parametrize(
    ("align_corners", "target", "wanted"),
    [
        (True, (0, 0), (0.0, 119.625)),
        (True, (319, 319), (159.5, 279.125)),
        (False, (0, 0), (-0.25, 119.75)),
        (False, (319, 319), (159.25, 279.25)),
    ],
)
def test_golden_positions(align_corners, target, wanted, is_axis_aligned):
    window = tf.constant([[[0.5, 0.0, 0.25], [0.0, 0.5, -0.5]]])
    rows, columns = source_positions(
        window, height=320, width=320, align_corners=align_corners, is_axis_aligned=is_axis_aligned
    )
    if is_axis_aligned:
        found = float(rows[0, target[0]]), float(columns[0, target[1]])
    else:
        found = float(rows[0, *target]), float(columns[0, *target])
    assert found == wanted


def test_outside_is_black_and_the_border_fades():
    # The window of the golden positions reaches a quarter of a pixel beyond the upper edge.
    window = np.array([[[0.5, 0.0, 0.25], [0.0, 0.5, -0.5]], [[1.0, 0.0, 2.5], [0.0, 1.0, 0.0]]], "float32")
    outputs = np.asarray(AffineSampling(align_corners=False)(np.ones((2, 320, 320, 1), "float32"), window))
    np.testing.assert_allclose(outputs[0, 0], 0.75, rtol=0, atol=1e-6)
    np.testing.assert_allclose(outputs[0, 1:], 1.0, rtol=0, atol=1e-6)
    assert not outputs[1].any()


def test_x_is_to_the_right_and_y_down():
    images = np.zeros((2, 5, 5, 1), "float32")
    images[:, 1, 3] = 1.0
    # Half of the image further right; half of it further down.
    matrices = np.array([[[1, 0, 0.5], [0, 1, 0]], [[1, 0, 0], [0, 1, 0.5]]], "float32")
    outputs = np.asarray(AffineSampling()(images, matrices))
    assert outputs[0, 1, 2] == 1.0
    assert outputs[1, 0, 3] == 1.0
    assert outputs.sum() == 2.0


def _sample_grid(image, matrix, *, align_corners):
    """PyTorch's affine_grid and grid_sample (bilinear, zeros), from their documentation, pixel by pixel."""
    height, width, channels = image.shape
    outputs = np.zeros_like(image)
    x_steps, y_steps = np.linspace(-1, 1, width), np.linspace(-1, 1, height)
    if not align_corners:
        x_steps, y_steps = x_steps * (width - 1) / width, y_steps * (height - 1) / height
    for i in range(height):
        for j in range(width):
            x, y = matrix @ [x_steps[j], y_steps[i], 1.0]
            if align_corners:
                x, y = (x + 1) / 2 * (width - 1), (y + 1) / 2 * (height - 1)
            else:
                x, y = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
            west, north = int(np.floor(x)), int(np.floor(y))
            for row, column, weight in (
                (north, west, (west + 1 - x) * (north + 1 - y)),
                (north, west + 1, (x - west) * (north + 1 - y)),
                (north + 1, west, (west + 1 - x) * (y - north)),
                (north + 1, west + 1, (x - west) * (y - north)),
            ):
                if 0 <= row < height and 0 <= column < width:
                    outputs[i, j] += weight * image[row, column]
    assert channels
    return outputs


@CONVENTIONS
@pytest.mark.parametrize("is_axis_aligned", [False, True], ids=["general", "aligned"])
@pytest.mark.parametrize("shape", [(3, 5, 7, 2), (3, 8, 8, 1), (3, 6, 3, 3)])
def test_agrees_with_the_formula_of_grid_sample(align_corners, is_axis_aligned, shape):
    images, matrices = _images(shape), _matrices(is_axis_aligned)
    layer = AffineSampling(align_corners=align_corners, is_axis_aligned=is_axis_aligned, dtype="float64")
    outputs = layer(tf.constant(images), tf.constant(matrices))
    wanted = [
        _sample_grid(image, matrix, align_corners=align_corners)
        for image, matrix in zip(images, matrices, strict=True)
    ]
    np.testing.assert_allclose(outputs, wanted, rtol=0, atol=1e-12)


def _slopes(image, rows, columns):
    """Jaderberg et al. 2015, equation 7: by how much the sampled value grows with x and with y, in pixels."""
    i, j = np.arange(image.shape[0]), np.arange(image.shape[1])
    row_distance, column_distance = i - rows[..., None], j - columns[..., None]
    row_weights = np.maximum(0, 1 - np.abs(row_distance))
    column_weights = np.maximum(0, 1 - np.abs(column_distance))
    row_signs = np.where(np.abs(row_distance) >= 1, 0, np.where(row_distance >= 0, 1, -1))
    column_signs = np.where(np.abs(column_distance) >= 1, 0, np.where(column_distance >= 0, 1, -1))
    by_x = np.einsum("ijc,xyi,xyj->xyc", image, row_weights, column_signs)
    by_y = np.einsum("ijc,xyi,xyj->xyc", image, row_signs, column_weights)
    return by_x, by_y


@CONVENTIONS
@pytest.mark.parametrize("is_axis_aligned", [False, True], ids=["general", "aligned"])
def test_gradients_to_the_matrices_are_the_analytic_ones(align_corners, is_axis_aligned):
    image, matrix = _images((1, 5, 7, 2)), _matrices(is_axis_aligned)[:1]
    weights = np.random.default_rng(2).normal(size=image.shape)
    layer = AffineSampling(align_corners=align_corners, is_axis_aligned=is_axis_aligned, dtype="float64")
    tensor = tf.constant(matrix)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        objective = tf.reduce_sum(layer(tf.constant(image), tensor) * weights)
    found = np.asarray(tape.gradient(objective, tensor))[0]

    height, width = image.shape[1:3]
    half_height, half_width = (
        ((height - 1) / 2, (width - 1) / 2) if align_corners else (height / 2, width / 2)
    )
    y, x = np.meshgrid(
        (np.arange(height) - (height - 1) / 2) / half_height,
        (np.arange(width) - (width - 1) / 2) / half_width,
        indexing="ij",
    )
    target = np.stack([x, y, np.ones_like(x)])
    source_x, source_y = np.einsum("rk,kij->rij", matrix[0], target)
    by_x, by_y = _slopes(
        image[0], source_y * half_height + (height - 1) / 2, source_x * half_width + (width - 1) / 2
    )
    wanted = np.stack(
        [
            np.einsum("kij,ijc->k", target, weights[0] * by_x * half_width),
            np.einsum("kij,ijc->k", target, weights[0] * by_y * half_height),
        ]
    )
    if is_axis_aligned:
        wanted[0, 1] = wanted[1, 0] = 0.0
    assert np.all(np.abs(wanted[[0, 0, 1, 1], [0, 2, 1, 2]]) > 1e-3)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


# Jaderberg et al. 2015, equation 6: the slope of a pixel is the sum of the weights it is read with.
@CONVENTIONS
def test_gradients_to_the_images_are_the_weights(align_corners):
    images, matrices = tf.constant(_images()), tf.constant(_matrices())
    layer = AffineSampling(align_corners=align_corners, dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, matrices)
    rows, columns = (
        np.asarray(part)
        for part in source_positions(matrices, height=5, width=7, align_corners=align_corners)
    )
    row_weights = np.maximum(0, 1 - np.abs(rows[..., None] - np.arange(5)))
    column_weights = np.maximum(0, 1 - np.abs(columns[..., None] - np.arange(7)))
    wanted = np.einsum("bxyi,bxyj->bij", row_weights, column_weights)[..., None]
    np.testing.assert_allclose(
        tape.gradient(outputs, images), np.broadcast_to(wanted, images.shape), rtol=0, atol=1e-12
    )


def test_mixed_precision_does_not_round_the_matrices():
    # 0.7 in bfloat16 is 0.699: a tenth of a pixel at the border of a small image, a fifth at 320.
    images = tf.cast(_images((1, 64, 64, 3)), "float32")
    matrices = tf.constant([[[0.7, 0.0, 0.27], [0.0, 0.7, -0.27]]])
    for is_axis_aligned in (False, True):
        mixed = AffineSampling(dtype="mixed_bfloat16", is_axis_aligned=is_axis_aligned)(images, matrices)
        full = AffineSampling(is_axis_aligned=is_axis_aligned)(images, matrices)
        np.testing.assert_array_equal(mixed, full)
        half = AffineSampling(is_axis_aligned=is_axis_aligned)(tf.cast(images, "bfloat16"), matrices)
        assert half.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("images", "matrices", "message"),
    [
        ((8, 8), (2, 3), r"images must be \(batch, height, width, channels\).*images_shape=\(None, 8, 8\)"),
        ((None, 8, 3), (2, 3), r"images must be .* Received: images_shape=\(None, None, 8, 3\)"),
        ((8, 8, 3), (6,), r"matrices must be \(batch, 2, 3\). Received: matrices_shape=\(None, 6\)"),
        ((8, 8, 3), (5, 2, 3), r"matrices must be .* Received: matrices_shape=\(None, 5, 2, 3\)"),
    ],
)
def test_other_shapes_are_refused(images, matrices, message):
    with pytest.raises(ValueError, match=message):
        AffineSampling()(keras.Input(images), keras.Input(matrices))
