import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest

from bioattack.errors import InputError
from bioattack.locking import only_writer
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.training import many, many_workshop, run_folder
from bioattack.training.config import TrainConfig
from bioattack.training.many import train_many
from bioattack.training.many_config import (
    _ADVERSARIAL,
    ManyConfig,
    check_many,
    ensemble_members,
    left_out_members,
)

ACCURACY = {"train": 1.0, "num_train": 60, "test": 0.5, "num_test": 15}


def many_config(output, **changes):
    settings = {"model": "small_cnn", "data": Path("records"), "epochs": 1, "batch_size": 16} | changes
    return ManyConfig(output=output, **settings)


@pytest.fixture
def workshop(monkeypatch):
    """Notes what is trained; the models of which seeds fail can be set."""

    class Workshop:
        trained: ClassVar[list[int]] = []
        failing: ClassVar[dict[int, Exception]] = {}

        def train(self, config: TrainConfig):
            card = config.output / "model_card.json"
            if card.exists():
                return {"accuracy": ACCURACY}, True
            if config.seed in self.failing:
                raise self.failing[config.seed]
            self.trained.append(config.seed)
            config.output.mkdir()
            card.write_text("{}")
            return {"accuracy": ACCURACY}, False

    monkeypatch.setattr(many_workshop, "Workshop", Workshop)
    return Workshop


def test_finished_models_are_never_trained_again(workshop, tmp_path):
    told: list[str] = []
    first = train_many(
        ensemble_members(many_config(tmp_path / "out", models=2)), output=tmp_path / "out", jobs=1
    )
    members = ensemble_members(many_config(tmp_path / "out", models=3))
    more = train_many(members, output=tmp_path / "out", jobs=1, tell=told.append)
    assert [outcome.status for outcome in first] == ["trained", "trained"]
    assert [outcome.status for outcome in more] == ["already complete", "already complete", "trained"]
    assert workshop.trained == [0, 1, 2]
    assert told[0].startswith("1/3 small_cnn-standard-seed-0: already complete, test accuracy 50.00 %")
    assert told[2].startswith("3/3 small_cnn-standard-seed-2: trained")


def test_failing_model_is_told_and_the_others_go_on(workshop, tmp_path):
    workshop.failing |= {1: InputError("the loss became nan"), 2: ZeroDivisionError("by zero")}
    told: list[str] = []
    members = ensemble_members(many_config(tmp_path / "out", models=4))
    outcomes = train_many(members, output=tmp_path / "out", jobs=1, tell=told.append)
    assert [outcome.status for outcome in outcomes] == ["trained", "failed", "failed", "trained"]
    assert outcomes[1].sentence == "the loss became nan"
    assert outcomes[2].sentence == "ZeroDivisionError: by zero"
    assert told[1] == "2/4 small_cnn-standard-seed-1: failed: the loss became nan"
    assert "Traceback" in told[2]
    workshop.failing.clear()
    assert [one.status for one in train_many(members, output=tmp_path / "out", jobs=1)][1:3] == [
        "trained"
    ] * 2
    assert workshop.trained == [0, 3, 1, 2]


def test_second_runner_is_refused(workshop, tmp_path):
    (tmp_path / "out").mkdir()
    members = ensemble_members(many_config(tmp_path / "out", models=1))
    with only_writer(tmp_path / "out"), pytest.raises(InputError, match="another process is writing into"):
        train_many(members, output=tmp_path / "out", jobs=1)
    assert workshop.trained == []


@pytest.mark.parametrize("entry", ["config.toml", "notes", "other-seed-3"])
def test_folder_of_something_else_is_refused(tmp_path, entry):
    (tmp_path / entry).mkdir()
    members = ensemble_members(many_config(tmp_path, models=1))
    with pytest.raises(InputError, match=f"holds {entry}, which is none of the models"):
        train_many(members, output=tmp_path, jobs=1)


@pytest.mark.usefixtures("workshop")
def test_processes_that_are_ended_are_replaced_until_it_is_hopeless(tmp_path, monkeypatch):
    calls: list[list[str]] = []

    def run_tasks(tasks, work, *, num_workers, progress):
        assert num_workers == 2
        calls.append([task.name[-1] for task in tasks])
        if len(calls) <= 2:
            yield work(tasks[0], progress)
        raise RecordsError("a worker process was ended from outside")

    monkeypatch.setattr(many, "run_tasks", run_tasks)
    told: list[str] = []
    members = ensemble_members(many_config(tmp_path / "out", models=4))
    with pytest.raises(InputError, match=r"ended from outside 3 times in a row.*give fewer --jobs"):
        train_many(members, output=tmp_path / "out", jobs=2, tell=told.append)
    assert calls == [list("0123"), list("123"), list("23"), list("23")]
    assert told.count("a process was ended from outside; going on with new ones") == 3


def test_shares_of_the_processor(monkeypatch):
    monkeypatch.setattr(many, "num_cores", lambda: 8)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    many.divide_processor(1)
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ
    many.divide_processor(3)
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "2"
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")
    many.divide_processor(2)
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "5"


def test_members_share_the_attacked_pictures_of_the_first(workshop, tmp_path):
    options = {"standard_model": "run", "epsilon": 0.01}
    config = many_config(tmp_path / "out", training="merged", training_options=options, leave_one_out=1)
    first, *others = left_out_members(config, ["a"])
    assert first.config.training_options == options
    shared = str(tmp_path / "out" / "full" / run_folder.ADVERSARIAL)
    assert all(member.config.training_options == options | {"dataset": shared} for member in others)
    assert run_folder.ADVERSARIAL == _ADVERSARIAL
    workshop.failing[0] = InputError("no such model")
    outcomes = train_many([first, *others], output=tmp_path / "out", jobs=1)
    assert [(outcome.name, outcome.status) for outcome in outcomes] == [("full", "failed")]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"models": 0}, "--models must be between 1 and 100000. Received: 0"),
        ({"leave_one_out": -1}, "--leave-one-out must be between 1"),
        ({"models": 2, "leave_one_out": 2}, "give --models or --leave-one-out, not both"),
        ({"models": 2, "jobs": 0}, "--jobs must be between 1 and 256. Received: 0"),
        ({"models": 2, "seed": 2**31 - 1}, "--seed must leave room"),
        ({"leave_one_out": 2, "leave_out": ("a",)}, "cannot have --leave-out"),
        ({"leave_one_out": 2, "ways": ("noise", "noise")}, "--ways takes one or more of published, paired"),
        ({"models": 2, "epochs": -1}, "--epochs must be between"),
    ],
)
def test_bad_settings(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        check_many(many_config(Path("out"), **changes))


def test_members_without_a_record():
    config = many_config(Path("out"), leave_one_out=2, seed=7, ways=("paired", "noise"))
    members = left_out_members(config, ["a", "b"])
    assert [(one.name, one.config.seed, one.config.leave_out) for one in members] == [
        ("full", 7, ()),
        ("paired-000", 7, ("a",)),
        ("noise-000", 8, ()),
        ("paired-001", 7, ("b",)),
        ("noise-001", 9, ()),
    ]
    assert all(
        type(one.config) is TrainConfig and one.config.output == Path("out") / one.name for one in members
    )


# Its processes sleep before they would train, and so can be killed at leisure.
_SLEEPING = """
import functools, signal, sys, time
from pathlib import Path
from bioattack.training.many import train_many
from bioattack.training.many_config import ManyConfig, ensemble_members

if __name__ == "__main__":
    # Background jobs of a shell ignore the signal, and what they start does so too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = Path(sys.argv[1])
    config = ManyConfig("small_cnn", output, output, models=3)
    train_many(ensemble_members(config), output=output, jobs=2, prepare=functools.partial(time.sleep, 300),
               tell=lambda line: print(line, file=sys.stderr, flush=True))
"""


@pytest.fixture
def runner(tmp_path):
    script = tmp_path / "sleeping.py"
    script.write_text(_SLEEPING)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path / "out"], stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    yield process
    process.kill()
    process.communicate()


def workers_of(process):
    """The processes that it has started, but for Python's own tracker of resources."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


def wait_until(is_so):
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    pytest.fail("it took more than a minute")


def is_alive(number):
    stat = Path(f"/proc/{number}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_killed_processes_leave_nothing_behind(runner, tmp_path):
    wait_until(lambda: len(workers_of(runner)) == 2)
    first, second = workers_of(runner)
    members = ensemble_members(many_config(tmp_path / "out", models=3))
    with pytest.raises(InputError, match="another process is writing into"):
        train_many(members, output=tmp_path / "out", jobs=1)
    os.kill(first, signal.SIGKILL)
    assert runner.stderr.readline() == "a process was ended from outside; going on with new ones\n"
    wait_until(lambda: len(set(workers_of(runner)) - {first, second}) == 2)
    workers = workers_of(runner)
    # They have to have begun: until then there is nobody in them who looks after the parent.
    time.sleep(2)
    runner.kill()
    wait_until(lambda: not any(map(is_alive, [first, second, *workers])))


def test_interrupted_runner_ends_its_processes(runner):
    wait_until(lambda: len(workers_of(runner)) == 2)
    workers = workers_of(runner)
    time.sleep(2)
    runner.send_signal(signal.SIGINT)
    runner.wait(timeout=60)
    assert not any(map(is_alive, workers))
    assert "KeyboardInterrupt" in runner.stderr.read()
