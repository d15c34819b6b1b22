"""The audit on the command line: added to an evaluation, kept, and an exit code that says how it ended."""

import json
import re

import keras
import pytest
import tensorflow as tf

from bioattack.cli.evaluate import main
from bioattack.evaluation.results import AUDIT, read_results, read_summary
from bioattack.testing.faulty_models import FAULTS, RandomGain
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


class _Faulty(tf.Module):
    """The tint behind a seeded fault."""

    def __init__(self, fault):
        super().__init__()
        self.broken = FAULTS[fault].make(lambda pictures: 40 * tf.reduce_mean(pictures, (1, 2)))

    @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32)])
    def __call__(self, pictures):
        return self.broken(pictures)


# Faults for which a model is refused without an audit, and how the refusal begins.
REFUSED = {
    "softmax": "gives probabilities",
    "saturated-softmax": "gives",
    "stopped-gradient": "has no gradient with respect to the pictures (something",
    "rounded-images": "has no gradient with respect to the pictures (something",
    "flat-logits": "has no gradient with respect to the pictures (something",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_refused_is_still_audited(fault, records, tmp_path, capsys):
    tf.saved_model.save(_Faulty(fault), tmp_path / "m")
    command = ["--model", tmp_path / "m", "--data", records, "--output", tmp_path / "out", *FAST]
    _evaluate(*command, expect=2)
    refusal = capsys.readouterr().err.removeprefix("bioattack-evaluate: ").strip()
    assert refusal.startswith(f"model m {REFUSED[fault]}")
    assert not (tmp_path / "out").exists()
    command += ["--audit", "--audit-images", "16"]
    _evaluate(*command, expect=1)
    printed = capsys.readouterr()
    assert printed.out.startswith(f"nothing was measured: {refusal}\n")
    assert re.search(r"audit of m on 16 pictures: \w+ checks? do(es)? not hold", printed.out)
    assert f"audit: m: {FAULTS[fault].caught_by[-1 if fault == 'flat-logits' else 0]} " in printed.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [AUDIT]


def test_a_model_of_nan_is_audited_too(records, tmp_path, capsys):
    dense = keras.layers.Dense(3, bias_initializer=keras.initializers.Constant(float("nan")))
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), dense])
    model.save(tmp_path / "m.keras")
    command = ["--model", tmp_path / "m.keras", "--data", records, "--output", tmp_path / "out", *FAST]
    _evaluate(*command, "--audit", "--audit-images", "16", expect=1)
    printed = capsys.readouterr()
    assert "nothing was measured: model m is broken: its weights dense" in printed.out
    assert "audit: m: non-finite does not hold" in printed.err


def test_an_audit_alone_is_kept_and_told_from_others(sound_file, records, tmp_path, capsys):
    tf.saved_model.save(_Faulty("softmax"), tmp_path / "m")
    command = ["--data", records, "--output", tmp_path / "out", *FAST, "--audit", "--audit-images", "16"]
    _evaluate("--model", tmp_path / "m", *command, expect=1)
    before = (tmp_path / "out" / AUDIT).stat().st_mtime_ns
    capsys.readouterr()
    _evaluate("--model", tmp_path / "m", *command, "--json", expect=1)
    result = json.loads(capsys.readouterr().out)
    assert (tmp_path / "out" / AUDIT).stat().st_mtime_ns == before
    assert (result["report"], result["audit"]["models"][0]["model"]) == (None, "m")
    assert "gives probabilities" in result["refusal"]
    _evaluate("--model", sound_file, *command[:-3], expect=2)
    assert "give another --output, or --overwrite to replace it" in capsys.readouterr().err


def test_a_dry_run_says_so_and_does_nothing(sound_file, records, tmp_path, capsys):
    command = ["--model", sound_file, "--data", records, "--output", tmp_path / "out", *FAST]
    _evaluate(*command, "--audit", "--dry-run")
    assert "audited on the first 40 of them" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_no_picture_at_all_is_refused(sound_file, records, tmp_path, capsys):
    command = ["--model", sound_file, "--data", records, "--output", tmp_path / "out", *FAST]
    _evaluate(*command, "--audit", "--audit-images", "0", expect=2)
    assert "--audit-images must be at least 1" in capsys.readouterr().err
