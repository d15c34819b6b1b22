import pytest

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.row_bounds import RowBounds, row_bounds
from bioattack.errors import InputError
from bioattack.testing.small_tables import SMALL_TABLE, with_attribute
from bioattack.tfrecords_builder.table import Table

BOUNDS = row_bounds(SMALL_TABLE)


def test_valid_moves_continuous_attributes_only():
    assert BOUNDS.moved_names == ("age", "rate")
    assert (BOUNDS.lowest, BOUNDS.highest) == ((17, 0, 0, 0), (90, 1, 5, 2))
    # The rate is no count; categories are codes, and stay what they are.
    assert BOUNDS.is_whole == (True, True, False, True)
    assert BOUNDS.has_whole


def test_all_moves_everything_in_real_numbers():
    bounds = row_bounds(SMALL_TABLE, perturb="all")
    assert bounds.moved_names == ("age", "sex", "rate", "job")
    assert not bounds.has_whole


def test_nothing_to_move_is_refused():
    categories = Table(tuple(one for one in SMALL_TABLE.attributes if one.categories))
    with pytest.raises(InputError, match="nothing to move: all attributes are categories; give perturb"):
        row_bounds(categories)
    assert row_bounds(categories, perturb="all").moved_names == ("sex", "job")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minimum": 91.0}, "age must have lowest <= highest. Received: 91 and 90"),
        ({"maximum": 2.0**25}, "age goes beyond 16777216, where float32 has no more whole numbers"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        row_bounds(with_attribute(**changes))


def test_lists_of_other_lengths_are_refused():
    with pytest.raises(InputError, match=r"must be equally long\. Received: 1, 2, 1, 1, 1 entries"):
        RowBounds(("age",), (0.0, 1.0), (2.0,), (True,), (True,))


def test_unknown_choice_is_refused():
    with pytest.raises(InputError, match=r"perturb must be one of valid, all\. Received: perturb='some'"):
        row_bounds(SMALL_TABLE, perturb="some")


@pytest.mark.parametrize(
    ("attack", "norm"), [("square", "linf"), ("pgd", "l2"), ("lagrangian", "linf"), ("ssim-newton", "l2")]
)
def test_attacks_on_pictures_refuse_rows(attack, norm):
    message = "rows of a table are attacked by fgsm, bim, pgd, mifgsm, apgd, in linf. Received: "
    with pytest.raises(InputError, match=f"{message}{attack}"):
        AttackRequest(attack, norm, bounds=BOUNDS)
