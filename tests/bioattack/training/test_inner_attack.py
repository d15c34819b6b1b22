import numpy as np
import pytest
import tensorflow as tf

from bioattack.training import inner_attack
from bioattack.training.inner_attack import (
    ascend_in_ball,
    gaussian_point,
    gradient_of,
    random_point,
    repeat,
    start_keys,
)
from bioattack.training.options import PgdOptions

IMAGES = tf.constant(np.random.default_rng(0).uniform(0.3, 0.7, size=(5, 4, 4, 3)), tf.float32)


def lengths(perturbations, norm):
    flat = np.abs(np.asarray(perturbations, "float64")).reshape(len(perturbations), -1)
    return flat.max(axis=1) if norm == "linf" else np.sqrt((flat**2).sum(axis=1))


def test_gradient_is_each_images_own():
    gradient = gradient_of(lambda images: tf.reduce_sum(images**3, axis=(1, 2, 3)), IMAGES)
    np.testing.assert_allclose(gradient, 3 * IMAGES.numpy() ** 2, rtol=1e-6)
    np.testing.assert_array_equal(gradient_of(lambda images: tf.ones(len(images)), IMAGES), 0 * IMAGES)


@pytest.mark.parametrize("is_graph", [True, False])
def test_repeat_counts_from_0(is_graph):
    def run(images):
        return repeat(lambda number, moved: 10.0 * moved + number, images, num_steps=4)

    run = tf.function(run, input_signature=[tf.TensorSpec((None, 2))]) if is_graph else run
    np.testing.assert_array_equal(run(tf.zeros((1, 2))), [[123.0, 123.0]])


@pytest.mark.parametrize("num_steps", [3, 10])
def test_steps_traced_one_by_one_give_what_a_loop_of_the_graph_gives(monkeypatch, num_steps):
    def run(images):
        return repeat(lambda number, moved: tf.sin(3.0 * moved) + 0.01 * number, images, num_steps=num_steps)

    def loops(function):
        return [each.type for each in function.get_concrete_function(IMAGES).graph.get_operations()]

    one_by_one = tf.function(run)
    assert not {"While", "StatelessWhile"} & set(loops(one_by_one))
    monkeypatch.setattr(inner_attack, "_MOST_UNROLLED", num_steps - 1)
    looped = tf.function(run)
    assert {"While", "StatelessWhile"} & set(loops(looped))
    np.testing.assert_array_equal(one_by_one(IMAGES), looped(IMAGES))


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.5)])
def test_ascent_ends_where_a_linear_objective_is_largest(norm, epsilon):
    slopes = np.random.default_rng(1).normal(size=(4, 4, 3)).astype("float32")
    options = PgdOptions(epsilon=epsilon, norm=norm, num_steps=8, relative_step=0.25)
    found = ascend_in_ball(
        lambda images: tf.reduce_sum(images * slopes, axis=(1, 2, 3)), IMAGES, starts=IMAGES, options=options
    )
    direction = np.sign(slopes) if norm == "linf" else slopes / np.sqrt((slopes**2).sum())
    np.testing.assert_allclose(found, IMAGES + epsilon * direction, atol=1e-6)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.9), ("l2", 3.0)])
def test_points_stay_in_the_ball_and_in_the_range(norm, epsilon):
    options = PgdOptions(epsilon=epsilon, norm=norm)
    keys = start_keys(0, step=0, num_images=5)
    start = random_point(IMAGES, keys=keys, options=options).numpy()
    found = ascend_in_ball(
        lambda images: tf.reduce_sum(tf.sin(40.0 * images), axis=(1, 2, 3)),
        IMAGES,
        starts=start,
        options=options,
    ).numpy()
    for images in (start, found):
        assert images.min() >= 0
        assert images.max() <= 1
        assert lengths(images - IMAGES, norm).max() <= epsilon * (1 + 1e-6)
    assert np.abs(start - IMAGES).max() > 0.1


def test_gaussian_point_has_the_deviation():
    images = tf.zeros((8, 40, 40, 3))
    noise = gaussian_point(images, keys=start_keys(3, step=5, num_images=8), deviation=0.001).numpy()
    # 38,400 draws: the standard error of their deviation is a thousandth of it by 3.6.
    assert noise.std() == pytest.approx(0.001, rel=0.02)
    assert abs(noise.mean()) < 3e-5
    assert abs(np.corrcoef(noise.reshape(8, -1))[0, 1]) < 0.06


def test_keys_are_a_function_of_seed_step_and_place():
    def rows(*, seed=1, step=2, num_images=50):
        return {tuple(key) for key in start_keys(seed, step=step, num_images=num_images).numpy()}

    assert rows() == rows()
    assert rows(num_images=20) < rows()
    drawn = [rows(seed=seed, step=step) for seed in (0, 1) for step in (0, 1, 2)]
    assert len(set.union(*drawn)) == 6 * 50
