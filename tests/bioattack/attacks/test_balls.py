import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, stats

from bioattack.attacks.balls import NORMS, get_ball
from bioattack.errors import InputError

SHAPE = (6, 5, 3)
SIZE = 90
EPSILON = {"linf": 0.04, "l2": 0.4, "rms": 0.05, "l1": 3.0}
GRID = np.arange(256, dtype=np.float32) / np.float32(255)
SUM_NORMS = ("l2", "rms", "l1")


def lengths(norm, perturbations):
    """The length of each perturbation, in float64."""
    flat = np.abs(np.asarray(perturbations, np.float64)).reshape(len(perturbations), -1)
    return {
        "linf": lambda: flat.max(axis=1),
        "l2": lambda: np.sqrt(np.sum(flat**2, axis=1)),
        "rms": lambda: np.sqrt(np.mean(flat**2, axis=1)),
        "l1": lambda: flat.sum(axis=1),
    }[norm]()


def drawn(norm, *, num_images=24, shape=SHAPE, seed=0):
    """Images near and far from their originals, some black, white or uniform, and some epsilons of 0."""
    random = np.random.default_rng(seed)
    originals = GRID[random.integers(0, 256, (num_images, *shape))]
    originals[0], originals[1], originals[2] = 0.0, 1.0, GRID[100]
    originals[3] = np.where(random.uniform(size=shape) < 0.5, 0.0, 1.0)
    spread = 10.0 ** random.uniform(-4, 0.5, (num_images, *[1] * len(shape)))
    images = (originals + spread * random.normal(size=originals.shape)).astype(np.float32)
    images[2] = originals[2] + np.float32(0.3)
    epsilon = (EPSILON[norm] * random.uniform(0.2, 2.0, num_images)).astype(np.float32)
    epsilon[4:6] = 0.0
    return images, originals, epsilon


def is_within(norm, images, originals, epsilon):
    epsilon = epsilon.astype(np.float64)
    return lengths(norm, images.astype(np.float64) - originals) <= epsilon * (1 + 1e-6) + 1e-7


def keys_of(num_images):
    return np.stack([np.full(num_images, 7), np.arange(num_images)], axis=1).astype(np.int32)


# Length


@pytest.mark.parametrize("norm", NORMS)
def test_lengths(norm):
    images, originals, _ = drawn(norm)
    measured = get_ball(norm).length(images - originals).numpy()
    assert measured == pytest.approx(lengths(norm, images - originals), rel=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_length_of_nothing_has_a_finite_gradient(norm):
    perturbations = tf.zeros((2, *SHAPE))
    with tf.GradientTape() as tape:
        tape.watch(perturbations)
        measured = get_ball(norm).length(perturbations)
    assert measured.numpy().tolist() == [0.0, 0.0]
    assert np.isfinite(tape.gradient(measured, perturbations).numpy()).all()


def test_rms_is_at_most_linf():
    images, originals, _ = drawn("rms", num_images=200)
    rms, linf = (get_ball(norm).length(images - originals).numpy() for norm in ("rms", "linf"))
    assert (rms <= linf * (1 + 1e-6)).all()


# Steepest ascent


@pytest.mark.parametrize("magnitude", [1e-30, 1e-12, 1.0, 1e25])
@pytest.mark.parametrize("norm", NORMS)
def test_direction_has_length_one_for_any_gradient(norm, magnitude):
    gradients = np.random.default_rng(1).normal(size=(5, *SHAPE)).astype(np.float32) * np.float32(magnitude)
    directions = get_ball(norm).ascend(gradients).numpy()
    assert lengths(norm, directions) == pytest.approx(np.ones(5), rel=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_direction_of_no_gradient_is_zero_beside_others(norm):
    gradients = np.zeros((3, *SHAPE), np.float32)
    gradients[1] = 1.0
    directions = get_ball(norm).ascend(gradients, np.full((3, *SHAPE), 0.5, np.float32)).numpy()
    assert not directions[[0, 2]].any()
    assert lengths(norm, directions)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("norm", NORMS)
def test_broken_gradients_give_no_broken_directions(norm):
    gradients = np.random.default_rng(1).normal(size=(3, *SHAPE)).astype(np.float32)
    gradients[0, 0, 0], gradients[1], gradients[2, 0, 0, 0] = np.nan, np.nan, np.inf
    directions = get_ball(norm).ascend(gradients, np.full((3, *SHAPE), 0.5, np.float32)).numpy()
    assert lengths(norm, directions) == pytest.approx([1.0, 0.0, 1.0])


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
def test_direction_is_the_steepest(norm):
    """No direction of length 1 gains more along the gradient than the dual norm of it (Hölder)."""
    gradients = np.random.default_rng(1).normal(size=(5, *SHAPE)).astype(np.float32)
    gains = np.sum(gradients * get_ball(norm).ascend(gradients).numpy(), axis=(1, 2, 3))
    dual = {
        "linf": lengths("l1", gradients),
        "l2": lengths("l2", gradients),
        "rms": lengths("l2", gradients) * np.sqrt(SIZE),
    }
    assert gains == pytest.approx(dual[norm], rel=1e-5)


@pytest.mark.parametrize(("shape", "num_chosen"), [((3, 3, 1), 1), ((10, 10, 1), 1), ((10, 10, 5), 5)])
def test_l1_direction_is_sparse(shape, num_chosen):
    gradients = np.random.default_rng(1).normal(size=(4, *shape)).astype(np.float32)
    directions = get_ball("l1").ascend(gradients).numpy().reshape(4, -1)
    flat = gradients.reshape(4, -1)
    expected = np.zeros_like(flat)
    for row, gradient in zip(expected, flat, strict=True):
        chosen = np.argsort(-np.abs(gradient))[:num_chosen]
        row[chosen] = np.sign(gradient[chosen]) / num_chosen
    assert directions == pytest.approx(expected)


def test_l1_direction_leaves_out_values_that_cannot_move():
    gradients = np.array([[4.0, -3.0, 2.0, 1.0], [4.0, -3.0, 2.0, 1.0], [4.0, -3.0, 0.0, 0.0]], np.float32)
    images = np.array([[1.0, 0.0, 0.9, 0.5], [0.0, 1.0, 0.9, 0.5], [1.0, 0.0, 0.5, 0.5]], np.float32)
    directions = get_ball("l1").ascend(gradients, images).numpy()
    assert directions.tolist() == [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


# Projection


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("norm", NORMS)
def test_projected_images_are_inside(norm, seed):
    images, originals, epsilon = drawn(norm, seed=seed)
    projected = get_ball(norm).project(images, originals, epsilon).numpy()
    assert projected.dtype == np.float32
    assert (projected >= 0).all()
    assert (projected <= 1).all()
    assert is_within(norm, projected, originals, epsilon).all()
    assert (projected[4:6] == originals[4:6]).all()


@pytest.mark.parametrize("norm", NORMS)
def test_large_uniform_images_stay_inside(norm):
    """There the rounding of all values errs the same way, and would add up."""
    epsilon = np.array([EPSILON[norm], EPSILON[norm] / 3], np.float32)
    originals = np.broadcast_to(GRID[[200, 77]][:, None, None, None], (2, 224, 224, 3))
    projected = get_ball(norm).project(originals + np.float32(0.2), originals, epsilon).numpy()
    assert is_within(norm, projected, originals, epsilon).all()
    # One spacing of float32 inwards is all that is given away.
    given_away = lengths(norm, np.full_like(originals, 2.0**-23))
    assert (
        lengths(norm, projected.astype(np.float64) - originals) >= epsilon * (1 - 1e-5) - given_away
    ).all()


@pytest.mark.parametrize("norm", NORMS)
def test_what_is_inside_stays_as_it_is(norm):
    images, originals, epsilon = drawn(norm)
    ball = get_ball(norm)
    inside = ball.project(images, originals, epsilon * np.float32(0.999)).numpy()
    assert (ball.project(inside, originals, epsilon).numpy() == inside).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
def test_projection_is_the_published_one(norm):
    """Clip, or scale then clip, in float64."""
    images, originals, epsilon = (array.astype(np.float64) for array in drawn(norm))
    perturbations, limit = images - originals, epsilon.reshape(-1, 1, 1, 1)
    if norm == "linf":
        perturbations = np.clip(perturbations, -limit, limit)
    else:
        length = lengths(norm, perturbations).reshape(limit.shape)
        perturbations = perturbations * np.minimum(1.0, limit / length)
    projected = get_ball(norm).project(*drawn(norm)).numpy()
    assert projected == pytest.approx(np.clip(originals + perturbations, 0, 1), abs=3e-7)


def furthest_along(direction, original, epsilon):
    """The largest inner product with a direction that any point of L1 ball and box reaches: a knapsack."""
    gain, left = 0.0, epsilon
    for place in np.argsort(-np.abs(direction)):
        room = 1 - original[place] if direction[place] > 0 else original[place]
        gain += abs(direction[place]) * min(room, left)
        left -= min(room, left)
    return gain


@pytest.mark.parametrize("seed", range(4))
def test_l1_projection_is_the_nearest_point(seed):
    """P is the nearest to x if (x - P) . (y - P) <= 0 for all y in the convex set; the worst y is known."""
    images, originals, epsilon = drawn("l1", seed=seed)
    projected = get_ball("l1").project(images, originals, epsilon).numpy()
    arrays = (array.astype(np.float64).reshape(len(images), -1) for array in (images, originals, projected))
    for image, original, point, limit in zip(*arrays, epsilon.astype(np.float64), strict=True):
        outwards = image - point
        worst = furthest_along(outwards, original, limit) - outwards @ (point - original)
        assert worst <= 1e-5 * np.linalg.norm(outwards) + 1e-9


def test_l1_projection_agrees_with_a_general_solver():
    random = np.random.default_rng(5)
    originals = random.uniform(size=(6, 4)).astype(np.float32)
    images = (originals + random.normal(size=(6, 4))).astype(np.float32)
    epsilon = random.uniform(0.1, 0.8, 6).astype(np.float32)
    projected = get_ball("l1").project(images, originals, epsilon).numpy()
    for image, original, point, limit in zip(images, originals, projected, epsilon, strict=True):
        # The perturbation as up minus down, both at least 0, makes the length linear.
        solved = optimize.minimize(
            lambda v, image=image, original=original: np.sum((original + v[:4] - v[4:] - image) ** 2),
            np.zeros(8),
            bounds=[*zip(np.zeros(4), 1 - original, strict=True), *zip(np.zeros(4), original, strict=True)],
            constraints={"type": "ineq", "fun": lambda v, limit=limit: limit - v.sum()},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert solved.success
        assert point == pytest.approx(original + solved.x[:4] - solved.x[4:], abs=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_methods_are_traced_once_and_treat_each_image_alone(norm):
    ball = get_ball(norm)
    batch = tf.TensorSpec([None, *SHAPE], tf.float32)
    signature = [batch, batch, tf.TensorSpec([None], tf.float32)]
    arrays = drawn(norm)
    for method in (ball.project, lambda *a: ball.round_to_8_bits(ball.project(*a), *a[1:])):
        traced = tf.function(method, autograph=False, input_signature=signature)
        together = traced(*arrays).numpy()
        assert together == pytest.approx(method(*arrays).numpy(), abs=2e-7)
        apart = np.concatenate([traced(*(array[i : i + 1] for array in arrays)).numpy() for i in range(24)])
        assert (together == apart).all()
        assert traced(*(array[:0] for array in arrays)).shape == (0, *SHAPE)
        assert traced.experimental_get_tracing_count() == 1
    ascend = tf.function(ball.ascend, autograph=False, input_signature=[batch, batch])
    images, originals, _ = arrays
    together = ascend(images - originals, originals).numpy()
    assert (together[3:4] == ascend((images - originals)[3:4], originals[3:4]).numpy()).all()
    assert ascend(images[:0], images[:0]).shape == (0, *SHAPE)


# Random points


@pytest.mark.parametrize("norm", NORMS)
def test_draw_depends_on_the_own_key_alone(norm):
    ball = get_ball(norm)
    draw = tf.function(
        lambda keys: ball.draw(keys, SHAPE),
        autograph=False,
        input_signature=[tf.TensorSpec([None, 2], tf.int32)],
    )
    points = draw(keys_of(6)).numpy()
    assert points.shape == (6, *SHAPE)
    assert (draw(keys_of(6)[[4, 1]]).numpy() == points[[4, 1]]).all()
    assert points == pytest.approx(ball.draw(keys_of(6), SHAPE).numpy(), abs=1e-7)
    assert len({point.tobytes() for point in points}) == 6
    assert draw(keys_of(0)).shape == (0, *SHAPE)


@pytest.mark.parametrize("norm", NORMS)
def test_draw_is_uniform_in_the_ball(norm):
    """In n dimensions the n-th power of the length is uniform in [0, 1]; so are parts of a shell."""
    draw = tf.function(lambda keys: get_ball(norm).draw(keys, (3,)), autograph=False)
    points = draw(keys_of(1500)).numpy().astype(np.float64)
    length = lengths(norm, points)
    assert (length <= 1 + 1e-6).all()
    assert stats.kstest(length**3, "uniform").pvalue > 0.01
    first = points[:, 0]
    assert abs(np.mean(np.sign(points), axis=0)).max() < 0.1
    uniform = {
        # Archimedes: the height of a point on a sphere is uniform.
        "l2": lambda: (first / length + 1) / 2,
        "rms": lambda: (first / length / np.sqrt(3) + 1) / 2,
        "linf": lambda: (first + 1) / 2,
        # A third of a simplex's corner: the share of one of three is Beta(1, 2).
        "l1": lambda: stats.beta(1, 2).cdf(np.abs(first) / length),
    }
    assert stats.kstest(uniform[norm](), "uniform").pvalue > 0.01


@pytest.mark.parametrize("norm", NORMS)
def test_draw_of_a_large_image_is_inside(norm):
    points = get_ball(norm).draw(keys_of(2), (64, 64, 3)).numpy()
    assert np.isfinite(points).all()
    assert (lengths(norm, points) <= 1 + 1e-5).all()
    assert (lengths(norm, points) > 0.99).all()


# Eight bits


def rounded_batch(norm, **options):
    images, originals, epsilon = drawn(norm, **options)
    ball = get_ball(norm)
    images = ball.project(images, originals, epsilon).numpy()
    return ball.round_to_8_bits(images, originals, epsilon).numpy(), images, originals, epsilon


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("norm", NORMS)
def test_rounded_images_are_on_the_grid_and_inside(norm, seed):
    rounded, _, originals, epsilon = rounded_batch(norm, seed=seed)
    assert rounded.dtype == np.float32
    assert (rounded == np.round(rounded * 255) / np.float32(255)).all()
    assert (rounded == rounded.clip(0, 1)).all()
    assert is_within(norm, rounded, originals, epsilon).all()


@pytest.mark.parametrize("norm", NORMS)
def test_all_256_values_come_back_exactly_from_a_graph(norm):
    """A graph optimiser replaces a division by 255 with a product, which is off by a bit for half of them."""
    rounding = tf.function(get_ball(norm).round_to_8_bits, autograph=False)
    images = GRID[None]
    assert (
        rounding(images, np.full_like(images, GRID[90]), np.array([np.inf], np.float32)).numpy() == GRID
    ).all()


def test_linf_epsilon_of_whole_steps_holds_all_of_them():
    """Also where float32 arithmetic made epsilon a bit smaller than k / 255."""
    exact = (np.arange(256) / 255).astype(np.float32)
    images, originals = np.ones((256, 3), np.float32), np.zeros((256, 3), np.float32)
    ball = get_ball("linf")
    for epsilon in (exact, np.nextafter(exact, np.float32(0)), np.nextafter(exact, np.float32(1))):
        rounded = ball.round_to_8_bits(ball.project(images, originals, epsilon), originals, epsilon).numpy()
        assert (rounded == GRID[:, None]).all()


def test_linf_rounds_to_the_nearest_that_the_ball_holds():
    rounded, images, originals, epsilon = rounded_batch("linf")
    limit = epsilon.astype(np.float64).reshape(-1, 1, 1, 1) + 1e-7
    for i in range(len(images)):
        is_allowed = np.abs(GRID.astype(np.float64) - originals[i][..., None]) <= limit[i]
        distances = np.where(is_allowed, np.abs(GRID - images[i][..., None]), np.inf)
        # Where two are equally near, either will do.
        assert np.abs(rounded[i] - images[i]) == pytest.approx(distances.min(axis=-1), abs=1e-7)


@pytest.mark.parametrize("norm", SUM_NORMS)
def test_each_value_goes_to_one_of_its_two_neighbours(norm):
    rounded, images, *_ = rounded_batch(norm)
    assert (np.abs(rounded - images) < (1 + 1e-4) / 255).all()


@pytest.mark.parametrize("norm", SUM_NORMS)
def test_plain_rounding_where_it_fits_and_suffices(norm):
    """With half of the values a little under a grid point and half a little over, nothing is left to mend."""
    originals = np.full((1, *SHAPE), GRID[100])
    images = originals + np.where(np.arange(SIZE).reshape(1, *SHAPE) % 2, 3.2, -2.8).astype(np.float32) / 255
    images = images.astype(np.float32)
    epsilon = np.array([10.0], np.float32)
    rounded = get_ball(norm).round_to_8_bits(images, originals, epsilon).numpy()
    changes = np.round(255 * (rounded - originals))
    assert (np.abs(changes) >= 3).all()
    assert np.mean(np.abs(changes) == 3) > 0.8
    assert np.sum((rounded - originals) * (images - originals)) == pytest.approx(
        np.sum((images - originals) ** 2), rel=0.01
    )


@pytest.mark.parametrize("norm", SUM_NORMS)
def test_small_changes_of_many_values_do_not_vanish(norm):
    """All below 1/510: rounding to the nearest would give back the original."""
    random = np.random.default_rng(3)
    shape = (32, 32, 3)
    originals = GRID[random.integers(1, 255, (2, *shape))]
    images = (originals + random.uniform(-0.9, 0.9, (2, *shape)) / 510).astype(np.float32)
    assert (np.round(images * 255) == np.round(originals * 255)).all()
    epsilon = lengths(norm, images.astype(np.float64) - originals).astype(np.float32)
    rounded = get_ball(norm).round_to_8_bits(images, originals, epsilon).numpy()
    assert is_within(norm, rounded, originals, epsilon).all()
    changes, wanted = ((array.astype(np.float64) - originals).reshape(2, -1) for array in (rounded, images))
    used = lengths(norm, changes) / epsilon
    progress = np.sum(changes * wanted, axis=1) / np.sum(wanted**2, axis=1)
    assert ((used > 0.99) | (progress >= 0.999)).all()
    # The best that fits: a whole step in the largest values, as many as the ball has room for.
    num_steps = 255 * epsilon if norm == "l1" else (255 * lengths("l2", wanted)) ** 2
    best = [
        np.sum(np.sort(np.abs(row))[::-1][: int(num)]) / 255
        for row, num in zip(wanted, num_steps, strict=True)
    ]
    best = best / np.sum(wanted**2, axis=1)
    assert progress == pytest.approx(np.minimum(best, 1.0), abs=2e-3)
    assert (progress > 0.4).all()


@pytest.mark.parametrize("norm", SUM_NORMS)
def test_images_on_the_edge_lose_little(norm):
    """A perturbation that fills the ball still fills it once it is rounded."""
    random = np.random.default_rng(4)
    originals = GRID[random.integers(60, 200, (8, 16, 16, 3))]
    epsilon = np.full(8, {"l2": 0.5, "rms": 0.02, "l1": 12.0}[norm], np.float32)
    ball = get_ball(norm)
    images = originals + random.normal(size=originals.shape).astype(np.float32) / 10
    images = ball.project(images, originals, epsilon).numpy()
    rounded = ball.round_to_8_bits(images, originals, epsilon).numpy()
    assert (lengths(norm, rounded - originals) > 0.98 * epsilon).all()
    aligned = np.sum((rounded - originals) * (images - originals), axis=(1, 2, 3))
    assert (aligned > 0.95 * np.sum((images - originals) ** 2, axis=(1, 2, 3))).all()


@pytest.mark.parametrize("norm", SUM_NORMS)
def test_rounding_in_few_dimensions_beside_all_choices(norm):
    """Of the neighbours that fit in the ball, those chosen reach nearly as far along the perturbation."""
    random = np.random.default_rng(6)
    originals = np.full((30, 6), GRID[100])
    images = (originals + random.uniform(-3, 3, (30, 6)) / 255).astype(np.float32)
    epsilon = lengths(norm, images.astype(np.float64) - originals).astype(np.float32)
    rounded = get_ball(norm).round_to_8_bits(images, originals, epsilon).numpy()
    for image, original, limit, chosen in zip(images, originals, epsilon, rounded, strict=True):
        below = np.floor(255 * image.astype(np.float64)).astype(int)
        choices = GRID[below + np.array(list(itertools.product((0, 1), repeat=6)))]
        fits = lengths(norm, choices.astype(np.float64) - original) <= limit
        assert (chosen == choices[fits]).all(axis=1).any()
        farthest = ((choices[fits] - original) @ (image - original)).max()
        assert (chosen - original) @ (image - original) >= 0.75 * min(
            farthest, (image - original) @ (image - original)
        )


@pytest.mark.parametrize("norm", NORMS)
def test_rounding_leaves_the_grid_alone(norm):
    rounded, _, originals, epsilon = rounded_batch(norm)
    again = get_ball(norm).round_to_8_bits(rounded, originals, epsilon).numpy()
    assert (again == rounded).all()
    assert (rounded[4:6] == originals[4:6]).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
@pytest.mark.parametrize("norm", NORMS)
def test_originals_that_are_off_the_grid_by_a_bit_count_as_on_it(norm, epsilon):
    originals = (np.arange(256, dtype=np.float32) * (np.float32(1) / np.float32(255)))[None]
    assert (originals != GRID).sum() > 100
    for images in (originals, np.nextafter(originals, np.float32(0)), np.nextafter(originals, np.float32(1))):
        rounded = get_ball(norm).round_to_8_bits(images, originals, np.array([epsilon], np.float32)).numpy()
        assert (rounded == GRID).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
@pytest.mark.parametrize("norm", NORMS)
def test_images_between_an_original_and_its_grid_point_go_to_the_grid_point(norm, epsilon):
    originals, images = (GRID[None, 1:] * np.float32(1 - error) for error in (1e-6, 5e-7))
    assert ((originals < images) & (images < GRID[1:])).all()
    rounded = get_ball(norm).round_to_8_bits(images, originals, np.array([epsilon], np.float32)).numpy()
    assert (rounded == GRID[1:]).all()


def test_unknown_norm_is_refused():
    with pytest.raises(InputError, match=r"norm must be one of linf, l2, rms, l1\. Received: norm='l0'"):
        get_ball("l0")
