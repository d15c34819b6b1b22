"""Attacked pictures as records: whole, with what was known of each, and right as often as the table says."""

import numpy as np
import pytest
import tensorflow as tf

from bioattack.classifier import load_classifier
from bioattack.cli.build_records import main as build_main
from bioattack.cli.evaluate import main as evaluate_main
from bioattack.evaluation.adversarial_records import KIND
from bioattack.evaluation.attack import attack
from bioattack.evaluation.attack_config import AttackConfig
from bioattack.evaluation.results import read_results, read_summary
from bioattack.testing.small_records import write_small_records
from bioattack.testing.tiny_models import save_tint_model
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.verify import verify

NUM_IMAGES, EPSILONS = 15, (0.05, 0.12)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_small_records(
        tmp_path_factory.mktemp("data") / "records", num_test=NUM_IMAGES, countries=("NA", "KEN", "PER")
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    # The second one is wrong about some pictures before they are attacked.
    return (
        save_tint_model(folder / "tint"),
        save_tint_model(folder / "skewed", after=lambda logits: logits + tf.constant([0.0, 9.3, 0.0])),
    )


def run(models, records, folder, **changes):
    settings = {
        "attack": ("fgsm",),
        "epsilons": EPSILONS,
        "batch_size": 8,
        "quiet": True,
        "save": "records",
        "seed": 7,
    }
    attack(AttackConfig(model=models, data=records, output=folder, **(settings | changes)))
    return folder


@pytest.fixture(scope="module")
def output(models, records, tmp_path_factory):
    return run(models, records, tmp_path_factory.mktemp("output") / "out")


def examples_of(records):
    """Everything that is known of each picture, by its name."""
    found = {}
    for batch in records.examples("test", batch_size=4).as_numpy_iterator():
        for place, image_id in enumerate(batch["image_id"]):
            found[image_id.decode()] = {name: values[place] for name, values in batch.items()}
    return found


def written_folders(output):
    return sorted(path.parent for path in (output / "records").rglob("manifest.json"))


def test_every_model_and_epsilon_has_sound_records(output):
    folders = written_folders(output)
    assert [folder.relative_to(output / "records").as_posix() for folder in folders] == [
        f"{model}/fgsm-linf-{epsilon}" for model in ("skewed", "tint") for epsilon in EPSILONS
    ]
    assert [verify(folder) for folder in folders] == [[]] * 4
    # The pictures are in the records now, and nowhere twice.
    assert not (output / "images").exists()
    assert not (output / "unfinished").exists()


def test_names_labels_and_groups_are_as_before(output, records):
    before = examples_of(open_records(records))
    for folder in written_folders(output):
        opened = open_records(folder)
        assert opened.class_names == open_records(records).class_names
        assert opened.groups == ("country",)
        assert opened.image_shape == (16, 16, 3)
        after = examples_of(opened)
        assert after.keys() == before.keys()
        for name, example in after.items():
            assert example["label"] == before[name]["label"]
            assert example["group_country"] == before[name]["group_country"]


def test_a_model_is_right_about_them_as_often_as_the_table_says(output, models):
    rows = {(row["model"], row["epsilon"]): row for row in read_summary(output)["adversarial"]}
    for model in models:
        classifier = load_classifier(model)
        for epsilon in EPSILONS:
            opened = open_records(output / "records" / model.name / f"fgsm-linf-{epsilon}")
            is_right = [
                np.asarray(classifier.logits(images)).argmax(1) == np.asarray(labels)
                for images, labels in opened.dataset("test", batch_size=4)
            ]
            expected = rows[model.name, epsilon]["accuracy_8bit"]
            assert np.concatenate(is_right).mean() == pytest.approx(expected, abs=1e-12)
    assert rows["skewed", EPSILONS[0]]["num_misclassified"] > 0
    assert 0 < rows["tint", EPSILONS[1]]["accuracy_8bit"] < 1


def test_what_was_not_attacked_is_as_it_was(output, records):
    results = read_results(output)
    before = examples_of(open_records(records))
    after = examples_of(open_records(output / "records" / "skewed" / f"fgsm-linf-{EPSILONS[0]}"))
    clean = results[(results["model"] == "skewed") & (results["attack"] == "none")]
    is_same = {name: np.array_equal(after[name]["image"], before[name]["image"]) for name in before}
    assert is_same == dict(zip(clean["image_id"], ~clean["correct_clean"], strict=True))


def test_the_manifest_says_where_they_come_from(output, records):
    summary = read_summary(output)
    manifest = open_records(output / "records" / "tint" / f"fgsm-linf-{EPSILONS[1]}").manifest
    assert manifest.kind == KIND
    expected = {
        "model": "tint",
        "model_fingerprint": summary["models"][0]["fingerprint"],
        "records_fingerprint": open_records(records).manifest.fingerprint,
        "attack": "fgsm",
        "norm": "linf",
        "epsilon": EPSILONS[1],
        "seed": 7,
    }
    assert expected.items() <= manifest.source.items()
    assert manifest.source["stages"][0]["attack"] == "fgsm"
    row = next(
        row for row in summary["adversarial"] if row["model"] == "tint" and row["epsilon"] == EPSILONS[1]
    )
    assert manifest.source["num_success_8bit"] == row["num_success_8bit"]
    assert manifest.arguments["seed"] == 7


def test_they_are_read_like_any_others(output, models, tmp_path):
    folder = output / "records" / "tint" / f"fgsm-linf-{EPSILONS[1]}"
    assert build_main(["verify", str(folder)]) == 0
    arguments = [
        "--model",
        models[0],
        "--data",
        folder,
        "--epsilons",
        "0.05",
        "--norms",
        "linf",
        "--steps",
        "2",
    ]
    assert evaluate_main([*map(str, arguments), "--output", str(tmp_path / "e"), "--quiet"]) == 0
    before = next(
        row
        for row in read_summary(output)["adversarial"]
        if row["model"] == "tint" and row["epsilon"] == EPSILONS[1]
    )
    assert read_summary(tmp_path / "e")["clean"][0]["accuracy"] == before["accuracy_8bit"]
    again = run(models[:1], folder, tmp_path / "a", epsilons=(0.05,))
    assert verify(written_folders(again)[0]) == []


def test_of_a_search_each_picture_is_the_one_at_its_own_epsilon(models, records, tmp_path):
    output = run(
        models[:1], records, tmp_path / "o", least_epsilon=0.004, epsilons=(0.125,), quantise=True, steps=1
    )
    (folder,) = written_folders(output)
    assert folder.name == "fgsm-linf-0.125"
    assert verify(folder) == []
    rows = read_results(output)
    rows = rows[rows["attack"] == "fgsm"].set_index("image_id")
    assert rows["success"].sum() >= 3
    before, after = examples_of(open_records(records)), examples_of(open_records(folder))
    classifier = load_classifier(models[0])
    for name, row in rows.iterrows():
        image = after[name]["image"]
        assert np.abs(image - before[name]["image"]).max() <= row["epsilon"] + 1e-6
        is_wrong = np.asarray(classifier.logits(image[None])).argmax() != row["label"]
        assert is_wrong == row["success"]


def test_killed_while_they_are_written_they_are_the_same(output, models, records, tmp_path, monkeypatch):
    from bioattack.evaluation import adversarial_records as module

    build, built = module.build_source, []

    def interrupt(kind, source):
        if len(built) == 2:
            raise KeyboardInterrupt
        built.append(source)
        build(kind, source)

    monkeypatch.setattr(module, "build_source", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(models, records, tmp_path / "o")
    assert not (tmp_path / "o" / "summary.json").exists()
    monkeypatch.undo()
    run(models, records, tmp_path / "o")
    fingerprints = [
        [open_records(folder).manifest.fingerprint for folder in written_folders(one)]
        for one in (output, tmp_path / "o")
    ]
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints[0])) > 1


def test_grey_pictures_stay_grey(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    labels = np.uint8([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    np.savez(tmp_path / "mnist.npz", x_train=pixels, y_train=labels, x_test=255 - pixels, y_test=labels)
    arguments = ["mnist", "--source", tmp_path / "mnist.npz", "--output", tmp_path / "grey", "--quiet"]
    assert build_main([*map(str, arguments)]) == 0
    weights = tf.constant(np.random.default_rng(1).normal(size=(784, 10)), tf.float32)
    module = tf.Module()
    module.__call__ = tf.function(
        lambda images: tf.reshape(images, (-1, 784)) @ weights,
        input_signature=[tf.TensorSpec((None, 28, 28, 1), tf.float32)],
    )
    tf.saved_model.save(module, tmp_path / "m")
    output = run((tmp_path / "m",), tmp_path / "grey", tmp_path / "o", epsilons=(0.1,))
    (folder,) = written_folders(output)
    assert open_records(folder).image_shape == (28, 28, 1)
    assert verify(folder) == []
