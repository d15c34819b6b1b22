"""bioattack-attack with attacks that go by a distance, and with distances as judges."""

import json

import keras
import numpy as np
import pandas as pd
import pytest

from bioattack.cli.attack import main
from bioattack.distances import make_distance
from bioattack.evaluation.results import COLUMNS, read_results, read_summary
from bioattack.evaluation.robustness import RobustnessMeasurement
from bioattack.testing.small_records import write_small_records
from bioattack.testing.tiny_models import save_tint_model
from bioattack.tfrecords_builder.reading import open_records

SIZE, NUM_IMAGES = 16, 12


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_small_records(
        tmp_path_factory.mktemp("data") / "records", num_test=NUM_IMAGES, size=SIZE, countries=("NA", "KEN")
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tint_model(tmp_path_factory.mktemp("models") / "tint")


def attack(*arguments, expect=0):
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == expect


@pytest.fixture(scope="module")
def output(model, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("output") / "out"
    attack(
        *("--model", model, "--data", records, "--output", folder, "--batch-size", "5", "--quiet"),
        *("--attack", "lagrangian", "pgd-unbounded", "fgsm", "--epsilons", "0.1", "0.2"),
        *("--distance", "rms", "--lambda", "0.001", "--confidence", "1", "--step-size", "0.3"),
        *("--judges", "ciede2000", "l2", "psnr", "--save", "png"),
    )
    return folder


def test_the_table_has_a_column_for_each_judge(output):
    rows = read_results(output)
    assert list(rows.columns) == [*COLUMNS, "ciede2000", "psnr", "country"]
    assert set(rows["country"]) == {"NA", "KEN"}
    assert rows["ciede2000"].dtype == float
    clean = rows[rows["attack"] == "none"]
    assert (clean[["ciede2000", "psnr"]] == 0).all(axis=None)
    ours = rows[rows["attack"] == "lagrangian"]
    assert set(ours["norm"]) == {"rms"}
    assert np.isinf(ours["epsilon"]).all()
    assert (ours["judged"] == "returned").all()
    assert ours["success"].all()
    # The lead over the true class is above the confidence.
    assert (ours["margin_adversarial"] < -1).all()
    assert set(rows.loc[rows["attack"] == "pgd-unbounded", "norm"]) == {"none"}
    assert len(rows) == NUM_IMAGES * (1 + 1 + 1 + 2)


def test_judges_measure_what_was_saved_but_for_the_rounding(output, records):
    rows = read_results(output)
    ours = rows[rows["attack"] == "pgd-unbounded"].set_index("image_id")
    originals = {
        image_id.decode(): image
        for batch in open_records(records).examples("test", batch_size=NUM_IMAGES).as_numpy_iterator()
        for image_id, image in zip(batch["image_id"], batch["image"], strict=True)
    }
    folder = output / "images" / "tint" / "pgd-unbounded-none-inf"
    for image_id, row in ours.iterrows():
        saved = keras.utils.img_to_array(keras.utils.load_img(folder / f"{image_id}")) / np.float32(255)
        original = originals[image_id][None]
        found = float(make_distance("ciede2000")(original, saved[None].astype("float32"))[0])
        assert found == pytest.approx(row["ciede2000"], rel=0.05)


def test_summary_and_tables_have_the_means_over_the_fooled_and_no_infinity(output):
    def refuse(token):
        raise AssertionError(f"{token} is no JSON")

    summary = json.loads((output / "summary.json").read_text(), parse_constant=refuse)
    rows, table = read_results(output), pd.read_csv(output / "tables" / "adversarial.csv")
    assert [row["attack"] for row in summary["adversarial"]] == [
        *("lagrangian", "pgd-unbounded"),
        *("fgsm", "fgsm"),
    ]
    for row, line in zip(summary["adversarial"], table.to_dict("records"), strict=True):
        its = rows[(rows["attack"] == row["attack"]) & (rows["epsilon"] == line["epsilon"]) & rows["success"]]
        assert len(its) == row["num_success"] > 0
        assert row["mean_ciede2000"] == pytest.approx(its["ciede2000"].mean())
        assert row["mean_psnr"] == pytest.approx(line["mean_psnr"])
    assert summary["adversarial"][0]["epsilon"] is None
    assert summary["adversarial"][0]["epsilon_words"] == "no radius"
    stage = summary["attacks"][0]["stages"][0]
    facts = ("distance", "distance_weight", "confidence", "step_length", "step_rule", "num_steps")
    assert [stage[name] for name in facts] == ["rms", 0.001, 1.0, 0.3, "normalised", 100]


def test_given_again_it_is_complete_and_prints_the_judges(output, model, records, capsys):
    attack(
        *("--model", model, "--data", records, "--output", output, "--batch-size", "5", "--quiet"),
        *("--attack", "lagrangian", "pgd-unbounded", "fgsm", "--epsilons", "0.1", "0.2"),
        *("--distance", "rms", "--lambda", "0.001", "--confidence", "1", "--step-size", "0.3"),
        *("--judges", "ciede2000", "l2", "psnr", "--save", "png"),
    )
    printed = capsys.readouterr().out
    assert "was complete already: nothing was attacked again" in printed
    assert "mean distance of the pictures that fooled from their originals:" in printed
    row = read_summary(output)["adversarial"][0]
    assert f"lagrangian rms      no radius       {row['mean_ciede2000']:.4g}" in printed


def test_records_of_an_attack_without_a_radius(model, records, tmp_path):
    attack(
        *("--model", model, "--data", records, "--output", tmp_path / "o", "--quiet", "--save", "records"),
        *("--attack", "pgd-unbounded"),
    )
    folder = tmp_path / "o" / "records" / "tint" / "pgd-unbounded-none-inf"
    assert open_records(folder).num_examples("test") == NUM_IMAGES
    assert "Infinity" not in (folder / "manifest.json").read_text()


def test_features_of_the_attacked_model_itself(records, tmp_path):
    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Input((SIZE, SIZE, 3)),
        keras.layers.Conv2D(6, 3, strides=2, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    ]
    keras.Sequential(layers).save(tmp_path / "small.keras")
    attack(
        *("--model", tmp_path / "small.keras", "--data", records, "--output", tmp_path / "o", "--quiet"),
        *("--attack", "ppgd", "lpa", "--epsilons", "0.3", "--steps", "10"),
    )
    rows = read_results(tmp_path / "o")
    rows = rows[rows["attack"] != "none"]
    assert set(rows["norm"]) == {"nptm"}
    assert set(rows["epsilon"]) == {0.3}
    assert (rows.loc[rows["correct_clean"], "l2"] > 0).all()


def test_dry_run_names_the_distance(model, records, tmp_path, capsys):
    attack(
        *("--model", model, "--data", records, "--output", tmp_path / "o", "--dry-run", "--quiet"),
        *("--attack", "lagrangian", "--distance", "l1"),
    )
    printed = capsys.readouterr().out
    assert "lagrangian 100 steps in l1 without a radius, judged at returned image" in printed
    assert not (tmp_path / "o").exists()


def test_lambda_may_stand_in_a_file(model, records, tmp_path, capsys):
    (tmp_path / "o.toml").write_text('attack = ["lagrangian"]\ndistance = "l2"\nlambda = 0.25\n')
    command = ["--model", model, "--data", records, "--output", tmp_path / "o", "--dry-run", "--json"]
    attack(*command, "--config", tmp_path / "o.toml", "--quiet")
    assert json.loads(capsys.readouterr().out)["settings"]["lambda"] == 0.25


MISUSE = {
    "--lambda takes a number. Received: 'x'": ["--attack", "lagrangian", "--lambda", "x"],
    "--lambda must be a number of at least 0": ["--attack", "lagrangian", "--lambda", "-1"],
    "--distance": ["--attack", "lagrangian", "--distance", "eye"],
    "pieapp-mini needs images of 64 x 64": ["--attack", "lagrangian", "--distance", "pieapp-mini"],
    "ms-ssim needs images of": ["--judges", "ms-ssim"],
    "pieapp needs weights": ["--judges", "pieapp"],
    "distance nptm takes the features of the attacked model itself, and tint shows none": ["--attack", "lpa"],
    "there is no such .keras file": [*("--attack", "lpa", "--distance-options", "nptm.trunk=missing.keras")],
    "missing.pth": ["--judges", "pieapp", "--distance-options", "pieapp.weights=missing.pth"],
    "--attack lagrangian: lagrangian has no relative_step": [
        *("--attack", "lagrangian", "--relative-step", "0.1")
    ],
}


@pytest.mark.parametrize("message", MISUSE)
def test_misuse_is_one_sentence_and_code_2(message, model, records, tmp_path, capsys, monkeypatch):
    monkeypatch.delattr(RobustnessMeasurement, "run")
    given = MISUSE[message]
    attack("--model", model, "--data", records, "--output", tmp_path / "o", "--quiet", *given, expect=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()
