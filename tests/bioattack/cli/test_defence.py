"""``--defence``: every model behind it, and attacks that know of it."""

import subprocess
import sys

import numpy as np
import pytest

from bioattack.classifier import load_classifier
from bioattack.cli.attack import main as attack_main
from bioattack.cli.evaluate import main as evaluate_main
from bioattack.defences import defend
from bioattack.evaluation.results import read_results, read_summary
from bioattack.testing.small_records import write_small_records
from bioattack.testing.small_tables import save_row_model, write_small_table
from bioattack.testing.tiny_models import save_tint_model
from bioattack.tfrecords_builder.reading import open_records


def run(command, *arguments):
    try:
        return command([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize("defence", ["bits:2", "jpeg:30", "median:3"])
def test_the_model_is_attacked_behind_it(tmp_path, defence):
    data = write_small_records(tmp_path / "records", num_test=12)
    model, output = save_tint_model(tmp_path / "tint"), tmp_path / "out"
    given = ["--model", model, "--data", data, "--output", output, "--defence", defence, "--quiet"]
    assert run(attack_main, *given, "--epsilons", "0.1", "0.3", "--save", "records") == 0
    assert read_summary(output)["settings"]["defence"] == defence
    results = read_results(output)
    assert set(results["model"]) == {f"tint+{defence}"}
    classifier = defend(load_classifier(model), defence)
    clean = results[results["attack"] == "none"].set_index("image_id")["predicted_clean"]
    for batch in open_records(data).examples("test", batch_size=12).as_numpy_iterator():
        ids = [name.decode() for name in batch["image_id"]]
        expected = classifier.logits(batch["image"]).numpy().argmax(1)
        np.testing.assert_array_equal(clean[ids].to_numpy(), expected)
    assert results["success"].any()


def test_an_evaluation_takes_it_too(tmp_path):
    data = write_small_records(tmp_path / "records", num_test=6)
    given = ["--model", save_tint_model(tmp_path / "tint"), "--data", data, "--output", tmp_path / "out"]
    more = ["--defence", "median:2", "--epsilons", "0.1", "--norms", "linf", "--quiet"]
    assert run(evaluate_main, *given, *more) == 0
    assert read_summary(tmp_path / "out")["models"][0]["name"] == "tint+median:2"


@pytest.mark.parametrize("defence", ["jpeg:0", "blur:3"])
def test_one_that_is_none_is_refused_before_tensorflow_starts(defence):
    script = (
        "import sys; from bioattack.cli.attack import main; code = main(sys.argv[1:]);"
        " assert 'tensorflow' not in sys.modules; sys.exit(code)"
    )
    flags = ["--model", "m", "--data", "d", "--output", "o", "--defence", defence]
    result = subprocess.run(
        [sys.executable, "-c", script, *flags], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "must be a whole number from 1 to 100" in result.stderr or "no defence 'blur:3'" in result.stderr


def test_rows_of_a_table_have_none(tmp_path, capsys):
    data = write_small_table(tmp_path / "records")
    model = save_row_model(tmp_path / "rows.keras")
    given = ["--model", model, "--data", data, "--output", tmp_path / "out", "--defence", "bits:3"]
    assert run(attack_main, *given) == 2
    assert "holds rows of a table; leave it out" in capsys.readouterr().err
