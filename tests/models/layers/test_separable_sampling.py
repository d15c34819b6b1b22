import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.bilinear_sampling import sample_bilinearly
from bioattack.models.layers.separable_sampling import (
    apply_separably,
    interpolation_matrix,
    resample_separably,
)

SHAPE = (2, 5, 7, 3)


def _arrays(dtype="float64"):
    """Images, rows and columns inside, across the border and outside."""
    random = np.random.default_rng(0)
    images = random.random(SHAPE)
    rows, columns = random.uniform(-2.5, 6.5, (2, 9)), random.uniform(-2.5, 8.5, (2, 8))
    return tuple(tf.constant(array, dtype) for array in (images, rows, columns))


def test_agrees_with_gathered_pixels():
    images, rows, columns = _arrays()
    shape = (2, 9, 8)
    wanted = sample_bilinearly(
        images, tf.broadcast_to(rows[:, :, None], shape), tf.broadcast_to(columns[:, None, :], shape)
    )
    np.testing.assert_allclose(
        resample_separably(images, rows=rows, columns=columns), wanted, rtol=0, atol=1e-12
    )


def test_each_channel_and_each_image_has_its_own():
    images = tf.reshape(tf.range(2 * 3 * 4 * 2, dtype="float32"), (2, 3, 4, 2))
    rows = tf.constant([[0.0, 2.0], [1.0, 1.0]])
    columns = tf.constant([[3.0], [0.0]])
    outputs = resample_separably(images, rows=rows, columns=columns)
    wanted = tf.stack([tf.gather(images[0], [0, 2])[:, 3:4], tf.gather(images[1], [1, 1])[:, 0:1]])
    np.testing.assert_array_equal(outputs, wanted)


def test_matrix_by_hand():
    positions = tf.constant([[0.0, 1.25, 2.0, -0.5, -1.0, 2.75, 9.0]])
    wanted = [
        [1, 0, 0],
        [0, 0.75, 0.25],
        [0, 0, 1],
        [0.5, 0, 0],
        [0, 0, 0],
        [0, 0, 0.25],
        [0, 0, 0],
    ]
    np.testing.assert_array_equal(interpolation_matrix(positions, size=3)[0], wanted)


def test_matrices_multiply_rows_and_columns():
    random = np.random.default_rng(0)
    images = random.random(SHAPE)
    row_matrix, column_matrix = random.random((2, 4, 5)), random.random((2, 6, 7))
    outputs = apply_separably(tf.constant(images), tf.constant(row_matrix), tf.constant(column_matrix))
    wanted = np.einsum("bijc,bxi,byj->bxyc", images, row_matrix, column_matrix)
    np.testing.assert_allclose(outputs, wanted, rtol=1e-12)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["images", "rows", "columns"])
def test_gradients_are_those_of_finite_differences(which):
    arrays = [array.numpy() for array in _arrays()]
    weights = np.random.default_rng(2).normal(size=(2, 9, 8, 3))

    @tf.function
    def objective(images, rows, columns):
        return tf.reduce_sum(resample_separably(images, rows=rows, columns=columns) * weights)

    tensors = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = objective(*tensors)
    gradient = tape.gradient(value, tensors[which]).numpy()
    numeric = np.zeros_like(gradient)
    for index in np.ndindex(gradient.shape):
        step = np.zeros_like(gradient)
        step[index] = 1e-6
        up, down = (
            float(objective(*arrays[:which], arrays[which] + sign * step, *arrays[which + 1 :]))
            for sign in (1, -1)
        )
        numeric[index] = (up - down) / 2e-6
    assert np.any(gradient)
    np.testing.assert_allclose(gradient, numeric, rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_that_of_the_images_alone(dtype):
    images, rows, columns = _arrays()
    rounded = tf.cast(images, dtype)
    outputs = resample_separably(rounded, rows=tf.cast(rows, "float32"), columns=tf.cast(columns, "float32"))
    assert outputs.dtype == dtype
    wanted = resample_separably(tf.cast(rounded, "float64"), rows=rows, columns=columns)
    np.testing.assert_allclose(tf.cast(outputs, "float64"), wanted, rtol=0, atol=4e-3)


def test_any_number_of_images_goes_through_one_graph():
    images, rows, columns = _arrays("float32")

    @tf.function(
        input_signature=[tf.TensorSpec((None, *array.shape[1:])) for array in (images, rows, columns)]
    )
    def resample(images, rows, columns):
        return resample_separably(images, rows=rows, columns=columns)

    whole = resample(images, rows, columns)
    np.testing.assert_allclose(resample(images[:1], rows[:1], columns[:1]), whole[:1], rtol=0, atol=1e-6)
