"""Tables of how little is seen, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from bioattack.evaluation.imperceptibility import (
    bootstrap_mean,
    imperceptibility_table,
    paired_distances,
)


@pytest.fixture
def results():
    """Two attacks on four pictures, of which one was wrong before."""
    common = {"image_id": list("abcd"), "correct_clean": [True, True, True, False]}
    ours = {
        "attack": "ours",
        "success": [True, True, True, False],
        "success_8bit": [True, False, True, False],
    }
    ours |= {"l2": [1.0, 2.0, 3.0, 0.0], "steps": [1, 2, 3, 0], "seconds": [0.1, 0.2, 0.3, 0.0]}
    theirs = {
        "attack": "theirs",
        "success": [True, False, True, False],
        "success_8bit": [True, False, True, False],
    }
    theirs |= {"l2": [4.0, 9.0, 2.0, 0.0], "steps": [5, 9, 7, 0], "seconds": [1.0, 1.0, 1.0, 0.0]}
    return pd.concat([pd.DataFrame(common | one) for one in (ours, theirs)], ignore_index=True)


def test_rates_are_over_those_right_before_and_means_over_the_successes(results):
    table = imperceptibility_table(results, distances=["l2"]).set_index("attack")
    assert table["num_images"].tolist() == [3, 3]
    assert table["rate"].tolist() == pytest.approx([1, 2 / 3])
    assert table["rate_8bit"].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert table["mean_l2"].tolist() == [2.0, 3.0]
    assert table["mean_steps"].tolist() == [2.0, 6.0]
    assert table["mean_seconds"].tolist() == pytest.approx([0.2, 1.0])
    assert table.loc["ours", "low_l2"] >= 1
    assert table.loc["ours", "high_l2"] <= 3


def test_an_attack_without_success_has_no_distances(results):
    table = imperceptibility_table(results.assign(success=False), distances=["l2"])
    assert table["mean_l2"].isna().all()
    assert table["rate"].tolist() == [0, 0]


def test_attacks_are_compared_on_the_pictures_that_both_fooled(results):
    (row,) = paired_distances(results, first="ours", distances=["l2"]).to_dict("records")
    # a: 1 - 4, c: 3 - 2.
    assert (row["attack"], row["num_images"], row["difference"]) == ("theirs", 2, -1.0)
    assert row["share_smaller"] == 0.5
    assert (row["low"], row["high"]) == (-3.0, 1.0)


def test_the_interval_of_a_mean_is_that_of_the_normal_for_many_pictures():
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap_mean(values)
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert bootstrap_mean(values) == found


def test_nothing_has_no_mean():
    assert np.isnan(bootstrap_mean([])).all()
