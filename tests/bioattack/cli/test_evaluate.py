"""The command as a person uses it: two models on a records folder, killed, repeated, misused."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bioattack.cli.evaluate import main
from bioattack.evaluation.results import read_examples, read_results, read_summary
from bioattack.testing.small_records import CLASS_NAMES, write_small_records

SIZE = 16
FAST = ["--steps", "3", "--epsilons", "0.01", "0.2", "--norms", "linf", "--batch-size", "8", "--quiet"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_small_records(tmp_path_factory.mktemp("data") / "records", num_test=24, size=SIZE)


def tint_model(*, softmax=False, num_classes=3, size=SIZE):
    """Each class is a tint: the logits are the mean of each channel."""
    inputs = keras.Input((size, size, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense(num_classes, activation="softmax" if softmax else None)
    model = keras.Model(inputs, dense(mean))
    dense.set_weights([40 * np.eye(3, num_classes), np.zeros(num_classes)])
    return model


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tint"
    tint_model().export(folder / "saved_model", verbose=False)
    card = {
        "format_version": 1,
        "model": "tint",
        "training": "standard",
        "preset": "small",
        "model_options": {},
        "class_names": list(CLASS_NAMES),
        "image_shape": [SIZE, SIZE, 3],
        "num_parameters": 12,
        "has_random_layers": False,
        "seed": 0,
        "epochs": 1,
        "data": {"path": "records", "kind": "folder", "fingerprint": None, "splits": {"train": 60}},
        "accuracy": {"train": 1.0, "num_train": 60, "test": 1.0, "num_test": 24},
    }
    (folder / "model_card.json").write_text(json.dumps(card))
    (folder / "history.csv").write_text("epoch,loss\n0,1.0\n")
    return folder


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "other.keras"
    tint_model().save(path)
    return path


def evaluate(*arguments, expect=0):
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == expect
    return code


@pytest.fixture(scope="module")
def output(run_folder, keras_file, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("output") / "out"
    evaluate("--model", run_folder, "--model", keras_file, "--data", records, "--output", folder, *FAST)
    return folder


def test_everything_is_written(output):
    results, summary = read_results(output), read_summary(output)
    assert len(results) == 2 * 24 * 3
    assert [model["name"] for model in summary["models"]] == ["tint", "other"]
    assert summary["clean"][0]["accuracy"] == 1.0
    assert [row["epsilon"] for row in summary["adversarial"]] == [0.01, 0.2] * 2
    assert summary["adversarial"][1]["accuracy"] < 1.0
    assert summary["protocol"]["judged_words"] == "any iterate (the paper's)"
    assert summary["protocol"]["attacks"][0]["foolbox_class"] == "LinfBasicIterativeAttack"
    assert summary["data"]["class_names"] == list(CLASS_NAMES)
    assert {"tensorflow", "foolbox", "bioattack"} <= set(summary["versions"])
    for name in ("clean", "adversarial", "per_class"):
        table = pd.read_csv(output / "tables" / f"{name}.csv")
        assert len(table) == len(summary[name])
        assert list(table.columns) == list(summary[name][0])
    assert len(read_examples(output)) == 3 * 2 * 2
    assert json.loads((output / "models/tint/model_card.json").read_text())["num_parameters"] == 12
    assert (output / "models/tint/history.csv").exists()
    assert not (output / "models/other").exists()
    assert "<html" in (output / "report.html").read_text()
    assert not (output / "unfinished").exists()
    assert not list(output.rglob("*.partial"))


def test_the_same_command_again_says_complete(output, run_folder, keras_file, records, capsys):
    before = (output / "results.csv.gz").stat().st_mtime_ns
    evaluate("--model", run_folder, "--model", keras_file, "--data", records, "--output", output, *FAST)
    printed = capsys.readouterr().out
    assert "was complete already" in printed
    assert "clean" in printed
    assert "linf 0.2 (51/255)" in printed
    assert printed.strip().endswith(f"report: {output}/report.html")
    assert (output / "results.csv.gz").stat().st_mtime_ns == before


def test_json_is_one_object(output, run_folder, keras_file, records, capsys):
    models = ["--model", run_folder, "--model", keras_file]
    evaluate(*models, "--data", records, "--output", output, *FAST, "--json")
    result = json.loads(capsys.readouterr().out)
    assert result["was_complete"] is True
    assert result["adversarial"][0]["norm"] == "linf"


def test_another_command_does_not_touch_the_output(output, run_folder, records, capsys):
    evaluate("--model", run_folder, "--data", records, "--output", output, *FAST, "--seed", "5", expect=2)
    error = capsys.readouterr().err
    assert "holds results of seed = 0 before and 5 now" in error
    assert "--overwrite" in error
    assert error.count("\n") == 1


def test_overwrite_replaces_it(run_folder, records, tmp_path):
    command = ["--model", run_folder, "--data", records, "--output", tmp_path / "o", *FAST, "--limit", "8"]
    evaluate(*command)
    evaluate(*command, "--seed", "5", "--overwrite")
    assert read_summary(tmp_path / "o")["settings"]["seed"] == 5
    assert len(read_results(tmp_path / "o")) == 8 * 3


def test_dry_run_writes_nothing(run_folder, records, tmp_path, capsys):
    evaluate("--model", run_folder, "--data", records, "--output", tmp_path / "o", *FAST, "--dry-run")
    assert not (tmp_path / "o").exists()
    printed = capsys.readouterr().out
    assert "would attack 24 pictures" in printed
    assert "epsilons 0.01 0.2" in printed


def test_interrupted_it_goes_on(output, run_folder, keras_file, records, tmp_path, monkeypatch, capsys):
    from bioattack.evaluation import evaluate as module

    command = [
        "--model",
        run_folder,
        "--model",
        keras_file,
        "--data",
        records,
        "--output",
        tmp_path / "o",
        *FAST,
    ]

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_summary", interrupt)
    evaluate(*command, expect=130)
    assert "the same command goes on from here" in capsys.readouterr().err
    assert (tmp_path / "o" / "unfinished").is_dir()
    monkeypatch.undo()
    evaluate(*command, "--seed", "9", expect=2)
    evaluate(*command)
    pd.testing.assert_frame_equal(
        read_results(tmp_path / "o").drop(columns="seconds"), read_results(output).drop(columns="seconds")
    )


@pytest.mark.slow
def test_killed_at_once_it_goes_on(output, run_folder, keras_file, records, tmp_path):
    target = tmp_path / "o"
    command = ["--model", run_folder, "--model", keras_file, "--data", records, "--output", target, *FAST]
    process = subprocess.Popen([sys.executable, "-m", "bioattack.cli.evaluate", *map(str, command)])
    deadline = time.monotonic() + 120
    while len(list((target / "unfinished").glob("*.csv"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (target / "summary.json").exists()
    evaluate(*command)
    pd.testing.assert_frame_equal(
        read_results(target).drop(columns="seconds"), read_results(output).drop(columns="seconds")
    )


class Plain(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32)])
    def __call__(self, pictures):
        return {"scores": 40 * tf.reduce_mean(pictures, axis=[1, 2])}


def test_a_saved_model_that_keras_never_saw(records, tmp_path):
    tf.saved_model.save(Plain(), tmp_path / "plain")
    evaluate(
        "--model", tmp_path / "plain", "--data", records, "--output", tmp_path / "o", *FAST, "--limit", "8"
    )
    summary = read_summary(tmp_path / "o")
    assert summary["clean"][0]["accuracy"] == 1.0
    assert summary["models"][0] | {"fingerprint": None, "source": None} == {
        "name": "plain",
        "source": None,
        "fingerprint": None,
        "folder": None,
        "num_parameters": None,
        "card": None,
    }


def not_empty(folder):
    (folder / "o").mkdir()
    (folder / "o" / "thesis.txt").write_text("important")
    return []


def saved(folder, **options):
    tint_model(**options).save(folder / "m.keras")
    return ["--model", folder / "m.keras"]


def damaged_records(folder):
    """One bit turned in a picture, so that sizes still fit and only the reading can tell."""
    shard = next(write_small_records(folder / "damaged", num_test=24, size=SIZE).glob("test-*.tfrecord"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    return ["--data", folder / "damaged"]


MISUSE = {
    "have no split 'holdout'; they have": lambda _: ["--split", "holdout"],
    "--epsilons must be in [0, 1]": lambda _: ["--epsilons", "8"],
    "is not empty and holds no evaluation": not_empty,
    "there is no such file or folder": lambda folder: ["--model", folder / "missing"],
    "gives probabilities": lambda folder: saved(folder, softmax=True),
    "tells 4 classes apart": lambda folder: saved(folder, num_classes=4),
    "takes images of 20 x 20 x 3": lambda folder: saved(folder, size=20),
    "bioattack-evaluate: ": lambda folder: ["--data", folder],
    "was changed: its sha256 is not the manifest's": damaged_records,
    "--protocol": lambda _: ["--protocol", "madry"],
}


@pytest.mark.parametrize("message", MISUSE)
def test_misuse_is_one_sentence_and_code_2(message, run_folder, records, tmp_path, capsys):
    arguments = MISUSE[message](tmp_path)
    models = [] if "--model" in arguments else ["--model", run_folder]
    evaluate(*models, "--data", records, "--output", tmp_path / "o", *FAST, *arguments, expect=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("bioattack-evaluate: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "o" / "summary.json").exists()
    if (tmp_path / "o").exists():
        assert [entry.name for entry in (tmp_path / "o").iterdir()] == ["thesis.txt"]
