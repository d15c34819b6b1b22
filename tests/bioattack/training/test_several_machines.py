"""Two processes that train together are one process with the whole batch."""

import json
import os
import re
import socket
import subprocess
import sys

import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.training.several_machines import Worker, this_worker

SCRIPT = """
import sys
from pathlib import Path
import keras
import numpy as np
import tensorflow as tf
from bioattack.training.several_machines import fit_on_several_machines, this_worker
worker = this_worker()
strategy = tf.distribute.MultiWorkerMirroredStrategy() if worker else tf.distribute.get_strategy()
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.registry import training_class

images = np.random.default_rng(0).random((16, 8, 8, 3), dtype=np.float32)
labels = np.arange(16) % 3
weights = np.linspace(0.2, 1.8, 16, dtype=np.float32)
keras.utils.set_random_seed(0)
name, output = sys.argv[1:]
with strategy.scope():
    pictures = keras.Input((8, 8, 3))
    features = keras.layers.Conv2D(4, 3, use_bias=False)(pictures)
    features = keras.layers.ReLU()(keras.layers.BatchNormalization()(features))
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(features))
    options = {"pgd": {"num_steps": 2}}.get(name, {})
    plan = make_plan(TrainConfig(model="small_cnn", data=Path(), output=Path(), training=name,
                                 training_options=options, schedule="constant", learning_rate=0.01))
    training = training_class(name)(keras.Model(pictures, logits), plan)
    training.compile_for(steps_per_epoch=2)
    training.compile(optimizer=keras.optimizers.SGD(0.5), loss=training.loss, metrics=["accuracy"],
                     jit_compile=False)
    training.optimizer.build(training.trainable_variables)


def batches(epoch):
    dataset = tf.data.Dataset.from_tensor_slices((images, labels, weights)).batch(8)
    if worker is None:
        return dataset
    return dataset.map(lambda *batch: tuple(one[worker.index :: worker.number] for one in batch))


if worker is None:
    # The parts of a step one after the other, as the machines have them.
    def whole(*batch):
        return tuple(tf.concat([one[0::2], one[1::2]], 0) for one in batch)
    history = training.fit(batches(0).map(whole), epochs=2, shuffle=False, verbose=0).history
    losses = history["loss"]
else:
    history = fit_on_several_machines(training, batches, steps_per_epoch=2, epochs=2)
    losses = [measured["loss"] for measured in history]
np.savez(output, *[np.asarray(weight.value) for weight in training.classifier.weights], losses=losses)
"""


def _free_ports(number):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _start(name, output, settings=None):
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    environment |= {"TF_CONFIG": json.dumps(settings)} if settings else {}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, name, str(output)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dro", "pgd"])
def test_two_machines_are_one_with_the_whole_batch(name, tmp_path):
    addresses = [f"localhost:{port}" for port in _free_ports(2)]
    cluster = {"worker": addresses}
    processes = [
        _start(
            name, tmp_path / f"{index}.npz", {"cluster": cluster, "task": {"type": "worker", "index": index}}
        )
        for index in (0, 1)
    ] + [_start(name, tmp_path / "one.npz")]
    for process in processes:
        _, message = process.communicate(timeout=300)
        assert process.returncode == 0, message
    first, second, one = (dict(np.load(tmp_path / f"{file}.npz")) for file in ("0", "1", "one"))
    for key, values in one.items():
        if key != "losses":
            np.testing.assert_array_equal(first[key], second[key])
            np.testing.assert_allclose(first[key], values, atol=1e-5)
    np.testing.assert_allclose(first["losses"], one["losses"], rtol=1e-4)


def _settings(index, number, kind="worker"):
    cluster = {"worker": [f"host{place}:1" for place in range(number)]}
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_machine_is_read_from_the_environment(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert this_worker() is None
    monkeypatch.setenv("TF_CONFIG", _settings(0, 1))
    assert this_worker() is None
    monkeypatch.setenv("TF_CONFIG", _settings(1, 3))
    assert this_worker() == Worker(1, 3)
    assert (this_worker().part, this_worker().batch_size(9)) == ((1, 3), 3)
    with pytest.raises(InputError, match="--batch-size must be a multiple of the 3 machines"):
        this_worker().batch_size(10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "TF_CONFIG cannot be read (JSONDecodeError"),
        ("{}", "TF_CONFIG cannot be read (KeyError: 'cluster')"),
        (_settings(2, 2), "must name a worker from 0 to 1 as this machine. Received: worker 2"),
        (_settings(0, 2, "chief"), "must name a worker from 0 to 1 as this machine. Received: chief 0"),
    ],
)
def test_settings_that_cannot_be_read(text, message, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=re.escape(message)):
        this_worker()
