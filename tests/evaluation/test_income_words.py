"""The sentences about a regression say what its numbers say."""

import pytest

from bioattack.evaluation.income_words import comparison_sentence, dependence_sentence

ROW = {
    "slope": 0.02,
    "low": 0.01,
    "high": 0.03,
    "p_value": 0.001,
    "f_statistic": 12.5,
    "df_residual": 39,
    "logarithm": "natural",
    "smallest_slope": 0.015,
}


def test_dependence_is_said_per_doubling():
    # 0.02 per unit of the natural logarithm is 0.02 * ln 2 = 1.39 points for each doubling.
    assert dependence_sentence(ROW) == (
        "Accuracy rises with income: 1.4 percentage points for each doubling of GDP per capita "
        "(95 % interval 0.7 to 2.1; F(1, 39) = 12.500, p = 0.001)."
    )
    assert dependence_sentence(ROW | {"slope": -0.02}, name="a").startswith("Accuracy of a falls with income")


def test_nothing_shown_is_said_with_what_could_have_been():
    sentence = dependence_sentence(ROW | {"p_value": 0.4})
    assert sentence.startswith("No dependence of accuracy on income was shown: +1.4 percentage points")
    assert sentence.endswith("Less than 1.0 points would often have been missed.")


@pytest.mark.parametrize(
    ("p_value", "verb"),
    [(0.01, "ours depend less on income than"), (0.2, "ours were not shown to depend less")],
)
def test_two_sets_are_said_with_their_direction(p_value, verb):
    test = {"p_value": p_value, "statistic": 2.4, "df_residual": 49, "effect_name": "dz", "effect_size": 0.34}
    summary = {"comparison": {"tests": [test], "sets": [{"name": "ours"}, {"name": "theirs"}]}}
    assert verb in (comparison_sentence(summary) or "")
    assert comparison_sentence({"comparison": None}) is None
