"""The second algorithm: learning from a weighted adversarial dataset."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from bioattack.cli.train import main
from bioattack.errors import InputError
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.drawing import draw_places, expected_weight
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.manifest import read_manifest
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.weighted_reading import open_weighted_records
from bioattack.tfrecords_builder.weighted_shards import index_facts
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.registry import training_class
from bioattack.training.run import build_classifier, train


def config_of(records, output, **changes):
    options = {"num_steps": 4, "rounds": 2, "samples": 16}
    if changes.get("options", {}).get("attack") != "pgd":
        options["distance"] = "l2"
    return TrainConfig(
        **{
            "model": "small_cnn",
            "data": records,
            "output": output,
            "training": "dro",
            "training_options": options | changes.pop("options", {}),
            "epochs": 2,
            "batch_size": 8,
            "limit": 24,
            "schedule": "constant",
            "quiet": True,
        }
        | changes
    )


@pytest.fixture(scope="module")
def made(small_records, tmp_path_factory):
    """A run that made its own adversarial dataset of 24 clean and 32 attacked pictures."""
    run = tmp_path_factory.mktemp("dro") / "run"
    return run, train(config_of(small_records, run))


def training_of(config):
    plan = make_plan(config)
    return training_class("dro")(build_classifier(plan, open_records(config.data)), plan)


def test_run_is_complete_and_found_again(made, small_records):
    run, result = made
    assert result.status == "trained"
    assert (run / "adversarial_records" / "summary.json").is_file()
    assert (run / "history.csv").read_text().count("\n") == 3
    assert train(config_of(small_records, run)).status == "already complete"
    assert result.details["training_options"]["weighting"] == "both"


def test_learns_from_draws_times_weights(made, small_records, tmp_path):
    dataset = made[0] / "adversarial_records"
    training = training_of(config_of(small_records, tmp_path, options={"dataset": str(dataset)}))
    records = open_records(small_records)
    assert training.num_examples(records) == 56
    data = training.training_data(records, run=tmp_path)
    assert data.steps_per_epoch == 7
    batches = list(data.from_epoch(1).take(7))
    weighted = open_weighted_records(dataset, open_records(dataset).manifest)
    places = draw_places(weighted.weights, 56, seeds=(0, 1))
    expected = weighted.weights[places] / expected_weight(weighted.weights)
    np.testing.assert_allclose(np.concatenate([one for _, _, one in batches]), expected, rtol=1e-6)
    assert not (tmp_path / "adversarial_records").exists()


def test_models_share_a_dataset_and_differ_by_their_seed(made, small_records, tmp_path):
    options = {"dataset": str(made[0] / "adversarial_records")}
    card = train(config_of(small_records, tmp_path / "run", options=options)).details
    assert card["weights_sha256"] == made[1].details["weights_sha256"]
    labels = [
        next(iter(training.training_data(open_records(small_records), run=tmp_path).from_epoch(0)))[1].numpy()
        for training in (
            training_of(config_of(small_records, tmp_path, seed=seed, options=options)) for seed in (0, 1)
        )
    ]
    assert labels[0].tolist() != labels[1].tolist()


def test_no_epochs_make_the_dataset_alone(made, small_records, tmp_path):
    train(config_of(small_records, tmp_path / "run", epochs=0))
    folders = [run / "adversarial_records" for run in (made[0], tmp_path / "run")]
    one, other = (read_manifest(folder).fingerprint for folder in folders)
    assert one == other


def test_several_machines_take_the_same_steps(made, small_records, tmp_path):
    config = config_of(small_records, tmp_path, options={"dataset": str(made[0] / "adversarial_records")})
    records = open_records(small_records)
    whole, *parts = (
        training_of(config).training_data(records, run=tmp_path, part=part)
        for part in ((0, 1), (0, 2), (1, 2))
    )
    assert [part.steps_per_epoch for part in parts] == [7, 7]
    (images, _, _), *halves = (next(iter(data.from_epoch(3))) for data in (whole, *parts))
    for index, half in enumerate(halves):
        np.testing.assert_array_equal(half[0], images[index::2])
    alone = training_of(config_of(small_records, tmp_path))
    for asked in (
        lambda: alone.check_records(records, (0, 2)),
        lambda: alone.training_data(records, run=tmp_path, part=(0, 2)),
    ):
        with pytest.raises(InputError, match=r"--training-options\.dataset is needed on several machines"):
            asked()


def test_command_says_how_far_the_attacks_went(made, capsys):
    run, _ = made
    summary = json.loads((run / "adversarial_records" / "summary.json").read_text())
    flags = ["--config", str(run / "config.toml"), "--output", str(run), "--quiet"]
    assert main(flags) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("adversarial dataset: 32 attacked pictures in 2 rounds; in the last one ")
    assert f"(the radius delta) was {summary['implied_radius']:.4g}, the worst-case loss" in line
    assert main([*flags, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["adversarial_dataset"] == summary


def test_mistakes_are_found_before_anything_is_written_or_deleted(made, small_records, tmp_path):
    run = tmp_path / "run"
    for options, message in (
        ({"dataset": str(tmp_path)}, "is no adversarial dataset"),
        ({"distance": "pieapp-mini"}, "pieapp-mini needs images of"),
    ):
        with pytest.raises(InputError, match=message):
            train(config_of(small_records, run, options=options))
        assert not run.exists()
    own = {"dataset": str(made[0] / "adversarial_records")}
    for options, message in (({"dataset": str(tmp_path)}, "is no adversarial"), (own, "--overwrite deletes")):
        with pytest.raises(InputError, match=message):
            train(config_of(small_records, made[0], options=options, overwrite=True))
        assert (made[0] / "model.keras").is_file()


def replace_index(folder, index, *, is_noted):
    np.save(folder / "index.npy", index)
    if is_noted:
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["source"] |= index_facts(folder / "index.npy")
        (folder / "manifest.json").write_text(json.dumps(manifest))


def test_index_of_other_shards_is_refused(made, small_records, tmp_path):
    wrong = {"offset": 10**12, "length": 10**15, "shard": 2**32 - 1, "origin": 10**6}
    for number, (field, value) in enumerate([*wrong.items(), ("weight", 3.0)]):
        copy = tmp_path / field
        shutil.copytree(made[0] / "adversarial_records", copy)
        index = np.load(copy / "index.npy")
        index[field][-1] = value
        # Whatever the weights are, the index fits the shards; only the checksum tells.
        replace_index(copy, index, is_noted=number < len(wrong))
        message = f"the index {copy / 'index.npy'} is not that of the shards beside it"
        refuse(small_records, tmp_path, message, copy, RecordsError)


def test_weights_that_overflow_are_refused(made, small_records, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made[0] / "adversarial_records", copy)
    index = np.load(copy / "index.npy")
    index["weight"][-2:] = 1.7e308
    replace_index(copy, index, is_noted=True)
    refuse(small_records, tmp_path, f"the weights of {copy} add up to more than", copy, RecordsError)


def test_dry_run_counts_without_making_anything(small_records, tmp_path):
    details = train(config_of(small_records, tmp_path / "run", dry_run=True)).details
    assert (details["num_train"], details["steps_per_epoch"]) == (56, 7)
    assert not (tmp_path / "run").exists()


def refuse(records, tmp_path, message, dataset, error=InputError):
    config = config_of(records, tmp_path / "run", options={"dataset": str(dataset)})
    with pytest.raises(error, match=re.escape(message)):
        training_of(config).training_data(open_records(records), run=tmp_path)


def test_dataset_that_cannot_be_used_is_refused(made, small_records, tmp_path):
    dataset = made[0] / "adversarial_records"
    refuse(small_records, tmp_path, f"{small_records} holds records of kind synthetic", small_records)
    refuse(small_records, tmp_path, f"{tmp_path} is no adversarial dataset; give the", tmp_path)
    other = write_small_records(tmp_path / "two", num_classes=2)
    refuse(other, tmp_path, "differ in their classes: red, green, blue and red, green", dataset)
    same_kind = write_small_records(tmp_path / "same_kind", seed=1)
    refuse(same_kind, tmp_path, "was made from other records than", dataset)
    larger = write_small_records(tmp_path / "larger", size=20)
    refuse(larger, tmp_path, "differ in their sizes: 16, 16, 3 and 20, 20, 3", dataset)
    shutil.copytree(dataset, tmp_path / "copy")
    (tmp_path / "copy" / "manifest.json").unlink()
    refuse(small_records, tmp_path, "copy is unfinished; give the command that makes it", tmp_path / "copy")


def test_half_written_and_damaged_shards_are_named(made, small_records, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made[0] / "adversarial_records", copy)
    shard = copy / "train-00002-of-00003.tfrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1000])
    message = f"the shard {shard} has {len(content) - 1000} bytes where the manifest says {len(content)}: "
    refuse(small_records, tmp_path, f"{message}the adversarial dataset is damaged; remove {copy}", copy)
    shard.write_bytes(content[:50_000] + bytes(100) + content[50_100:])
    config = config_of(small_records, tmp_path / "run", options={"dataset": str(copy)})
    with pytest.raises(RecordsError, match=re.escape(f"{shard.name} was changed: its sha256 is not")):
        train(config)


def test_changed_dataset_is_not_gone_on_with(made, small_records, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made[0], run)
    (run / "model_card.json").unlink()
    folder = run / "adversarial_records"
    manifest = read_manifest(folder)
    kept = manifest.splits["train"].shards[:2]
    split = dataclasses.replace(manifest.splits["train"], shards=kept, num_examples=40)
    (folder / "manifest.json").write_text(dataclasses.replace(manifest, splits={"train": split}).to_json())
    replace_index(folder, np.load(folder / "index.npy")[:40], is_noted=True)
    with pytest.raises(InputError, match=r"the adversarial dataset has changed since .* was begun"):
        train(config_of(small_records, run))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leave_out": ("a",)}, "--training dro draws by its own weights: leave out --leave-out"),
        ({"balance": True}, "--training dro draws by its own weights"),
        (
            {"options": {"attack": "square", "norm": "linf"}},
            "square starts at the picture that distances are",
        ),
        (
            {"options": {"weighting": "none"}},
            "weighting must be one of both, sampling, loss. Received: 'none'",
        ),
        ({"options": {"dataset": 3}}, "dataset must be a path. Received: 3"),
        ({"options": {"rounds": 0}}, "rounds must be a whole number of at least 1. Received: 0"),
        ({"options": {"rounds": 10**12}}, "rounds must be a whole number of at least 1 and at most 10000."),
        (
            {"options": {"distance_weight": 1e308}},
            "distance_weight must be a number of at least 0 and at most",
        ),
        ({"options": {"distance": "pieapp-mini"}}, "pieapp-mini needs images of"),
        ({"options": {"attack": "pgd", "distance": "ssim"}}, "distance: pgd keeps pictures near in the ball"),
        ({"options": {"epsilon": 0.5}}, "epsilon: lagrangian keeps pictures near by a distance and no ball"),
        (
            {"options": {"attack": "pgd", "norm": "linf"}},
            "epsilon is needed with the norm linf: a ball of 1,",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message, small_records, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        train(config_of(small_records, tmp_path / "run", **changes))
