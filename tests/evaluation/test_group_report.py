"""Rows of a table from records to report, by the commands themselves."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from bioattack.cli.attack import main as attack_main
from bioattack.cli.evaluate import main as evaluate_main
from bioattack.errors import InputError
from bioattack.evaluation.group_figures import MAX_GROUPS, shown_groups
from bioattack.evaluation.group_report import check_columns, has_groups
from bioattack.evaluation.results import read_results, read_summary
from bioattack.testing.small_records import write_small_records
from bioattack.testing.small_tables import SMALL_TABLE, WEIGHTS, save_row_model, small_rows, write_small_table
from bioattack.testing.tiny_models import save_tint_model
from bioattack.tfrecords_builder.reading import open_records


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records of rows, and two models of them."""
    folder = tmp_path_factory.mktemp("rows")
    write_small_table(folder / "records", num_test=30)
    save_row_model(folder / "standard.keras")
    save_row_model(folder / "robust.keras", weights=(0.02, *WEIGHTS[1:]), threshold=2.5)
    return folder


def evaluate(folder, *flags, output="evaluated"):
    models = ["--model", str(folder / "standard.keras"), "--model", str(folder / "robust.keras")]
    named = [
        "--data",
        str(folder / "records"),
        "--output",
        str(folder / output),
        "--quiet",
        "--json",
        "--steps",
        "8",
    ]
    return evaluate_main([*models, *named, *flags])


@pytest.fixture(scope="module")
def evaluated(folder):
    """Measured without groups, which are then added."""
    assert evaluate(folder, "--least-epsilon", "0.5") == 0
    assert "by_group" not in read_summary(folder / "evaluated")
    assert not (folder / "evaluated" / "tables" / "by_sex.csv").exists()
    stamp = (folder / "evaluated" / "results.csv.gz").stat().st_mtime_ns
    assert evaluate(folder, "--least-epsilon", "0.5", "--group-by", "sex", "label") == 0
    assert (folder / "evaluated" / "results.csv.gz").stat().st_mtime_ns == stamp
    return folder / "evaluated"


def test_table_is_that_of_pictures_and_of_these_rows(evaluated):
    results = read_results(evaluated)
    rows, labels = small_rows(30, seed=1)
    places = results["image_id"].str.removeprefix("test/").astype(int)
    assert list(results["label"]) == list(labels[places])
    assert list(results["sex"]) == [("Female", "Male")[int(rows[place, 1])] for place in places]
    ladder = results[results["epsilon_high"].isna() & (results["attack"] == "pgd")]
    assert sorted(ladder["epsilon"].unique()) == [10.0, 15.0, 20.0]
    assert (ladder["linf"] <= ladder["epsilon"] * (1 + 1e-6)).all()
    assert (ladder["success"] == ladder["success_8bit"]).all()
    assert (results["p0"] + results["p1"]).to_numpy() == pytest.approx(1, abs=1e-6)
    clean = results[(results["attack"] == "none") & (results["model"] == "standard")]
    # The softmax of two logits, of which one is always the threshold.
    margins = rows[places[clean.index]] @ np.array(WEIGHTS) - 6.4137
    np.testing.assert_allclose(clean["p1"], 1 / (1 + np.exp(-margins)), atol=1e-5)
    assert ((results["p1"] > results["p0"]) == (results["predicted_adversarial"] == 1)).all()


def test_summary_says_what_was_moved(evaluated):
    summary = read_summary(evaluated)
    assert summary["data"]["image_shape"] is None
    assert summary["data"]["input_shape"] == [4]
    assert summary["data"]["moved"] == ["age", "rate"]
    assert [one["name"] for one in summary["data"]["table"]["attributes"]] == list(SMALL_TABLE.names)
    assert {row["epsilon_words"] for row in summary["adversarial"]} == {"10", "15", "20"}
    assert len(summary["protocol"]["attacks"]) == 1
    assert {row["model"] for row in summary["least_epsilon"]} == {"standard", "robust"}


def test_groups_are_compared_in_tables_figures_and_report(evaluated):
    summary, page = read_summary(evaluated), (evaluated / "report.html").read_text()
    assert set(summary["by_group"]) == set(summary["group_gaps"]) == {"sex", "label"}
    for column in ("sex", "label"):
        lines = (evaluated / "tables" / f"by_{column}.csv").read_text().splitlines()
        # Two models and groups; clean, three epsilons and the search.
        assert len(lines) == 1 + 2 * 2 * 5
        gaps = (evaluated / "tables" / f"gaps_by_{column}.csv").read_text().splitlines()
        # Accuracy of four settings, success at three of them, and the least epsilon.
        assert len(gaps) == 1 + 2 * (4 + 3 + 3 + 1)
        with Image.open(evaluated / "figures" / f"by-{column}.png") as figure:
            assert figure.width > 600
        assert (evaluated / "figures" / f"by-{column}.png").stat().st_size < 150_000
    assert "By sex" in page
    assert "By class" in page
    assert "--group-by sex label" in page
    assert "mean least ε" in page
    assert "The largest difference between two groups" in page


def test_report_speaks_of_rows(evaluated):
    page = re.sub("<style>.*?</style>", "", (evaluated / "report.html").read_text(), flags=re.DOTALL)
    assert "Only age, rate were moved" in page
    assert "The share of 30 rows that each model names correctly" in page
    for word in ("picture", "pixel", "8 bits", "/255"):
        assert word not in page
    assert not (evaluated / "examples").exists()


def test_what_is_there_is_not_made_again(folder, evaluated, capsys):
    stamp = (evaluated / "report.html").stat().st_mtime_ns
    assert evaluate(folder, "--least-epsilon", "0.5", "--group-by", "sex") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["was_complete"]
    assert set(found["by_group"]) == {"sex", "label"}
    assert (evaluated / "report.html").stat().st_mtime_ns == stamp


def test_attacked_rows_are_records_again(folder):
    flags = ["--attack", "fgsm", "pgd", "--epsilons", "5", "12", "--save", "records", "--quiet", "--json"]
    named = ["--model", str(folder / "standard.keras"), "--data", str(folder / "records")]
    assert attack_main([*named, "--output", str(folder / "attacked"), *flags]) == 0
    results = read_results(folder / "attacked")
    rows, _ = small_rows(30, seed=1)
    for epsilon in (5.0, 12.0):
        records = open_records(folder / "attacked" / "records" / "standard" / f"pgd-linf-{epsilon!r}")
        assert records.table == SMALL_TABLE
        (batch,) = records.examples("test", batch_size=100).as_numpy_iterator()
        its = results[(results["attack"] == "pgd") & (results["epsilon"] == epsilon)].set_index("image_id")
        for name, features, group in zip(
            batch["image_id"], batch["features"], batch["group_sex"], strict=True
        ):
            original = rows[int(name.decode().removeprefix("test/"))]
            row = its.loc[name.decode()]
            assert group.decode() == row["sex"]
            assert np.abs(features.astype(np.float64) - original).max() == pytest.approx(
                row["linf"], abs=1e-6
            )
            assert (features[[1, 3]] == original[[1, 3]]).all()
    assert not (folder / "attacked" / "images").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--group-by", "race"], "--group-by: the records carry no group 'race'; there are label, sex"),
        (["--group-by", "sex", "sex"], "--group-by: name each column once"),
        (["--audit"], "--audit asks about the gradients of pictures"),
        (["--norms", "l2"], "--norms: rows of a table are attacked in linf"),
        (["--input-range", "0", "255"], "takes rows of a table, each attribute on its own scale"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(folder, flags, message, capsys):
    with pytest.raises(SystemExit) as stop:
        evaluate(folder, *flags, output=f"refused{len(message)}")
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_models_of_pictures_and_rows_are_told_apart(folder, tmp_path, capsys):
    pictures = write_small_records(tmp_path / "pictures", num_train=3, num_test=3)
    tint = save_tint_model(tmp_path / "tint")
    for model, records, message in (
        (tint, folder / "records", "takes pictures, the records in .* hold rows of a table"),
        (folder / "standard.keras", pictures, "takes rows of a table, the records in .* hold pictures"),
    ):
        with pytest.raises(SystemExit) as stop:
            evaluate_main(
                ["--model", str(model), "--data", str(records), "--output", str(tmp_path / "out"), "--quiet"]
            )
        assert stop.value.code == 2
        assert any(part in capsys.readouterr().err for part in (message.partition(", the records")[0],))


def test_columns_are_checked_before_anything_is_measured():
    check_columns(("label", "race"), ("race",))
    with pytest.raises(InputError, match="there are label, country"):
        check_columns(("race",), ("country",))


def test_groups_that_are_there_need_no_second_reading():
    assert has_groups({}, ())
    assert has_groups({"by_group": {"race": []}}, ("race",))
    assert not has_groups({"by_group": {"race": []}}, ("race", "sex"))


def test_of_many_groups_the_worst_and_best_are_shown():
    rows = [
        {"model": "m", "attack": "none", "norm": "none", "epsilon": 0.0, "group": f"g{place}"}
        | {"accuracy": (place * 7 % 50) / 50, "least_epsilon": None}
        for place in range(50)
    ]
    summary = {"by_group": {"country": rows}, "models": [{"name": "m"}], "adversarial": [], "clean": []}
    shown = shown_groups(summary, "country")
    accuracies = [row["accuracy"] for name in shown for row in rows if row["group"] == name]
    assert len(shown) == MAX_GROUPS
    assert accuracies == sorted(accuracies)
    assert accuracies[9] < 0.2 < 0.79 < accuracies[10]
