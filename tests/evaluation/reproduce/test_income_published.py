"""What the paper reports of accuracy and income, and where what is measured comes out otherwise."""

import pytest
from scipy import stats

from bioattack.evaluation.reproduce import income_published as published

LABELS = {"perceptual": "perceptual", "PGD": "pgd", "pretrained": "pretrained"}


def test_published_statistics_have_the_published_p_values():
    # Hua et al. 2022, section 4: F = 5.392 with (1, 39) gives 0.02554; t = 3.852 over 50 pairs 0.00017.
    assert stats.f.sf(published.F_STATISTIC, 1, published.DF_RESIDUAL) == pytest.approx(
        published.F_P_VALUE, abs=5e-6
    )
    one_sided = stats.t.sf(published.T_STATISTIC, published.NUM_PAIRS - 1)
    assert one_sided == pytest.approx(published.T_P_VALUE, abs=5e-6)
    assert published.ACCURACIES == {"pretrained": 87.5, "perceptual": 84.3, "pgd": 79.7}


def test_power_at_the_published_effect_is_that_of_the_noncentral_t():
    for number in (5, 23, 50):
        shift = published.EFFECT_SIZE * number**0.5
        expected = stats.nct.sf(stats.t.isf(0.05, number - 1), number - 1, shift)
        assert published.published_power(number) == pytest.approx(expected)


def test_few_pairs_are_a_warning_and_fifty_are_none():
    (warning,) = published.pairs_warnings({"num_first": 5, "num_second": 5})
    assert warning.startswith("5 pairs of networks find a difference as clear as the published one (0.54")
    assert "23 pairs find it in 80 %" in warning
    assert published.pairs_warnings({"num_first": 50, "num_second": 50}) == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"p_value": 0.01, "slope": 0.02, "smallest_slope": 0.01}, []),
        ({"p_value": 0.01, "slope": -0.02, "smallest_slope": 0.01}, ["Accuracy falls with income"]),
        ({"p_value": 0.4, "slope": 0.01, "smallest_slope": 0.0312}, ["a slope below 0.0312 would often"]),
        ({"p_value": 0.4, "slope": 0.01, "smallest_slope": None}, ["No slope was found here (p = 0.4)"]),
    ],
)
def test_another_outcome_of_the_f_test_is_said(row, words):
    found = published.pretrained_warnings(row)
    assert len(found) == len(words)
    assert all(part in warning for part, warning in zip(words, found, strict=True))


def sets(slopes, accuracies):
    return [
        {"name": name, "mean_slope": slope, "mean_accuracy": accuracy}
        for name, slope, accuracy in zip(LABELS, slopes, accuracies, strict=True)
    ]


def test_the_papers_order_needs_no_warning():
    assert published.order_warnings(sets((0.01, 0.02, 0.03), (0.843, 0.797, 0.875)), LABELS) == []


def test_another_order_is_said():
    slopes, accuracies = published.order_warnings(sets((0.02, 0.01, 0.03), (0.5, 0.7, 0.6)), LABELS)
    assert slopes.endswith("perceptual, PGD, pretrained: here they come PGD, perceptual, pretrained.")
    assert accuracies.endswith("PGD, perceptual, pretrained: here they come perceptual, pretrained, PGD.")
