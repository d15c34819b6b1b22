"""The audit on the command line: added to an evaluation, kept, and an exit code that says how it ended."""

import json
import re

import keras
import pytest
import tensorflow as tf

from bioattack.cli.evaluate import main
from bioattack.evaluation.results import AUDIT, read_results, read_summary
from bioattack.testing.faulty_models import RandomGain
from bioattack.testing.small_records import write_small_records

SIZE = 16
FAST = ["--steps", "2", "--epsilons", "0.05", "--norms", "linf", "--batch-size", "8", "--quiet"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_small_records(tmp_path_factory.mktemp("data") / "records", num_test=40, size=SIZE)


def _save(path, *layers):
    """Each class is a tint: the logits are the means of the channels."""
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            *layers,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Rescaling(40.0),
        ]
    )
    model.save(path)
    return path


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory):
    return _save(tmp_path_factory.mktemp("files") / "tint.keras")


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    return _save(tmp_path_factory.mktemp("files") / "dice.keras", RandomGain(0.4))


def _evaluate(*arguments, expect=0):
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == expect


@pytest.fixture(scope="module")
def audited(sound_file, records, tmp_path_factory):
    output = tmp_path_factory.mktemp("output") / "out"
    _evaluate("--model", sound_file, "--data", records, "--output", output, *FAST, "--audit")
    return output


def test_a_sound_model_passes(audited):
    summary = read_summary(audited)
    assert summary["audit"] == json.loads((audited / AUDIT).read_text())
    (model,) = summary["audit"]["models"]
    assert (model["model"], model["num_images"], model["num_failed"]) == ("tint", 40, 0)
    assert "Is it robust, or does its gradient lie?" in (audited / "report.html").read_text()


def test_a_finished_audit_is_left_as_it_is(audited, sound_file, records, capsys):
    before = {name: (audited / name).stat().st_mtime_ns for name in (AUDIT, "summary.json", "report.html")}
    _evaluate("--model", sound_file, "--data", records, "--output", audited, *FAST, "--audit")
    assert before == {name: (audited / name).stat().st_mtime_ns for name in before}
    printed = capsys.readouterr().out
    assert "was complete already" in printed
    assert re.search(r"audit of tint on 40 pictures: \w+ checks hold", printed)


def test_an_audit_is_added_to_what_was_measured_before(random_file, records, tmp_path, capsys):
    command = ["--model", random_file, "--data", records, "--output", tmp_path / "out", *FAST]
    _evaluate(*command)
    assert "audit" not in read_summary(tmp_path / "out")
    table = read_results(tmp_path / "out")
    capsys.readouterr()
    _evaluate(*command, "--audit", "--audit-images", "16", "--json", expect=1)
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    (model,) = result["audit"]["models"]
    assert (model["num_images"], model["checks"][0]["verdict"]) == (16, "does not hold")
    assert "audit: dice: randomness does not hold: The model draws random numbers" in printed.err
    assert read_results(tmp_path / "out").equals(table)
    # Without the question there is no complaint, but the answer is kept.
    _evaluate(*command)
    assert "audit" in read_summary(tmp_path / "out")
    assert "audit:" not in capsys.readouterr().err


class _RandomTint(tf.Module):
    """Adds a random tint to each picture, larger than that which tells the classes."""

    @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32)])
    def __call__(self, pictures):
        means = tf.reduce_mean(pictures, (1, 2))
        return 40 * tf.nn.relu(means + tf.random.normal(tf.shape(means), stddev=0.3))


def test_noise_on_the_input_is_not_taken_for_another_pixel_range(records, tmp_path, capsys):
    tf.saved_model.save(_RandomTint(), tmp_path / "dice")
    command = ["--model", tmp_path / "dice", "--data", records, "--output", tmp_path / "out", *FAST[:-1]]
    _evaluate(*command, "--audit", expect=1)
    printed = capsys.readouterr().err
    assert "note: Model dice draws random numbers" in printed
    assert "note: Whether model dice wants its pictures on another scale cannot be told" in printed
    assert "audit: dice: randomness does not hold" in printed


def test_a_dry_run_says_so_and_does_nothing(sound_file, records, tmp_path, capsys):
    command = ["--model", sound_file, "--data", records, "--output", tmp_path / "out", *FAST]
    _evaluate(*command, "--audit", "--dry-run")
    assert "audited on the first 40 of them" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_no_picture_at_all_is_refused(sound_file, records, tmp_path, capsys):
    command = ["--model", sound_file, "--data", records, "--output", tmp_path / "out", *FAST]
    _evaluate(*command, "--audit", "--audit-images", "0", expect=2)
    assert "--audit-images must be at least 1" in capsys.readouterr().err
