"""Seconds in which a million rows are scored, with a thousand draws of each bootstrap and permutation test.

    python benchmarks/scores.py            a million rows, ten classes and ten groups
    python benchmarks/scores.py --quick    ten thousand rows: does it run, not how fast

Whole commands, the start of Python and the reading of the table included. "classes" scores accuracy, "groups"
selection and error rates within each true class besides; "library" is one score of a million real numbers,
such as least radii, of which no two need be alike.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ratio import spread

from bioattack.fairness.group_sample import make_group_sample
from bioattack.fairness.group_scores import ScoreInput, score_groups
from bioattack.fairness.score_intervals import Drawing

NUM_CLASSES, NUM_DRAWS, GOAL = 10, 1000, 30


def main() -> None:
    """Measures everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten thousand rows")
    parser.add_argument("--repeats", type=int, default=3, help="of each; the median counts")
    arguments = parser.parse_args()
    num_rows, repeats = (10_000, 1) if arguments.quick else (1_000_000, arguments.repeats)
    print(f"{num_rows:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        table = _write_table(Path(name) / "rows.npz", num_rows)
        works = {
            "bioattack-fairness classes": _command("classes", table),
            "bioattack-fairness groups": _command("groups", table, "--column=group"),
            "library, real numbers": _library(num_rows),
        }
        print(f"{'seconds':28}  {'median (least - greatest)':26}  goal")
        for what, work in works.items():
            seconds = [_seconds(work) for _ in range(repeats)]
            print(f"{what:28}  {spread(seconds, digits=1):26}  < {GOAL}", flush=True)


def _write_table(path: Path, num_rows: int) -> Path:
    """Answers that are right in 60 to 90 % of the rows, by class and by group."""
    generator = np.random.default_rng(0)
    labels, groups = generator.integers(0, NUM_CLASSES, (2, num_rows))
    is_right = generator.random(num_rows) < 0.6 + 0.02 * labels + 0.01 * groups
    others = (labels + generator.integers(1, NUM_CLASSES, num_rows)) % NUM_CLASSES
    predicted = np.where(is_right, labels, others)
    np.savez(path, label=labels, predicted=predicted, group=groups.astype(str))
    return path


def _command(which: str, table: Path, *flags: str) -> Callable[[], None]:
    command = [sys.executable, "-m", "bioattack.cli.fairness", which, f"--results={table}", *flags]

    def run() -> None:
        with tempfile.TemporaryDirectory() as output:
            settings = [f"--output={output}/scores", f"--draws={NUM_DRAWS}", "--quiet"]
            subprocess.run([*command, *settings], check=True, stdout=subprocess.DEVNULL)

    return run


def _library(num_rows: int) -> Callable[[], None]:
    generator = np.random.default_rng(6)
    groups, values = generator.integers(0, NUM_CLASSES, num_rows), generator.exponential(size=num_rows)

    def run() -> None:
        sample = make_group_sample(values, groups)
        score_groups(ScoreInput("CRU_eps", (sample,)), Drawing(num_draws=NUM_DRAWS))

    return run


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
