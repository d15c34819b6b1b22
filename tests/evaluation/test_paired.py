"""Paired comparisons, held against the tests of other libraries and formulas worked out here."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from bioattack.evaluation.findings import Point
from bioattack.evaluation.paired import compare_models, compare_over_seeds, mcnemar_p_value


def pictures(num_both, num_first, num_second, num_neither):
    """Answers of two models, as many pictures of each kind as are asked for."""
    first = [True] * (num_both + num_first) + [False] * (num_second + num_neither)
    second = [True] * num_both + [False] * num_first + [True] * num_second + [False] * num_neither
    return first, second


def one_seed(answers):
    return pd.DataFrame({0: answers})


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 5), (5, 0), (3, 11), (7, 7), (1, 0), (40, 80)])
def test_p_value_is_that_of_a_fair_coin(only_first, only_second):
    expected = binomtest(only_first, only_first + only_second).pvalue
    assert mcnemar_p_value(only_first, only_second) == pytest.approx(expected, rel=1e-9)


def test_p_value_is_1_where_two_never_differ():
    assert mcnemar_p_value(0, 0) == 1.0


def test_one_seed_gives_the_ordinary_test():
    first, second = pictures(40, 12, 3, 45)
    found = compare_over_seeds(one_seed(first), one_seed(second), names=("a", "b"))
    assert (found.num_more_first, found.num_more_second) == (12, 3)
    assert found.p_value == pytest.approx(binomtest(12, 15).pvalue)
    assert found.difference == pytest.approx(0.09)
    assert found.by_seed == pytest.approx((0.09,))
    # Agresti and Min 2005, with half a picture added to each of the four kinds of pair.
    number, only_first, only_second = 102, 12.5, 3.5
    middle = (only_first - only_second) / number
    half = 1.959964 * np.sqrt(only_first + only_second - (only_first - only_second) ** 2 / number) / number
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), rel=1e-6)


def test_more_seeds_are_not_more_pictures():
    first, second = pictures(40, 12, 3, 45)
    once = compare_over_seeds(one_seed(first), one_seed(second), names=("a", "b"))
    thrice = compare_over_seeds(
        pd.DataFrame(dict.fromkeys(range(3), first)),
        pd.DataFrame(dict.fromkeys(range(3), second)),
        names=("a", "b"),
    )
    assert thrice.p_value == once.p_value
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.by_seed == pytest.approx((0.09,) * 3)


def test_a_picture_speaks_for_who_gets_it_right_more_often():
    first = pd.DataFrame({0: [True, True, False, False], 1: [True, False, True, False]})
    second = pd.DataFrame({0: [False, True, True, False], 1: [False, True, False, False]})
    found = compare_over_seeds(first, second, names=("a", "b"))
    # The third picture is right once with each: it speaks for neither.
    assert (found.num_more_first, found.num_more_second) == (1, 1)
    assert found.difference == pytest.approx(1 / 8)
    assert found.by_seed == (0.0, 0.25)
    assert not found.is_of_one_sign


def test_all_seeds_have_to_agree_on_the_sign():
    better = pd.DataFrame({0: [True, True, False], 1: [True, False, True]})
    worse = pd.DataFrame({0: [False, True, False], 1: [False, False, True]})
    assert compare_over_seeds(better, worse, names=("a", "b")).is_of_one_sign
    assert compare_over_seeds(worse, better, names=("a", "b")).is_of_one_sign
    assert not compare_over_seeds(better, better, names=("a", "b")).is_of_one_sign


def test_an_interval_stays_within_what_can_be():
    found = compare_over_seeds(one_seed([True] * 4), one_seed([False] * 4), names=("a", "b"))
    assert -1 <= found.low < found.difference == 1.0 == found.high


@pytest.mark.parametrize("other", [one_seed([True, False]), pd.DataFrame({1: [True, False, True]})])
def test_other_pictures_or_seeds_cannot_be_compared(other):
    with pytest.raises(ValueError, match=r"same pictures and seeds\. Received: \('a', 'b'\)"):
        compare_over_seeds(one_seed([True, False, True]), other, names=("a", "b"))


def test_models_of_one_table_are_compared_two_by_two():
    rows = [
        {"image_id": str(place), "model": model, "attack": attack, "norm": norm, "epsilon": epsilon}
        | {"correct_clean": place < clean, "success": attack != "none" and place < fallen}
        for model, clean, fallen in (("a", 8, 2), ("b", 6, 6), ("c", 8, 2))
        for attack, norm, epsilon in (("none", "none", 0.0), ("pgd", "linf", 0.1))
        for place in range(10)
    ]
    results = pd.DataFrame(rows)
    clean = compare_models(results, None)
    assert [(one.first, one.second) for one in clean] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert clean[0][2:6] == (6, 2, 0, 2)
    assert clean[1].p_value == 1.0
    attacked = compare_models(results, Point("pgd", "linf", 0.1))
    assert attacked[0][2:6] == (0, 6, 0, 4)
    assert attacked[0].p_value == pytest.approx(2 * 0.5**6)
