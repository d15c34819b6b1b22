"""One step on two devices is the step of one device that has the whole batch."""

import json
import os
import subprocess
import sys

import pytest

NAMES = ("standard", "pgd", "trades", "wasserstein", "dro", "merged")

SCRIPT = """
import json, sys
from pathlib import Path
import keras
import numpy as np
import tensorflow as tf
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.registry import training_class

OPTIONS = {"merged": {"standard_model": "run"}}
OPTIONS |= dict.fromkeys(("pgd", "trades", "wasserstein"), {"num_steps": 2})
(device,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
images = np.random.default_rng(0).random((8, 8, 8, 3), dtype=np.float32)
labels = np.arange(8) % 3
weights = np.linspace(0.2, 1.8, 8, dtype=np.float32)


def network(has_batch_norm):
    pictures = keras.Input((8, 8, 3))
    features = keras.layers.Conv2D(4, 3, kernel_regularizer="l2", use_bias=not has_batch_norm)(pictures)
    if has_batch_norm:
        features = keras.layers.BatchNormalization()(features)
    features = keras.layers.Flatten()(keras.layers.ReLU()(features))
    # Keras keeps penalties on outputs in one list for all replicas, between which a synchronised layer
    # switches: with both, the loss that it reports counts some twice.
    penalty = None if has_batch_norm else "l2"
    outputs = keras.layers.Dense(6, name="features", activity_regularizer=penalty)(features)
    model = keras.Model(pictures, keras.layers.Dense(3)(outputs))
    model.auxiliary_features = ("features",)
    return model


def step(name, optimizer, strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        plan = make_plan(TrainConfig(model="small_cnn", data=Path(), output=Path(), training=name,
                                     training_options=OPTIONS.get(name, {}), schedule="constant",
                                     learning_rate=0.01))
        training = training_class(name)(network(optimizer == "adam"), plan)
        training.compile_for(steps_per_epoch=1)
        chosen = keras.optimizers.SGD(0.5) if optimizer == "sgd" else training.optimizer
        training.compile(optimizer=chosen, loss=training.loss, jit_compile=False)
    before = [np.array(weight) for weight in training.trainable_weights]
    batch = (images, labels, weights) if name == "dro" else (images, labels)
    data = tf.data.Dataset.from_tensor_slices(batch).batch(8)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    history = training.fit(data.with_options(options), shuffle=False, verbose=0).history
    moved = [np.array(weight) for weight in training.trainable_weights]
    assert max(np.abs(one - two).max() for one, two in zip(moved, before)) > 5e-3
    return [np.array(weight) for weight in training.weights if "seed" not in weight.path], history["loss"][0]


# One for all: TensorFlow counts what two devices exchange, and a second strategy would begin at one again.
one_device = tf.distribute.OneDeviceStrategy("CPU:0")
two_devices = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
differences = {}
optimizer = sys.argv[1]
for name in sys.argv[2:]:
    one, loss = step(name, optimizer, one_device)
    two, distributed_loss = step(name, optimizer, two_devices)
    of_weights = max(float(np.abs(left - right).max()) for left, right in zip(one, two))
    differences[name] = of_weights, abs(loss - distributed_loss)
print(json.dumps(differences))
"""


# A step of Adam is nearly the sign of the gradient, which the last bits can turn where it is all but zero.
@pytest.fixture(scope="module", params=[("sgd", 1e-6), pytest.param(("adam", 1e-4), marks=pytest.mark.slow)])
def differences(request):
    """Of weights and loss, for each way of training, and what may be; TensorFlow starts with the devices.

    With Adam the network has a batch normalisation, whose statistics are those of the whole batch.
    """
    optimizer, tolerance = request.param
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, optimizer, *NAMES],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1]), tolerance


@pytest.mark.parametrize("name", NAMES)
def test_two_devices_step_like_one(name, differences):
    found, tolerance = differences
    of_weights, of_loss = found[name]
    assert of_weights <= tolerance
    assert of_loss <= 1e-5
