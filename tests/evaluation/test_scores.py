"""The whole answer to a question about classes or groups, from tables to notes."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from bioattack.errors import InputError
from bioattack.evaluation.scores import answer_scores
from bioattack.evaluation.scores_config import ClassesConfig, GroupsConfig
from bioattack.testing.made_up_scores import MadeUpScores, write_results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("scores") / "results.csv.gz"
    return path, write_results(path)


def _classes(*paths, **options):
    return ClassesConfig(results=paths, output=paths[0].parent / "out", **{"draws": 200} | options)


def _groups(*paths, **options):
    options = {"draws": 200, "column": "race"} | options
    return GroupsConfig(results=paths, output=paths[0].parent / "out", **options)


@pytest.fixture(scope="module")
def by_class(results):
    return answer_scores(_classes(results[0]))


@pytest.fixture(scope="module")
def by_race(results):
    return answer_scores(_groups(results[0]))


def _score(summary, model, name, epsilon=None):
    (row,) = (
        row
        for row in summary["scores"]
        if (row["model"], row["name"]) == (model, name) and row["epsilon"] in (epsilon, None)
        if epsilon is not None or row["attack"] == "none" or name == "CRU_eps"
    )
    return row


def _gap(values, groups):
    means = pd.Series(np.asarray(values, float)).groupby(np.asarray(groups)).mean()
    return means.max() - means.min()


def test_scores_by_class_are_those_of_the_table(results, by_class):
    table = results[1]
    for model in ("standard", "robust"):
        own = table[table.model == model]
        clean = own[own.attack == "none"]
        expected = _gap(clean.correct_clean, clean.label)
        assert _score(by_class, model, "CAU")["value"] == pytest.approx(expected, abs=1e-9)
        attacked = own[(own.epsilon == 0.02) & own.epsilon_high.isna()]
        right = attacked[attacked.correct_clean]
        row = _score(by_class, model, "CRU_s", 0.02)
        assert row["value"] == pytest.approx(_gap(right.success, right.label), abs=1e-9)
        assert row["num_rows"] == len(right)
        row = _score(by_class, model, "CRU_s (of all)", 0.02)
        assert row["value"] == pytest.approx(_gap(attacked.success, attacked.label), abs=1e-9)
        searched = own[own.epsilon_high.notna()]
        least = np.where(np.isinf(searched.epsilon_high), searched.epsilon, searched.epsilon_high)
        row = _score(by_class, model, "CRU_eps")
        assert row["value"] == pytest.approx(_gap(least, searched.label), abs=1e-9)


def test_scores_by_group_have_equal_treatment_and_confidence(results, by_race):
    table = results[1]
    clean = table[(table.model == "robust") & (table.attack == "none")]
    own = clean[clean.label == 2]
    row = _score(by_race, "robust", "EOU(2 | 2)")
    assert row["value"] == pytest.approx(_gap(own.p2, own.race), abs=1e-9)
    names = {row["name"] for row in by_race["scores"]}
    assert {"accuracy difference", "worst-group accuracy", "equalised odds difference"} <= names
    parity = max(_gap(clean.predicted_clean == place, clean.race) for place in range(4))
    assert _score(by_race, "robust", "demographic parity difference")["value"] == pytest.approx(
        parity, abs=1e-9
    )
    everything = answer_scores(_groups(results[0], all_pairs=True, attack="pgd", norm="linf", epsilon=0.02))
    assert sum("EOU" in row["name"] for row in everything["scores"]) == 2 * 16
    assert {row["epsilon"] for row in everything["scores"]} == {0.0, None, 0.02} - {0.0}


def test_holm_is_over_the_scores_of_a_model(by_class):
    for model in by_class["models"]:
        rows = sorted(
            (row for row in by_class["scores"] if row["model"] == model), key=lambda r: r["p_value"]
        )
        corrected, largest = [], 0.0
        for place, row in enumerate(rows):
            largest = max(largest, min(1.0, (len(rows) - place) * row["p_value"]))
            corrected.append(largest)
        assert [row["p_holm"] for row in rows] == pytest.approx(corrected)


def test_models_are_compared_image_by_image(results, by_class):
    table = results[1]
    for row in by_class["differences"]:
        assert (row["first"], row["second"]) == ("standard", "robust")
        assert row["difference"] == pytest.approx(row["second_score"] - row["first_score"])
    clean = table[table.attack == "none"].pivot(index="image_id", columns="model", values="correct_clean")
    only_first = int((clean["standard"] & ~clean["robust"]).sum())
    only_second = int((~clean["standard"] & clean["robust"]).sum())
    row = by_class["accuracies"][0]
    assert (row["num_only_first"], row["num_only_second"]) == (only_first, only_second)
    assert row["p_value"] == pytest.approx(binomtest(only_first, only_first + only_second).pvalue)


def test_order_of_images_does_not_matter(results, by_class, tmp_path):
    table = results[1]
    paths = []
    for model, rows in table.groupby("model", sort=False):
        paths.append(tmp_path / f"{model}.csv")
        rows.sample(frac=1, random_state=len(paths)).to_csv(paths[-1], index=False)
    found = answer_scores(_classes(*paths))
    key = ("name", "attack", "norm", "epsilon")
    expected = {tuple(row[name] for name in key): row["difference"] for row in by_class["differences"]}
    assert {tuple(row[name] for name in key): row["difference"] for row in found["differences"]} == expected


def test_by_group_rows_are_what_scores_are_made_of(results, by_race):
    rows = [row for row in by_race["by_group"] if row["model"] == "standard" and row["figure"] == "accuracy"]
    clean = {row["group"]: row for row in rows if row["attack"] == "none"}
    table = results[1]
    own = table[(table.model == "standard") & (table.attack == "none")]
    assert {group: row["num_images"] for group, row in clean.items()} == own.race.value_counts().to_dict()
    assert clean["Other"]["value"] == pytest.approx(own[own.race == "Other"].correct_clean.mean())
    interval = binomtest(int(own[own.race == "Other"].correct_clean.sum()), int((own.race == "Other").sum()))
    wilson = interval.proportion_ci(method="wilson")
    assert (clean["Other"]["low"], clean["Other"]["high"]) == pytest.approx((wilson.low, wilson.high))
    censored = [row["num_censored"] for row in by_race["by_group"] if row["figure"] == "least_epsilon"]
    assert sum(censored) == int(np.isinf(table.epsilon_high).sum())
    assert any("never fell to pgd linf" in note for note in by_race["notes"])


def test_answer_is_json_and_the_same_each_time(results, by_class):
    again = answer_scores(_classes(results[0]))
    assert json.dumps(again) == json.dumps(by_class)
    other = answer_scores(_classes(results[0], seed=1))
    assert other["identity"] != again["identity"]
    assert other["scores"][0]["value"] == again["scores"][0]["value"]


def test_model_that_is_never_right_in_a_class_has_no_success_rate_there_and_it_is_said(tmp_path):
    path = tmp_path / "results.csv.gz"
    table = write_results(path, MadeUpScores(models=("constant",), has_search=False))
    table["predicted_clean"] = table["predicted_adversarial"] = 0
    table["correct_clean"] = table["label"] == 0
    table["success"] = False
    table.to_csv(path, index=False)
    summary = answer_scores(_classes(path))
    assert _score(summary, "constant", "CAU")["value"] == 1
    assert _score(summary, "constant", "worst-class accuracy")["value"] == 0
    assert [row["name"] for row in summary["undefined"]] == ["CRU_s", "CRU_s"]
    assert "class '1' has no images that were right before the attack" in summary["undefined"][0]["reason"]
    assert any("CRU_s of constant (pgd linf 0.01) has no value" in note for note in summary["notes"])


def test_small_groups_are_left_out_only_where_asked(tmp_path):
    path = tmp_path / "results.csv.gz"
    groups = ("White", "Black", "Other", "Few")
    write_results(path, MadeUpScores(num_images=80, groups=groups, models=("m",)))
    counts = answer_scores(_groups(path, minimum_count=1))["data"]["groups"]
    least = min(counts.values())
    summary = answer_scores(_groups(path, minimum_count=least + 1, attack="pgd"))
    assert {row["group"] for row in summary["left_out"]} >= {min(counts, key=counts.get)}
    assert _score(summary, "m", "accuracy difference")["num_groups"] < 4
    assert any("Left out of one score or more" in note for note in summary["notes"])
    assert any(
        "equalised odds difference of m (as they are) has no value" in note for note in summary["notes"]
    )
    assert any("Fewer than 30 images" in note for note in summary["notes"])


def test_plain_tables_will_do(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("label,predicted,sex\n" + "0,0,f\n0,1,f\n1,1,f\n0,0,m\n1,1,m\n1,1,m\n" * 20)
    summary = answer_scores(_groups(path, column="sex"))
    assert _score(summary, "answers", "accuracy difference")["value"] == pytest.approx(1 / 3)
    assert any("EOU needs the probabilities" in note for note in summary["notes"])
    path.write_text("label,correct,sex\n" + "0,1,f\n1,0,f\n0,1,m\n1,1,m\n" * 20)
    summary = answer_scores(_groups(path, column="sex"))
    assert any("equalised odds need predicted classes" in note for note in summary["notes"])
    assert {row["name"] for row in summary["scores"]} == {"accuracy difference", "worst-group accuracy"}


def _rewritten(results, folder, change):
    path = folder / "changed.csv"
    change(results[1].copy()).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t[t.race == "White"], {}, "a difference needs two groups; there is 'White' with"),
        (lambda t: t.assign(p0=0.9), {}, "probabilities of row 0 sum to"),
        (lambda t: t, {"column": "sex"}, "no column 'sex'"),
        (lambda t: t[t.label != 2], {}, "class '2' has no images|has no images of class '2'"),
        (lambda t: t[(t.label != 2) | (t.race != "Other")], {}, "'Other' has no images of class '2'"),
        (lambda t: t, {"attack": "fgsm"}, "no table has an attack 'fgsm'"),
        (lambda t: t, {"positive": "9"}, "there is no class '9'; there is 0, 1, 2, 3"),
        (lambda t: t.assign(race=np.arange(len(t))), {}, "3,200 different values: these are hardly groups"),
        (lambda t: t.assign(model="m"), {}, "picture 'test/00000.png' of m twice"),
    ],
)
def test_bad_tables(results, tmp_path, change, options, message):
    with pytest.raises(InputError, match=message):
        answer_scores(_groups(_rewritten(results, tmp_path, change), **options))


def test_absent_class_is_known_from_the_evaluation(results, tmp_path):
    path = tmp_path / "results.csv.gz"
    results[1].drop(columns=["p0", "p1", "p2", "p3"]).to_csv(path, index=False)
    names = ["ape", "bee", "cow", "dog", "eel"]
    (tmp_path / "summary.json").write_text(json.dumps({"data": {"class_names": names}}))
    with pytest.raises(InputError, match="class 'eel' has no images; give some, or let --minimum-count 1"):
        answer_scores(_classes(tmp_path / "results.csv.gz"))
    summary = answer_scores(_classes(tmp_path, minimum_count=1))
    assert {row["group"] for row in summary["left_out"]} == {"eel"}
    assert {row["highest"] for row in summary["scores"]} <= set(names[:4])
    assert "There are no images of 1 of 5 classes: eel." in summary["notes"]


def test_models_come_once_and_see_the_same_images(results, tmp_path):
    copy = tmp_path / "copy.csv"
    results[1].to_csv(copy, index=False)
    with pytest.raises(InputError, match="model 'standard' comes twice"):
        answer_scores(_classes(results[0], copy))
    with pytest.raises(InputError, match="is given twice: the same model beside itself"):
        _classes(results[0], results[0])
    other = results[1][results[1].model == "robust"].assign(model="other")
    other[other.image_id != "test/00007.png"].to_csv(copy, index=False)
    with pytest.raises(InputError, match="differ in the images' names"):
        answer_scores(_classes(results[0], copy))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 10}, "--draws must be in 100 to 100000"),
        ({"minimum_count": -1}, "--minimum-count must be at least 0"),
        ({"seed": -1}, "--seed must be in 0"),
        ({"epsilon": 0.1}, "name it with --attack"),
    ],
)
def test_bad_options(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        _classes(tmp_path, **options)


def test_classes_are_no_groups(tmp_path):
    with pytest.raises(InputError, match="that is bioattack-fairness classes"):
        _groups(tmp_path, column="label")


def test_the_same_table_under_another_name_is_refused(tmp_path):
    (tmp_path / "first.csv").write_text("label,correct\n0,1\n1,0\n")
    (tmp_path / "second.csv").write_text("label,correct\n0,1\n1,0\n")
    with pytest.raises(InputError, match=r"first\.csv and .*second\.csv are the same table"):
        answer_scores(_classes(tmp_path / "first.csv", tmp_path / "second.csv"))


def test_classes_can_be_named(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("label,p0,p1,sex\n" + "0,0.5,0.5,f\n1,0.25,0.75,f\n0,1,0,m\n1,0.5,0.5,m\n" * 20)
    summary = answer_scores(_groups(path, column="sex", class_names=("<=50K", ">50K")))
    confidence = {row["name"]: row["value"] for row in summary["scores"] if row["name"].startswith("EOU")}
    assert confidence == {"EOU(>50K | <=50K)": 0.5, "EOU(>50K | >50K)": 0.25}


def test_one_image_alone_has_a_confidence_without_an_interval(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("label,p0,p1,sex\n0,0.5,0.5,f\n1,0.25,0.75,f\n" + "0,1,0,m\n1,0.5,0.5,m\n" * 20)
    rows = answer_scores(_groups(path, column="sex"))["by_group"]
    (row,) = [row for row in rows if row["figure"] == "confidence 1 | 0" and row["group"] == "f"]
    assert (row["value"], row["low"], row["high"]) == (0.5, None, None)


def test_model_beside_its_copy_is_said(results, tmp_path):
    copy = tmp_path / "copy.csv"
    own = results[1][results[1].model == "standard"]
    pd.concat([own, own.assign(model="copy")]).to_csv(copy, index=False)
    summary = answer_scores(_classes(copy))
    assert any("are right on the same images throughout" in note for note in summary["notes"])
    assert all(row["difference"] == 0 and row["p_value"] == 1 for row in summary["differences"])
