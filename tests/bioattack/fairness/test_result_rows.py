"""Rows by model and setting, from results tables and from others."""

import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.fairness.country_tables import Setting
from bioattack.fairness.result_rows import read_model_rows
from bioattack.testing.made_up_scores import MadeUpScores, write_results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "results.csv.gz"
    return path, write_results(path)


def test_results_are_split_by_model_and_setting(results):
    path, table = results
    first, second = read_model_rows(path.parent)
    assert (first.model, second.model, first.source) == ("standard", "robust", path)
    assert list(first.attacked) == [Setting("pgd", "linf", 0.01), Setting("pgd", "linf", 0.02)]
    assert list(first.searched) == [Setting("pgd", "linf")]
    own = table[(table.model == "robust") & (table.attack == "none")]
    assert second.clean["is_right"].tolist() == own["correct_clean"].tolist()
    assert second.clean["predicted"].tolist() == own["predicted_clean"].tolist()
    assert second.clean["label"].tolist() == own["label"].astype(str).tolist()
    np.testing.assert_allclose(second.probabilities, own[["p0", "p1", "p2", "p3"]], rtol=1e-12)
    attacked = second.attacked[Setting("pgd", "linf", 0.02)]
    expected = table[(table.model == "robust") & (table.epsilon == 0.02) & table.epsilon_high.isna()]
    right_after = expected.correct_clean & ~expected.success
    assert attacked["is_right_after"].tolist() == right_after.tolist()
    assert attacked["predicted"].tolist() == expected["predicted_adversarial"].tolist()


def test_least_epsilon_counts_wrong_ones_as_0_and_those_that_never_fell_as_the_largest(results):
    path, table = results
    searched = read_model_rows(path)[1].searched[Setting("pgd", "linf")]
    own = table[(table.model == "robust") & table.epsilon_high.notna()]
    never_fell = np.isinf(own["epsilon_high"]).to_numpy()
    expected = np.where(never_fell, 0.04, own["epsilon_high"])
    np.testing.assert_allclose(searched["least_epsilon"], expected, rtol=1e-12)
    assert searched["is_censored"].tolist() == never_fell.tolist()
    assert (searched["least_epsilon"][~own["correct_clean"].to_numpy()] == 0).all()
    assert 0 < never_fell.sum() < len(own)


def test_images_of_the_class_that_was_aimed_at_are_not_searched(tmp_path):
    path = tmp_path / "results.csv"
    table = write_results(path, MadeUpScores(models=("m",), num_images=20))
    is_aimed_at = table.epsilon_high.notna() & (table.label == 1)
    table.loc[is_aimed_at, ["epsilon_low", "epsilon_high"]] = [0.0, np.inf]
    table.to_csv(path, index=False)
    searched = read_model_rows(path)[0].searched[Setting("pgd", "linf")]
    assert len(searched) == 15
    assert list(searched["label"].cat.categories) == ["0", "1", "2", "3"]


def test_one_setting_can_be_asked_for(results):
    path, _ = results
    rows = read_model_rows(path, setting=Setting("pgd", "linf", 0.02))[0]
    assert (list(rows.attacked), len(rows.searched)) == ([Setting("pgd", "linf", 0.02)], 1)
    rows = read_model_rows(path, setting=Setting("fgsm"))[0]
    assert (rows.attacked, rows.searched) == ({}, {})


def test_classes_have_their_names(results):
    path, _ = results
    rows = read_model_rows(path, class_names=("ape", "bee", "cow", "dog"))[0]
    assert rows.class_names == ("ape", "bee", "cow", "dog")
    assert rows.clean["label"].tolist()[:4] == ["ape", "bee", "cow", "dog"]
    with pytest.raises(InputError, match="probabilities of 4 classes, and there are 2 names: ape, bee"):
        read_model_rows(path, class_names=("ape", "bee"))


@pytest.mark.parametrize(
    ("labels", "answers"), [("0.0 1.0", "0 1"), ("cat dog", " cat dog"), ("0 1", "0 1.0")]
)
def test_the_same_class_may_be_written_in_other_ways(tmp_path, labels, answers):
    path = tmp_path / "a.csv"
    rows = zip(labels.split(" "), answers.rsplit(" ", 1), strict=True)
    path.write_text("label,predicted\n" + "".join(f"{label},{answer}\n" for label, answer in rows))
    (found,) = read_model_rows(path)
    assert len(found.class_names) == 2
    assert found.clean["is_right"].tolist() == [True, True]


def test_names_on_one_side_and_numbers_on_the_other_are_refused_unless_names_are_given(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("label,predicted\ncat,0\ndog,1\n")
    with pytest.raises(InputError, match="'cat' in label and '0' in predicted: give both"):
        read_model_rows(path)
    (found,) = read_model_rows(path, class_names=("cat", "dog"))
    assert found.clean["is_right"].tolist() == [True, True]
    path.write_text("label,p0,p1\ncat,0.5,0.5\ndog,0.5,0.5\n")
    with pytest.raises(InputError, match=r"'cat', which is none of its 2 classes .0, 1.; number them from 0"):
        read_model_rows(path)


@pytest.mark.parametrize("column", ["image_id", "p0", "epsilon"])
def test_what_is_different_for_every_image_is_no_group(results, column):
    with pytest.raises(InputError, match=f"column '{column}' of .* names or measures single images"):
        read_model_rows(results[0], column=column)


def test_groups_may_be_called_anything(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("label,predicted,sex\n0,0,--3\n1,1,²\n0,0,7\n", encoding="utf-8")
    assert list(read_model_rows(path, column="sex")[0].clean["group"].cat.categories) == ["7", "--3", "²"]


@pytest.mark.parametrize(
    "text",
    [
        "label,predicted,sex\n0,0,f\n1,0,m\n",
        "label,correct,sex\n0,1,f\n1,false,m\n",
        "label,p0,p1,sex\n0,0.75,0.25,f\n1,0.75,0.25,m\n",
    ],
)
def test_other_tables_say_what_was_right(tmp_path, text):
    path = tmp_path / "answers.csv"
    path.write_text(text)
    (rows,) = read_model_rows(path, column="sex")
    assert (rows.model, rows.clean["is_right"].tolist()) == ("answers", [True, False])
    assert rows.class_names == ("0", "1")
    assert rows.clean["group"].tolist() == ["f", "m"]


def test_groups_are_in_order_and_the_empty_one_has_a_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("model,label,correct,age\nm,0,1,10\nm,0,1,9\nm,1,1,\nn,1,1,9\n")
    first, second = read_model_rows(path, column="age")
    assert list(first.clean["group"].cat.categories) == ["9", "10", "(empty)"]
    assert (first.model, second.model, len(second.clean)) == ("m", "n", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("predicted,sex\n0,f\n", "no column 'label' that says the true class"),
        ("label,sex\n0,f\n", "says nothing of what the model answered"),
        ("label,p0,p1,sex\n7,0.5,0.5,f\n", "class '7', which is none of its 2 classes"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_model_rows(path, column="sex")


def test_images_come_once_and_as_they_are_too(results, tmp_path):
    table = results[1][results[1].model == "standard"]
    twice = tmp_path / "twice.csv"
    table.assign(image_id="same").to_csv(twice, index=False)
    with pytest.raises(InputError, match="picture 'same' of standard twice"):
        read_model_rows(twice)
    attacked = tmp_path / "attacked.csv"
    table[table.attack != "none"].to_csv(attacked, index=False)
    with pytest.raises(InputError, match="no rows of standard with attack none"):
        read_model_rows(attacked)
