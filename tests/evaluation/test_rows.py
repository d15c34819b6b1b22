"""Rows of the long table: what of two attacks on one picture stands."""

import numpy as np
import pandas as pd
import pytest

from bioattack.evaluation.rows import better_rows


def rows(*, success, success_8bit, margin):
    return pd.DataFrame(
        {
            "success": [success],
            "success_8bit": [success_8bit],
            "margin_adversarial": [margin],
            "steps": [3],
            "seconds": [0.5],
        }
    )


FAILED, BY_CHANCE, UNDONE, SAVED = (False, False), (False, True), (True, False), (True, True)


@pytest.mark.parametrize(
    ("before", "after", "is_after"),
    [
        (FAILED, UNDONE, True),
        (FAILED, SAVED, True),
        # An attack failed, and yet its picture fools once it is rounded.
        (FAILED, BY_CHANCE, True),
        (BY_CHANCE, UNDONE, True),
        (UNDONE, BY_CHANCE, False),
        # What rounding does not undo beats what it does, however deep that one is.
        (UNDONE, SAVED, True),
        (UNDONE, UNDONE, False),
        (UNDONE, FAILED, False),
        (SAVED, UNDONE, False),
        (SAVED, SAVED, False),
    ],
)
def test_what_fools_stands_and_what_fools_in_8_bits_rather(before, after, is_after):
    first = rows(success=before[0], success_8bit=before[1], margin=-1.0)
    second = rows(success=after[0], success_8bit=after[1], margin=-2.0)
    chosen, is_new = better_rows(first, second, is_new=np.array([True]))
    assert bool(is_new[0]) == is_after
    assert (chosen["success"][0], chosen["success_8bit"][0]) == (after if is_after else before)
    assert chosen["steps"][0] == 6
    assert not better_rows(first, second, is_new=np.array([False]))[1].any()


@pytest.mark.parametrize(("margin", "is_after"), [(0.1, True), (0.9, False)])
def test_of_two_that_failed_the_closer_one_stands(margin, is_after):
    first = rows(success=False, success_8bit=False, margin=0.5)
    second = rows(success=False, success_8bit=False, margin=margin)
    assert bool(better_rows(first, second, is_new=np.array([True]))[1][0]) == is_after
