from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.fixations import (
    FixationGazes,
    FoldFixations,
    MeanOverFixations,
    five_gazes,
)
from bioattack.training.adam import LayerwiseAdam
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.standard import StandardTraining

NUM_CLASSES = 3
# Strengths of the penalties of the made-up network.
KERNEL_L2, ACTIVITY_L2 = 0.5, 2.0


def draw_batch(size=6, seed=0):
    random = np.random.default_rng(seed)
    return random.random((size, 8, 8, 3), dtype=np.float32), np.arange(size) % NUM_CLASSES


def prepare(classifier, **how):
    plan = make_plan(TrainConfig(model="small_cnn", data=Path("records"), output=Path("run"), epochs=2))
    training = StandardTraining(classifier, plan)
    training.compile_for(steps_per_epoch=5)
    training.run_eagerly = how.get("run_eagerly", False)
    return training


def penalised(*, auxiliary=()):
    """A network that calls one inner model twice; its parts have penalties on weights and on outputs."""
    keras.utils.set_random_seed(0)
    inner_images = keras.Input((8, 8, 3))
    outputs = keras.layers.Flatten()(inner_images)
    outputs = keras.layers.Dense(4, name="inner_dense", kernel_regularizer=keras.regularizers.L2(KERNEL_L2))(
        outputs
    )
    outputs = keras.layers.ActivityRegularization(l2=ACTIVITY_L2, name="inner_activity")(outputs)
    inner = keras.Model(inner_images, outputs, name="inner")
    images = keras.Input((8, 8, 3))
    both = [inner(images), inner(keras.layers.Rescaling(2.0)(images))]
    features = keras.layers.Concatenate(name="both")(both)
    features = keras.layers.Dense(5, name="features", kernel_regularizer=keras.regularizers.L2(KERNEL_L2))(
        features
    )
    model = keras.Model(images, keras.layers.Dense(NUM_CLASSES, name="logits")(features), name="penalised")
    model.auxiliary_features = auxiliary
    return model


def penalties_of(model, images):
    """The penalties of ``penalised``, by hand: a sum over weights, and a mean over the images of a sum."""
    kernels = [model.get_layer("inner").get_layer("inner_dense").kernel, model.get_layer("features").kernel]
    inner = model.get_layer("inner")
    outputs = [np.asarray(inner(images)), np.asarray(inner(2.0 * images))]
    return KERNEL_L2 * sum(float(np.sum(np.square(kernel))) for kernel in kernels) + ACTIVITY_L2 * sum(
        float(np.sum(np.square(output))) / len(images) for output in outputs
    )


def cross_entropy(logits, labels):
    logits = np.asarray(logits, "float64")
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]))


@pytest.mark.parametrize("auxiliary", [(), ("both", "features")], ids=["plain", "auxiliary"])
@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}], ids=["graph", "eager"])
def test_loss_counts_every_head_and_every_penalty_once(auxiliary, how):
    images, labels = draw_batch()
    model = penalised(auxiliary=auxiliary)
    training = prepare(model, **how)
    penalties = penalties_of(model, images)
    main = cross_entropy(model(images), labels)
    heads = training(images, training=True)[1:] if auxiliary else []
    assert len(heads) == len(auxiliary)
    expected = main + penalties + sum(cross_entropy(head, labels) for head in heads)
    assert training.train_on_batch(images, labels, return_dict=True)["loss"] == pytest.approx(
        expected, rel=1e-4
    )


def test_validation_counts_the_main_loss_only():
    images, labels = draw_batch()
    model = penalised(auxiliary=("both", "features"))
    training = prepare(model)
    # As in a run: the training function is traced first, and leaves its penalties behind.
    training.train_on_batch(images, labels)
    expected = cross_entropy(model(images), labels) + penalties_of(model, images)
    measured = training.evaluate(images, labels, batch_size=len(images), verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(expected, rel=1e-4)
    assert measured["accuracy"] == pytest.approx(np.mean(np.argmax(model(images), axis=1) == labels))


def test_accuracy_in_training_is_that_of_the_logits():
    images, labels = draw_batch()
    model = penalised(auxiliary=("both", "features"))
    training = prepare(model)
    # Heads that are always wrong.
    for head in training.with_heads.layers[-2:]:
        head.bias.assign(100.0 * np.array([0, 0, 1]))
    labels = labels % 2
    right = np.mean(np.argmax(model(images), axis=1) == labels)
    history = training.train_on_batch(images, labels, return_dict=True)
    assert sorted(history) == ["accuracy", "loss"]
    assert history["accuracy"] == pytest.approx(right)
    assert history["loss"] > 100


def test_heads_are_trained_and_saved_but_no_part_of_the_classifier():
    images, labels = draw_batch()
    model = penalised(auxiliary=("features",))
    training = prepare(model)
    head = training.with_heads.get_layer("auxiliary_features")
    before = head.kernel.numpy()
    training.train_on_batch(images, labels)
    assert np.abs(head.kernel.numpy() - before).min() > 0
    saved = [id(variable) for variable in training.state_variables()]
    assert len(saved) == len(set(saved))
    assert {id(variable) for variable in (*model.variables, *head.variables)} <= set(saved)
    # Two moments for each weight, the count of steps.
    assert len(training.optimizer.variables) >= 2 * len(training.trainable_variables) + 1
    assert not {id(variable) for variable in head.variables} & {id(variable) for variable in model.variables}
    assert "auxiliary_features" not in [layer.name for layer in model.layers]


def test_head_teaches_the_layers_below_it():
    """Where the main loss has no gradient at all, the head alone moves the features."""
    images, labels = draw_batch()
    features = keras.layers.Dense(4, name="features")
    pictures = keras.Input((8, 8, 3))
    inner = features(keras.layers.Flatten()(pictures))
    logits = keras.layers.Dense(NUM_CLASSES, kernel_initializer="zeros", trainable=False)(inner)
    model = keras.Model(pictures, logits)
    for auxiliary, is_taught in (((), False), (("features",), True)):
        model.auxiliary_features = auxiliary
        training = prepare(model)
        before = features.kernel.numpy()
        training.train_on_batch(images, labels)
        assert bool(np.abs(features.kernel.numpy() - before).max() > 0) is is_taught


@keras.saving.register_keras_serializable(package="bioattack_tests")
class ModeNote(keras.layers.Layer):
    """Notes whether it was called for training."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.modes = []

    def call(self, inputs, training=None):
        self.modes.append(training)
        return inputs


@pytest.mark.parametrize("auxiliary", [(), ("outer",)], ids=["plain", "auxiliary"])
def test_training_reaches_layers_of_inner_models(auxiliary):
    images, labels = draw_batch()
    inner_images = keras.Input((8, 8, 3))
    inner = keras.Model(inner_images, ModeNote(name="inner_note")(inner_images), name="inner")
    pictures = keras.Input((8, 8, 3))
    features = ModeNote(name="outer")(keras.layers.Flatten()(inner(pictures)))
    model = keras.Model(pictures, keras.layers.Dense(NUM_CLASSES)(features))
    model.auxiliary_features = auxiliary
    training = prepare(model, run_eagerly=True)
    notes = [inner.get_layer("inner_note"), model.get_layer("outer")]
    for note in notes:
        note.modes.clear()
    training.train_on_batch(images, labels)
    assert [note.modes for note in notes] == [[True], [True]]
    training.test_on_batch(images, labels)
    assert [note.modes for note in notes] == [[True, False], [True, False]]


def looking(*, when_tested="fixed"):
    """One random look in training, five looks in the test, as of the fixation networks."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3))
    gazes = FixationGazes(
        fixed=five_gazes(2), lowest=-2, highest=2, when_tested=when_tested, seed=1, name="gazes"
    )(images)
    folded, gaze = FoldFixations()(images, gazes)
    outputs = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Flatten()(folded))
    outputs = keras.layers.Dense(4, name="features")(keras.layers.Concatenate()([outputs, gaze]))
    logits = keras.layers.Dense(NUM_CLASSES)(outputs)
    model = keras.Model(images, MeanOverFixations()(logits, gazes))
    model.auxiliary_features = ("features",)
    return model


def test_folded_looks_are_validated_on_the_mean_of_five():
    images, labels = draw_batch(13)
    model = looking()
    training = prepare(model)
    # The last batch is smaller than the others.
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    history = training.fit(
        data.repeat(), steps_per_epoch=4, epochs=2, validation_data=data, shuffle=False, verbose=0
    ).history
    logits = np.asarray(model(images, training=False))
    assert logits.shape == (13, NUM_CLASSES)
    assert history["val_loss"][-1] == pytest.approx(cross_entropy(logits, labels), rel=1e-5)
    assert history["val_accuracy"][-1] == pytest.approx(np.mean(logits.argmax(axis=1) == labels))
    # One look each is another answer.
    assert np.abs(np.asarray(model(images, training=True)) - logits).max() > 1e-2


def test_rate_of_the_classifier_is_that_of_its_optimizer():
    model = penalised()
    model.learning_rate_factors = {"inner": 0.1}
    training = prepare(model)
    assert isinstance(training.optimizer, LayerwiseAdam)
    assert training.optimizer.learning_rate_factors == {"inner": 0.1}
    model.learning_rate_factors = {"outer": 0.1}
    with pytest.raises(ValueError, match="Received: 'outer', with which the name of none begins"):
        prepare(model)


def test_images_stay_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        images = keras.Input((8, 8, 3))
        features = keras.layers.Flatten(dtype="float32", name="features")(images)
        model = keras.Model(images, keras.layers.Dense(NUM_CLASSES, dtype="float32")(features))
        model.auxiliary_features = ("features",)
        training = prepare(model)
    finally:
        keras.config.set_dtype_policy("float32")
    pictures, _ = draw_batch()
    for mode in (True, False):
        outputs = tf.nest.flatten(training(pictures, training=mode))
        np.testing.assert_array_equal(outputs[0], model(pictures))
        assert {output.dtype for output in outputs} == {tf.float32}
