"""A run that is killed ends bit for bit like one that is not."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

# Trains as a user would, but kills itself (SIGKILL: nothing is cleaned up) where it is told to.
SCRIPT = """
import os, signal, sys
import keras
import numpy as np
from pathlib import Path
from bioattack.training import callbacks, config, run

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

build_model = run.build_model
def build_with_attributes(*arguments, **options):
    # A rate of their own for some layers, and a head that is trained and dropped.
    model = build_model(*arguments, **options)
    model.learning_rate_factors = {"conv": 0.1}
    model.auxiliary_features = ("dense1",)
    return model
run.build_model = build_with_attributes

moment, data, output = sys.argv[1:]
if moment == "batch":
    class Killer(callbacks.FiniteLoss):
        steps = 0
        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == 6:
                kill()
    run.FiniteLoss = Killer
elif moment == "checkpoint":
    write = np.savez
    def write_half(file, **arrays):
        if "epoch-00003" in file.name:
            file.write(b"PK" + bytes(1000))
            file.flush()
            kill()
        write(file, **arrays)
    np.savez = write_half
elif moment == "history":
    callbacks.write_history = kill
elif moment == "export":
    keras.Model.export = kill
run.train(config.TrainConfig(
    model="small_cnn", model_options={"augmentation": "paper"}, data=Path(data), output=Path(output),
    epochs=4, batch_size=16, quiet=True))
"""


def run_script(moment, data, output):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, moment, str(data), str(output)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stderr


def epochs_done(run):
    return [path.name for path in sorted((run / "checkpoints").glob("*.npz"))]


def assert_equal_runs(run, other):
    assert (run / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
    cards = [json.loads((folder / "model_card.json").read_text()) for folder in (run, other)]
    assert cards[0]["weights_sha256"] == cards[1]["weights_sha256"]
    assert cards[0]["accuracy"] == cards[1]["accuracy"]
    # Weights, states of the random generators, and the optimizer's own variables.
    assert epochs_done(run) == epochs_done(other)
    for name in epochs_done(run):
        with np.load(run / "checkpoints" / name) as one, np.load(other / "checkpoints" / name) as two:
            assert one.files == two.files
            for key in one.files:
                assert one[key].tobytes() == two[key].tobytes(), key
            paths = json.loads(str(one["header"]))["variables"]
            # Weight, momentum and velocity.
            assert sum("auxiliary_dense1" in path and path.endswith("kernel") for path in paths) == 1
            assert sum("auxiliary_dense1_kernel" in path for path in paths) == 2
    assert not list(run.rglob("*.partial"))


@pytest.mark.slow
def test_kills_at_every_kind_of_moment_change_nothing(small_records, tmp_path):
    run, uninterrupted = tmp_path / "run", tmp_path / "uninterrupted"
    code, message = run_script("never", small_records, uninterrupted)
    assert code == 0, message
    assert run_script("history", small_records, run)[0] == -signal.SIGKILL
    assert epochs_done(run) == ["epoch-00001.npz"]
    assert (run / "history.csv").read_text() == "epoch\n"
    # Four steps an epoch: the sixth step of this start is in the third epoch.
    assert run_script("batch", small_records, run)[0] == -signal.SIGKILL
    assert epochs_done(run) == ["epoch-00001.npz", "epoch-00002.npz"]
    assert run_script("checkpoint", small_records, run)[0] == -signal.SIGKILL
    assert epochs_done(run) == ["epoch-00001.npz", "epoch-00002.npz"]
    assert (run / "checkpoints" / "epoch-00003.npz.partial").stat().st_size == 1002
    assert run_script("export", small_records, run)[0] == -signal.SIGKILL
    assert epochs_done(run) == ["epoch-00003.npz", "epoch-00004.npz"]
    assert not (run / "model_card.json").exists()
    code, message = run_script("never", small_records, run)
    assert code == 0, message
    assert_equal_runs(run, uninterrupted)
