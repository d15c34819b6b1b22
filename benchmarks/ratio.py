"""Interleaved timing of several pieces of work, and the table of their ratios."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Works = Mapping[str, Callable[[], Any]]
# For each its seconds of wall time and of processor time, one for each repeat.
Times = dict[str, Sequence[list[float]]]


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


def interleave(works: Works, repeats: int) -> Times:
    """Times several functions in turns, in one order and then in the other.

    Returns:
        For each its seconds of wall time and of processor time, one for each repeat.
    """
    times: Times = {name: ([], []) for name in works}
    for repeat in range(repeats):
        for name in reversed(works) if repeat % 2 else works:
            start = time.perf_counter(), time.process_time()
            works[name]()
            times[name][0].append(time.perf_counter() - start[0])
            times[name][1].append(time.process_time() - start[1])
    return times


def make_ratio(
    what: str, times: Times, ours: str, theirs: str, goal: str = "", *, factor: float = 1.0
) -> Ratio:
    """Makes a line of the table; ``factor`` is how many times their work ours was."""
    wall, processor = (
        [one / other / factor for one, other in zip(times[ours][kind], times[theirs][kind], strict=True)]
        for kind in (0, 1)
    )
    return Ratio(what, wall, goal, processor)


def print_table(rows: Sequence[Ratio]) -> None:
    """Prints the lines: median, least and greatest of wall time, the median of processor time, the goal."""
    width = max(len(row.what) for row in rows)
    print(f"{'ours / theirs':{width}}  {'median (least - greatest)':26}  {'processor':9}  goal")
    for row in rows:
        spread = f"{statistics.median(row.wall):.2f} ({min(row.wall):.2f} - {max(row.wall):.2f})"
        processor = f"{statistics.median(row.processor):.2f}" if row.processor else ""
        print(f"{row.what:{width}}  {spread:26}  {processor:9}  {row.goal}")
