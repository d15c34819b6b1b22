"""Merged training: attacks on a standard model, made once, beside the clean examples."""

import json
import re
import shutil

import keras
import numpy as np
import pytest

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.attacked_records import read_provenance
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.exact_records import open_exact_records
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.selection import read_names
from bioattack.tfrecords_builder.verify import verify
from bioattack.training import dataset_chunks
from bioattack.training import merged_dataset as module
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.merged_dataset import merged_dataset
from bioattack.training.registry import training_class
from bioattack.training.run import build_classifier, make_repeatable, train

EPSILON = 0.02


@pytest.fixture(scope="module")
def standard_model(tmp_path_factory):
    """A linear model that goes by the tint, and just so."""
    images = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(images, keras.layers.Dense(3)(means))
    model.set_weights([5 * np.eye(3, dtype=np.float32), np.float32([0, 1.1, 0.5])])
    path = tmp_path_factory.mktemp("standard") / "standard.keras"
    model.save(path)
    return path


def config_of(records, model, **changes):
    options = {"standard_model": str(model), "epsilon": EPSILON} | changes.pop("options", {})
    return TrainConfig(
        **{
            "model": "small_cnn",
            "data": records,
            "output": records,
            "training": "merged",
            "training_options": options,
            "batch_size": 16,
            "quiet": True,
        }
        | changes
    )


@pytest.fixture(scope="module")
def made(small_records, standard_model, tmp_path_factory):
    """The dataset of all sixty pictures."""
    make_repeatable(0)
    folder = tmp_path_factory.mktemp("merged") / "dataset"
    plan = make_plan(config_of(small_records, standard_model))
    return folder, merged_dataset(plan, records=open_records(small_records), folder=folder)


def training_of(config, records):
    plan = make_plan(config)
    return training_class("merged")(build_classifier(plan, records), plan)


def everything(records):
    (batch,) = records.examples("train", batch_size=1000).as_numpy_iterator()
    return batch["image"], batch["label"], [name.decode() for name in batch["image_id"]]


def alone(standard_model, small_records, judged):
    """Forty steps of 2.5 epsilon / 40 from a random start, run by itself."""
    images, labels, names = everything(open_records(small_records))
    request = AttackRequest(
        "pgd",
        epsilons=(EPSILON,),
        num_steps=40,
        relative_step=2.5 / 40,
        has_random_start=True,
        judged=judged,
    )
    classifier = load_classifier(standard_model)
    return attack_images(classifier, images, labels, request, image_ids=names, batch_size=16)


def test_copies_are_what_the_attack_makes_of_every_example(made, small_records, standard_model):
    folder, summary = made
    images, labels, names = everything(open_exact_records(folder))
    clean, clean_labels, clean_names = everything(open_records(small_records))
    np.testing.assert_array_equal(images[::2], clean)
    assert names[::2] == clean_names
    assert names[1::2] == [f"adversarial/{name}" for name in clean_names]
    np.testing.assert_array_equal(labels, np.repeat(clean_labels, 2))
    attacked = alone(standard_model, small_records, "last")
    is_right = attacked.is_correct
    copies = images[1::2]
    np.testing.assert_allclose(copies[is_right], attacked.adversarial_images[0][is_right], atol=1e-6)
    # So far from the border of the ball that no random start is left, also where the model was wrong before:
    # the model is linear in the tint, and goes against that of the true class alone.
    way = (copies - clean).mean(axis=(1, 2))
    own = way[np.arange(60), clean_labels]
    assert 0 < (~is_right).sum() < 60
    np.testing.assert_allclose(own[clean.min(axis=(1, 2, 3)) > EPSILON], -EPSILON, atol=1e-6)
    assert (own < 0).all()
    assert summary["success_rate"] == attacked.is_fooled.sum() / is_right.sum()
    assert 0 < summary["success_rate"] < 1
    assert np.abs(copies - clean).max() <= EPSILON + 1e-6
    assert verify(folder) == []
    (record, *_) = list(open_records(folder).serialised("train").as_numpy_iterator())[1::2]
    provenance = read_provenance(record)
    assert (provenance.origin_id, provenance.weight) == (clean_names[0], 1)
    assert json.loads(provenance.attack)["epsilon"] == EPSILON


def test_copies_may_stop_at_the_first_wrong_iterate(small_records, standard_model, tmp_path):
    plan = make_plan(config_of(small_records, standard_model, options={"judged": "any"}))
    summary = merged_dataset(plan, records=open_records(small_records), folder=tmp_path)
    images, _, _ = everything(open_exact_records(tmp_path))
    attacked = alone(standard_model, small_records, "any")
    np.testing.assert_allclose(images[1::2], attacked.adversarial_images[0], atol=1e-6)
    is_wrong = ~attacked.is_correct
    assert is_wrong.any()
    np.testing.assert_array_equal(images[1::2][is_wrong], images[::2][is_wrong])
    assert summary["success_rate"] == attacked.is_fooled.sum() / attacked.is_correct.sum()


def test_an_epoch_is_all_of_both_once(made, small_records, standard_model, tmp_path):
    records = open_records(small_records)
    config = config_of(small_records, standard_model, options={"dataset": str(made[0])})
    training = training_of(config, records)
    data = training.training_data(records, run=tmp_path)
    assert data.steps_per_epoch == 8
    assert training.num_examples(records) == 120
    read = np.concatenate([images for images, _ in data.from_epoch(0).take(8)])
    stored, _, _ = everything(open_exact_records(made[0]))
    assert not np.array_equal(read, stored)
    sums = [np.sort(images.sum(axis=(1, 2, 3), dtype=np.float64)) for images in (read, stored)]
    np.testing.assert_allclose(*sums)
    later = next(iter(data.from_epoch(1)))[0].numpy()
    assert not np.array_equal(later, read[:16])


def test_what_is_left_out_goes_with_its_copy_and_classes_are_levelled(
    made, small_records, standard_model, tmp_path
):
    records = open_records(small_records)
    names, labels = read_names(records, "train")
    # Two of the reds fewer, so that there is something to level.
    reds = tuple(str(name) for name in names[labels == 0][:2])
    options = {"dataset": str(made[0])}
    config = config_of(small_records, standard_model, leave_out=reds, options=options)
    training = training_of(config, records)
    data = training.training_data(records, run=tmp_path)
    assert training.num_examples(records) == 116
    images, read_labels = (
        np.concatenate(parts) for parts in zip(*data.from_epoch(0).take(data.steps_per_epoch), strict=True)
    )
    assert np.bincount(read_labels).tolist() == [36, 40, 40]
    stored, _, stored_names = everything(open_exact_records(made[0]))
    for name, image in zip(stored_names, stored, strict=True):
        is_out = name.removeprefix("adversarial/") in reds
        assert (images == image).all(axis=(1, 2, 3)).any() != is_out
    level = training_of(config_of(small_records, standard_model, balance=True, options=options), records)
    assert level.training_data(records, run=tmp_path).steps_per_epoch == 8
    missing = config_of(small_records, standard_model, leave_out=("nobody",), options=options)
    with pytest.raises(RecordsError, match="has no record named 'nobody', which was to be left out"):
        training_of(missing, records).training_data(records, run=tmp_path)


class Killed(BaseException):
    """Stands for a kill: nothing in the project catches it."""


def test_kills_change_nothing(small_records, standard_model, tmp_path, monkeypatch):
    plan, records = make_plan(config_of(small_records, standard_model)), open_records(small_records)
    monkeypatch.setattr(dataset_chunks, "_CHUNK_RECORDS", 16)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    merged_dataset(plan, records=records, folder=whole)
    original, calls = module.attacked_record, []

    def killing(*arguments, **options):
        calls.append(0)
        if len(calls) in (5, 40):
            raise Killed
        return original(*arguments, **options)

    monkeypatch.setattr(module, "attacked_record", killing)
    make_repeatable(0)
    for _ in range(2):
        with pytest.raises(Killed):
            merged_dataset(plan, records=records, folder=killed)
    merged_dataset(plan, records=records, folder=killed)
    # What was done is not done again: one chunk of sixteen, and what the second kill left unfinished.
    assert len(calls) < 5 + 60 + 16
    for path in whole.iterdir():
        if path.name != "summary.json":
            assert path.read_bytes() == (killed / path.name).read_bytes(), path.name


def test_mistakes_are_found_before_anything_is_written_or_deleted(small_records, standard_model, tmp_path):
    run = tmp_path / "run"
    for options, message in (
        ({"standard_model": str(tmp_path / "nowhere")}, "there is no such file or folder"),
        ({"dataset": str(small_records)}, "holds records of kind synthetic"),
    ):
        with pytest.raises(InputError, match=message):
            train(config_of(small_records, standard_model, output=run, options=options))
        assert not run.exists()
    run.mkdir()
    (run / "config.toml").touch()
    own = shutil.copy(standard_model, run / "model.keras")
    with pytest.raises(InputError, match=r"lies in .*run, which --overwrite deletes; give another --output"):
        train(config_of(small_records, own, output=run, overwrite=True))
    assert (run / "model.keras").is_file()


def test_what_cannot_be_is_refused(made, small_records, standard_model, tmp_path):
    records = open_records(small_records)
    with pytest.raises(InputError, match=re.escape("--training-options.standard_model is needed")):
        make_plan(config_of(small_records, ""))
    plan = make_plan(config_of(small_records, standard_model, options={"epsilon": 8.0}))
    with pytest.raises(InputError, match="epsilon is in the unit of the pictures"):
        merged_dataset(plan, records=records, folder=tmp_path / "a")
    other = open_records(write_small_records(tmp_path / "two", num_classes=2))
    plan = make_plan(config_of(small_records, standard_model))
    with pytest.raises(InputError, match="tells 3 classes apart"):
        merged_dataset(plan, records=other, folder=tmp_path / "b")
    plan = make_plan(config_of(small_records, standard_model, seed=1))
    with pytest.raises(InputError, match="holds an adversarial dataset with seed = 0 before and 1 now"):
        merged_dataset(plan, records=records, folder=made[0])
    shutil.copytree(made[0], tmp_path / "copy")
    (tmp_path / "copy" / "manifest.json").unlink()
    config = config_of(small_records, standard_model, options={"dataset": str(tmp_path / "copy")})
    with pytest.raises(InputError, match="is unfinished; give the command that makes it again"):
        training_of(config, records).training_data(records, run=tmp_path)
