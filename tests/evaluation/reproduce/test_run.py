"""A whole tiny reproduction: made, repeated, interrupted, killed, misused."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.evaluation.reproduce import workplace
from bioattack.evaluation.reproduce.run import reproduce
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.evaluation.results import read_results


def results_of(output):
    """The long tables of all runs, without what differs between two runs of the same command."""
    folders = (output / "evaluations").iterdir()
    return {folder.name: read_results(folder).drop(columns="seconds") for folder in folders}


@pytest.fixture(scope="module")
def whole(make_config, tmp_path_factory):
    """Two networks from two seeds each, made without a break."""
    config = make_config(tmp_path_factory.mktemp("whole") / "out", seeds=2)
    return config, reproduce(config)


@pytest.mark.slow
def test_a_whole_table(whole):
    config, result = whole
    names = ("plain-seed0", "plain-seed1", "cropped-seed0", "cropped-seed1")
    for folder in ("runs", "evaluations"):
        assert sorted(path.name for path in (config.output / folder).iterdir()) == sorted(names)
    assert [len(table) for table in results_of(config.output).values()] == [3 * 8] * 4

    (section,) = result["sections"]
    means = pd.read_csv(config.output / "tables" / "tiny.csv")
    runs = pd.read_csv(config.output / "tables" / "tiny_runs.csv")
    paired = pd.read_csv(config.output / "tables" / "tiny_paired.csv")
    assert list(means["label"]) == ["plain"] * 3 + ["cropped"] * 3
    assert list(means["epsilon"]) == [0.0, 0.01, 0.2] * 2
    assert list(means["published"].head(2)) == [0.5, 0.125]
    assert means["published"].tail(4).isna().all()
    for row in means.itertuples():
        of_row = runs[(runs.label == row.label) & (runs.epsilon == row.epsilon)]
        assert list(of_row["seed"]) == [0, 1]
        assert row.accuracy == pytest.approx(of_row["accuracy"].mean())
    assert list(paired["first"] + paired["second"]) == ["croppedplain"] * 3
    assert section["values"]["means"][0]["label"] == "plain"

    summary = json.loads((config.output / "summary.json").read_text())
    assert summary["sections"]["tiny"] == json.loads(json.dumps(section))
    assert summary["settings"]["epochs"] == 1
    report = (config.output / "report.md").read_text()
    assert "## A tiny table" in report
    assert "| Plain | measured |" in report
    assert "|  | published |" in report
    assert (config.output / "report.html").read_text().count("data:image/png;base64,") == 1
    assert not list(config.output.rglob("*.partial"))

    # The same again trains and measures nothing, and says the same.
    before = {path: path.stat().st_mtime_ns for path in config.output.rglob("results.csv.gz")}
    report = (config.output / "report.html").read_bytes()
    assert reproduce(config) == result
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (config.output / "report.html").read_bytes() == report

    # Some of the networks only: nothing new is trained for that either.
    (section,) = reproduce(dataclasses.replace(config, models=("cropped",)))["sections"]
    assert [row["label"] for row in section["values"]["means"]] == ["cropped"] * 3
    assert section["values"]["paired"] == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


# A process that makes the tiny experiment and kills itself in the middle of an attack.
KILLED = """
import operator, os, pathlib, runpy, signal, sys
runpy.run_path(sys.argv[1])["install"](operator.setitem, setattr)
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.run import reproduce
from bioattack.evaluation.robustness import RobustnessMeasurement
write, written = RobustnessMeasurement._write, []
def dying_write(self, path, table):
    written.append(path)
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, path, table)
RobustnessMeasurement._write = dying_write
output, data = map(pathlib.Path, sys.argv[2:])
settings = {"epochs": 1, "limit": 8, "models": ("plain",), "quiet": True}
reproduce(ReproduceConfig("tiny", output, data=data, **settings))
"""


@pytest.mark.slow
def test_killed_and_interrupted_it_ends_in_the_same(whole, configure, records, monkeypatch):
    config = configure(models=("plain",))
    conftest = Path(__file__).with_name("conftest.py")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, conftest, config.output, records], check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (config.output / "evaluations" / "plain-seed0" / "unfinished").is_dir()

    with monkeypatch.context() as patched:
        patched.setattr(Workplace, "write_table", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reproduce(config)
    assert not (config.output / "summary.json").exists()

    reproduce(config)
    run = "plain-seed0"
    found, expected = (results_of(output)[run] for output in (config.output, whole[0].output))
    pd.testing.assert_frame_equal(found, expected)
    cards = [
        json.loads((output / "runs" / run / "model_card.json").read_text())
        for output in (config.output, whole[0].output)
    ]
    assert cards[0]["weights_sha256"] == cards[1]["weights_sha256"]


def test_other_settings_do_not_touch_it(configure, monkeypatch):
    monkeypatch.setattr(workplace, "train", lambda _: pytest.fail("nothing is to be trained"))
    config = configure()
    config.output.mkdir()
    settings = {"preset": "demo", "epochs": 7, "epsilons": [0.01, 0.2]}
    (config.output / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="was made with epochs = 7 before and 1 now; repeat its settings"):
        reproduce(config)


def test_there_is_no_such_model(configure):
    with pytest.raises(InputError, match="--models: tiny has no network 'stn'; it has plain, cropped"):
        reproduce(configure(models=("stn",)))


def test_dry_run_writes_nothing(configure):
    config = configure(dry_run=True, seeds=3)
    plan = reproduce(config)
    assert not config.output.exists()
    assert [one["label"] for one in plan["networks"]] == ["plain", "cropped"]
    assert plan["pictures"] | {"image_shape": None} == {
        "image_shape": None,
        "num_classes": 3,
        "num_train": 32,
        "num_test": 12,
        "is_assumed": False,
    }
    of_seed = sum(one["training_seconds"] + one["evaluation_seconds_at_most"] for one in plan["networks"])
    assert plan["seconds"] == pytest.approx(3 * of_seed)
    assert of_seed > 0
