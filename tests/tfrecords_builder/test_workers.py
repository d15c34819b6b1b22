import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.workers import run_tasks


def square(task, progress):
    progress(1)
    return task * task


def fail_at_three(task, progress):
    if task == 3:
        raise RecordsError("three is bad")
    return square(task, progress)


def break_at_three(task, progress):
    return 1 / (task - 3) + square(task, progress)


def die(task, progress):  # noqa: ARG001
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_all_tasks_are_done_and_progress_told(num_workers):
    told = []
    results = run_tasks(range(10), square, num_workers=num_workers, progress=told.append)
    assert sorted(results) == [number * number for number in range(10)]
    assert sum(told) == 10


@pytest.mark.parametrize("num_workers", [1, 2])
def test_bad_input_reaches_the_caller(num_workers):
    with pytest.raises(RecordsError, match=r"three is bad"):
        list(run_tasks(range(6), fail_at_three, num_workers=num_workers, progress=lambda _: None))


def test_fault_keeps_the_workers_traceback():
    with pytest.raises(RuntimeError, match=r"a worker failed:(.|\n)*break_at_three(.|\n)*ZeroDivisionError"):
        list(run_tasks(range(6), break_at_three, num_workers=2, progress=lambda _: None))


def test_killed_worker_is_noticed():
    with pytest.raises(RecordsError, match=r"a worker process was ended from outside \(exit code -9\)"):
        list(run_tasks(range(4), die, num_workers=2, progress=lambda _: None))


def test_no_tasks():
    assert list(run_tasks([], square, num_workers=2, progress=lambda _: None)) == []


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\nfrom pathlib import Path\nimport os\n"
        "from bioattack.tfrecords_builder.workers import run_tasks\n"
        "def wait(task, progress):\n    Path(task + '.new').write_text(str(os.getpid()))\n"
        "    os.rename(task + '.new', task)\n    time.sleep(60)\n"
        "if __name__ == '__main__':\n    list(run_tasks(sys.argv[1:], wait, num_workers=2, progress=print))\n"
    )
    notes = [tmp_path / "one", tmp_path / "two"]
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen([sys.executable, script, *notes], env=os.environ | {"PYTHONPATH": str(root)})
    _wait_until(lambda: all(note.exists() for note in notes))
    workers = [int(note.read_text()) for note in notes]
    parent.kill()
    parent.wait()
    _wait_until(lambda: not any(_is_alive(worker) for worker in workers))


def _is_alive(process):
    try:
        # A process that has ended and waits for its parent to notice is a zombie.
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def _wait_until(holds):
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "it did not happen in 30 seconds"
        time.sleep(0.05)
