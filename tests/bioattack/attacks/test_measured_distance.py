import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.measured_distance import (
    check_distance_fits,
    choose_distance,
    distances_and_gradients,
    distances_only,
    on_rows,
    prepared_state,
)
from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.testing.made_up_distances import MadeUpFeatures


def keras_model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(6, 3, activation="relu"), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.layers.Input((8, 8, 3)), *layers, keras.layers.Dense(4)], name="small")


@pytest.fixture
def pictures():
    generator = np.random.default_rng(0)
    return tuple(tf.constant(generator.uniform(size=(5, 8, 8, 3)), tf.float32) for _ in range(2))


def test_only_wanted_rows_are_handed_on():
    seen = []

    def function(numbers, rows):
        seen.append(numbers.numpy().tolist())
        return numbers * 2, rows + 1

    numbers, rows = tf.constant([1, 2, 3]), tf.ones([3, 2])
    doubled, more = on_rows(function, tf.constant([True, False, True]), numbers, rows)
    assert doubled.numpy().tolist() == [2, 0, 6]
    assert more.numpy().tolist() == [[2, 2], [0, 0], [2, 2]]
    nothing, _ = on_rows(function, tf.constant([False] * 3), numbers, rows)
    assert nothing.numpy().tolist() == [0, 0, 0]
    # Where nothing is wanted one row stands in, for no function need know of empty batches.
    assert seen == [[1, 3], [1]]


class GradientOfItsOwn:
    """A distance whose gradient does not need its value, like that of a network taken chunk by chunk."""

    def compare(self, prepared, images):
        del prepared

        @tf.custom_gradient
        def measure(images):
            values = tf.identity(tf.reduce_sum(tf.square(images), (1, 2, 3)), name="the_values")
            return values, lambda upstream: 2 * images * upstream[:, None, None, None]

        return measure(images)


def test_distances_that_nobody_uses_are_not_computed():
    specification = [tf.TensorSpec((None, 8, 8, 3)), tf.TensorSpec((None,), tf.bool)]

    @tf.function(autograph=False, input_signature=specification)
    def gradients_alone(images, is_wanted):
        return distances_and_gradients(GradientOfItsOwn(), {}, images, is_wanted)[1]

    graph = gradients_alone.get_concrete_function().graph
    needed, waiting = set(), [output.op for output in graph.outputs]
    while waiting:
        operation = waiting.pop()
        if operation.name not in needed:
            needed.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs]
    names = {operation.name for operation in graph.get_operations()}
    assert any("the_values" in name for name in names)
    assert not any("the_values" in name for name in needed)


def test_rows_are_measured_and_differentiated_as_the_distance_does(pictures):
    originals, images = pictures
    distance, is_wanted = MadeUpFeatures(), tf.constant([True, False, True, True, False])
    state = prepared_state(distance, originals) | {"logits": tf.zeros((5, 2))}

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3)), tf.TensorSpec((None,), tf.bool)])
    def measure(images, is_wanted):
        return distances_and_gradients(distance, state, images, is_wanted), distances_only(
            distance, state, images, is_wanted
        )

    (distances, gradients), again = measure(images, is_wanted)
    with tf.GradientTape() as tape:
        tape.watch(images)
        expected = distance(originals, images)
    slopes = tape.gradient(expected, images).numpy()
    wanted = is_wanted.numpy()
    np.testing.assert_allclose(distances, np.where(wanted, expected, 0), rtol=1e-5)
    np.testing.assert_allclose(again, distances, rtol=1e-6)
    np.testing.assert_allclose(gradients, np.where(wanted[:, None, None, None], slopes, 0), atol=1e-6)


def test_a_distance_is_made_by_name_with_options_or_taken_as_it_is():
    made_up = MadeUpFeatures()
    assert choose_distance(made_up) is made_up
    assert choose_distance("l2").name == "l2"


def test_features_are_the_attacked_models_own_unless_another_is_named(pictures, tmp_path):
    model = keras_model()
    own = choose_distance("nptm", classifier=load_classifier(model))
    model.save(tmp_path / "small.keras")
    (tmp_path / "run").mkdir()
    read = choose_distance("nptm", [("trunk", str(tmp_path / "small.keras"))])
    np.testing.assert_allclose(own(*pictures), read(*pictures), rtol=1e-6)
    assert own(*pictures).numpy().min() > 0


@pytest.mark.parametrize(
    ("distance", "options", "message"),
    [
        ("magic", [], "distance must be one of l1"),
        ("l2", [("weights", "a.npz")], "distance l2 does not take the options weights"),
        ("nptm", [], "distance nptm needs a network that gives the features; name a network or a .keras"),
        ("nptm", [("trunk", "missing.keras")], "distance nptm: missing.keras: there is no such .keras file"),
        ("nptm", [("trunk", "vgg19")], "trunk must be one of"),
        ("lpips", [("trunk", "alexnet"), ("trunk_weights", "missing.pth")], "distance lpips"),
        ("pieapp", [("weights", "missing.pth")], "missing.pth"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(distance, options, message):
    with pytest.raises(InputError, match=message) as caught:
        choose_distance(distance, options)
    assert "\n" not in str(caught.value)


def test_a_model_that_shows_no_features_is_refused():
    plain = load_classifier(
        lambda images: tf.reduce_mean(images, (1, 2)), name="plain", image_shape=(8, 8, 3)
    )
    with pytest.raises(InputError, match="plain shows none, being no Keras model; name a network"):
        choose_distance("nptm", classifier=plain)
    scaled = load_classifier(keras_model(), name="scaled", input_range=(0, 255))
    with pytest.raises(InputError, match=r"shows its model pictures in \[0, 1\], which scaled does not take"):
        choose_distance("nptm", classifier=scaled)


def test_pictures_that_are_too_small_are_refused_before_any_is_measured():
    check_distance_fits(MadeUpFeatures(), (8, 8, 3))
    with pytest.raises(InputError, match=r"made-up needs images of 3 x 3 pixels or more. Received: 2 x 8"):
        check_distance_fits(MadeUpFeatures(), (2, 8, 3))
