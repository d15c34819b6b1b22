"""Worker processes that end with their parent, however it ends.

``concurrent.futures`` leaves its processes waiting for ever when the parent is killed; a build that goes on
after ``kill -9`` must not meet workers of its former life.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from bioattack.tfrecords_builder.errors import RecordsError

Task = TypeVar("Task")
Result = TypeVar("Result")
Work = Callable[[Task, Callable[[int], None]], Result]


def run_tasks(
    tasks: Sequence[Task], work: "Work[Task, Result]", *, num_workers: int, progress: Callable[[int], None]
) -> Generator[Result, None, None]:
    """Yields the results of the tasks, in the order in which they are finished.

    Args:
        tasks: Picklable.
        work: Called with a task and a function to tell progress to; picklable.
        num_workers: Processes; with 1 or less the work is done in this one.
        progress: Is told what the work tells, here in the parent.

    Raises:
        RecordsError: If the work raises it, or a worker is killed from outside.
    """
    num_workers = min(num_workers, len(tasks))
    if num_workers <= 1:
        for task in tasks:
            yield work(task, progress)
        return
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        workers: dict[Connection, Any] = {}
        for _ in range(num_workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work), daemon=True)
            process.start()
            theirs.close()
            stack.callback(_stop, process, ours)
            workers[ours] = process
        yield from _distribute(list(reversed(tasks)), workers, progress)


def _distribute(
    waiting: list[Task], workers: dict[Connection, Any], progress: Callable[[int], None]
) -> Iterator[Any]:
    for connection in workers:
        _send(connection, waiting.pop(), workers)
    busy = set(workers)
    while busy:
        for connection in [
            connection for connection in wait(list(busy)) if isinstance(connection, Connection)
        ]:
            kind, content = _receive(connection, workers)
            if kind == "progress":
                progress(content)
            elif kind == "error":
                raise content
            else:
                if waiting:
                    _send(connection, waiting.pop(), workers)
                else:
                    busy.discard(connection)
                yield content


def _send(connection: Connection, task: Any, workers: dict[Connection, Any]) -> None:
    try:
        connection.send(task)
    except OSError as error:
        raise _death(workers[connection]) from error


def _receive(connection: Connection, workers: dict[Connection, Any]) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = connection.recv()
    except (EOFError, OSError) as error:
        raise _death(workers[connection]) from error
    return message


def _death(process: Any) -> RecordsError:
    process.join(timeout=1)
    return RecordsError(
        f"a worker process was ended from outside (exit code {process.exitcode}), most often for want of "
        "memory; free some, or have fewer processes at a time: the same command goes on from what is finished"
    )


def _stop(process: Any, connection: Connection) -> None:
    connection.close()
    process.join(timeout=0.05)
    if process.is_alive():
        process.terminate()
        process.join(timeout=5)
    if process.is_alive():
        process.kill()
        process.join()


def _serve(connection: Connection, work: "Work[Any, Any]") -> None:
    """Does tasks until the parent closes the connection; runs in the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = connection.recv()
            try:
                message = ("done", work(task, lambda number: connection.send(("progress", number))))
            except RecordsError as error:
                message = ("error", error)
            except Exception:  # a fault of ours: the parent shows the worker's traceback
                message = ("error", RuntimeError(f"a worker failed:\n{traceback.format_exc()}"))
            connection.send(message)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)
