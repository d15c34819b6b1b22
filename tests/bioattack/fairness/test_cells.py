"""Cells keep what a resampled mean depends on: sizes, means, variances."""

import numpy as np
import pytest

from bioattack.fairness import cells
from bioattack.fairness.cells import (
    MAX_CELLS,
    coarser_cells,
    draw_scatter,
    draw_without_replacement,
    make_cells,
)


@pytest.mark.parametrize("number", [1, 2, 255, 5000])
def test_sizes_means_and_variances_are_exact(number):
    values = np.random.default_rng(number).exponential(size=(number, 1))
    made = make_cells(values)
    assert made.num_rows == number
    assert len(made.counts) <= MAX_CELLS
    np.testing.assert_allclose(made.means, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(made.variances, values.var(axis=0), rtol=1e-9, atol=1e-15)
    assert np.any(made.within) == (number > MAX_CELLS)


def test_pairs_keep_their_covariance():
    generator = np.random.default_rng(1)
    first = generator.normal(size=4000)
    values = np.stack([first, 0.6 * first + generator.normal(size=4000)], axis=1)
    made = make_cells(values)
    rests = made.values - made.means
    covariance = (rests * made.counts[:, None]).T @ rests / 4000 + made.within
    np.testing.assert_allclose(covariance, np.cov(values.T, ddof=0), rtol=1e-9)


def test_truth_values_of_two_models_are_four_cells():
    values = np.random.default_rng(2).integers(0, 2, (500, 2)).astype(float)
    made = make_cells(values)
    assert len(made.counts) == 4
    assert not np.any(made.within)


def test_coarser_cells_keep_mean_and_variance():
    generator = np.random.default_rng(3)
    made = make_cells(generator.normal(size=(256, 1)))
    many = type(made)(np.full(2000, 3), generator.normal(size=(2000, 1)), made.within)
    fewer = coarser_cells(many)
    assert len(fewer.counts) <= MAX_CELLS
    assert fewer.num_rows == 6000
    np.testing.assert_allclose(fewer.means, many.means, atol=1e-12)
    np.testing.assert_allclose(fewer.variances, many.variances, rtol=1e-9)


def test_scatter_has_the_variance_of_the_mean():
    made = make_cells(np.random.default_rng(4).uniform(0, 1, (5000, 1)))
    drawn = np.asarray(draw_scatter(made, 20_000, np.random.default_rng(5)))
    # A variance from 20,000 draws has a standard error of 1 %.
    assert drawn.var() == pytest.approx(made.within[0, 0] / 5000, rel=0.05)
    assert draw_scatter(make_cells(np.ones((9, 1))), 10, np.random.default_rng(0)) == 0


def test_rows_taken_without_replacement_are_multivariate_hypergeometric():
    colours, size, num_draws = np.array([5, 3, 12]), 7, 20_000
    taken = draw_without_replacement(np.tile(colours, (num_draws, 1)), size, np.random.default_rng(6))
    assert (taken.sum(axis=1) == size).all()
    assert (taken <= colours).all()
    share = colours / colours.sum()
    expected = size * np.diag(share) - size * np.outer(share, share)
    expected *= (colours.sum() - size) / (colours.sum() - 1)
    np.testing.assert_allclose(taken.mean(axis=0), size * share, atol=0.03)
    np.testing.assert_allclose(np.cov(taken.T), expected, atol=0.05)


def test_dealing_by_rows_and_by_counts_have_one_law(monkeypatch):
    values, sizes = np.random.default_rng(7).integers(0, 4, (90, 1)).astype(float), np.array([50, 30, 10])
    made = make_cells(values)
    found = []
    for rows_per_count in (0, 1000):
        monkeypatch.setattr(cells, "_ROWS_PER_COUNT", rows_per_count)
        dealt = cells.deal_out(made, sizes, 20_000, np.random.default_rng(8))
        sums = np.hstack(dealt)
        np.testing.assert_allclose(sums.sum(axis=1), values.sum())
        found.append((sums.mean(axis=0), np.cov(sums.T)))
    np.testing.assert_allclose(found[0][0], values.mean() * sizes, rtol=0.01)
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=0.01)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=0.05 * found[0][1].max())
