import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioattack.cli.common import parse
from bioattack.cli.train import COMMAND, main
from bioattack.models.registry import build_model
from bioattack.testing.small_records import write_small_records
from bioattack.training.config import TrainConfig, make_plan

EXPERIMENTS = sorted((Path(__file__).parents[3] / "experiments").glob("*.toml"))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_small_records(tmp_path_factory.mktemp("records") / "small", num_train=32)


def arguments(records, run, *more):
    return ["--model", "small_cnn", "--data", str(records), "--output", str(run), *more]


@pytest.fixture(scope="module")
def run(records, tmp_path_factory):
    """A run of one epoch, made by the command."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = ["--epochs", "1", "--model-options.augmentation", "crop", "--seed", "5", "--quiet"]
    assert main(arguments(records, folder, *options)) == 0
    return folder


def test_results_go_to_stdout_and_progress_to_stderr(records, tmp_path, capfd):
    assert main(arguments(records, tmp_path / "run", "--epochs", "2", "--batch-size", "16", "--json")) == 0
    captured = capfd.readouterr()
    result = json.loads(captured.out)
    assert (result["status"], result["output"]) == ("trained", str(tmp_path / "run"))
    assert 0 <= result["accuracy"]["test"] <= 1
    assert "epoch 1/2" in captured.err
    assert "test accuracy" in captured.err


def test_quiet_says_the_result_only(records, tmp_path, capsys):
    assert main(arguments(records, tmp_path / "run", "--epochs", "0", "--quiet")) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    first, *others = captured.out.splitlines()
    assert first.startswith(f"{tmp_path / 'run'}: small_cnn, ")
    assert first.endswith("0 epochs, trained")
    assert [line.split(":")[0] for line in others] == [
        "accuracy on 32 training pictures",
        "accuracy on 15 test pictures",
    ]


def test_a_process_of_its_own_is_as_quiet(records, tmp_path):
    code = "import sys; from bioattack.cli.train import main; sys.exit(main(sys.argv[1:]))"
    options = arguments(records, tmp_path / "run", "--epochs", "0", "--quiet", "--json")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    result = subprocess.run(
        [sys.executable, "-c", code, *options], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["epochs"] == 0


def test_same_command_again_is_complete(records, run, capsys):
    options = ["--epochs", "1", "--model-options.augmentation", "crop", "--seed", "5"]
    assert main(arguments(records, run, *options)) == 0
    assert "already complete" in capsys.readouterr().out


def test_resolved_configuration_is_read_back(run, capsys):
    assert main(["--config", str(run / "config.toml"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == "already complete"
    assert (result["seed"], result["model_options"]) == (5, {"augmentation": "crop"})


def test_flags_win_over_the_configuration(run, tmp_path, capsys):
    options = ["--config", str(run / "config.toml"), "--output", str(tmp_path / "new"), "--epochs", "7"]
    assert main([*options, "--dry-run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["epochs"], result["seed"]) == (7, 5)


def test_dry_run_says_what_would_be_done(records, tmp_path, capsys):
    assert main(arguments(records, tmp_path / "run", "--batch-size", "10", "--dry-run")) == 0
    out = capsys.readouterr().out
    assert "on 32 pictures of 16 x 16 x 3 in 3 classes" in out
    assert "epochs 1 to 12 of 4 steps of 10 pictures, 48 steps in all" in out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--epochs", "-1"], "--epochs must be between 0 and 100000. Received: -1"),
        (["--learning-rate", "0"], "--learning-rate must be above 0 and at most 1"),
        (["--model-options.depth", "3"], "an option of small_cnn must be one of augmentation"),
        (["--model-options.augmentation", "wild"], "augmentation must be one of"),
        (["--initial-weights", "nowhere.keras"], "--initial-weights: there is no file nowhere.keras"),
        (["--training", "magic"], "argument --training: invalid choice"),
        (["--config", "nowhere.toml"], "--config: there is no file 'nowhere.toml'"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(records, tmp_path, capsys, options, sentence):
    with pytest.raises(SystemExit) as stop:
        main(arguments(records, tmp_path / "run", *options))
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert sentence in captured.err
    assert captured.err.startswith("bioattack-train: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (tmp_path / "run").exists()


def test_no_records_folder(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments(tmp_path, tmp_path / "run"))
    assert stop.value.code == 2
    assert "not a finished records folder" in capsys.readouterr().err


def test_output_that_cannot_be_written(records, tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stop:
        main(arguments(records, tmp_path / "file" / "run"))
    assert stop.value.code == 2
    assert f"Not a directory: {tmp_path / 'file' / 'run'}" in capsys.readouterr().err


def test_missing_arguments(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "--model is required" in capsys.readouterr().err


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_read_and_its_network_can_be_built(path):
    config = parse(TrainConfig, COMMAND, ["--config", str(path)])
    make_plan(config)
    build_model(
        config.model,
        image_shape=(64, 64, 3),
        num_classes=10,
        preset=config.preset,
        options=config.model_options,
    )
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for entry in ("# records: ", "# command: ", "# time: ", "# number: "):
        assert sum(line.startswith(entry) for line in header) == 1, entry


def test_there_are_experiments():
    assert len(EXPERIMENTS) >= 6
