"""Rows pressed into few cells, so that a thousand new samples of a million rows are quick.

What a bootstrap or a permutation does to a mean depends only on how often each value is drawn, so that
equal values are counted together in one cell and the counts are drawn, from multinomial and hypergeometric
distributions. Of real values with more than 256 different ones, neighbours share a cell, bounded by
quantiles; what they scatter within it is drawn from a normal distribution with the exact variance. Means
and variances are thus exact, and for counts everything is.
"""

import dataclasses

import numpy as np

MAX_CELLS = 256
_SIDE_OF_PAIRS = 24
_ROWS_PER_COUNT = 4
_MOST_NUMBERS_AT_ONCE = 2_000_000


@dataclasses.dataclass(frozen=True)
class Cells:
    """The rows of one group.

    Args:
        counts: Rows in each cell, ``(cells,)``.
        values: Their means, ``(cells, columns)``.
        within: Variance and covariance inside the cells, averaged over rows, ``(columns, columns)``.
    """

    counts: np.ndarray
    values: np.ndarray
    within: np.ndarray

    @property
    def num_rows(self) -> int:
        """All rows of the group."""
        return int(self.counts.sum())

    @property
    def means(self) -> np.ndarray:
        """The mean of each column, ``(columns,)``."""
        return self.counts @ self.values / self.counts.sum()

    @property
    def variances(self) -> np.ndarray:
        """The variance of each column, not corrected for the mean, ``(columns,)``."""
        between = self.counts @ (self.values - self.means) ** 2 / self.counts.sum()
        return between + np.diagonal(self.within)


def draw_scatter(
    cells: Cells, num_draws: int, generator: np.random.Generator, size: int | None = None
) -> np.ndarray | float:
    """Draws what the mean of a group's rows scatters inside the cells, ``(draws, columns)``; 0 without any.

    Args:
        cells: The rows.
        num_draws: How often.
        generator: Of the random numbers.
        size: Rows in the mean; by default all of them.
    """
    if not np.any(cells.within):
        return 0.0
    # The root of the covariance; rounding may leave an eigenvalue a hair below 0.
    eigenvalues, vectors = np.linalg.eigh(cells.within / (cells.num_rows if size is None else size))
    root = vectors * np.sqrt(np.clip(eigenvalues, 0.0, None))
    return generator.standard_normal((num_draws, len(eigenvalues))) @ root.T


def deal_out(
    cells: Cells, sizes: np.ndarray, num_draws: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Deals all rows out to groups of given sizes, as cards are.

    Args:
        cells: The rows.
        sizes: Rows of each group, which make all rows together.
        num_draws: How often.
        generator: Of the random numbers.

    Returns:
        The sums of each group's values, ``(draws, columns)`` each; what values scatter inside a cell is not
        in them.
    """
    if cells.num_rows <= _ROWS_PER_COUNT * len(cells.counts) * len(sizes):
        return _shuffle(cells, sizes, num_draws, generator)
    left, dealt = np.tile(cells.counts, (num_draws, 1)), []
    for size in sizes[:-1]:
        taken = draw_without_replacement(left, int(size), generator)
        left = left - taken
        dealt.append(taken @ cells.values)
    return [*dealt, left @ cells.values]


def _shuffle(
    cells: Cells, sizes: np.ndarray, num_draws: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """The same row by row, which is quicker where there are few rows for each count that would be drawn."""
    places = np.repeat(np.arange(len(cells.counts), dtype=np.int32), cells.counts)
    starts = np.cumsum(sizes) - sizes
    step = max(1, _MOST_NUMBERS_AT_ONCE // len(places))
    parts = []
    for start in range(0, num_draws, step):
        rows = np.tile(places, (min(step, num_draws - start), 1))
        shuffled = generator.permuted(rows, axis=1)
        sums = [np.add.reduceat(column[shuffled], starts, axis=1) for column in cells.values.T]
        parts.append(np.stack(sums, axis=2))
    return list(np.concatenate(parts).transpose(1, 0, 2))


def draw_without_replacement(left: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Takes ``size`` rows out of ``(draws, cells)`` counts, cell by cell; gives what was taken."""
    taken = np.zeros_like(left)
    remaining, wanted = left.sum(axis=1), np.full(len(left), size)
    for cell in range(left.shape[1] - 1):
        own = left[:, cell]
        taken[:, cell] = generator.hypergeometric(own, remaining - own, wanted)
        remaining = remaining - own
        wanted = wanted - taken[:, cell]
    taken[:, -1] = wanted
    return taken


def coarser_cells(cells: Cells) -> Cells:
    """Puts neighbouring cells together until there are few enough; the scatter that this hides is added."""
    order = np.lexsort(cells.values.T[::-1])
    counts, values = cells.counts[order], cells.values[order]
    codes = (np.cumsum(counts) - counts) * MAX_CELLS // counts.sum()
    return _gather(values, codes, counts, within=cells.within)


def make_cells(values: np.ndarray) -> Cells:
    """Presses the rows of one group into cells.

    Args:
        values: ``(rows, columns)``, finite; more than two columns must have few different values each.

    >>> cells = make_cells(np.array([[0.0], [1.0], [1.0]]))
    >>> cells.counts.tolist(), cells.values.ravel().tolist()
    ([1, 2], [0.0, 1.0])
    """
    num_rows, num_columns = values.shape
    most = MAX_CELLS if num_columns == 1 else _SIDE_OF_PAIRS
    codes = np.zeros(num_rows, np.int64)
    for column in values.T:
        different, places = np.unique(column, return_inverse=True)
        if len(different) > most:
            ranks = np.empty(num_rows, np.int64)
            ranks[np.argsort(column, kind="stable")] = np.arange(num_rows)
            places = ranks * most // num_rows
        codes = np.unique(codes * (int(places.max()) + 1) + places, return_inverse=True)[1]
    return _gather(values, codes, np.ones(num_rows, np.int64))


def _gather(
    values: np.ndarray, codes: np.ndarray, counts: np.ndarray, *, within: np.ndarray | float = 0.0
) -> Cells:
    codes = np.unique(codes, return_inverse=True)[1]
    sizes = np.bincount(codes, weights=counts.astype(float))
    sums = [np.bincount(codes, weights=counts * column) for column in values.T]
    means = np.stack(sums, axis=1) / sizes[:, None]
    rests = values - means[codes]
    # Equal values give their own mean but for rounding, which is no scatter.
    rests[np.abs(rests) <= 1e-12 * np.abs(values).max(initial=1.0)] = 0.0
    if not rests.any():
        _, first = np.unique(codes, return_index=True)
        means = values[first]
    inside = (rests * counts[:, None]).T @ rests / counts.sum()
    return Cells(sizes.astype(np.int64), means, inside + within)
