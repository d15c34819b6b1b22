"""Rows put into groups, and drawn again: with replacement, with other groups, with two models exchanged."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bioattack.errors import InputError
from bioattack.fairness.cells import (
    MAX_CELLS,
    Cells,
    coarser_cells,
    deal_out,
    draw_scatter,
    make_cells,
)

if TYPE_CHECKING:
    import pandas as pd

    RowGroups: TypeAlias = "Sequence[Any] | np.ndarray | pd.Series[Any]"


@dataclasses.dataclass(frozen=True)
class GroupSample:
    """Rows by group.

    Args:
        names: Of the groups, in the order of ``groups``.
        groups: Their rows.
        shape: ``(models, outcomes)``: what the columns are, models first.
        left_out: Groups below the minimum count, with their numbers of rows.
    """

    names: tuple[str, ...]
    groups: tuple[Cells, ...]
    shape: tuple[int, int] = (1, 1)
    left_out: tuple[tuple[str, int], ...] = ()

    @property
    def num_rows(self) -> np.ndarray:
        """Rows of each group, ``(groups,)``."""
        return np.array([cells.num_rows for cells in self.groups])

    @property
    def means(self) -> np.ndarray:
        """``(groups, models, outcomes)``."""
        return np.stack([cells.means for cells in self.groups]).reshape(len(self.groups), *self.shape)

    @property
    def variances(self) -> np.ndarray:
        """Of one row, ``(groups, models, outcomes)``."""
        return np.stack([cells.variances for cells in self.groups]).reshape(len(self.groups), *self.shape)

    @property
    def is_of_counts(self) -> bool:
        """Whether all values are 0 or 1, so that means are proportions."""
        return all(bool(np.isin(cells.values, (0.0, 1.0)).all()) for cells in self.groups)

    def resample(self, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Draws the rows of each group again, with replacement (a bootstrap stratified by group).

        Args:
            num_draws: How often.
            generator: Of the random numbers.

        Returns:
            The means, ``(draws, groups, models, outcomes)``.
        """
        drawn = []
        for cells in self.groups:
            number = cells.num_rows
            counts = generator.multinomial(number, cells.counts / number, size=num_draws)
            drawn.append(counts @ cells.values / number + draw_scatter(cells, num_draws, generator))
        return np.stack(drawn, axis=1).reshape(num_draws, len(self.groups), *self.shape)

    def exchange(self, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Exchanges the two models' values of each row or leaves them, by the toss of a coin.

        Args:
            num_draws: How often all rows are gone through.
            generator: Of the random numbers.

        Returns:
            The means, ``(draws, groups, 2, outcomes)``.
        """
        outcomes = self.shape[1]
        drawn = []
        for cells in self.groups:
            swapped = generator.binomial(cells.counts, 0.5, size=(num_draws, len(cells.counts)))
            differences = cells.values[:, :outcomes] - cells.values[:, outcomes:]
            turn = np.vstack([np.eye(outcomes), -np.eye(outcomes)])
            inside = Cells(cells.counts, differences, turn.T @ cells.within @ turn / 4)
            moved = swapped @ differences / cells.num_rows + draw_scatter(inside, num_draws, generator)
            drawn.append(cells.means + np.hstack([-moved, moved]))
        return np.stack(drawn, axis=1).reshape(num_draws, len(self.groups), *self.shape)

    def permute(self, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Gives the rows of all groups new groups by chance, keeping the groups' sizes.

        Args:
            num_draws: How often.
            generator: Of the random numbers.

        Returns:
            The means, ``(draws, groups, models, outcomes)``.
        """
        pooled, sizes = self._pooled(), self.num_rows
        means = np.stack(deal_out(pooled, sizes, num_draws, generator), axis=1) / sizes[:, None]
        if np.any(pooled.within):
            noise = np.stack([draw_scatter(pooled, num_draws, generator, size) for size in sizes], axis=1)
            means += noise - np.average(noise, axis=1, weights=sizes)[:, None]
        return means.reshape(num_draws, len(sizes), *self.shape)

    def _pooled(self) -> Cells:
        """All rows in one group; cells that are the same in several groups are put together."""
        counts = np.concatenate([cells.counts for cells in self.groups])
        values = np.concatenate([cells.values for cells in self.groups])
        within = np.average([cells.within for cells in self.groups], axis=0, weights=self.num_rows)
        values, places = np.unique(values, axis=0, return_inverse=True)
        pooled = Cells(np.bincount(places.ravel(), weights=counts).astype(np.int64), values, within)
        if len(pooled.counts) <= MAX_CELLS or values.shape[1] > 2:
            return pooled
        return coarser_cells(pooled)


def make_group_sample(
    values: np.ndarray,
    groups: "RowGroups",
    *,
    minimum_count: int = 0,
    what: str = "group",
    rows: str = "rows",
) -> GroupSample:
    """Puts rows into groups.

    Args:
        values: ``(rows,)`` for one model, or ``(rows, models)`` for several models on the same rows; numbers
            or truth values.
        groups: The group of each row, ``(rows,)``; any text or number, or a pandas Categorical, whose
            categories should then all have rows.
        minimum_count: Leave out groups with fewer rows; they are listed in ``left_out``. 0 leaves out none.
        what: What a group is called in messages.
        rows: What its rows are called there.

    Returns:
        The groups, sorted as text, or in the order of the categories.

    Raises:
        InputError: If a value is not finite, fewer than two groups are left, or a category has no rows and
            none may be left out.

    >>> sample = make_group_sample(np.array([1, 0, 1, 1]), ["a", "a", "b", "b"])
    >>> sample.names, sample.means.ravel().tolist()
    (('a', 'b'), [0.5, 1.0])
    """
    table = np.asarray(values, float)
    table = table[:, None] if table.ndim == 1 else table
    if not np.isfinite(table).all():
        raise InputError(f"row {int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])} has no finite value")
    names, codes = group_codes(groups)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    sizes = np.diff(bounds)
    kept = _kept(names, sizes, minimum_count=minimum_count, words=(what, rows))
    return GroupSample(
        names=tuple(names[place] for place in kept),
        groups=tuple(make_cells(table[order[bounds[place] : bounds[place + 1]]]) for place in kept),
        shape=(table.shape[1], 1),
        left_out=_left_out(names, sizes, kept),
    )


def make_outcome_sample(
    outcomes: np.ndarray,
    groups: "RowGroups",
    *,
    num_outcomes: int,
    minimum_count: int = 0,
    what: str = "group",
    rows: str = "rows",
) -> GroupSample:
    """Puts predicted classes into groups: the means are the shares of each class.

    Args:
        outcomes: ``(rows,)`` or ``(rows, models)``, whole numbers below ``num_outcomes``.
        groups: As for ``make_group_sample``.
        num_outcomes: Classes that can be predicted.
        minimum_count: As for ``make_group_sample``.
        what: What a group is called in messages.
        rows: What its rows are called there.

    Raises:
        InputError: As for ``make_group_sample``.

    >>> sample = make_outcome_sample(np.array([0, 1, 1, 1]), ["a", "a", "b", "b"], num_outcomes=2)
    >>> sample.means[:, 0].tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    table = outcomes[:, None] if outcomes.ndim == 1 else outcomes
    names, codes = group_codes(groups)
    kinds, places = np.unique(table, axis=0, return_inverse=True) if table.shape[1] > 1 else _kinds(table)
    pairs = codes * len(kinds) + places.ravel()
    counts = np.bincount(pairs, minlength=len(names) * len(kinds)).reshape(len(names), len(kinds))
    values = np.eye(num_outcomes)[kinds].reshape(len(kinds), -1)
    sizes = counts.sum(axis=1)
    kept = _kept(names, sizes, minimum_count=minimum_count, words=(what, rows))
    exact = np.zeros((values.shape[1], values.shape[1]))
    return GroupSample(
        names=tuple(names[place] for place in kept),
        groups=tuple(Cells(counts[place], values, exact) for place in kept),
        shape=(table.shape[1], num_outcomes),
        left_out=_left_out(names, sizes, kept),
    )


def make_rate_sample(
    events: np.ndarray,
    chances: np.ndarray,
    groups: "RowGroups",
    *,
    minimum_count: int = 0,
    what: str = "group",
) -> GroupSample:
    """Puts rows into groups whose score is a rate with a denominator of each model's own.

    Args:
        events: What is counted, ``(rows, models)``, truth values.
        chances: What it is divided by, likewise.
        groups: As for ``make_group_sample``.
        minimum_count: As for ``make_group_sample``.
        what: What a group is called in messages.

    Returns:
        Two outcomes a model: events and chances.

    >>> ones = np.ones((2, 1), bool)
    >>> make_rate_sample(ones, ones, ["a", "b"]).shape
    (1, 2)
    """
    columns = np.stack([events, chances], axis=2).reshape(len(events), -1)
    sample = make_group_sample(columns, groups, minimum_count=minimum_count, what=what)
    return dataclasses.replace(sample, shape=(events.shape[1], 2))


def _kinds(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kinds, places = np.unique(table[:, 0], return_inverse=True)
    return kinds[:, None], places


def group_codes(groups: "RowGroups") -> tuple[list[str], np.ndarray]:
    """Numbers groups: their names, and the place of each row's among these.

    Raises:
        InputError: If a row has no group.

    >>> group_codes(["b", "a", "b"])
    (['a', 'b'], array([1, 0, 1]))
    """
    categories = as_categories(groups)
    codes = categories.cat.codes.to_numpy(np.int64)
    if (codes < 0).any():
        raise InputError(f"row {int(np.argmin(codes))} has no group")
    return [str(name) for name in categories.cat.categories], codes


def as_categories(groups: "RowGroups") -> "pd.Series[Any]":
    """Gives the groups of rows as pandas' categories, so that parts of the rows still know all groups.

    >>> list(as_categories([2, 10]).cat.categories)
    ['10', '2']
    """
    import pandas as pd

    series = pd.Series(groups).reset_index(drop=True)
    return series if isinstance(series.dtype, pd.CategoricalDtype) else series.astype(str).astype("category")


def _kept(
    names: Sequence[str], sizes: np.ndarray, *, minimum_count: int, words: tuple[str, str]
) -> list[int]:
    what, rows = words
    if minimum_count < 1 and (sizes == 0).any():
        empty = names[int(np.argmin(sizes))]
        raise InputError(
            f"{what} {empty!r} has no {rows}; give some, or let --minimum-count 1 leave such groups out"
        )
    kept = [place for place, size in enumerate(sizes) if size >= max(1, minimum_count)]
    if len(kept) < 2:
        found = ", ".join(f"{name!r} with {size}" for name, size in zip(names, sizes, strict=True))
        least = f" of {minimum_count} or more {rows}" if minimum_count > 1 else ""
        raise InputError(f"a difference needs two groups{least}; there is {found or 'none'}")
    return kept


def _left_out(names: Sequence[str], sizes: np.ndarray, kept: Sequence[int]) -> tuple[tuple[str, int], ...]:
    return tuple((names[place], int(size)) for place, size in enumerate(sizes) if place not in set(kept))
