import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.ssim_hessian import RowBlur, RowLayout
from bioattack.attacks.ssim_solver import NewtonSettings, hessian_product, newton_directions
from bioattack.distances.ssim import StructuralSimilarity
from bioattack.distances.windows import blur, blur_transposed, gaussian_window
from bioattack.errors import InputError

WINDOW = gaussian_window()


def pictures(number, height, width, channels):
    """Some strokes on black, as MNIST has, and plain and busy parts, as photographs have."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:height, 0:width]
    strokes = [np.abs(columns - width / 2 - 5 * np.sin(rows / (4 + place))) < 2 for place in range(number)]
    busy = random.uniform(size=(number, height, width)) * (rows > height / 2)
    plain = np.stack(strokes) * 0.9 if channels == 1 else 0.7 - 0.4 * busy
    return np.stack([plain * (1 - 0.2 * channel) for channel in range(channels)], -1)


def gradients_like(images):
    return np.random.default_rng(1).normal(size=images.shape)


def dense_hessian(image):
    """H as a matrix, from matrices of the blur along each axis: no code of the solver."""
    blur_matrix = np.kron(*(_dense_blur(size) for size in image.shape))
    means = blur_matrix @ image.ravel()
    variances = blur_matrix @ image.ravel() ** 2 - means**2
    luminance, contrast = 1 / (2 * means**2 + 0.01**2), 1 / (2 * variances + 0.03**2)
    of_means = (blur_matrix.T * (luminance - contrast)) @ blur_matrix
    return 2 / len(means) * (of_means + np.diag(blur_matrix.T @ contrast))


def _dense_blur(size):
    padded = np.pad(np.eye(size), ((5, 5), (0, 0)), "symmetric")
    return sum(weight * padded[place : place + size] for place, weight in enumerate(WINDOW))


@pytest.mark.parametrize("padding", ["symmetric", "valid"])
@pytest.mark.parametrize("channels", [1, 3])
def test_hessian_product_is_that_of_automatic_differentiation(padding, channels):
    images = tf.constant(pictures(2, 13, 16, channels))
    directions = tf.constant(gradients_like(images))
    distance = StructuralSimilarity(padding=padding)
    with tf.GradientTape() as outer:
        outer.watch(images)
        with tf.GradientTape() as inner:
            inner.watch(images)
            value = tf.reduce_sum(distance.compare(distance.prepare(tf.stop_gradient(images)), images))
        slope = tf.reduce_sum(inner.gradient(value, images) * directions)
    wanted = outer.gradient(slope, images).numpy()
    found = hessian_product(images, directions, NewtonSettings(padding=padding)).numpy()
    assert np.linalg.norm(found - wanted) <= 1e-10 * np.linalg.norm(wanted)


@pytest.mark.parametrize("padding", ["symmetric", "valid"])
def test_row_layout_blurs_as_the_windows_do(padding):
    images = np.random.default_rng(0).uniform(size=(2, 12, 15, 3))
    layout = RowLayout(*images.shape)
    row_blur = RowBlur(layout, WINDOW, padding=padding)
    blurred = blur(tf.constant(images), WINDOW, padding=padding)
    shape = blurred.shape
    found = tf.transpose(tf.reshape(row_blur(layout.rows(images)), (*shape[1:3], 2, 3)), (2, 0, 1, 3))
    np.testing.assert_allclose(found, blurred, rtol=1e-12)
    rows = tf.reshape(tf.transpose(blurred, (1, 2, 0, 3)), (shape[1], -1))
    wanted = blur_transposed(blurred, WINDOW, padding=padding)
    np.testing.assert_allclose(layout.images(row_blur.transposed(rows)), wanted, rtol=1e-12)


def test_direction_agrees_with_the_dense_solution():
    images = pictures(3, 28, 28, 1)
    gradients = gradients_like(images)
    found = newton_directions(tf.constant(images, tf.float32), tf.constant(gradients, tf.float32))
    for image, gradient, direction in zip(images, gradients, found.directions.numpy(), strict=True):
        wanted = np.linalg.solve(dense_hessian(image[..., 0]), gradient.ravel())
        assert np.linalg.norm(direction.ravel() - wanted) <= 1e-4 * np.linalg.norm(wanted)


def test_photographs_of_any_size_are_solved_in_few_iterations():
    # Without the means over blocks the diagonal alone takes more than twice as many here.
    images = pictures(1, 70, 90, 3)
    gradients = blur(tf.constant(gradients_like(images)), WINDOW, padding="symmetric")
    found = newton_directions(tf.constant(images), gradients)
    left = hessian_product(tf.constant(images), found.directions) - gradients
    assert np.linalg.norm(left) <= 1e-3 * np.linalg.norm(gradients)
    assert found.num_iterations.numpy().max() <= 60
    assert found.residuals.numpy().max() <= 1e-4


def test_each_image_stops_by_itself():
    grey = np.full((1, 28, 28, 1), 0.5)
    images = tf.constant(np.concatenate([pictures(2, 28, 28, 1), grey, grey]), tf.float32)
    gradients = np.array(gradients_like(images))
    gradients[3] = 0
    found = newton_directions(images, tf.constant(gradients, tf.float32))
    alone = newton_directions(images[1:2], tf.constant(gradients[1:2], tf.float32))
    numbers = found.num_iterations.numpy()
    assert numbers[1] == alone.num_iterations.numpy()[0]
    np.testing.assert_allclose(found.directions[1], alone.directions[0], rtol=1e-4, atol=1e-7)
    assert numbers[3] == 0
    assert len(set(numbers.tolist())) > 2
    assert not found.directions[3].numpy().any()


def test_gradients_of_any_scale_have_the_same_direction():
    images = tf.constant(pictures(1, 28, 28, 1), tf.float32)
    gradients = tf.constant(gradients_like(images), tf.float32)
    wanted = newton_directions(images, gradients).directions
    for scale in (1e-25, 1e25):
        found = newton_directions(images, gradients * scale).directions
        np.testing.assert_allclose(found / scale, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_most_of_an_unpadded_step_ends_up_at_the_rim():
    images = tf.constant(pictures(2, 28, 28, 1), tf.float32)
    gradients = tf.constant(gradients_like(images), tf.float32)
    shares = {}
    for padding in ("symmetric", "valid"):
        settings = NewtonSettings(padding=padding)
        squares = newton_directions(images, gradients, settings).directions.numpy() ** 2
        shares[padding] = 1 - squares[:, 2:-2, 2:-2].sum() / squares.sum()
    # Two pixels at each side are 27 % of the picture.
    assert shares["symmetric"] < 0.5
    assert shares["valid"] > 0.9


def test_out_of_range_settings_are_refused():
    with pytest.raises(InputError, match="tolerance must lie between 0 and 1"):
        NewtonSettings(tolerance=0)
    with pytest.raises(InputError, match="max_iterations must be at least 1"):
        NewtonSettings(max_iterations=0)
    with pytest.raises(InputError, match="window_size must be odd"):
        NewtonSettings(window_size=10)
    with pytest.raises(InputError, match="padding must be one of valid, symmetric"):
        NewtonSettings(padding="same")
    with pytest.raises(InputError, match=r"at least 5 x 5 pixels\. Received: 4 x 9"):
        newton_directions(tf.zeros((1, 4, 9, 1)), tf.zeros((1, 4, 9, 1)))
