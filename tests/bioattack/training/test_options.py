import math
import re
import subprocess
import sys

import pytest

from bioattack.errors import InputError
from bioattack.training.options import (
    TRAINING_OPTIONS,
    DroOptions,
    MergedOptions,
    PgdOptions,
    TradesOptions,
    WassersteinOptions,
    read_training_options,
)
from bioattack.training.registry import TRAININGS


def test_published_settings_are_the_defaults():
    # Madry et al. 2018: steps of 2/255; Zhang et al. 2019: 0.007; Sinha et al. 2018: 0.5 / gamma = 1.3.
    pgd, trades, wasserstein = (read_training_options(name, {}) for name in ("pgd", "trades", "wasserstein"))
    assert (pgd.epsilon, pgd.num_steps, pgd.has_random_start) == (8 / 255, 7, True)
    assert pgd.epsilon * pgd.relative_step == pytest.approx(2 / 255)
    assert (trades.epsilon, trades.num_steps, trades.beta) == (0.031, 10, 6.0)
    assert trades.epsilon * trades.relative_step == pytest.approx(0.007)
    assert 0.5 / wasserstein.gamma == pytest.approx(1.3)
    assert (wasserstein.num_steps, wasserstein.is_clipped) == (15, False)


def test_given_options_replace_defaults_and_keep_their_type():
    assert read_training_options("pgd", {"epsilon": 1, "has_random_start": False}) == PgdOptions(
        epsilon=1.0, has_random_start=False
    )
    assert isinstance(read_training_options("pgd", {"epsilon": 1}).epsilon, float)
    assert read_training_options("trades", {"beta": 0, "norm": "l2", "epsilon": 3.0}) == TradesOptions(
        epsilon=3.0, beta=0.0, norm="l2"
    )
    assert read_training_options("wasserstein", {"gamma": 2}) == WassersteinOptions(gamma=2.0)
    assert read_training_options("standard", {}) is None
    assert read_training_options("dro", {"attack": "pgd", "norm": "linf", "epsilon": 0.1, "rounds": 3}) == (
        DroOptions(attack="pgd", norm="linf", epsilon=0.1, rounds=3)
    )
    # Sooksatra and Rivas 2022, section III: epsilon 0.01 on CIFAR-10.
    assert read_training_options("merged", {"standard_model": "run"}) == MergedOptions("run", 0.01, 40)


@pytest.mark.parametrize(
    ("weighting", "is_proportional", "is_loss_weighted"),
    [("both", True, True), ("sampling", True, False), ("loss", False, True)],
)
def test_what_a_weight_does(weighting, is_proportional, is_loss_weighted):
    options = read_training_options("dro", {"weighting": weighting})
    assert (options.is_proportional, options.is_loss_weighted) == (is_proportional, is_loss_weighted)


@pytest.mark.parametrize(
    ("training", "given", "message"),
    [
        ("pgd", {"epsilon": -0.1}, "epsilon must be a number of at least 0. Received: -0.1"),
        ("pgd", {"perturb": "some"}, "perturb must be one of valid, all. Received: 'some'"),
        ("pgd", {"epsilon": math.nan}, "epsilon must be a number of at least 0. Received: nan"),
        ("pgd", {"epsilon": "8/255"}, "epsilon must be a number of at least 0. Received: '8/255'"),
        ("pgd", {"epsilon": True}, "epsilon must be a number"),
        ("pgd", {"num_steps": 0}, "num_steps must be a whole number of at least 1. Received: 0"),
        ("pgd", {"num_steps": 2.5}, "num_steps must be a whole number of at least 1. Received: 2.5"),
        ("pgd", {"relative_step": 0}, "relative_step must be a number above 0. Received: 0"),
        ("pgd", {"has_random_start": 1}, "has_random_start must be true or false. Received: 1"),
        ("pgd", {"norm": "l3"}, "norm must be one of linf, l2, rms, l1. Received: 'l3'"),
        ("pgd", {"beta": 1.0}, "beta is no option of --training pgd; it has epsilon, num_steps"),
        ("trades", {"beta": -1}, "beta must be a number of at least 0. Received: -1"),
        ("wasserstein", {"gamma": 0}, "gamma must be a number above 0. Received: 0"),
        ("wasserstein", {"epsilon": 0.1}, "epsilon is no option of --training wasserstein; it has gamma"),
        ("dro", {"attack": "foolbox"}, "attack must be one of fgsm, bim, pgd"),
        ("dro", {"distance": "feeling"}, "distance must be one of l1, l2"),
        ("dro", {"confidence": -1}, "confidence must be a number of at least 0. Received: -1"),
        ("dro", {"samples": -1}, "samples must be a whole number of at least 0. Received: -1"),
        ("dro", {"attack": "lpa"}, "reference: lpa starts at the picture that distances are measured from"),
        ("dro", {"attack": "pgd", "norm": "linf", "epsilon": 8}, "epsilon is in the unit of the pictures"),
        ("merged", {}, "standard_model is needed: the model (a run folder, a .keras file or a SavedModel"),
        ("merged", {"standard_model": 1}, "standard_model must be a path. Received: 1"),
        ("standard", {"epsilon": 0.1}, "epsilon: --training standard has no options"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(training, given, message):
    with pytest.raises(InputError, match=re.escape(f"--training-options.{message}")):
        read_training_options(training, given)


def test_only_ways_of_training_have_options():
    assert set(TRAINING_OPTIONS) <= set(TRAININGS)


def test_command_refuses_without_starting_tensorflow(tmp_path):
    code = (
        "import sys\n"
        "from bioattack.cli.train import main\n"
        "code = main(sys.argv[1:])\n"
        "assert 'tensorflow' not in sys.modules, 'a heavy import'\n"
        "sys.exit(code)"
    )
    flags = ["--model=small_cnn", f"--data={tmp_path}", f"--output={tmp_path / 'run'}", "--training=pgd"]
    result = subprocess.run(
        [sys.executable, "-c", code, *flags, "--training-options.epsilon=-1e-3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.strip().endswith(
        "--training-options.epsilon must be a number of at least 0. Received: -0.001"
    )
    assert not (tmp_path / "run").exists()
