import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.tfrecords_builder.reading import open_records
from bioattack.training import many_data, many_workshop
from bioattack.training.config import TrainConfig
from bioattack.training.many_compiled import CompiledTraining
from bioattack.training.many_workshop import Workshop
from bioattack.training.run import train


@pytest.fixture(scope="module")
def config(small_records):
    """Augmented, so that random states count too; the last batch of an epoch is smaller."""
    return TrainConfig(
        model="small_cnn",
        data=small_records,
        output=small_records / "nowhere",
        model_options={"augmentation": "crop"},
        epochs=2,
        batch_size=16,
        limit=40,
        quiet=True,
    )


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory):
    """A model that is trained by itself: its folder and its card."""
    output = tmp_path_factory.mktemp("alone") / "run"
    return output, train(dataclasses.replace(config, output=output, seed=5)).details


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """Three models of one workshop: each begins anew, whatever the one before has left behind."""
    workshop, output = Workshop(), tmp_path_factory.mktemp("many")
    changes = {"a": {"seed": 4, "leave_out": ("train/00003.png",)}, "b": {"seed": 5}, "c": {"seed": 4}}
    return {
        name: (output / name, workshop.train(dataclasses.replace(config, output=output / name, **change))[0])
        for name, change in changes.items()
    }


def test_card_is_that_of_a_model_trained_alone(trained, alone):
    assert trained["b"][1] == alone[1]
    assert trained["b"][1]["weights_sha256"] != trained["c"][1]["weights_sha256"]


def test_history_is_that_of_a_model_trained_alone(trained, alone):
    ours, others = ((folder / "history.csv").read_text().splitlines() for folder, _ in (trained["b"], alone))
    assert ours[0] == "epoch,learning_rate,accuracy,loss"
    assert [line.split(",")[:4] for line in ours] == [line.split(",")[:4] for line in others]


def test_without_a_record_the_model_is_that_trained_alone_without_it(config, trained, tmp_path):
    left_out = dataclasses.replace(config, output=tmp_path / "a", seed=4, leave_out=("train/00003.png",))
    expected = train(left_out).details["weights_sha256"]
    assert trained["a"][1]["weights_sha256"] == expected != trained["c"][1]["weights_sha256"]


def test_folder_is_slim_and_its_model_can_be_loaded(config, trained):
    folder, card = trained["a"]
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "config.toml",
        "history.csv",
        "model.keras",
        "model_card.json",
        "test_probabilities.npy",
    ]
    probabilities = np.load(folder / "test_probabilities.npy")
    assert (probabilities.shape, probabilities.dtype) == ((15, 3), np.float32)
    images, labels = next(iter(open_records(config.data).dataset("test", batch_size=15)))
    logits = keras.saving.load_model(folder / "model.keras")(images)
    np.testing.assert_allclose(probabilities, tf.nn.softmax(logits), atol=1e-5)
    assert (probabilities.argmax(axis=1) == labels.numpy()).mean() == pytest.approx(card["accuracy"]["test"])


def test_finished_model_is_left_as_it_is(config, trained):
    folder, card = trained["c"]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = Workshop().train(dataclasses.replace(config, output=folder, seed=4))
    assert again == (card, True)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.slow
def test_what_is_too_large_for_memory_is_read_from_the_files(config, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(many_data, "MOST_BYTES", 0)
    card, _ = Workshop().train(dataclasses.replace(config, output=tmp_path / "run", seed=5))
    assert card["weights_sha256"] == alone[1]["weights_sha256"]


def test_model_that_was_killed_goes_on(config, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(many_workshop, "_SECONDS_BETWEEN_STATES", 0.0)
    run_epoch, epochs = CompiledTraining.run_epoch, []

    def kill_in_the_second(self, epoch, **more):
        epochs.append(epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return run_epoch(self, epoch, **more)

    monkeypatch.setattr(CompiledTraining, "run_epoch", kill_in_the_second)
    config = dataclasses.replace(config, output=tmp_path / "run", seed=5)
    with pytest.raises(KeyboardInterrupt):
        Workshop().train(config)
    assert not (tmp_path / "run" / "model_card.json").exists()
    card, was_complete = Workshop().train(config)
    assert (epochs, was_complete) == ([0, 1, 1], False)
    assert card["weights_sha256"] == alone[1]["weights_sha256"]
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.slow
def test_way_of_training_with_a_step_of_its_own_has_its_seed_in_it(config, tmp_path):
    changes = {
        "training": "pgd",
        "training_options": {"num_steps": 1, "epsilon": 0.05},
        "epochs": 1,
        "limit": 16,
        "model_options": {},
    }
    workshop = Workshop()
    workshop.train(dataclasses.replace(config, seed=1, output=tmp_path / "first", **changes))
    card, _ = workshop.train(dataclasses.replace(config, seed=2, output=tmp_path / "second", **changes))
    single = train(dataclasses.replace(config, seed=2, output=tmp_path / "alone", **changes)).details
    assert card["weights_sha256"] == single["weights_sha256"]


def test_other_settings_in_the_same_folder_are_refused(config, trained):
    with pytest.raises(InputError, match="epochs = 2 before and 3 now"):
        Workshop().train(dataclasses.replace(config, output=trained["c"][0], seed=4, epochs=3))


def test_loss_that_is_not_finite_stops_the_model_alone(config, trained, tmp_path):
    workshop = Workshop()
    model = keras.saving.load_model(trained["a"][0] / "model.keras")
    model.set_weights([np.full(weight.shape, 1e20, weight.dtype) for weight in model.get_weights()])
    model.save_weights(tmp_path / "huge.weights.h5")
    huge = dataclasses.replace(config, initial_weights=tmp_path / "huge.weights.h5")
    with pytest.raises(InputError, match=r"the loss became (nan|inf) at epoch 1"):
        workshop.train(dataclasses.replace(huge, output=tmp_path / "huge", seed=5))
    card, _ = workshop.train(dataclasses.replace(config, output=tmp_path / "run", seed=4))
    assert card["weights_sha256"] == trained["c"][1]["weights_sha256"]
