"""One resumable runner for many models: fifty that differ in their seed, or one for each record left out.

No TensorFlow here: it is started once in each process that trains.
"""

import contextlib
import dataclasses
import os
import re
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioattack.errors import InputError
from bioattack.locking import only_writer
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.workers import run_tasks
from bioattack.training.many_config import Member, num_cores

if TYPE_CHECKING:
    from bioattack.training.many_workshop import Workshop

TRAINED, COMPLETE, FAILED = "trained", "already complete", "failed"

# So many processes in a row that are ended from outside before a model is finished, and the runner gives up.
_MOST_DEATHS = 3


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one model.

    Args:
        name: Of the model.
        status: ``"trained"``, ``"already complete"`` or ``"failed"``.
        seconds: That it took in this call.
        accuracy: As in its card: ``train``, ``num_train``, ``test``, ``num_test``; empty where it failed.
        sentence: Why it failed.
        trace: Where, if that was no bad input but a fault of the program.
    """

    name: str
    status: str
    seconds: float = 0.0
    accuracy: dict[str, Any] = dataclasses.field(default_factory=dict)
    sentence: str = ""
    trace: str = ""


@dataclasses.dataclass(frozen=True)
class ManyResult:
    """What became of many models, and the tables made of them.

    Args:
        outcomes: One for each model that was taken up.
        tables: The files that were written.
        notes: Sentences and figures worth saying.
    """

    outcomes: tuple[Outcome, ...]
    tables: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The models that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == FAILED)

    @property
    def finished(self) -> tuple[str, ...]:
        """The names of the models that are complete."""
        return tuple(outcome.name for outcome in self.outcomes if outcome.status != FAILED)


def no_preparation() -> None:
    """Does nothing; what a process needs that imports TensorFlow as it is."""


def tell_nobody(_: str) -> None:
    """Does nothing with a line."""


def train_many(
    members: Sequence[Member],
    *,
    output: Path,
    jobs: int,
    prepare: Callable[[], None] = no_preparation,
    tell: Callable[[str], None] = tell_nobody,
) -> list[Outcome]:
    """Trains many models, each into a folder of its own; the same call goes on where a killed one stopped.

    What is finished is never trained again, and what is not goes on from its last checkpoint. A model that
    fails is told, and the others are trained. With one job the models are trained in this process, with
    several in that many others, each of which starts TensorFlow once. A process that is ended from outside is
    replaced. How many threads a process has decides the last bits of convolutions, so that the number of jobs
    does, too: TF_NUM_INTRAOP_THREADS in the environment sets it.

    Args:
        members: The models; the folder of each lies in ``output``. The first one is finished before the
            others begin where these use the attacked pictures that it makes.
        output: Folder to write.
        jobs: Models trained at a time, 1 or more.
        prepare: Called once in each process before TensorFlow is imported; picklable, so that a ``lambda``
            will do for one job only.
        tell: Is told how it goes on, a line at a time.

    Returns:
        What became of each, in the order of ``members``.

    Raises:
        InputError: If the folder cannot be used, another process writes into it, or processes are ended from
            outside again and again.
    """
    divide_processor(jobs)
    check_output(members, output)
    output.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, Outcome] = {}
    with only_writer(output):
        for part in _in_turn(members):
            clock = _Clock(len(part))
            with contextlib.closing(_outcomes(part, prepare, jobs=jobs, tell=tell)) as finished:
                for outcome in finished:
                    outcomes[outcome.name] = outcome
                    tell(f"{len(outcomes)}/{len(members)} {_words(outcome)}{clock.words_after(outcome)}")
            if outcomes[part[0].name].status == FAILED and len(part) == 1:
                break
    return [outcomes[member.name] for member in members if member.name in outcomes]


def divide_processor(jobs: int) -> None:
    """Gives each of several processes its share of the cores, unless the environment says what they get.

    Args:
        jobs: Processes, 1 or more; with 1, nothing is changed.
    """
    if jobs > 1:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, num_cores() // jobs)))
        # Several processes share a graphics card only if none takes all of its memory at once.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def check_output(members: Sequence[Member], output: Path) -> None:
    """Refuses a folder that holds something else than models under such names, and their tables.

    Args:
        members: The models.
        output: The folder; it need not be there.

    Raises:
        InputError: If it does.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output: {output} is not a folder; give the name of a new one")
    # Fifty models may become a hundred: the numbers at the end of the names are left open.
    stems = {re.sub(r"\d+$", "", member.name) for member in members}
    for entry in output.iterdir() if output.is_dir() else ():
        is_ours = re.sub(r"\d+$", "", entry.name) in stems if entry.is_dir() else entry.suffix in _TABLES
        if not is_ours:
            raise InputError(
                f"--output: {output} holds {entry.name}, which is none of the models {members[0].name} to"
                f" {members[-1].name}; give the name of a new folder"
            )


_TABLES = (".csv", ".partial")


def _in_turn(members: Sequence[Member]) -> list[Sequence[Member]]:
    """The first model alone where the others read what it makes."""
    if len(members) > 1 and members[0].config.training_options != members[1].config.training_options:
        return [members[:1], members[1:]]
    return [members]


class _Work:
    """Trains a model; pickled into each process, where it keeps its workshop from one model to the next."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        self._prepare = prepare
        self._workshop: Workshop | None = None

    def __call__(self, member: Member, _: Callable[[int], None]) -> Outcome:
        begin = time.monotonic()
        try:
            if self._workshop is None:
                self._prepare()
                from bioattack.training.many_workshop import Workshop

                self._workshop = Workshop()
            card, was_complete = self._workshop.train(member.config)
        except (InputError, RecordsError) as error:
            return Outcome(member.name, FAILED, sentence=str(error))
        except OSError as error:
            place = f": {error.filename}" if error.filename else ""
            return Outcome(member.name, FAILED, sentence=f"{error.strerror or error}{place}")
        except Exception as error:  # a fault of ours, or of a library: the other models need not suffer
            self._workshop = None
            words = " ".join(f"{type(error).__name__}: {error}".split())
            return Outcome(member.name, FAILED, sentence=words[:300], trace=traceback.format_exc())
        status = COMPLETE if was_complete else TRAINED
        return Outcome(member.name, status, time.monotonic() - begin, card["accuracy"])


def _outcomes(
    members: Sequence[Member], prepare: Callable[[], None], *, jobs: int, tell: Callable[[str], None]
) -> Generator[Outcome, None, None]:
    """Looks at what is finished in this process, and trains the rest in as many as there are jobs."""
    is_settled = {member.name: _is_settled(member) for member in members}
    here = _Work(prepare)
    for member in members:
        if is_settled[member.name]:
            yield here(member, _tell_nothing)
    waiting = {member.name: member for member in members if not is_settled[member.name]}
    num_deaths = 0
    while waiting:
        tasks = list(waiting.values())
        try:
            with contextlib.closing(
                run_tasks(tasks, _Work(prepare), num_workers=jobs, progress=_tell_nothing)
            ) as done:
                for outcome in done:
                    num_deaths = 0
                    del waiting[outcome.name]
                    yield outcome
        except RecordsError as error:
            num_deaths += 1
            if num_deaths == _MOST_DEATHS:
                raise InputError(
                    f"processes that train models were ended from outside {num_deaths} times in a row, most"
                    " often for want of memory; give fewer --jobs: the same command goes on from the finished"
                    " models"
                ) from error
            tell("a process was ended from outside; going on with new ones")


def _is_settled(member: Member) -> bool:
    """Whether there is a card, which is written last."""
    return not member.config.overwrite and (member.config.output / "model_card.json").is_file()


def _tell_nothing(_: int) -> None:
    pass


class _Clock:
    """Says how long the rest will take, from what was trained since; what was there took no time."""

    def __init__(self, num_models: int) -> None:
        self._num_left = num_models
        self._num_trained = 0
        self._begin = time.monotonic()

    def words_after(self, outcome: Outcome) -> str:
        self._num_left -= 1
        if outcome.status == COMPLETE:
            self._begin = time.monotonic()
            return ""
        self._num_trained += 1
        seconds = (time.monotonic() - self._begin) / self._num_trained * self._num_left
        return f", about {_duration(seconds)} to go" if self._num_left and outcome.status == TRAINED else ""


def _words(outcome: Outcome) -> str:
    if outcome.status == FAILED:
        return f"{outcome.name}: failed: {outcome.sentence}\n{outcome.trace}".rstrip()
    test = outcome.accuracy.get("test")
    accuracy = "" if test is None else f", test accuracy {100 * test:.2f} %"
    seconds = f" in {outcome.seconds:.1f} s" if outcome.status == TRAINED else ""
    return f"{outcome.name}: {outcome.status}{seconds}{accuracy}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
