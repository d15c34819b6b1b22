import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bioattack.errors import InputError
from bioattack.evaluation.groups import GROUP_COLUMNS, group_table, mean_interval, share
from bioattack.evaluation.results import COLUMNS

NAMES = ("cat", "dog", "eel")


def make_results(seed=0):
    """One model, 60 images in two races and two of three classes, a ladder and a search."""
    random = np.random.default_rng(seed)
    number = 60
    base = pd.DataFrame(
        {
            **dict.fromkeys(COLUMNS, 0),
            "image_id": [str(place) for place in range(number)],
            "label": random.integers(0, 2, number),
            "race": random.choice(["a", "b"], number, p=[0.9, 0.1]),
            "model": "m",
            "correct_clean": random.uniform(size=number) < 0.8,
            "epsilon_low": np.nan,
            "epsilon_high": np.nan,
        }
    )
    least = np.where(random.uniform(size=number) < 0.2, np.inf, random.uniform(1, 20, number))
    right = base["correct_clean"]
    clean = base.assign(attack="none", norm="none", epsilon=0.0, success=False)
    ladder = [
        base.assign(attack="pgd", norm="linf", epsilon=epsilon, success=right & (least <= epsilon))
        for epsilon in (10.0, 20.0)
    ]
    high = np.where(right, least, 0.0)
    search = base.assign(
        attack="pgd",
        norm="linf",
        epsilon=np.where(np.isinf(high), 20.0, high),
        epsilon_high=high,
        success=right & np.isfinite(high),
    )
    return pd.concat([clean, *ladder, search], ignore_index=True)


@pytest.mark.parametrize("column", ["race", "label"])
def test_every_figure_is_that_of_the_rows(column):
    results = make_results()
    table = group_table(results, column, class_names=NAMES)
    assert tuple(table.columns) == GROUP_COLUMNS
    is_search = results["epsilon_high"].notna()
    groups = {"race": ["a", "b"], "label": ["cat", "dog"]}[column]
    for name in groups:
        value = NAMES.index(name) if column == "label" else name
        its = results[(results[column] == value) & ~is_search]
        clean = its[its["attack"] == "none"]
        (row,) = table[(table["group"] == name) & (table["attack"] == "none")].to_dict("records")
        assert row["num_images"] == len(clean)
        assert row["accuracy"] == clean["correct_clean"].mean()
        assert np.isnan(row["success_rate"])
        for epsilon in (10.0, 20.0):
            at = its[(its["attack"] == "pgd") & (its["epsilon"] == epsilon)]
            chosen = table[(table["group"] == name) & (table["epsilon"] == epsilon)]
            row = chosen[chosen["least_epsilon"].isna()].iloc[0]
            assert row["accuracy"] == pytest.approx((at["correct_clean"] & ~at["success"]).mean(), abs=1e-12)
            assert row["success_rate"] == at["success"].sum() / at["correct_clean"].sum()
            assert row["success_rate_all"] == at["success"].mean()
            interval = stats.binomtest(int(at["success"].sum()), len(at)).proportion_ci(method="wilson")
            assert (row["success_all_low"], row["success_all_high"]) == pytest.approx(interval, abs=1e-9)


def test_least_epsilon_counts_wrong_as_0_and_withstood_as_the_largest():
    results = make_results()
    table = group_table(results, "race", class_names=NAMES)
    for name in ("a", "b"):
        its = results[(results["race"] == name) & results["epsilon_high"].notna()]
        least = its["epsilon_high"].replace(np.inf, 20.0)
        (row,) = table[(table["group"] == name) & table["least_epsilon"].notna()].to_dict("records")
        assert row["least_epsilon"] == pytest.approx(least.mean(), abs=1e-12)
        assert row["num_withstood"] == np.isinf(its["epsilon_high"]).sum()
        low, high = stats.t.interval(0.95, len(least) - 1, least.mean(), stats.sem(least))
        assert (row["least_low"], row["least_high"]) == pytest.approx((max(0, low), min(20, high)))
        assert row["epsilon"] == 20.0


def test_order_is_that_of_labels_and_settings():
    table = group_table(make_results(), "label", class_names=NAMES)
    assert list(table["group"]) == ["cat", "dog"] * 4
    assert list(table["attack"]) == ["none"] * 2 + ["pgd"] * 6


def test_groups_without_a_right_image_stay_with_empty_shares():
    results = make_results()
    results.loc[results["race"] == "b", ["correct_clean", "success"]] = False
    table = group_table(results, "race", class_names=NAMES)
    row = table[(table["group"] == "b") & (table["epsilon"] == 10.0)].iloc[0]
    assert (row["num_correct"], row["accuracy"]) == (0, 0.0)
    assert np.isnan(row["success_rate"])
    assert row["success_rate_all"] == 0.0


def test_one_group_and_unknown_columns_are_refused():
    results = make_results().assign(country="NA")
    with pytest.raises(InputError, match=r"--group-by country: everything under test is of one group \(NA\)"):
        group_table(results, "country", class_names=NAMES)
    with pytest.raises(InputError, match="--group-by: the results have no column 'age'"):
        group_table(results, "age", class_names=NAMES)


def test_share_of_nothing_is_empty():
    assert all(np.isnan(share(0, 0)))
    assert share(0, 5)[:2] == (0.0, 0.0)
    assert share(5, 5).high == 1.0


def test_interval_of_a_mean_is_students_and_stays_where_numbers_can_be():
    values = np.array([0.1, 0.2, 0.4, 0.6])
    found = mean_interval(values, largest=1.0)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.value == pytest.approx(0.325)
    assert (found.low, found.high) == pytest.approx((max(expected.low, 0.0), min(expected.high, 1.0)))
    assert mean_interval(np.array([0.0, 1.0]), largest=1.0)[1:] == (0.0, 1.0)
    assert np.isnan(mean_interval(np.array([0.5]), largest=1.0)[1:]).all()
