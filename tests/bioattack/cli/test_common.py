import dataclasses
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bioattack.cli import common
from bioattack.errors import InputError
from bioattack.tfrecords_builder.errors import RecordsError

COMMAND = common.Command("bioattack-try", "Tries the parser.", "bioattack-try --output out")


@dataclasses.dataclass(frozen=True)
class TryOptions:
    """Options of a command that does not exist.

    Args:
        output: Where the result goes.
        model: A model; may be given several times.
        epsilons: Sizes, up to 100% of the range.
        kind: What to do.
        options: Free settings.
        limit: At most so many pictures.
        skip_bad: Leave bad pictures out.
    """

    output: Path
    model: tuple[str, ...] = dataclasses.field(metadata={"repeat": True})
    epsilons: tuple[float, ...] = (0.1, 0.2)
    kind: str = dataclasses.field(default="one", metadata={"choices": ("one", "two")})
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    limit: int | None = None
    skip_bad: bool = False


def parse(*words):
    return common.parse(TryOptions, COMMAND, words)


def test_defaults():
    assert parse("--output", "out", "--model", "a") == TryOptions(output=Path("out"), model=("a",))


def test_flags():
    options = parse(
        *["--output", "out", "--model", "a", "--model", "b", "--epsilons", "1", "2", "--kind", "two"],
        *["--options.width", "16", "--limit", "3", "--skip-bad"],
    )
    assert options == TryOptions(Path("out"), ("a", "b"), (1.0, 2.0), "two", {"width": 16}, 3, True)


def test_values_may_stand_behind_an_equals_sign():
    options = parse("--output=out", "--model=a", "--model=b=c", "--epsilons=1", "--limit=3")
    assert options == TryOptions(Path("out"), ("a", "b=c"), (1.0,), limit=3)


def test_flags_win_over_the_file(tmp_path):
    file = tmp_path / "options.toml"
    file.write_text(
        'output = "from-file"\nmodel = ["a", "b"]\nlimit = 5\nepsilons = [0.5]\n[options]\nwidth = 16\n'
    )
    options = parse("--config", str(file), "--limit", "7")
    assert options == TryOptions(Path("from-file"), ("a", "b"), (0.5,), options={"width": 16}, limit=7)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "a"], "--output is required"),
        (["--output", "out"], "--model is required"),
        (["--output", "out", "--model", "a", "--kind", "three"], "invalid choice: 'three'"),
        (
            ["--output", "out", "--model", "a", "--limit", "many"],
            "--limit takes a whole number. Received: 'many'",
        ),
        (
            ["--output", "out", "--model", "a", "--epsilons", "0.1", "big"],
            "--epsilons takes a number. Received:",
        ),
        (["--output", "out", "--model", "a", "--epsilons", ""], "--epsilons takes a number. Received: ''"),
        (["--output", "out", "--model", "a", "--nonsense", "1"], "unrecognized arguments: --nonsense"),
        (["--config", "no-such-file.toml"], "there is no file 'no-such-file.toml'"),
    ],
)
def test_bad_arguments_are_one_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*words)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("bioattack-try: ")
    assert sentence in captured.err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"modle = 1", "Option 'modle' is not accepted"),
        (b'limit = "many"', "--limit takes a whole number. Received: 'many'"),
        (b"model = [5]", "--model takes a text"),
        (b'model = "a"', 'model in options.toml takes a list: model = ["a"]'),
        (b"epsilons = 0.1", "epsilons in options.toml takes a list: epsilons = [0.1]"),
        (b"epsilons = [0.1", "options.toml is not TOML (Unclosed array"),
        (b"\xff\xfe", "options.toml is not TOML ('utf-8' codec can't decode byte 0xff"),
    ],
)
@pytest.mark.parametrize("words", [["--config", "options.toml"], ["--config=options.toml"]])
def test_a_bad_file_of_options_is_one_sentence(content, sentence, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("options.toml").write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        parse("--output", "out", *words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert sentence in error


def test_help_shows_defaults_and_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Sizes, up to 100% of the range. (default: 0.1 0.2)" in text
    assert "example: bioattack-try --output out" in text


@pytest.mark.parametrize("error", [InputError, RecordsError])
def test_bad_input_is_one_sentence_and_code_2(error, capsys):
    def work():
        raise error("the picture a.png is empty")

    with pytest.raises(SystemExit) as stop:
        common.run(COMMAND, work)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "bioattack-try: the picture a.png is empty\n"


def test_what_the_system_refuses_names_the_file(capsys):
    with pytest.raises(SystemExit) as stop:
        common.run(COMMAND, lambda: Path("no/such/file").read_bytes())
    assert stop.value.code == 2
    assert capsys.readouterr().err == "bioattack-try: No such file or directory: no/such/file\n"


AGAIN = "and give the same command again"
REMEDIES = {
    errno.ENOSPC: f"No space left on device: out/a; free some space {AGAIN}",
    errno.EDQUOT: f"Disk quota exceeded: out/a; free some of your quota {AGAIN}",
    errno.EFBIG: f"File too large: out/a; lift the limit on the size of files (ulimit -f) {AGAIN}",
    errno.EACCES: "Permission denied: out/a; give another place, or get the right to use this one",
    errno.EPERM: "Operation not permitted: out/a; give another place, or get the right to use this one",
    errno.EROFS: "Read-only file system: out/a; give a place that can be written",
    errno.ENOTDIR: (
        "Not a directory: out/a; a part of this path is a file where a folder is wanted: give another path"
    ),
    errno.EISDIR: "Is a directory: out/a; this is a folder where a file is wanted: give another path",
    errno.ENAMETOOLONG: "File name too long: out/a; give a shorter path",
    errno.EIO: "Input/output error: out/a",
}


@pytest.mark.parametrize("number", REMEDIES)
@pytest.mark.parametrize("goes_on", [True, False])
def test_what_the_system_refuses_comes_with_what_to_do(number, goes_on, capsys):
    def work():
        raise OSError(number, os.strerror(number), "out/a")

    with pytest.raises(SystemExit) as stop:
        common.run(dataclasses.replace(COMMAND, goes_on=goes_on), work)
    assert stop.value.code == 2
    more = ": it goes on from there" if goes_on and AGAIN in REMEDIES[number] else ""
    assert capsys.readouterr().err == f"bioattack-try: {REMEDIES[number]}{more}\n"


@pytest.mark.parametrize("goes_on", [True, False])
def test_interrupt_is_130(goes_on, capsys):
    def work():
        raise KeyboardInterrupt

    assert common.run(dataclasses.replace(COMMAND, goes_on=goes_on), work) == 130
    assert ("goes on from here" in capsys.readouterr().err) == goes_on


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError, match="division"):
        common.run(COMMAND, lambda: 1 // 0)


@pytest.mark.parametrize("closed", [[1], [2], [0, 1, 2]])
def test_closed_streams_do_not_stop_a_command_nor_reach_its_files(closed, tmp_path):
    """What is printed to a closed stream must not land in the file that was opened next."""
    code = (
        "import os, sys; from bioattack.cli import common; common.open_streams(); "
        f"file = open({str(tmp_path / 'file')!r}, 'w'); "
        "[os.write(number, b'noise') for number in (1, 2)]; print('more'); print('more', file=sys.stderr); "
        "file.write('whole')"
    )

    def close():
        for number in closed:
            os.close(number)

    subprocess.run(
        [sys.executable, "-c", code], check=True, preexec_fn=close, cwd=Path(common.__file__).parents[2]
    )
    assert (tmp_path / "file").read_text() == "whole"


def _take(argv, capsys):
    taken = common.take_sub_command(
        "bioattack-try", argv, kind="question", choices=["one", "two"], overview=lambda: "usage: try\n"
    )
    return taken, capsys.readouterr().out


def test_sub_command_is_the_first_word(capsys, monkeypatch):
    assert _take(["two", "--help"], capsys) == (("two", ["--help"]), "")
    monkeypatch.setattr(sys, "argv", ["bioattack-try", "one"])
    assert _take(None, capsys) == (("one", []), "")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_of_a_command_with_sub_commands(word, capsys):
    assert _take([word], capsys) == (None, "usage: try\n")


def test_version_of_a_command_with_sub_commands(capsys):
    assert _take(["--version"], capsys) == (None, f"bioattack-try {common.__version__}\n")


@pytest.mark.parametrize("argv", [[], ["three"]])
def test_unknown_sub_command_is_one_sentence(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        _take(argv, capsys)
    assert stop.value.code == common.BAD_INPUT
    received = argv[0] if argv else ""
    expected = (
        f"bioattack-try: give a question first: one, two. Received: {received!r} (bioattack-try --help)\n"
    )
    assert capsys.readouterr().err == expected


@pytest.mark.skipif(sys.platform != "linux", reason="only the GNU C library has the settings")
@pytest.mark.parametrize(("given", "is_kept"), [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False)])
def test_freed_memory_is_kept_unless_the_environment_decides(given, is_kept):
    # Each of the blocks is below the size from which the library asks the system for pages of its own.
    code = (
        "import ctypes, resource\n"
        "from bioattack.cli import common\n"
        "common._keep_freed_memory()\n"
        "library = ctypes.CDLL(None)\n"
        "library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]\n"
        "def turn():\n"
        "    blocks = [library.malloc(2**16) for _ in range(500)]\n"
        "    for block in blocks: ctypes.memset(block, 1, 2**16)\n"
        "    for block in blocks: library.free(block)\n"
        "turn()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "turn()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")
    } | given
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    # 500 blocks of 64 KiB are 8,000 pages.
    assert (int(result.stdout) < 800) == is_kept
