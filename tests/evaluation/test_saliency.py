"""Saliency models of all kinds, those that are refused, and the shift of a map."""

import numpy as np
import pytest
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.evaluation.minimum_barrier import minimum_barrier_saliency
from bioattack.evaluation.saliency import (
    MINIMUM_BARRIER,
    SHIFTS,
    SaliencyModel,
    load_saliency,
    saliency_shift,
)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 12, 14, 3), dtype=np.float32)


@pytest.mark.parametrize("source", [None, MINIMUM_BARRIER])
def test_the_default_needs_no_weights_and_says_so(source, images):
    model = load_saliency(source)
    assert "without trained weights" in model.name
    np.testing.assert_allclose(model(images), minimum_barrier_saliency(images), atol=1e-6)


@pytest.mark.parametrize("has_channel", [False, True])
def test_any_callable_will_do(has_channel, images):
    def brightness(pictures):
        return tf.reduce_mean(pictures, -1, keepdims=has_channel)

    model = load_saliency(brightness)
    assert model.name == "brightness"
    np.testing.assert_allclose(model(images), images.mean(-1), rtol=1e-6)


def test_a_saved_model_will_do(tmp_path, images):
    module = tf.Module()
    spec = tf.TensorSpec((None, None, None, 3), tf.float32)
    module.serve = tf.function(lambda pictures: {"map": tf.reduce_max(pictures, -1)}, input_signature=[spec])
    tf.saved_model.save(module, tmp_path / "eye", signatures={"serving_default": module.serve})
    model = load_saliency(tmp_path / "eye")
    assert model.name == "eye"
    np.testing.assert_allclose(model(images), images.max(-1))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images, r"must give maps of shape \(3, 12, 14\).*Received: shape \(3, 12, 14, 3\)"),
        (lambda images: images[:, ::2, ::2, 0], r"Received: shape \(3, 6, 7\)"),
        (lambda images: 255 * images[..., 0], r"must give values in \[0, 1\]\. Received: values from"),
        (lambda images: images[..., 0] - 0.5, r"must give values in \[0, 1\]"),
        (lambda images: images[..., 0] * np.nan, r"must give values in \[0, 1\]"),
        (lambda images: images[..., 0].astype(int), r"must give maps of floats\. Received: int64"),
        (lambda images: (images[..., 0], images[..., 1]), r"must give one batch of maps\. Received: 2"),
    ],
)
def test_a_wrong_output_is_refused_in_one_sentence(function, message, images):
    with pytest.raises(InputError, match=f"saliency model eye .*{message}") as error:
        SaliencyModel(function, name="eye")(images)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_saved_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no SavedModel folder"):
        load_saliency(tmp_path)


def test_a_saved_model_of_two_inputs_is_refused(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec((None, 4, 4, 3), tf.float32)
    module.serve = tf.function(lambda a, b: a + b, input_signature=[spec, spec])
    tf.saved_model.save(module, tmp_path / "two", signatures={"serving_default": module.serve})
    with pytest.raises(InputError, match="needs a signature serving_default that takes one batch"):
        load_saliency(tmp_path / "two")


def test_a_saved_model_for_another_size_is_refused_in_one_sentence(tmp_path, images):
    module = tf.Module()
    spec = tf.TensorSpec((None, 9, 9, 3), tf.float32)
    module.serve = tf.function(
        lambda pictures: tf.reshape(tf.reshape(pictures, (-1, 243))[:, :81], (-1, 9, 9)),
        input_signature=[spec],
    )
    tf.saved_model.save(module, tmp_path / "eye", signatures={"serving_default": module.serve})
    with pytest.raises(InputError, match=r"cannot be shown pictures of shape \(12, 14, 3\)") as error:
        load_saliency(tmp_path / "eye")(images)
    assert "\n" not in str(error.value)


def test_the_shift_is_the_norms_of_the_difference():
    random = np.random.default_rng(1)
    maps, moved = random.random((2, 4, 20, 20)).astype(np.float32)
    shift = saliency_shift(maps, moved)
    change = (moved.astype(float) - maps).reshape(4, -1)
    assert tuple(shift.columns) == SHIFTS
    np.testing.assert_allclose(shift["l1"], np.abs(change).sum(1))
    np.testing.assert_allclose(shift["l2"], np.sqrt((change**2).sum(1)))
    np.testing.assert_allclose(shift["linf"], np.abs(change).max(1))
    by_tensorflow = 1 - tf.image.ssim(maps[..., None], moved[..., None], 1.0).numpy()
    np.testing.assert_allclose(shift["ssim"], by_tensorflow, atol=1e-4)


def test_maps_that_are_equal_have_not_moved():
    maps = np.random.default_rng(0).random((2, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(saliency_shift(maps, maps), 0, atol=1e-12)
