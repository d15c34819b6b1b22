"""One step on two devices is the step of one device that has the whole batch."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json
from pathlib import Path
import keras
import numpy as np
import tensorflow as tf
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.registry import training_class

OPTIONS = {"standard": {}} | dict.fromkeys(("pgd", "trades", "wasserstein"), {"num_steps": 2})
(device,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
images = np.random.default_rng(0).random((8, 8, 8, 3), dtype=np.float32)
labels = np.arange(8) % 3


def step(name, strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        pictures = keras.Input((8, 8, 3))
        features = keras.layers.Conv2D(4, 3, kernel_regularizer="l2")(pictures)
        features = keras.layers.Flatten()(keras.layers.ReLU()(features))
        outputs = keras.layers.Dense(6, name="features", activity_regularizer="l2")(features)
        model = keras.Model(pictures, keras.layers.Dense(3)(outputs))
        model.auxiliary_features = ("features",)
        plan = make_plan(TrainConfig(model="small_cnn", data=Path(), output=Path(), training=name,
                                     training_options=OPTIONS[name]))
        training = training_class(name)(model, plan)
        training.compile_for(steps_per_epoch=1)
        training.compile(optimizer=keras.optimizers.SGD(0.5), loss=training.loss, jit_compile=False)
    before = [np.array(weight) for weight in training.trainable_weights]
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    history = training.fit(data.with_options(options), shuffle=False, verbose=0).history
    weights = [np.array(weight) for weight in training.trainable_weights]
    assert max(np.abs(one - two).max() for one, two in zip(weights, before)) > 1e-2
    return weights, history["loss"][0]


differences = {}
for name in OPTIONS:
    one, loss = step(name, tf.distribute.OneDeviceStrategy("CPU:0"))
    two, distributed_loss = step(name, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    weights = max(float(np.abs(left - right).max()) for left, right in zip(one, two))
    differences[name] = weights, abs(loss - distributed_loss)
print(json.dumps(differences))
"""


@pytest.fixture(scope="module")
def differences():
    """Of weights and loss, for each way of training; the devices must be made before TensorFlow starts."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["standard", "pgd", "trades", "wasserstein"])
def test_two_devices_step_like_one(name, differences):
    of_weights, of_loss = differences[name]
    assert of_weights <= 1e-6
    assert of_loss <= 1e-5
