import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.fixations import five_gazes
from bioattack.models.layers.gaze import BoundedGazes, GazeGradient, gaze_grid
from bioattack.testing.check_layer import LayerExpectations, check_layer


def test_points_of_each_set():
    assert gaze_grid(1, 8) == ((0, 0),)
    assert gaze_grid(5, 8) == five_gazes(8)
    assert set(gaze_grid(9, 8)) == {(row, column) for row in (-8, 0, 8) for column in (-8, 0, 8)}
    for fewer, more in ((1, 3), (3, 5), (5, 9)):
        assert gaze_grid(more, 8)[:fewer] == gaze_grid(fewer, 8)
    # Three lie on a line through the centre.
    assert np.sum(gaze_grid(3, 8), axis=0).tolist() == [0, 0]


def test_no_set_of_four_points():
    with pytest.raises(ValueError, match=r"number must be one of 1, 3, 5, 9\. Received: number=4"):
        gaze_grid(4, 8)


@pytest.mark.parametrize("gaze_l2", [0.0, 0.01])
def test_bounded_gazes_are_well_made(gaze_l2):
    check_layer(
        BoundedGazes,
        {"reach": 8.0, "gaze_l2": gaze_l2},
        input_shape=(6,),
        expected=LayerExpectations(output_shape=(3, 2)),
    )


def test_gazes_are_pairs_within_reach():
    numbers = np.array([[0.5, -0.5, 50.0, -50.0], [0.0, 1.0, 2.0, 3.0]], dtype="float32")
    gazes = np.asarray(BoundedGazes(80.0)(numbers))
    np.testing.assert_allclose(gazes, 80 * np.tanh(numbers).reshape(2, 2, 2), rtol=1e-6)
    assert np.abs(gazes).max() == 80


@pytest.mark.parametrize("batch_size", [1, 7])
def test_penalty_is_the_mean_over_the_batch_of_the_sum_over_gazes(batch_size):
    numbers = np.random.default_rng(0).normal(size=(batch_size, 10)).astype("float32")
    images = keras.Input((10,))
    model = keras.Model(images, BoundedGazes(16.0, gaze_l2=0.01)(images))
    for _ in range(2):  # a second call takes the place of the first one's loss
        model(numbers)
        (loss,) = model.losses
        assert float(loss) == pytest.approx(0.01 * np.mean(np.sum(np.tanh(numbers) ** 2, axis=1)), rel=1e-5)
    # Keras' own activity regularisation, which it divides by the size of the batch.
    activation = keras.layers.Activation("tanh", activity_regularizer=keras.regularizers.L2(0.01))
    activation(numbers)
    assert float(loss) == pytest.approx(float(activation.losses[0]), rel=1e-5)


def test_without_penalty_there_is_no_loss():
    layer = BoundedGazes(16.0)
    layer(np.ones((2, 4), "float32"))
    assert layer.losses == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reach": 0.0}, "reach must be above 0. Received: reach=0.0"),
        ({"reach": 8.0, "gaze_l2": -1.0}, "gaze_l2 must be 0 or more. Received: gaze_l2=-1.0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BoundedGazes(**arguments)


def test_numbers_come_in_pairs():
    with pytest.raises(
        ValueError, match=r"numbers must be \(batch, 2 \* num_gazes\). Received: input_shape="
    ):
        BoundedGazes(8.0)(np.ones((2, 5), "float32"))


@pytest.mark.parametrize("mode", ["full", "stop"])
def test_gaze_gradient_is_well_made(mode):
    check_layer(
        GazeGradient,
        {"mode": mode},
        input_shape=(5, 2),
        expected=LayerExpectations(output_shape=(5, 2), has_gradient=(mode == "full",)),
    )


@pytest.mark.parametrize("mode", ["full", "stop"])
@pytest.mark.parametrize("training", [False, True])
def test_gradient_stops_outside_training_alone(mode, training):
    gazes = tf.constant([[[1.5, -2.0]]])
    with tf.GradientTape() as tape:
        tape.watch(gazes)
        passed = GazeGradient(mode)(gazes, training=training)
    np.testing.assert_array_equal(passed, gazes)
    gradient = tape.gradient(passed, gazes)
    if mode == "stop" and not training:
        assert gradient is None
    else:
        np.testing.assert_array_equal(gradient, np.ones((1, 1, 2)))


def test_wrong_mode_is_refused():
    with pytest.raises(ValueError, match=r"mode must be one of full, stop\. Received: mode='half'"):
        GazeGradient("half")
