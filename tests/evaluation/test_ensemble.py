from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from bioattack.cli.fairness import main as fairness
from bioattack.cli.train import main
from bioattack.errors import InputError
from bioattack.evaluation.ensemble import country_table, slope_table, write_ensemble_tables
from bioattack.evaluation.income_facts import world_facts
from bioattack.fairness.country_tables import read_country_counts
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.reading import open_records

COUNTRIES = ("KE", "IN", "BR", "US")
NAMES = ["small_cnn-standard-seed-7", "small_cnn-standard-seed-8"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble") / "records"
    return write_small_records(folder, num_train=48, num_test=41, countries=COUNTRIES, size=8)


@pytest.fixture(scope="module")
def arguments(records, tmp_path_factory):
    output = tmp_path_factory.mktemp("ensemble") / "out"
    options = ["--model", "small_cnn", "--data", str(records), "--output", str(output), "--seed", "7"]
    return [*options, "--epochs", "2", "--batch-size", "16", "--jobs", "1", "--models", "2"]


@pytest.fixture(scope="module")
def output(arguments):
    assert main([*arguments, "--quiet"]) == 0
    return output_of(arguments)


def output_of(arguments):
    return Path(arguments[arguments.index("--output") + 1])


def test_tables_say_what_the_models_answer(records, output):
    table = pd.read_csv(output / "countries.csv")
    assert list(table.columns) == ["model", "country", "accuracy", "n"]
    # Counted again from the model itself, example by example.
    model = keras.saving.load_model(output / NAMES[1] / "model.keras")
    (batch,) = open_records(records).examples("test", batch_size=41)
    is_right = np.argmax(model(batch["image"]), axis=1) == batch["label"].numpy()
    country = batch["group_country"].numpy().astype(str)
    own = table[table["model"] == NAMES[1]].set_index("country")
    for name in COUNTRIES:
        assert own.loc[name, "accuracy"] == pytest.approx(is_right[country == name].mean())
        assert own.loc[name, "n"] == (country == name).sum()
    models = pd.read_csv(output / "models.csv")
    assert list(models["model"]) == NAMES
    assert list(models["seed"]) == [7, 8]
    assert models["test_accuracy"][1] == pytest.approx(is_right.mean())


def test_slopes_are_those_of_least_squares(output):
    models = pd.read_csv(output / "models.csv").set_index("model")
    for name in NAMES:
        counts = {entry.model: entry.rows for entry in read_country_counts(output / "countries.csv")}[name]
        facts, _ = world_facts()
        gdp = [facts.gdp_per_capita[facts.code_of(country)] for country in counts["country"]]
        # NumPy's weights multiply residuals, whose variance goes with 1 / sqrt(n).
        slope, _ = np.polyfit(
            np.log(gdp), counts["num_correct"] / counts["num_images"], 1, w=counts["num_images"] ** 0.25
        )
        assert models.loc[name, "slope"] == pytest.approx(slope, rel=1e-6)
        assert models.loc[name, "slope_low"] < slope < models.loc[name, "slope_high"]


def test_income_takes_the_table(output, tmp_path, capsys):
    options = ["--results", str(output / "countries.csv"), "--output", str(tmp_path / "income"), "--dry-run"]
    assert fairness(["income", *options]) == 0
    assert "2 models" in capsys.readouterr().out


def test_same_command_again_trains_nothing_and_says_so(arguments, output, capsys):
    before = {path: path.read_bytes() for path in output.glob("*.csv")}
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err.count("already complete") == 2
    assert captured.out.startswith(f"{output}: 2 models: 2 already complete\ntest accuracy: mean ")
    assert {path: path.read_bytes() for path in output.glob("*.csv")} == before


def test_dry_run_lists_the_models(arguments, tmp_path, capsys):
    place = arguments.index("--output") + 1
    there = [*arguments[:place], str(tmp_path / "new"), *arguments[place + 1 :], "--dry-run"]
    assert main(there) == 0
    assert NAMES[1] in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


def test_failing_model_makes_exit_code_2(arguments, tmp_path, capsys):
    place = arguments.index("--output") + 1
    there = [*arguments[:place], str(tmp_path / "new"), *arguments[place + 1 :]]
    (tmp_path / "new" / NAMES[0]).mkdir(parents=True)
    (tmp_path / "new" / NAMES[0] / "config.toml").write_text("epochs = 3\n")
    assert main([*there, "--quiet"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(
        f"{NAMES[0]}: failed: --output: {tmp_path / 'new' / NAMES[0]} holds a run with"
    )
    assert "1 failed, 1 trained" in captured.out
    assert list(pd.read_csv(tmp_path / "new" / "models.csv")["model"]) == NAMES[1:]


def test_two_countries_make_no_slope(tmp_path):
    table = tmp_path / "countries.csv"
    table.write_text("model,country,accuracy,n\na,KE,0.5,4\na,US,0.75,4\n")
    with pytest.raises(InputError, match="needs at least 3 countries"):
        slope_table(table)


def test_models_of_other_records_are_refused(output, tmp_path):
    other = open_records(write_small_records(tmp_path / "other", countries=COUNTRIES, size=8))
    with pytest.raises(InputError, match=r"was tested on 41 pictures and .* has 15"):
        country_table(output, NAMES, records=other)


def test_without_countries_there_is_one_table(output, tmp_path):
    plain = write_small_records(tmp_path / "plain", size=8)
    assert write_ensemble_tables(output, NAMES[:1], data=plain) == ((output / "models.csv",), ())
    assert "slope" not in pd.read_csv(output / "models.csv")
