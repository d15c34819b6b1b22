import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from bioattack.evaluation.group_gaps import GAP_COLUMNS, gap_table
from bioattack.evaluation.results import COLUMNS

NAMES = ("cat", "dog")


def make_results(number=400, *, is_equal=False):
    """One model, two classes, three countries; the second class falls more easily unless they are equal."""
    random = np.random.default_rng(1)
    base = pd.DataFrame(
        {
            **dict.fromkeys(COLUMNS, 0),
            "label": np.arange(number) % 2,
            "country": random.choice(["NA", "NO", "ZW"], number),
            "model": "m",
            "epsilon_low": np.nan,
            "epsilon_high": np.nan,
        }
    )
    pattern = np.arange(number) // 2 % 10
    right = pattern != 0
    hard = np.where((base["label"] == 1) & ~np.bool_(is_equal), pattern < 8, pattern < 4)
    least = np.where(right, np.where(hard, 4.0, np.inf), 0.0)
    clean = base.assign(attack="none", norm="none", epsilon=0.0, correct_clean=right, success=False)
    fooled = right & hard
    ladder = base.assign(attack="pgd", norm="linf", epsilon=10.0, correct_clean=right, success=fooled)
    search = ladder.assign(epsilon=np.where(np.isinf(least), 10.0, least), epsilon_high=least)
    return pd.concat([clean, ladder, search], ignore_index=True)


def test_gaps_are_largest_less_smallest():
    results = make_results()
    table = gap_table(results, "country", class_names=NAMES)
    assert tuple(table.columns) == GAP_COLUMNS
    assert list(table["figure"]) == [
        "accuracy",
        "accuracy",
        "success_rate",
        "success_rate_all",
        "least_epsilon",
    ]
    groups = results.assign(least=results["epsilon_high"].replace(np.inf, 10.0))
    clean = groups[groups["attack"] == "none"].groupby("country")["correct_clean"].mean()
    ladder = groups[(groups["attack"] == "pgd") & groups["epsilon_high"].isna()]
    adversarial = (ladder["correct_clean"] & ~ladder["success"]).groupby(ladder["country"]).mean()
    success = ladder[ladder["correct_clean"]].groupby("country")["success"].mean()
    of_all = ladder.groupby("country")["success"].mean()
    least = groups[groups["epsilon_high"].notna()].groupby("country")["least"].mean()
    expected = [group.max() - group.min() for group in (clean, adversarial, success, of_all, least)]
    assert list(table["value"]) == pytest.approx(expected, abs=1e-9)
    assert (
        table["lowest"] == [group.idxmin() for group in (clean, adversarial, success, of_all, least)]
    ).all()
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    # A country has nothing to do with it.
    assert (table["p_value"] > 0.01).all()


def test_classes_that_differ_are_found_to_differ():
    table = gap_table(make_results(), "label", class_names=NAMES).set_index(["attack", "figure"])
    assert table.loc[("none", "accuracy"), "value"] == 0.0
    row = table.loc[("pgd", "success_rate")]
    # 7 of 9 that were right against 3 of 9.
    assert row["value"] == pytest.approx(4 / 9)
    assert (row["lowest"], row["highest"]) == ("cat", "dog")
    assert row["p_value"] < 0.01
    assert row["low"] > 0.2


def test_classes_that_are_alike_are_found_alike():
    table = gap_table(make_results(is_equal=True), "label", class_names=NAMES)
    assert (table["value"] == 0).all()
    assert (table["p_value"] == 1).all()
    assert (table["corrected"] == 0).all()


def test_p_values_are_corrected_for_all_of_the_model():
    results = make_results()
    table = gap_table(pd.concat([results, results.assign(model="n")]), "label", class_names=NAMES)
    for _, own in table.groupby("model"):
        expected = multipletests(own["p_value"], method="holm")[1]
        assert own["p_holm"].tolist() == pytest.approx(expected.tolist())
        assert (own["p_holm"] >= own["p_value"]).all()


def test_a_score_that_is_not_defined_says_why():
    results = make_results()
    results.loc[results["country"] == "NA", ["correct_clean", "success"]] = False
    table = gap_table(results, "country", class_names=NAMES)
    row = table[table["figure"] == "success_rate"].iloc[0]
    assert np.isnan(row["value"])
    assert np.isnan(row["p_holm"])
    assert "NA" in row["note"]
    assert "right before the attack" in row["note"]
    assert table[table["figure"] == "accuracy"]["value"].notna().all()
