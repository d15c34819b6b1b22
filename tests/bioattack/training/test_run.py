import csv
import dataclasses
import json
import shutil
import tomllib

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.models.registry import build_model
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.reading import open_records
from bioattack.training import run as run_module
from bioattack.training.config import TrainConfig
from bioattack.training.run import train
from bioattack.training.state import saved_states


def quiet_config(data, output, **changes):
    settings = {"model": "small_cnn", "epochs": 2, "batch_size": 16, "quiet": True} | changes
    return TrainConfig(data=data, output=output, **settings)


@pytest.fixture(scope="session")
def finished(small_records, tmp_path_factory):
    """A run of eight epochs, long enough to learn three tints."""
    config = quiet_config(small_records, tmp_path_factory.mktemp("runs") / "run", epochs=8)
    return config, train(config)


def read_history(run):
    with (run / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_training_learns_what_is_easy(finished):
    _, result = finished
    assert result.status == "trained"
    assert result.first_epoch == 0
    assert result.details["accuracy"]["test"] > 0.8
    assert result.details["accuracy"]["num_test"] == 15
    assert result.details["accuracy"]["num_train"] == 60


def test_run_folder_holds_what_is_promised(finished):
    config, _ = finished
    run = config.output
    assert sorted(entry.name for entry in run.iterdir()) == [
        "checkpoints",
        "config.toml",
        "history.csv",
        "model.keras",
        "model_card.json",
        "saved_model",
        "tensorboard",
    ]
    assert [path.name for path in saved_states(run / "checkpoints")] == ["epoch-00007.npz", "epoch-00008.npz"]
    assert list((run / "tensorboard" / "train").glob("events.out.tfevents.*"))
    assert list((run / "tensorboard" / "validation").glob("events.out.tfevents.*"))


def test_history_has_a_row_per_epoch(finished):
    config, _ = finished
    history = read_history(config.output)
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert list(history[0]) == [
        "epoch",
        "learning_rate",
        "accuracy",
        "loss",
        "test_accuracy",
        "test_loss",
    ]
    assert history[-1]["loss"] < history[0]["loss"]


def test_card_says_what_the_model_is(finished):
    config, result = finished
    card = json.loads((config.output / "model_card.json").read_text())
    assert card == result.details
    expected = {
        "model": "small_cnn",
        "preset": "small",
        "training": "standard",
        "class_names": ["red", "green", "blue"],
        "image_shape": [16, 16, 3],
        "input_range": [0.0, 1.0],
        "outputs": "logits",
        "has_random_layers": False,
        "notes": [],
        "learning_rate_factors": {},
        "auxiliary_features": [],
        "seed": 0,
        "epochs": 8,
    }
    assert {name: card[name] for name in expected} == expected
    assert card["data"]["splits"] == {"train": 60, "test": 15}
    manifest = json.loads((config.data / "manifest.json").read_text())
    assert card["data"]["fingerprint"] == manifest["fingerprint"]
    # Counted by hand: two convolutions, dense layers of 128 and 64 on 4 x 4 x 64 features, three logits.
    assert card["num_parameters"] == 896 + 18_496 + 131_200 + 8_256 + 195


def test_accuracy_of_the_card_is_that_of_both_files(finished):
    config, result = finished
    model = keras.saving.load_model(config.output / "model.keras")
    loaded = tf.saved_model.load(str(config.output / "saved_model"))
    images, labels = next(iter(open_records(config.data).dataset("test", batch_size=15)))
    for classify in (model, loaded.serve):
        right = np.argmax(np.asarray(classify(images)), axis=1) == labels.numpy()
        assert right.mean() == pytest.approx(result.details["accuracy"]["test"])


def test_saved_model_is_the_model(finished):
    config, _ = finished
    model = keras.saving.load_model(config.output / "model.keras")
    loaded = tf.saved_model.load(str(config.output / "saved_model"))
    for batch_size in (1, 5):
        images = tf.random.stateless_uniform((batch_size, 16, 16, 3), (1, batch_size))
        found = [logits_and_gradient(function, images) for function in (model, loaded.serve)]
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert np.abs(found[0][1]).max() > 0


def logits_and_gradient(function, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = function(images)
        loss = tf.reduce_sum(tf.nn.log_softmax(logits)[:, 0])
    return logits.numpy(), tape.gradient(loss, images).numpy()


def test_same_command_again_says_complete_and_touches_nothing(finished):
    config, first = finished
    before = {path: path.stat().st_mtime_ns for path in config.output.rglob("*") if path.is_file()}
    again = train(config)
    assert again.status == "already complete"
    assert again.details == first.details
    assert {path: path.stat().st_mtime_ns for path in config.output.rglob("*") if path.is_file()} == before


def test_missing_export_is_made_again_without_training(finished, tmp_path):
    config, first = finished
    moved = tmp_path / "moved"
    config.output.rename(moved)
    (moved / "model_card.json").unlink()
    again = train(dataclasses.replace(config, output=moved))
    moved.rename(config.output)
    assert (again.status, again.first_epoch) == ("trained", 8)
    assert again.details["weights_sha256"] == first.details["weights_sha256"]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"epochs": 9}, "epochs = 8 before and 9 now"),
        ({"seed": 1}, "seed = 0 before and 1 now"),
        ({"model": "resnet20"}, "model = small_cnn before and resnet20 now"),
        ({"limit": 30}, "limit = none before and 30 now"),
        ({"model_options": {"augmentation": "crop"}}, "model_options = none before"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(finished, changes, difference):
    config, _ = finished
    with pytest.raises(InputError, match=difference):
        train(dataclasses.replace(config, **changes))


def test_run_on_other_records_is_refused(finished, tmp_path):
    config, _ = finished
    other = write_small_records(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="was trained on other records than those now in"):
        train(dataclasses.replace(config, data=other))


def test_seed_decides_the_weights(small_records, tmp_path):
    runs = {
        name: train(quiet_config(small_records, tmp_path / name, epochs=1, limit=32, seed=seed)).details
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    }
    assert runs["a"]["weights_sha256"] == runs["b"]["weights_sha256"] != runs["c"]["weights_sha256"]
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in "abc"]
    assert histories[0] == histories[1] != histories[2]


def test_resolved_configuration_repeats_the_run(small_records, tmp_path):
    config = quiet_config(small_records, tmp_path / "run", epochs=0, model_options={"augmentation": "crop"})
    train(config)
    stored = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert stored["batch_size"] == 16
    assert stored["schedule"] == "short"
    again = TrainConfig(**stored | {"data": small_records, "output": tmp_path / "run", "quiet": True})
    assert train(again).status == "already complete"


def test_limit_and_no_test_split(tmp_path):
    records = write_small_records(tmp_path / "records", num_test=0)
    result = train(quiet_config(records, tmp_path / "run", epochs=1, limit=20))
    assert result.details["accuracy"]["num_train"] == 20
    assert result.details["accuracy"]["test"] is None
    assert "test_loss" not in read_history(tmp_path / "run")[0]
    # 20 pictures in batches of 16 are two steps.
    with np.load(saved_states(tmp_path / "run" / "checkpoints")[0]) as state:
        names = json.loads(str(state["header"]))["variables"]
        (iteration,) = (index for index, name in enumerate(names) if name.endswith("/iteration"))
        assert state[f"{iteration:05d}"] == 2


def test_dry_run_writes_nothing(small_records, tmp_path):
    result = train(quiet_config(small_records, tmp_path / "run", dry_run=True))
    assert result.status == "dry run"
    assert result.details["steps"] == 2 * 4
    # Three float32 numbers per weight, two checkpoints.
    assert result.details["checkpoints_bytes"] == 2 * 3 * 4 * result.details["num_parameters"]
    assert not (tmp_path / "run").exists()


def test_auxiliary_heads_are_in_the_checkpoints_and_not_in_the_model(small_records, tmp_path, monkeypatch):
    def build_with_head(*arguments, **options):
        model = build_model(*arguments, **options)
        model.auxiliary_features = ("dense1",)
        return model

    monkeypatch.setattr("bioattack.training.run.build_model", build_with_head)
    config = quiet_config(small_records, tmp_path / "run", epochs=1, limit=16)
    plain = build_model("small_cnn", image_shape=(16, 16, 3), num_classes=3)
    # 128 features and three classes: two moments stand beside each number.
    dry = train(dataclasses.replace(config, dry_run=True)).details
    assert dry["num_parameters"] == plain.count_params()
    assert dry["checkpoints_bytes"] == 4 * 3 * (plain.count_params() + 3 * 128 + 3)
    card = train(config).details
    assert card["num_parameters"] == plain.count_params()
    assert card["auxiliary_features"] == ["dense1"]
    stored = keras.saving.load_model(config.output / "model.keras")
    assert [weight.shape for weight in stored.weights] == [weight.shape for weight in plain.weights]
    (checkpoint,) = saved_states(config.output / "checkpoints")
    with np.load(checkpoint) as state:
        shapes = [state[name].shape for name in state.files]
    assert shapes.count((128, 3)) == 3
    # The loss has two cross-entropies, what is tested only one.
    (row,) = read_history(config.output)
    assert row["loss"] > 1.5 * row["test_loss"]


def test_overwrite_replaces_the_run_and_nothing_else(small_records, tmp_path):
    run = tmp_path / "run"
    train(quiet_config(small_records, run, epochs=1, limit=16))
    (run / "notes.txt").write_text("mine")
    result = train(quiet_config(small_records, run, epochs=2, limit=16, overwrite=True))
    assert (result.status, result.first_epoch) == ("trained", 0)
    assert len(read_history(run)) == 2
    assert (run / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("card", [b'{"model": "small', b"{}", b"\xff\xfe"])
def test_damaged_card_is_written_again_without_training(finished, tmp_path, card):
    config, _ = finished
    moved = shutil.copytree(config.output, tmp_path / "moved")
    (moved / "model_card.json").write_bytes(card)
    again = train(dataclasses.replace(config, output=moved))
    assert again.first_epoch == config.epochs
    assert (moved / "model_card.json").read_bytes() == (config.output / "model_card.json").read_bytes()


@pytest.mark.parametrize("content", [b"model = [", b"\xff\xfe"])
def test_damaged_settings_are_refused(small_records, tmp_path, content):
    (tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(
        InputError, match=r"config\.toml cannot be read \(.*\); give --overwrite to start again"
    ):
        train(quiet_config(small_records, tmp_path))


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_of_something_else_is_refused(small_records, tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not empty and holds no training run"):
        train(quiet_config(small_records, tmp_path, overwrite=overwrite))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_file_as_output_is_refused(small_records, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        train(quiet_config(small_records, tmp_path / "file"))
    with pytest.raises(NotADirectoryError):
        train(quiet_config(small_records, tmp_path / "file" / "run"))


def test_no_records_folder_is_refused(tmp_path):
    with pytest.raises(RecordsError, match="not a finished records folder"):
        train(quiet_config(tmp_path, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_flipped_bit_in_a_shard_is_named(tmp_path):
    records = write_small_records(tmp_path / "records")
    shard = next(records.glob("train-*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(RecordsError, match=shard.name):
        train(quiet_config(records, tmp_path / "run"))
    # Nothing that the next command would stumble over.
    assert not (tmp_path / "run").exists()
    # A folder that was there before stays.
    (tmp_path / "run").mkdir()
    with pytest.raises(RecordsError, match=shard.name):
        train(quiet_config(records, tmp_path / "run"))
    assert (tmp_path / "run" / "config.toml").is_file()


def test_what_a_run_has_reached_outlives_damaged_records(small_records, tmp_path, monkeypatch):
    finish = run_module.finish_run

    def refused(*_, **__):
        raise RecordsError("a shard was changed")

    monkeypatch.setattr(run_module, "finish_run", refused)
    config = quiet_config(small_records, tmp_path / "run", limit=16)
    with pytest.raises(RecordsError, match="a shard was changed"):
        train(config)
    monkeypatch.setattr(run_module, "finish_run", finish)
    assert train(config).first_epoch == 2


def test_unknown_option_of_the_model(small_records, tmp_path):
    with pytest.raises(InputError, match=r"--model small_cnn cannot be built .* Received: option 'depth'"):
        train(quiet_config(small_records, tmp_path / "run", model_options={"depth": 3}))


def test_pictures_too_small_for_the_network(tmp_path):
    records = write_small_records(tmp_path / "records", size=3)
    with pytest.raises(InputError, match="must be 4 x 4 or larger"):
        train(quiet_config(records, tmp_path / "run"))


def test_loss_that_is_not_finite_stops_the_run(small_records, tmp_path):
    weights = tmp_path / "huge.weights.h5"
    model = build_model("small_cnn", image_shape=(16, 16, 3), num_classes=3)
    for variable in model.weights:
        variable.assign(np.full(variable.shape, 1e20, "float32"))
    model.save_weights(weights)
    with pytest.raises(InputError, match=r"the loss became (nan|inf) at epoch 1, step 1 .*--learning-rate"):
        train(quiet_config(small_records, tmp_path / "run", initial_weights=weights))
    assert not (tmp_path / "run" / "model_card.json").exists()


def test_full_disk_keeps_the_last_epoch_and_goes_on(small_records, tmp_path, monkeypatch):
    config = quiet_config(small_records, tmp_path / "run", limit=16)
    whole = train(quiet_config(small_records, tmp_path / "whole", limit=16))
    write = np.savez

    def fill_disk(file, **arrays):
        if "epoch-00002" in file.name:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        write(file, **arrays)

    monkeypatch.setattr(np, "savez", fill_disk)
    with pytest.raises(OSError, match=r"No space left on device: .*epoch-00002\.npz"):
        train(config)
    monkeypatch.undo()
    result = train(config)
    assert result.first_epoch == 1
    assert result.details["weights_sha256"] == whole.details["weights_sha256"]


@pytest.mark.realdata
def test_published_weights_make_a_run_folder(realdata, tmp_path):
    from bioattack.cli.build_records import main as build_records

    source = realdata / "cifar10" / "cifar10_20k_5k.npz"
    records = tmp_path / "records"
    assert build_records(["cifar10", "--source", str(source), "--output", str(records), "--quiet"]) == 0
    result = train(
        TrainConfig(
            model="resnet20",
            preset="paper",
            model_options={
                "shortcut": "pad",
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
            },
            initial_weights=realdata / "weights" / "resnet20_cifar10.npz",
            epochs=0,
            data=records,
            output=tmp_path / "run",
            quiet=True,
        )
    )
    # The README of the weights: 91.42 % (4,571) of these 5,000 test images.
    assert round(result.details["accuracy"]["test"] * 5000) == 4571
    assert result.details["accuracy"]["num_test"] == 5000
