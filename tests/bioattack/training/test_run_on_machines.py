"""The command on two machines, which are two processes here."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from bioattack.classifier import load_classifier
from bioattack.tfrecords_builder.reading import open_records


def _free_ports(number):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _train_on_two(records, run, *flags):
    cluster = {"worker": [f"localhost:{port}" for port in _free_ports(2)]}
    command = ["--model=small_cnn", f"--data={records}", f"--output={run}", "--quiet", "--json", *flags]
    processes = [
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
    said = []
    for process in processes:
        output, message = process.communicate(timeout=400)
        assert process.returncode == 0, message
        said.append(json.loads(output))
    return said


@pytest.mark.slow
def test_two_machines_make_one_run(small_records, tmp_path):
    run = tmp_path / "run"
    first, second = _train_on_two(small_records, run, "--epochs=2", "--batch-size=10")
    assert first == second
    assert (first["status"], first["first_epoch"]) == ("trained", 0)
    assert (run / "history.csv").read_text().count("\n") == 3
    images, _ = next(iter(open_records(small_records).dataset("test", batch_size=15)))
    assert np.isfinite(load_classifier(run).logits(images)).all()
    # The machines read 30 pictures each, five at a time.
    with np.load(run / "checkpoints" / "epoch-00002.npz") as state:
        header = json.loads(str(state["header"]))
        iterations = next(place for place, path in enumerate(header["variables"]) if "iteration" in path)
        assert int(state[f"{iterations:05d}"]) == 12
