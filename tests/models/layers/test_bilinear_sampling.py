import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.bilinear_sampling import sample_bilinearly

SHAPE = (2, 5, 7, 3)


def _images(dtype="float32", shape=SHAPE):
    return np.random.default_rng(0).random(shape).astype(dtype)


def _positions(dtype="float32", lowest=-2.5, beyond=1.5):
    """Inside the image, across its border and outside, none of them on a pixel."""
    random = np.random.default_rng(1)
    rows = random.uniform(lowest, SHAPE[1] + beyond, (2, 6, 4))
    columns = random.uniform(lowest, SHAPE[2] + beyond, (2, 6, 4))
    return rows.astype(dtype), columns.astype(dtype)


def _formula(images, rows, columns):
    """Jaderberg et al. 2015, equation 5: the sum over all pixels, weighted by hats around the position."""
    i, j = np.arange(images.shape[1]), np.arange(images.shape[2])
    row_weights = np.maximum(0, 1 - np.abs(rows[..., None] - i))
    column_weights = np.maximum(0, 1 - np.abs(columns[..., None] - j))
    return np.einsum("bijc,bxyi,bxyj->bxyc", images, row_weights, column_weights)


def test_values_are_those_of_the_formula():
    images, (rows, columns) = _images("float64"), _positions("float64")
    outputs = np.asarray(sample_bilinearly(images, rows, columns))
    assert outputs.dtype == np.float64
    np.testing.assert_allclose(outputs, _formula(images, rows, columns), rtol=0, atol=1e-12)


def test_whole_positions_give_the_pixels_themselves():
    images = _images()
    rows, columns = np.meshgrid(
        np.arange(5.0, dtype="float32"), np.arange(7.0, dtype="float32"), indexing="ij"
    )
    outputs = sample_bilinearly(images, np.stack([rows] * 2), np.stack([columns] * 2))
    np.testing.assert_array_equal(outputs, images)


# A pixel or more outside is 0; half a pixel outside, half of the border.
@pytest.mark.parametrize(
    ("row", "column", "weight"),
    [
        (-1.0, 3.0, 0.0),
        (-0.5, 3.0, 0.5),
        (4.5, 3.0, 0.5),
        (5.0, 3.0, 0.0),
        (2.0, -1.0, 0.0),
        (2.0, 6.25, 0.75),
        (2.0, 7.0, 0.0),
        (-0.5, -0.5, 0.25),
        (1e6, -1e6, 0.0),
        (float("inf"), 3.0, 0.0),
    ],
)
def test_outside_is_black(row, column, weight):
    outputs = sample_bilinearly(
        np.ones((1, 5, 7, 3), "float32"), np.full((1, 1, 1), row, "f"), np.full((1, 1, 1), column, "f")
    )
    np.testing.assert_allclose(np.ravel(outputs), weight, rtol=0, atol=1e-6)


@tf.function
def _objective(images, rows, columns):
    weights = np.random.default_rng(2).normal(size=(2, 6, 4, SHAPE[3]))
    return tf.reduce_sum(sample_bilinearly(images, rows, columns) * weights)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["images", "rows", "columns"])
def test_gradients_are_those_of_finite_differences(which):
    arrays = [_images("float64"), *_positions("float64")]
    tensors = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        objective = _objective(*tensors)
    gradient = tape.gradient(objective, tensors[which]).numpy()
    numeric = np.zeros_like(gradient)
    for index in np.ndindex(gradient.shape):
        step = np.zeros_like(gradient)
        step[index] = 1e-6
        up, down = (
            float(_objective(*arrays[:which], arrays[which] + sign * step, *arrays[which + 1 :]))
            for sign in (1, -1)
        )
        numeric[index] = (up - down) / 2e-6
    assert np.any(gradient)
    np.testing.assert_allclose(gradient, numeric, rtol=0, atol=1e-7)


def test_gradients_on_a_pixel_are_those_to_the_right_and_below_it():
    images = _images("float64", shape=(1, 5, 7, 1))
    row, column = tf.constant([[[2.0]]], "float64"), tf.constant([[[3.0]]], "float64")
    with tf.GradientTape() as tape:
        tape.watch((row, column))
        output = sample_bilinearly(images, row, column)
    by_row, by_column = (float(np.ravel(part)[0]) for part in tape.gradient(output, (row, column)))
    assert by_row == pytest.approx(images[0, 3, 3, 0] - images[0, 2, 3, 0])
    assert by_column == pytest.approx(images[0, 2, 4, 0] - images[0, 2, 3, 0])


def test_far_outside_there_is_no_gradient():
    images = tf.constant(_images())
    rows = columns = tf.fill((2, 3, 3), 50.0)
    with tf.GradientTape() as tape:
        tape.watch((images, rows))
        outputs = sample_bilinearly(images, rows, columns)
    for gradient in tape.gradient(outputs, (images, rows)):
        assert not np.any(gradient)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_images_keep_precise_positions(dtype):
    images = tf.cast(_images(), dtype)
    rows, columns = _positions()
    outputs = sample_bilinearly(images, rows, columns)
    assert outputs.dtype == dtype
    wanted = tf.cast(_formula(tf.cast(images, "float64").numpy(), rows, columns), dtype)
    # Only the last rounding of the result may differ.
    np.testing.assert_allclose(
        tf.cast(outputs, "float32"), tf.cast(wanted, "float32"), rtol=0, atol=4e-3, err_msg=dtype
    )


def test_any_number_of_images_goes_through_one_graph():
    rows, columns = _positions()

    @tf.function
    def sample(images, rows, columns):
        return sample_bilinearly(images, rows, columns)

    traced = sample.get_concrete_function(
        *(tf.TensorSpec((None, *shape), "float32") for shape in (SHAPE[1:], (6, 4), (6, 4)))
    )
    for size in (2, 1):
        outputs = traced(*(tf.constant(array[:size]) for array in (_images(), rows, columns)))
        assert outputs.shape == (size, 6, 4, 3)
        np.testing.assert_allclose(outputs, _formula(_images(), rows, columns)[:size], rtol=0, atol=1e-6)


# One process may attack models of several image sizes. In a process of its own: what came first counts.
def test_images_of_several_sizes_follow_one_another():
    lines = [
        "import numpy as np, tensorflow as tf",
        "from bioattack.models.layers.bilinear_sampling import sample_bilinearly",
        "for batch, side in ((2, 8), (3, 8), (2, 6), (3, 7)):",
        "    images = np.random.default_rng(0).random((batch, side, side, 3), dtype='float32')",
        "    grid = np.tile(np.arange(side, dtype='float32'), (batch, side, 1))",
        "    outputs = sample_bilinearly(images, grid.transpose(0, 2, 1), grid)",
        "    np.testing.assert_array_equal(outputs, images)",
        "    inner = tf.function(sample_bilinearly).get_concrete_function(",
        "        tf.TensorSpec((None, side, side, 3)), *[tf.TensorSpec((None, side, side))] * 2)",
        "    assert inner.structured_outputs.shape.as_list() == [None, side, side, 3]",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_symbolic_images_have_a_symbolic_result():
    images, positions = keras.Input((5, 7, 3)), keras.Input((6, 4))
    outputs = keras.layers.Lambda(lambda tensors: sample_bilinearly(*tensors))([images, positions, positions])
    assert outputs.shape == (None, 6, 4, 3)
