import math
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bioattack.errors import InputError
from bioattack.training.config import TrainConfig, make_plan, to_toml

BASE = TrainConfig(model="small_cnn", data=Path("records"), output=Path("run"))


def with_changes(**changes):
    return TrainConfig(**{"model": "small_cnn", "data": Path("records"), "output": Path("run")} | changes)


# Vuyyuru et al. 2020, public code: batch / epochs of ImageNet10 and CIFAR10.
@pytest.mark.parametrize(
    ("model", "epochs", "batch_size"), [("resnet18", 400, 64), ("resnet20", 200, 128), ("small_cnn", 400, 64)]
)
def test_paper_preset_has_the_published_lengths(model, epochs, batch_size):
    plan = make_plan(with_changes(model=model, preset="paper"))
    assert (plan.epochs, plan.batch_size, plan.schedule) == (epochs, batch_size, "paper")
    assert plan.config.learning_rate == 1e-3


@pytest.mark.parametrize(("backbone", "epochs"), [("resnet18", 400), ("resnet20", 200)])
def test_network_behind_an_eye_decides_the_published_lengths(backbone, epochs):
    plan = make_plan(with_changes(model="retinal", preset="paper", model_options={"backbone": backbone}))
    assert plan.epochs == epochs
    assert make_plan(with_changes(model="retinal", model_options={"backbone": backbone})).epochs == 12


def test_flags_win_over_the_preset():
    plan = make_plan(with_changes(preset="paper", epochs=3, batch_size=7, schedule="short"))
    assert (plan.epochs, plan.batch_size, plan.schedule) == (3, 7, "short")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": -1}, "--epochs must be between 0 and 100000. Received: -1"),
        ({"epochs": 100_001}, "--epochs must be between"),
        ({"batch_size": 0}, "--batch-size must be between 1 and 65536. Received: 0"),
        ({"learning_rate": 0.0}, "--learning-rate must be above 0 and at most 1. Received: 0.0"),
        ({"learning_rate": math.nan}, "--learning-rate must be above 0"),
        ({"learning_rate": 1.5}, "--learning-rate must be above 0"),
        ({"seed": -1}, "--seed must be between 0"),
        ({"seed": 2**31}, "--seed must be between 0"),
        ({"limit": 0}, "--limit must be at least 1. Received: 0"),
        ({"model": "resnet99"}, "--model must be one of .*small_cnn.* Received: 'resnet99'"),
        ({"training": "magic"}, "--training must be one of standard"),
        ({"preset": "huge"}, "--preset must be one of small, paper"),
        ({"schedule": "flat"}, "--schedule must be one of short, paper"),
        ({"model_options": {"width": None}}, "--model-options.width must be a value"),
    ],
)
def test_out_of_range_is_refused_by_name(changes, message):
    with pytest.raises(InputError, match=message):
        make_plan(with_changes(**changes))


def test_settings_survive_toml():
    config = with_changes(
        model_options={"width": 16, "shortcut": "pad", "flag": True, "rate": 0.5, "sizes": [1, 2]},
        data=Path('odd "name"/ü\\n\x7f'),
        initial_weights=Path("w.npz"),
        limit=5,
    )
    settings = make_plan(config).settings()
    assert tomllib.loads(to_toml(settings)) == settings
    assert settings["epochs"] == 12


def test_how_a_run_talks_is_not_part_of_its_settings():
    talkative = make_plan(with_changes(overwrite=True, dry_run=True, quiet=True, json=True))
    assert talkative.settings() == make_plan(BASE).settings()


def test_configuration_is_read_without_keras():
    code = (
        "import sys, bioattack.training.config\n"
        "sys.exit(str([name for name in ('keras', 'tensorflow', 'numpy') if name in sys.modules] or ''))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.strip() == ""
