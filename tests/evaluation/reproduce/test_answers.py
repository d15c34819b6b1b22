"""Accuracies, spread and comparisons of made-up answers, held against values worked out here."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from bioattack.evaluation.reproduce.answers import (
    accuracy_table,
    mean_table,
    paired_table,
    right_answers,
)

NUM_IMAGES = 40


def made_up(num_clean, num_attacked):
    """The first pictures are right."""
    places = np.arange(NUM_IMAGES)
    columns = {0.0: places < num_clean, 0.01: places < num_attacked}
    return pd.DataFrame(columns, index=[f"p{place:02d}" for place in places])


ANSWERS = {
    "strong": {0: made_up(36, 30), 1: made_up(34, 28)},
    "weak": {0: made_up(36, 4), 1: made_up(32, 2)},
}


def test_answers_are_read_off_the_long_table():
    rows = []
    for place, (is_right, least) in enumerate([(True, 0.005), (True, 1.0), (False, 0.0)]):
        picture = {"image_id": f"p{place}", "correct_clean": is_right}
        for attack, norm, epsilons in (
            ("none", "none", [0.0]),
            ("pgd", "linf", [0.001, 0.01]),
            ("pgd", "l2", [1.0]),
        ):
            rows += [
                picture
                | {
                    "attack": attack,
                    "norm": norm,
                    "epsilon": epsilon,
                    "success": is_right and epsilon >= least > 0,
                }
                for epsilon in epsilons
            ]
    answers = right_answers(pd.DataFrame(rows))
    assert list(answers.columns) == [0.0, 0.001, 0.01]
    assert answers.to_numpy().tolist() == [[True, True, False], [True, True, True], [False, False, False]]
    assert list(right_answers(pd.DataFrame(rows), norm="l2").columns) == [0.0, 1.0]


def test_each_run_has_its_wilson_interval():
    table = accuracy_table(ANSWERS)
    assert list(table["label"].unique()) == ["strong", "weak"]
    row = table[(table.label == "weak") & (table.epsilon == 0.01) & (table.seed == 1)].iloc[0]
    assert (row.num_right, row.accuracy) == (2, 0.05)
    assert (row.low, row.high) == pytest.approx(proportion_confint(2, NUM_IMAGES, method="wilson"))


def test_the_mean_has_the_interval_of_as_many_pictures_and_not_of_more():
    table = mean_table(accuracy_table(ANSWERS))
    row = table[(table.label == "strong") & (table.epsilon == 0.01)].iloc[0]
    assert row.accuracy == pytest.approx(29 / 40)
    assert row.sd == pytest.approx(np.std([30 / 40, 28 / 40], ddof=1))
    assert (row.least, row.greatest, row.num_seeds, row.num_images) == (0.7, 0.75, 2, NUM_IMAGES)
    assert (row.low, row.high) == pytest.approx(proportion_confint(29, NUM_IMAGES, method="wilson"))


def test_one_seed_has_no_spread():
    one = {"strong": {0: made_up(40, 0)}}
    table = mean_table(accuracy_table(one))
    assert table["sd"].isna().all()
    assert table["low"].iloc[1] == 0.0
    assert table["high"].iloc[0] == 1.0


def test_a_difference_is_called_one_only_where_it_is():
    table = paired_table(ANSWERS, [("strong", "weak")]).set_index("epsilon")
    assert table.loc[0.01, "verdict"] == "higher"
    assert table.loc[0.01, "difference"] == pytest.approx(26 / 40)
    assert table.loc[0.0, "verdict"] == "not told apart"
    assert table.loc[0.0, "num_seeds"] == 2
    assert paired_table(ANSWERS, [("weak", "strong")]).set_index("epsilon").loc[0.01, "verdict"] == "lower"


def test_p_values_are_corrected_for_their_number():
    answers = {"a": {0: made_up(20, 20)}, "b": {0: made_up(13, 13)}, "c": {0: made_up(20, 20)}}
    alone = paired_table({label: answers[label] for label in "ab"}, [("a", "b")])
    # Seven pictures, all for the same: 2 / 2**7; two such comparisons.
    assert alone["p_value"].tolist() == pytest.approx([2 / 2**7] * 2)
    assert alone["p_holm"].tolist() == pytest.approx([4 / 2**7] * 2)
    assert alone["verdict"].tolist() == ["higher"] * 2
    more = paired_table(answers, [("a", "b"), ("c", "b")])
    assert more["p_holm"].tolist() == pytest.approx([8 / 2**7] * 4)
    assert more["verdict"].tolist() == ["not told apart"] * 4
    # Where no picture speaks for either, there is nothing to correct for.
    same = paired_table(answers, [("a", "b"), ("a", "c")])
    assert same["p_holm"].tolist() == pytest.approx([4 / 2**7] * 2 + [1.0] * 2)


def test_seeds_that_disagree_are_no_difference():
    answers = {
        "a": {0: made_up(40, 40), 1: made_up(19, 19)},
        "b": {0: made_up(0, 0), 1: made_up(20, 20)},
    }
    table = paired_table(answers, [("a", "b")])
    assert (table["p_holm"] < 0.001).all()
    assert (table["verdict"] == "not told apart").all()


def test_no_pairs_are_no_table():
    assert paired_table(ANSWERS, []).empty
