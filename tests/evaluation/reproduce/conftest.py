"""A tiny experiment that several tests make: two small networks, one epoch, a few pictures."""

import dataclasses

import pytest

from bioattack.evaluation.reproduce import registry, run
from bioattack.evaluation.reproduce.config import SCALES, ReproduceConfig
from bioattack.evaluation.reproduce.experiment import Experiment, Row, Variant
from bioattack.evaluation.reproduce.robustness import robustness_section
from bioattack.testing.small_records import write_small_records

ROWS = (
    Row(Variant("plain", "small_cnn", {"augmentation": "none"}), "Plain", {0.0: 50.0, 0.01: 12.5}),
    Row(Variant("cropped", "small_cnn", {"augmentation": "crop"}), "Cropped"),
)
TINY = Experiment("tiny", "A tiny table", ("What it shows.",), robustness_section, rows=ROWS)


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    return write_small_records(tmp_path_factory.mktemp("records") / "small", num_train=32, num_test=12)


@pytest.fixture
def configure(records, tmp_path, monkeypatch):
    """Makes the configuration of a tiny reproduction; what is given replaces its defaults."""
    entry = registry.Entry("tiny", "a tiny table", "nowhere:nothing")
    monkeypatch.setitem(registry.EXPERIMENTS, "tiny", entry)
    monkeypatch.setitem(SCALES, "demo", dataclasses.replace(SCALES["demo"], epsilons=(0.01, 0.2)))
    monkeypatch.setattr(run, "load_experiments", lambda *_: (TINY,))

    def make(**changes):
        options = {"name": "tiny", "output": tmp_path / "out", "data": records, "epochs": 1, "limit": 8}
        return ReproduceConfig(**options | {"quiet": True} | changes)

    return make
