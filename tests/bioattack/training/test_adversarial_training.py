"""What holds for every way of training that attacks the batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.models.registry import build_model

NAMES = ("pgd", "trades", "wasserstein")
# Passes of the network in a step: those of the attack, and those of the update.
PASSES = {"pgd": (3, 1), "trades": (1 + 3, 2), "wasserstein": (1 + 3, 1)}
# So little of an attack that nothing is changed.
HARMLESS = {"pgd": {"epsilon": 0.0}, "trades": {"epsilon": 0.0}, "wasserstein": {"gamma": 1e9}}


def draw_batch(size=6):
    random = np.random.default_rng(0)
    return random.random((size, 8, 8, 3), dtype=np.float32), np.arange(size) % 3


@keras.saving.register_keras_serializable(package="bioattack_tests")
class NotedMode(keras.layers.Layer):
    """Notes whether it was called for training."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.modes = []

    def call(self, inputs, training=None):
        self.modes.append(training)
        return inputs


def network(*, auxiliary=()):
    """A network with batch normalisation and penalties on weights and on outputs."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3))
    outputs = NotedMode(name="note")(keras.layers.Conv2D(4, 3, name="convolution")(images))
    outputs = keras.layers.Flatten()(keras.layers.BatchNormalization(name="normal")(outputs))
    outputs = keras.layers.Dense(5, name="features", kernel_regularizer=keras.regularizers.L2(0.5))(outputs)
    outputs = keras.layers.ActivityRegularization(l2=2.0)(outputs)
    model = keras.Model(images, keras.layers.Dense(3)(outputs))
    model.auxiliary_features = auxiliary
    return model


@pytest.mark.parametrize("name", NAMES)
def test_attack_is_in_inference_mode_and_update_in_training_mode(name, prepared_training):
    model = network()
    training = prepared_training(name, model, run_eagerly=True, num_steps=3)
    model.get_layer("note").modes.clear()
    training.train_on_batch(*draw_batch())
    num_attacking, num_learning = PASSES[name]
    assert model.get_layer("note").modes == [False] * num_attacking + [True] * num_learning


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_attack_that_changes_nothing_leaves_standard_training(name, run_eagerly, prepared_training):
    """The passes of the attack add no penalty and move no average, in a traced loop or out of it."""
    results = []
    for way, options in (("standard", {}), (name, HARMLESS[name])):
        model = network(auxiliary=("features",))
        training = prepared_training(way, model, run_eagerly=run_eagerly, **options)
        images, labels = draw_batch()
        losses = [training.train_on_batch(images, labels, return_dict=True)["loss"] for _ in range(2)]
        tested = training.evaluate(images, labels, batch_size=6, verbose=0, return_dict=True)["loss"]
        # The second pass of the update moves the averages of batch normalisation once more.
        weights = model.trainable_weights if name == "trades" else model.weights
        results.append((losses, None if name == "trades" else tested, [np.array(one) for one in weights]))
    (losses, tested, weights), (other_losses, other_tested, other_weights) = results
    np.testing.assert_allclose(other_losses, losses, rtol=1e-4)
    assert other_tested == (None if tested is None else pytest.approx(tested, rel=1e-3))
    for one, other in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_attack_raises_the_loss_and_training_lowers_it(name, prepared_training):
    images, labels = draw_batch()
    training = prepared_training(name, network(), optimizer="adam")
    objective = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    attacked = training.adversarial_images(images, labels)
    assert float(objective(labels, training(attacked))) > float(objective(labels, training(images)))
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4).repeat()
    history = training.fit(data, steps_per_epoch=8, epochs=3, shuffle=False, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert all(np.isfinite(history["loss"]))


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_attacks_in_float32(name, prepared_training):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_model("small_cnn", image_shape=(16, 16, 3), num_classes=3, seed=0)
        training = prepared_training(name, model, optimizer="adam", num_steps=2)
        images = np.random.default_rng(0).random((4, 16, 16, 3), dtype=np.float32)
        attacked = training.adversarial_images(images, np.arange(4) % 3)
        before = [np.array(weight) for weight in model.trainable_weights]
        measured = training.train_on_batch(images, np.arange(4) % 3, return_dict=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert attacked.dtype == tf.float32
    assert np.abs(attacked - images).max() > 0
    assert np.isfinite(measured["loss"])
    assert any(np.any(np.array(one) != two) for one, two in zip(model.trainable_weights, before, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_what_takes_no_pictures_is_refused(name, prepared_training):
    lines = keras.Input((14, 3))
    flat = keras.layers.Flatten()(lines)
    with pytest.raises(InputError, match=f"--training {name} attacks pictures with values in"):
        prepared_training(name, keras.Model(lines, keras.layers.Dense(2)(flat)))
    pictures = keras.Input((2, 2, 1))
    one_class = keras.Model(pictures, keras.layers.Dense(1)(keras.layers.Flatten()(pictures)))
    with pytest.raises(InputError, match=f"--training {name} needs records of at least two classes"):
        prepared_training(name, one_class)
