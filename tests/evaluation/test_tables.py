import io

import numpy as np
import pandas as pd
import pytest

from bioattack.evaluation.results import COLUMNS, epsilon_words, read_rows
from bioattack.evaluation.tables import (
    adversarial_table,
    clean_table,
    least_epsilon_table,
    per_class_table,
)


def make_results():
    """Ten pictures of two classes, eight of them correct; 3 fall at 0.01 (2 in 8 bits) and 6 at 0.1."""
    rows = []
    for model in ("b", "a"):
        for attack, norm, epsilon, num_fallen, num_fallen_8bit in (
            ("none", "none", 0.0, 0, 0),
            ("pgd", "linf", 0.01, 3, 2),
            ("pgd", "linf", 0.1, 6, 6),
        ):
            for place in range(10):
                is_correct = place < 8
                rows.append(
                    dict.fromkeys(COLUMNS, 0)
                    | {"epsilon_low": np.nan, "epsilon_high": np.nan}
                    | {"image_id": f"NA,{place}", "origin_id": "x", "label": place % 2, "split": "test"}
                    | {"model": model, "attack": attack, "norm": norm, "epsilon": epsilon, "judged": "any"}
                    | {"correct_clean": is_correct, "success": is_correct and place < num_fallen}
                    | {
                        "success_8bit": is_correct and place < num_fallen_8bit,
                        "has_zero_gradient": place == 7,
                    }
                    | {"l2": float(place), "linf": epsilon, "steps": place, "seconds": 0.5, "country": "NA"}
                )
    return pd.DataFrame(rows, columns=[*COLUMNS, "country"])


def wilson(successes, number):
    """Wilson's interval from its formula; z = 1.959964 as in Wilson 1927 with 95 %."""
    z, share = 1.959963984540054, successes / number
    centre = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z / (1 + z**2 / number) * np.sqrt(share * (1 - share) / number + z**2 / (4 * number**2))
    return centre - half, centre + half


def test_clean_accuracy_with_its_interval():
    table = clean_table(make_results())
    assert list(table["model"]) == ["b", "a"]
    row = table.iloc[0]
    assert (row["num_images"], row["num_correct"], row["accuracy"]) == (10, 8, 0.8)
    assert (row["low"], row["high"]) == pytest.approx(wilson(8, 10))


def test_adversarial_accuracy_is_one_minus_m_plus_a_over_n():
    table = adversarial_table(make_results())
    assert list(table["epsilon"]) == [0.01, 0.1] * 2
    row = table.iloc[0]
    assert (row["num_misclassified"], row["num_success"], row["num_success_8bit"]) == (2, 3, 2)
    assert row["accuracy"] == pytest.approx(1 - (2 + 3) / 10)
    assert row["accuracy_8bit"] == pytest.approx(1 - (2 + 2) / 10)
    assert (row["low"], row["high"]) == pytest.approx(wilson(5, 10))
    assert (row["low_8bit"], row["high_8bit"]) == pytest.approx(wilson(6, 10))
    # Means over the three that fell: places 0, 1, 2.
    assert (row["mean_l2"], row["mean_linf"], row["mean_steps"]) == (1.0, 0.01, 1.0)
    assert (row["num_zero_gradient"], row["seconds"]) == (1, 5.0)
    assert row["epsilon_words"] == "0.01 (2.55/255)"


def test_without_a_success_there_is_no_mean():
    results = make_results().assign(success=False, success_8bit=False)
    table = adversarial_table(results)
    assert len(table) == 4
    assert table["mean_l2"].isna().all()
    assert (table["accuracy"] == 0.8).all()


def test_per_class():
    table = per_class_table(make_results(), class_names=["even", "odd"])
    assert list(table["attack"][:6]) == ["none", "none", "pgd", "pgd", "pgd", "pgd"]
    clean, weak = table.iloc[0], table.iloc[2]
    assert (clean["class_name"], clean["num_images"], clean["num_correct"]) == ("even", 5, 4)
    # Of 0, 2, 4, 6 the images 0 and 2 fall at 0.01.
    assert (weak["class_name"], weak["epsilon"], weak["num_correct"]) == ("even", 0.01, 2)
    assert (weak["low"], weak["high"]) == pytest.approx(wilson(2, 5))


def test_intervals_hold_the_fraction_at_both_ends():
    results = make_results().assign(correct_clean=True, success=True)
    assert (clean_table(results)["high"] == 1.0).all()
    assert (adversarial_table(results)["low"] == 0.0).all()


def test_a_country_called_na_and_names_with_commas_survive_the_file():
    results = make_results()
    text = results.to_csv(index=False)
    read = read_rows(io.StringIO(text), columns=list(results.columns), has_header=True)
    pd.testing.assert_frame_equal(read, results, check_dtype=False)
    assert read["country"].eq("NA").all()
    assert read["success"].dtype == bool


def test_epsilons_are_said_in_both_scales():
    assert epsilon_words(8 / 255, norm="linf") == "0.0314 (8/255)"
    assert epsilon_words(0.55, norm="l2") == "0.55"


def make_search(*, highs, lows, epsilons, is_correct):
    """Clean rows of five pictures and those of a search for their least epsilons."""
    results = make_results()
    clean = results[(results["model"] == "a") & (results["attack"] == "none")][:5]
    clean = clean.assign(correct_clean=is_correct)
    searched = clean.assign(
        attack="pgd",
        norm="linf",
        epsilon=epsilons,
        epsilon_low=lows,
        epsilon_high=highs,
        success=np.isfinite(highs) & np.array(is_correct),
    )
    return pd.concat([clean, searched], ignore_index=True)


def test_least_epsilons_with_their_censoring():
    infinity = float("inf")
    results = make_search(
        highs=[0.02, 0.04, infinity, infinity, 0.0],
        lows=[0.01, 0.03, 0.1, 0.1, 0.0],
        epsilons=[0.02, 0.04, 0.1, 0.1, 0.1],
        is_correct=[True, True, True, True, False],
    )
    table = least_epsilon_table(results)
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["model"], row["attack"], row["norm"]) == ("a", "pgd", "linf")
    # The picture that was wrong before counts nowhere.
    assert (row["num_images"], row["num_fallen"], row["num_censored"], row["largest"]) == (4, 2, 2, 0.1)
    assert row["mean"] == pytest.approx((0.02 + 0.04 + 0.1 + 0.1) / 4)
    assert row["median"] == pytest.approx((0.04 + 0.1) / 2)
    assert row["mean_of_fallen"] == pytest.approx((0.02 + 0.04) / 2)


def test_a_search_that_fells_all_has_no_largest_and_one_that_fells_none_no_mean():
    infinity = float("inf")
    common = {"is_correct": [True] * 5, "epsilons": [0.1] * 5}
    all_fell = least_epsilon_table(make_search(highs=[0.1] * 5, lows=[0.09] * 5, **common)).iloc[0]
    assert np.isnan(all_fell["largest"])
    assert (all_fell["num_fallen"], all_fell["mean"]) == (5, pytest.approx(0.1))
    none_fell = least_epsilon_table(make_search(highs=[infinity] * 5, lows=[0.1] * 5, **common)).iloc[0]
    assert np.isnan(none_fell["mean_of_fallen"])
    assert (none_fell["num_censored"], none_fell["largest"]) == (5, 0.1)


def test_pictures_of_the_class_aimed_at_were_not_tried():
    infinity = float("inf")
    results = make_search(
        highs=[0.02, infinity, infinity, infinity, infinity],
        lows=[0.01, 0.1, 0.0, 0.0, 0.0],
        epsilons=[0.02, 0.1, 0.1, 0.1, 0.1],
        is_correct=[True] * 5,
    )
    row = least_epsilon_table(results).iloc[0]
    assert (row["num_images"], row["num_fallen"], row["num_censored"]) == (2, 1, 1)


def test_rows_of_a_search_are_no_accuracies():
    results = make_search(
        highs=[0.02] * 5, lows=[0.01] * 5, epsilons=[0.02] * 5, is_correct=[True] * 4 + [False]
    )
    assert adversarial_table(results).empty
    assert set(per_class_table(results, class_names=["even", "odd"])["attack"]) == {"none"}
    assert least_epsilon_table(make_results()).empty
