import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.fixations import FixationGazes, FoldFixations, MeanOverFixations, five_gazes
from bioattack.testing.check_layer import LayerExpectations, check_layer

FIVE = [[0.0, 0.0], [-8.0, 8.0], [8.0, -8.0], [-8.0, -8.0], [8.0, 8.0]]


# Vuyyuru et al. 2020, public code: centre, (-, +), (+, -), (-, -), (+, +), row first.
def test_order_of_the_five():
    assert [list(gaze) for gaze in five_gazes(8)] == FIVE


# Not with when_tested="random": the harness expects draws in training alone.
@pytest.mark.parametrize("more", [{}, {"per_batch": True}])
def test_gazes_are_well_made(more):
    check_layer(
        FixationGazes,
        {"fixed": FIVE, "lowest": -8, "highest": 7, "seed": 3, **more},
        input_shape=(16, 16, 3),
        expected=LayerExpectations(output_shape=(5, 2), has_gradient=(False,)),
    )


def _gazes(**more):
    return FixationGazes(fixed=five_gazes(8), lowest=-8, highest=7, seed=0, **more)


def test_the_test_looks_at_the_fixed_points():
    for training in (None, False):
        gazes = np.asarray(_gazes()(tf.zeros((3, 16, 16, 3)), training=training))
        assert gazes.dtype == np.float32
        np.testing.assert_array_equal(gazes, np.tile(FIVE, (3, 1, 1)))


def test_training_looks_once_anywhere_in_the_range():
    num = 4000
    gazes = np.asarray(_gazes()(tf.zeros((num, 16, 16, 3)), training=True))
    assert gazes.shape == (num, 1, 2)
    for axis in range(2):
        counts = collections.Counter(gazes[:, 0, axis].tolist())
        assert set(counts) == set(range(-8, 8))
        # Five standard deviations of a binomial with p = 1/16.
        assert all(abs(count - num / 16) < 5 * np.sqrt(num * 15 / 256) for count in counts.values())
    assert abs(np.corrcoef(gazes[:, 0].T)[0, 1]) < 5 / np.sqrt(num)


def test_per_batch_draws_once():
    layer = _gazes(per_batch=True)
    batches = [np.asarray(layer(tf.zeros((6, 16, 16, 3)), training=True)) for _ in range(8)]
    assert all(batch.shape == (6, 1, 2) and len(np.unique(batch, axis=0)) == 1 for batch in batches)
    assert len({tuple(batch[0, 0]) for batch in batches}) > 1


def test_random_gazes_in_the_test_differ_from_image_to_image_and_call_to_call():
    layer = _gazes(when_tested="random")
    first, second = (np.asarray(layer(tf.zeros((6, 16, 16, 3)), training=False)) for _ in range(2))
    assert first.shape == (6, 5, 2)
    assert len(np.unique(first.reshape(6, -1), axis=0)) == 6
    assert not np.array_equal(first, second)
    assert first.min() >= -8
    assert first.max() <= 7
    rebuilt = FixationGazes.from_config(layer.get_config())
    np.testing.assert_array_equal(rebuilt(tf.zeros((6, 16, 16, 3)), training=False), first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fixed": []}, r"fixed must be \(row, column\) pairs, one or more. Received: fixed=\[\]"),
        ({"fixed": [(1, 2, 3)]}, r"fixed must be .* Received: fixed=\[\(1, 2, 3\)\]"),
        ({"lowest": 3, "highest": 2}, "lowest must be at most highest. Received: lowest=3, highest=2"),
        ({"when_tested": "never"}, "when_tested must be one of fixed, random. Received: when_tested='never'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FixationGazes(**{"fixed": FIVE, "lowest": -8, "highest": 7, **arguments})


def _random(*shape):
    return np.random.default_rng(len(shape)).random(shape, dtype="float32")


@keras.saving.register_keras_serializable(package="bioattack_tests")
class FoldByImage(FoldFixations):
    """Gives the results by image, so that the harness may choose the size of the batch."""

    def call(self, images, gazes):
        num_gazes = gazes.shape[1]
        return [
            keras.ops.reshape(folded, (-1, num_gazes, *folded.shape[1:]))
            for folded in super().call(images, gazes)
        ]

    def compute_output_spec(self, images, gazes):
        batch_size, num_gazes = gazes.shape[:2]
        return [
            keras.KerasTensor((batch_size, num_gazes, *folded.shape[1:]), dtype=folded.dtype)
            for folded in super().compute_output_spec(images, gazes)
        ]


@pytest.mark.parametrize("tail", [(2,), (2, 3)], ids=["gazes", "matrices"])
def test_folding_is_well_made(tail):
    check_layer(
        FoldByImage,
        {},
        inputs=(_random(3, 4, 6, 2), _random(3, 5, *tail)),
        expected=LayerExpectations(output_shape=(5, 4, 6, 2)),
    )


def test_branches_of_one_image_stand_next_to_each_other():
    images, gazes = _random(2, 4, 6, 3), _random(2, 5, 2)
    folded_images, folded_gazes = FoldFixations()(images, gazes)
    for image in range(2):
        for gaze in range(5):
            np.testing.assert_array_equal(folded_images[5 * image + gaze], images[image])
            np.testing.assert_array_equal(folded_gazes[5 * image + gaze], gazes[image, gaze])


# bfloat16 has eight bits: a gaze of 77.3 pixels would become 77.5, a shift of 0.3 move by a fifth of a pixel.
def test_mixed_precision_does_not_round_where_to_look():
    gazes = np.array([[[77.3, -0.123]]], "float32")
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        _, folded = FoldFixations()(tf.zeros((1, 4, 4, 3)), gazes)
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_array_equal(np.asarray(folded, "float32"), gazes[0])


def test_mean_is_well_made():
    check_layer(MeanByImage, {}, inputs=(_random(3, 5, 4),), expected=LayerExpectations(output_shape=(4,)))


@keras.saving.register_keras_serializable(package="bioattack_tests")
class MeanByImage(MeanOverFixations):
    """Takes logits by image, so that the harness may choose the size of the batch."""

    def call(self, logits):
        folded = keras.ops.reshape(logits, (-1, logits.shape[-1]))
        return super().call(folded, logits)

    def compute_output_spec(self, logits):
        return keras.KerasTensor((logits.shape[0], logits.shape[-1]), dtype=logits.dtype)


def test_mean_undoes_the_folding():
    logits = _random(2, 5, 4)
    mean = MeanOverFixations()(logits.reshape(10, 4), _random(2, 5, 2))
    np.testing.assert_allclose(mean, logits.mean(axis=1), rtol=1e-6)


# One network that sees all looks in a call gives what five calls give, and their mean is plain.
def test_a_folded_network_averages_what_single_looks_give():
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    images, gazes = _random(2, 4, 4, 1), np.asarray(_gazes()(tf.zeros((2, 16, 16, 3))))

    def look(images, gazes):
        return images * (1.0 + gazes[:, :1, None, None]) + gazes[:, 1:, None, None]

    outputs = MeanOverFixations()(network(look(*FoldFixations()(images, gazes))), gazes)
    single = [np.asarray(network(look(images, gazes[:, number]))) for number in range(5)]
    np.testing.assert_allclose(outputs, np.mean(single, axis=0), rtol=1e-4, atol=1e-5)
