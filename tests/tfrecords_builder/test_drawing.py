import re

import numpy as np
import pytest
from scipy import stats

from bioattack.tfrecords_builder.drawing import check_weights, draw_places, expected_weight
from bioattack.tfrecords_builder.errors import RecordsError

WEIGHTS = np.array([1.0, 1.0, 4.0, 10.0, 0.5])


@pytest.mark.parametrize("is_proportional", [True, False])
def test_frequencies_are_those_of_the_weights(is_proportional):
    number = 20_000
    places = draw_places(WEIGHTS, number, seeds=(3, 1), is_proportional=is_proportional)
    expected = WEIGHTS / WEIGHTS.sum() if is_proportional else np.full(5, 0.2)
    # Pearson's test of the counts, from SciPy; the seed is fixed, so that the test is.
    assert stats.chisquare(np.bincount(places, minlength=5), number * expected).pvalue > 0.01


def test_draws_are_independent():
    places = draw_places(np.ones(10), 20_000, seeds=(0, 1))
    table = np.histogram2d(places[:-1], places[1:], bins=10)[0]
    assert stats.chi2_contingency(table).pvalue > 0.01


def test_draws_follow_from_seed_and_pass_alone():
    first = draw_places(WEIGHTS, 50, seeds=(0, 1))
    np.testing.assert_array_equal(first, draw_places(WEIGHTS, 50, seeds=(0, 1)))
    for seeds in ((0, 2), (1, 1), (0, 1, 1)):
        assert (first != draw_places(WEIGHTS, 50, seeds=seeds)).any()


@pytest.mark.parametrize("is_proportional", [True, False])
def test_expected_weight_is_the_mean_of_what_is_drawn(is_proportional):
    drawn = WEIGHTS[draw_places(WEIGHTS, 50_000, seeds=(0,), is_proportional=is_proportional)]
    assert expected_weight(WEIGHTS, is_proportional=is_proportional) == pytest.approx(drawn.mean(), rel=0.02)


def test_large_weights_do_not_overflow():
    huge = WEIGHTS * 1e300
    np.testing.assert_array_equal(draw_places(huge, 50, seeds=(0,)), draw_places(WEIGHTS, 50, seeds=(0,)))
    assert expected_weight(huge) == pytest.approx(1e300 * expected_weight(WEIGHTS))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([], "folder holds no records; make the dataset again"),
        ([1.0, np.nan], "the weight of record 1 of folder is nan, and must be a finite number above 0"),
        ([np.inf], "the weight of record 0 of folder is inf"),
        ([1.0, 2.0, 0.0], "the weight of record 2 of folder is 0.0"),
        ([-1.0], "the weight of record 0 of folder is -1.0"),
        ([1e308, 1e308], "add up to more than a number can hold (the largest is 1e+308); divide all of them"),
    ],
)
def test_weights_that_cannot_be_drawn_by(weights, message):
    with pytest.raises(RecordsError, match=re.escape(message)):
        check_weights(np.array(weights), where="folder")
