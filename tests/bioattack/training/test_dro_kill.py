"""An adversarial dataset whose making is killed at random moments (SIGKILL) is the same to the byte."""

import json
import random
import signal
import subprocess
import sys

import pytest

# Makes a dataset and says how long that took from its first step on; or kills itself so long after that step.
SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path
from bioattack.testing.small_dro import linear_model, small_dro_plan
from bioattack.tfrecords_builder.reading import open_records
from bioattack.training import dataset_chunks
from bioattack.training.dro_dataset import dro_dataset
from bioattack.training.dro_maker import DatasetMaker
from bioattack.training.run import make_repeatable

seconds, data, folder = float(sys.argv[1]), *map(Path, sys.argv[2:])
dataset_chunks._CHUNK_RECORDS = 4
begins, learn = [], DatasetMaker._learn

def learn_and_note(*arguments, **options):
    if not begins and seconds:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    begins.append(time.monotonic())
    learn(*arguments, **options)

DatasetMaker._learn = learn_and_note
make_repeatable(0)
dro_dataset(linear_model(), small_dro_plan(batch_size=1), records=open_records(data), folder=folder)
print(time.monotonic() - begins[0] if begins else 0)
os._exit(0)  # the timer may still be waiting
"""


def make(seconds, data, folder):
    command = [sys.executable, "-c", SCRIPT, str(seconds), str(data), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def content(folder):
    """All files by name, but for the seconds that were measured."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    summary = json.loads(files.pop("summary.json"))
    for part in (summary, *summary["rounds"]):
        del part["seconds"]
    return files | {"summary": summary}


@pytest.mark.slow
def test_random_kills_change_nothing(small_records, tmp_path):
    whole = make(0, small_records, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    longest = float(whole.stdout.split()[-1])
    delays = [random.uniform(0, longest) for _ in range(2)]
    killed = [make(delay, small_records, tmp_path / "killed").returncode for delay in delays]
    # What was finished before its last moment came is not killed.
    assert set(killed) <= {-signal.SIGKILL, 0}, (delays, killed)
    again = make(0, small_records, tmp_path / "killed")
    assert again.returncode == 0, again.stderr
    expected, found = content(tmp_path / "whole"), content(tmp_path / "killed")
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == [], delays
