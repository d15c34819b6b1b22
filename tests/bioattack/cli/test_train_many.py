import json
import os
import subprocess
import sys
import time

import pytest

from bioattack.cli.common import parse
from bioattack.cli.train import COMMAND, main
from bioattack.testing.small_records import write_small_records
from bioattack.training import many
from bioattack.training.many_config import ManyConfig


def arguments(records, output, *more):
    settings = ["--model", "small_cnn", "--data", str(records), "--output", str(output), "--epochs", "1"]
    return [*settings, "--batch-size", "16", *more]


def test_defaults_train_one_model(tmp_path):
    config = parse(ManyConfig, COMMAND, arguments(tmp_path, tmp_path))
    assert (config.is_many, config.ways) == (False, ("published", "paired", "noise"))
    assert 1 <= config.num_jobs <= 8
    assert parse(ManyConfig, COMMAND, arguments(tmp_path, tmp_path, "--ways", "noise")).ways == ("noise",)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--models", "0"], "--models must be between 1 and 100000. Received: 0"),
        (["--models", "2", "--leave-one-out", "2"], "give --models or --leave-one-out, not both"),
        (["--models", "2", "--jobs", "0"], "--jobs must be between 1 and 256. Received: 0"),
        (["--models", "two"], "--models takes a whole number. Received: 'two'"),
        (["--leave-one-out", "2", "--ways", "magic"], "argument --ways: invalid choice"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2_without_tensorflow(tmp_path, options, sentence):
    code = (
        "import sys; from bioattack.cli.train import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: print(stop.code, 'tensorflow' in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments(tmp_path, tmp_path / "out", *options)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "2 False\n"
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_records_that_are_not_there(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments(tmp_path, tmp_path / "out", "--leave-one-out", "2", "--jobs", "1"))
    assert stop.value.code == 2
    assert "not a finished records folder" in capsys.readouterr().err


def test_interrupt_is_code_130(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(many, "run_tasks", interrupted)
    assert main(arguments(tmp_path, tmp_path / "out", "--models", "2", "--jobs", "1")) == 130
    assert "the same command goes on from here" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_command_goes_on_and_gives_the_models_of_single_runs(tmp_path):
    records = write_small_records(tmp_path / "records", size=8)
    code = "import sys; from bioattack.cli.train import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code]
    # As many threads in each process, so that convolutions agree to the last bit.
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1"}
    options = arguments(records, tmp_path / "out", "--models", "4", "--jobs", "2", "--json")
    runner = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL)
    for _ in range(6000):
        if list((tmp_path / "out").glob("*/model_card.json")) or runner.poll() is not None:
            break
        time.sleep(0.1)
    runner.kill()
    runner.wait()
    again = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=True)
    statuses = json.loads(again.stdout)["models"]
    assert sorted(set(statuses.values())) in (["already complete", "trained"], ["already complete"])
    assert len(statuses) == 4
    single = arguments(records, tmp_path / "single", "--seed", "3", "--json", "--quiet")
    alone = subprocess.run([*command, *single], env=environment, capture_output=True, text=True, check=True)
    card = json.loads((tmp_path / "out" / "small_cnn-standard-seed-3" / "model_card.json").read_text())
    assert card["weights_sha256"] == json.loads(alone.stdout)["weights_sha256"]
