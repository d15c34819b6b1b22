"""Interleaved timing of several pieces of work, and the table of their ratios.

Nothing but the standard library is imported: the reference environment runs this, too.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Works = Mapping[str, Callable[[], Any]]
# For each its seconds of wall time and of processor time, one for each repeat.
Times = dict[str, Sequence[list[float]]]

_LINE = "{:74}  {:26}  {:9}  {}"


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One line of the table.

    Args:
        what: Ours over theirs.
        wall: Ratios of wall time (or of memory, or of counts), one for each repeat.
        goal: As the project states it, such as ``"<= 1.10"``; empty where it states none.
        processor: Ratios of processor time; none for memory and counts.
    """

    what: str
    wall: list[float]
    goal: str = ""
    processor: list[float] = dataclasses.field(default_factory=list)


def interleave(works: Works, repeats: int, *, is_warm: bool = False) -> Times:
    """Times several functions in turns, in one order and then in the other.

    Args:
        works: The functions, by name.
        repeats: Calls of each that are timed.
        is_warm: Whether each was called before; else one call of each goes uncounted.

    Returns:
        For each its seconds of wall time and of processor time, one for each repeat.
    """
    times: Times = {name: ([], []) for name in works}
    for work in () if is_warm else works.values():  # files come into the cache, graphs are traced
        work()
    for repeat in range(repeats):
        for name in reversed(works) if repeat % 2 else works:
            start = time.perf_counter(), time.process_time()
            works[name]()
            times[name][0].append(time.perf_counter() - start[0])
            times[name][1].append(time.process_time() - start[1])
    return times


def make_ratio(
    what: str, times: Times, ours: str, theirs: str | Sequence[str], goal: str = "", *, factor: float = 1.0
) -> Ratio:
    """Makes a line of the table: ours over theirs, or over the sum of several.

    Args:
        what: Ours over theirs, in words.
        times: As ``interleave`` gives them.
        ours: Whose time is divided.
        theirs: By whose.
        goal: As the project states it.
        factor: How many times their work ours was.
    """
    others = [theirs] if isinstance(theirs, str) else theirs
    wall, processor = (
        [
            mine / sum(their) / factor
            for mine, *their in zip(*(times[name][kind] for name in (ours, *others)), strict=True)
        ]
        for kind in (0, 1)
    )
    return Ratio(what, wall, goal, processor)


def print_head() -> None:
    """Prints what stands above the columns."""
    print(_LINE.format("ours / theirs", "median (least - greatest)", "processor", "goal"), flush=True)


def print_rows(*rows: Ratio) -> None:
    """Prints lines of the table: median, least and greatest of wall time, processor time, the goal."""
    for row in rows:
        processor = f"{statistics.median(row.processor):.2f}" if row.processor else ""
        print(_LINE.format(row.what, spread(row.wall), processor, row.goal), flush=True)


def spread(numbers: Sequence[float], digits: int = 2) -> str:
    """The median, and the least and the greatest in brackets."""
    middle, least, most = statistics.median(numbers), min(numbers), max(numbers)
    return f"{middle:.{digits}f} ({least:.{digits}f} - {most:.{digits}f})"
