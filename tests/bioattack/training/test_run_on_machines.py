"""The command on two machines, which are two processes here."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from bioattack.classifier import load_classifier
from bioattack.tfrecords_builder.reading import open_records


def _free_ports(number):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _start_two(records, run, *flags):
    cluster = {"worker": [f"localhost:{port}" for port in _free_ports(2)]}
    command = ["--model=small_cnn", f"--data={records}", f"--output={run}", "--quiet", "--json", *flags]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "bioattack.cli.train", *command],
            env=os.environ
            | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in (0, 1)
    ]


def _train_on_two(records, run, *flags):
    said = []
    for process in _start_two(records, run, *flags):
        output, message = process.communicate(timeout=400)
        assert process.returncode == 0, message
        said.append(json.loads(output))
    return said


def _final_state(run, epoch):
    with np.load(run / "checkpoints" / f"epoch-{epoch:05d}.npz") as state:
        return {name: state[name] for name in state.files if name != "header"}


@pytest.mark.slow
def test_two_machines_make_one_run(small_records, tmp_path):
    run = tmp_path / "run"
    first, second = _train_on_two(small_records, run, "--epochs=2", "--batch-size=10")
    assert first == second
    assert (first["status"], first["first_epoch"]) == ("trained", 0)
    history = pd.read_csv(run / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    assert {"learning_rate", "loss", "accuracy", "test_loss", "test_accuracy"} < set(history.columns)
    images, labels = next(iter(open_records(small_records).dataset("test", batch_size=1000)))
    is_right = load_classifier(run).logits(images).numpy().argmax(1) == labels
    assert history["test_accuracy"].iloc[-1] == pytest.approx(np.mean(is_right))
    # The machines read 30 pictures each, five at a time.
    with np.load(run / "checkpoints" / "epoch-00002.npz") as state:
        header = json.loads(str(state["header"]))
        iterations = next(place for place, path in enumerate(header["variables"]) if "iteration" in path)
        assert int(state[f"{iterations:05d}"]) == 12


@pytest.mark.slow
def test_two_machines_go_on_after_a_kill_and_end_alike(small_records, tmp_path):
    flags = ("--epochs=4", "--batch-size=10")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    _train_on_two(small_records, whole, *flags)
    processes = _start_two(small_records, killed, *flags)
    deadline = time.monotonic() + 300
    while not (killed / "checkpoints" / "epoch-00001.npz").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()
    assert not (killed / "model_card.json").is_file()
    first, second = _train_on_two(small_records, killed, *flags)
    assert first == second
    assert first["status"] == "trained"
    assert first["first_epoch"] >= 1
    assert (killed / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()
    expected = _final_state(whole, 4)
    for name, values in _final_state(killed, 4).items():
        np.testing.assert_array_equal(values, expected[name])
    assert {said["status"] for said in _train_on_two(small_records, killed, *flags)} == {"already complete"}


@pytest.mark.slow
def test_two_machines_find_a_mistake_before_anything_is_written(small_records, tmp_path):
    run = tmp_path / "run"
    flags = ("--training=dro", "--epochs=1", "--batch-size=10")
    for process in _start_two(small_records, run, *flags):
        _, message = process.communicate(timeout=300)
        assert process.returncode == 2, message
        assert "--training-options.dataset is needed on several machines" in message
    assert not run.exists()
