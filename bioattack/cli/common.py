"""What every command shares: a parser made from a frozen dataclass, one-sentence errors, exit codes."""

import ctypes
import dataclasses
import errno
import json
import os
import platform
import re
import sys
import tempfile
import tomllib
import typing
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bioattack._version import __version__

DONE, CHECK_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

# Names of settings in the GNU C library's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# What to do about what the operating system refuses; where space is lacking, the command is given again.
_NO_SPACE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "lift the limit on the size of files (ulimit -f)",
}
_WRONG_PLACE = {
    errno.EACCES: "give another place, or get the right to use this one",
    errno.EPERM: "give another place, or get the right to use this one",
    errno.EROFS: "give a place that can be written",
    errno.ENOTDIR: "a part of this path is a file where a folder is wanted: give another path",
    errno.EISDIR: "this is a folder where a file is wanted: give another path",
    errno.ENAMETOOLONG: "give a shorter path",
}

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path", str: "a text"}

Options = TypeVar("Options")


@dataclasses.dataclass(frozen=True)
class Command:
    """The face of one command.

    Args:
        name: What the user types, such as ``bioattack-train``.
        summary: One sentence on what it does.
        example: A command line that runs as printed.
        goes_on: Whether it goes on, when it is given again, from where it was stopped.
    """

    name: str
    summary: str
    example: str
    goes_on: bool = True


def open_streams() -> None:
    """Puts the null device in the place of standard streams that the caller has closed.

    Otherwise the next file to be opened would get their number, and what libraries print would land in it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The system gives the lowest free number, which is this stream's: those below are open by now.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def take_sub_command(
    name: str, argv: Sequence[str] | None, *, kind: str, choices: Sequence[str], overview: Callable[[], str]
) -> tuple[str, list[str]] | None:
    """Takes the first word of a command that has several, such as ``bioattack-fairness income``.

    Args:
        name: The command.
        argv: The arguments after its name; by default those of the process.
        kind: What the first word is called, such as "question".
        choices: The words that it may be.
        overview: Gives what ``--help`` prints.

    Returns:
        The word and the arguments after it; ``None`` where help or version was asked for and printed.

    Raises:
        SystemExit: With code 2 and one sentence on standard error for any other word.
    """
    open_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    first = words[0] if words else ""
    if first in ("-h", "--help", "--version"):
        sys.stdout.write(f"{name} {__version__}\n" if first == "--version" else overview())
        return None
    if first not in choices:
        fail(name, f"give a {kind} first: {', '.join(choices)}. Received: {first!r} ({name} --help)")
    return first, words[1:]


def parse(options_class: type[Options], command: Command, argv: Sequence[str]) -> Options:
    """Reads a command line into a frozen dataclass.

    The order is: the dataclass' defaults, then ``--config FILE.toml``, then the flags. A field
    ``batch_size`` is the flag ``--batch-size`` and the TOML key ``batch_size``, a field ``lambda_`` is
    ``--lambda`` and ``lambda``; its help is its entry under ``Args`` in the dataclass' docstring. A ``tuple``
    field takes several values after one flag, a ``bool`` field is false until its flag is given; a field with
    ``metadata={"repeat": True}`` takes a value each time its flag is given; one with
    ``metadata={"positional": True}`` has no flag; one with ``choices`` in its metadata lists them.

    Args:
        options_class: A frozen dataclass; fields without a default are required.
        command: Names, summary and example of the command.
        argv: The arguments after the command's name.

    Raises:
        SystemExit: With code 2 and one sentence on standard error for bad arguments, 0 for ``--help`` and
            ``--version``.
    """
    fields = dataclasses.fields(options_class)  # type: ignore[arg-type]
    repeated = {_flag(field) for field in fields if field.metadata.get("repeat")}
    parser = _make_parser(options_class, command)
    namespace = parser.parse_args(
        [_appending(word, repeated) for word in _readable_config(command, argv, fields)]
    )
    values = {field.name: namespace[_key(field)] for field in fields}
    for field in fields:
        if isinstance(values[field.name], list):
            values[field.name] = tuple(values[field.name])
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and values[field.name] in (None, ()):
            parser.error(f"{_flag(field)} is required")
    return options_class(**values)


def _appending(word: str, repeated: Collection[str]) -> str:
    """Turns a flag that may be given again, alone or with its value behind ``=``, into the parser's word."""
    flag, equals, value = word.partition("=")
    return f"{flag}+{equals}{value}" if flag in repeated else word


def _readable_config(command: Command, argv: Sequence[str], fields: Sequence[Any]) -> Sequence[str]:
    """Refuses a ``--config`` that is no TOML file: jsonargparse would read its name itself as TOML."""
    for word, following in zip(argv, [*argv[1:], ""], strict=False):
        path = (
            following
            if word == "--config"
            else word.partition("=")[2]
            if word.startswith("--config=")
            else None
        )
        if path is not None:
            _check_config(command, path, fields)
    return argv


def _check_config(command: Command, path: str, fields: Sequence[Any]) -> None:
    if not Path(path).is_file():
        fail(command.name, f"--config: there is no file {path!r}; give a TOML file of options")
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        fail(command.name, f"--config: cannot read {path}: {error.strerror}")
    except ValueError as error:
        fail(command.name, f"--config: {path} is not TOML ({error})")
    for field in fields:
        takes_several = field.metadata.get("repeat") or isinstance(field.default, tuple)
        if takes_several and not isinstance(content.get(_key(field), []), list):
            value = json.dumps(content[_key(field)], default=str)
            fail(command.name, f"--config: {_key(field)} in {path} takes a list: {_key(field)} = [{value}]")


def _make_parser(options_class: type[Any], command: Command) -> Any:
    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    types = typing.get_type_hints(options_class)

    class Parser(ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> typing.NoReturn:  # noqa: ARG002
            named = {name.rstrip("_"): kind for name, kind in types.items()}
            sentence = _in_our_words(" ".join(str(message).split()), named)
            fail(command.name, f"{sentence} ({command.name} --help lists the options)")

    class HelpFormatter(DefaultHelpFormatter):
        def _get_help_string(self, action: Any) -> str:
            text = str(action.help or "")
            is_plain = action.default in (None, False, [], {}, "==SUPPRESS==") or action.dest in (
                "help",
                "version",
            )
            default = (
                " ".join(map(str, action.default)) if isinstance(action.default, list) else action.default
            )
            return text if is_plain else f"{text} (default: {default})"

    parser = Parser(
        prog=command.name,
        description=command.summary,
        epilog=f"example: {command.example}",
        parser_mode="toml",
        default_env=False,
        print_config=None,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--config", action="config", metavar="FILE", help="TOML file of options; flags win over it"
    )
    help_texts = _field_help(options_class)
    for field in dataclasses.fields(options_class):
        kind = types[field.name]
        arguments: dict[str, Any] = {"help": help_texts.get(field.name, "")} | _type_arguments(field, kind)
        if kind is bool:
            arguments["action"] = "store_true"
        if field.default is not dataclasses.MISSING:
            arguments["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
        elif field.default_factory is not dataclasses.MISSING:
            arguments["default"] = field.default_factory()
        parser.add_argument(_flag(field), **arguments)
    return parser


def _in_our_words(message: str, types: dict[str, Any]) -> str:
    """Says of a value of the wrong type what the flag takes, in place of how the parser tried to read it."""
    key = re.search(r'Parser key "(\w+)', message)
    value = re.search(r"(?:Got|Given) value: ?(.*)$", message)
    plain = _plain_type(types.get(key[1])) if key else None
    if key is None or plain not in _WORDS:
        return message.removeprefix("error: ")
    received = f". Received: {value[1]!r}" if value else ""
    return f"--{key[1].replace('_', '-')} takes {_WORDS[plain]}{received}"


def _plain_type(kind: Any) -> Any:
    """The type of one value: of the elements of a tuple, of an optional value where it is given."""
    inner = typing.get_args(kind)
    return inner[0] if typing.get_origin(kind) is tuple or type(None) in inner else kind


def _type_arguments(field: dataclasses.Field[Any], kind: Any) -> dict[str, Any]:
    is_tuple = typing.get_origin(kind) is tuple
    plain = _plain_type(kind)
    metavar = {Path: "PATH", int: "N", float: "X", str: "NAME", bool: "{true,false}"}.get(plain, "KEY=VALUE")
    if field.metadata.get("choices"):
        return {"type": plain, "choices": list(field.metadata["choices"])} | (
            {"nargs": "+"} if is_tuple else {}
        )
    if kind is bool:
        return {}
    if field.metadata.get("repeat"):
        return {"type": list[plain], "metavar": metavar}  # type: ignore[valid-type]
    if is_tuple:
        return {"type": plain, "nargs": "+", "metavar": metavar}
    return {"type": kind} | ({} if field.metadata.get("positional") else {"metavar": metavar})


def _flag(field: dataclasses.Field[Any]) -> str:
    return field.name if field.metadata.get("positional") else "--" + _key(field).replace("_", "-")


def _key(field: dataclasses.Field[Any]) -> str:
    """The TOML key; a word that Python keeps for itself has an underscore behind it in the dataclass."""
    return field.name.rstrip("_")


def _field_help(options_class: type[Any]) -> dict[str, str]:
    from docstring_parser import DocstringStyle
    from docstring_parser import parse as parse_docstring

    docstrings = [ancestor.__doc__ or "" for ancestor in reversed(options_class.__mro__[:-1])]
    parameters = [
        parameter
        for docstring in docstrings
        for parameter in parse_docstring(docstring, style=DocstringStyle.GOOGLE).params
    ]
    return {parameter.arg_name: " ".join((parameter.description or "").split()) for parameter in parameters}


def fail(command_name: str, sentence: str) -> typing.NoReturn:
    """Prints one sentence on standard error and leaves with exit code 2."""
    sys.stderr.write(f"{command_name}: {sentence}\n")
    raise SystemExit(BAD_INPUT)


def run(command: Command, work: Callable[[], int]) -> int:
    """Does a command's work and turns what goes wrong into the exit code and the one sentence.

    Bad input (``InputError``, ``RecordsError``, anything the operating system refuses) is one sentence and
    code 2; an interrupt is 130. Anything else is a fault of ours and keeps its traceback.
    """
    from bioattack.errors import InputError
    from bioattack.tfrecords_builder.errors import RecordsError

    try:
        return work()
    except (InputError, RecordsError) as error:
        fail(command.name, str(error))
    except BrokenPipeError:
        # The reader of our output has gone, as in `| head`: nothing is left to say, nor anyone to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        fail(command.name, f"{error.strerror or error}{place}{_remedy(error.errno, command)}")
    except KeyboardInterrupt:
        more = "; the same command goes on from here" if command.goes_on else ""
        sys.stderr.write(f"{command.name}: interrupted{more}\n")
        return INTERRUPTED


def _remedy(number: int | None, command: Command) -> str:
    """What to do about an error of the operating system, as the end of a sentence; empty where it depends."""
    if number in _NO_SPACE:
        more = ": it goes on from there" if command.goes_on else ""
        return f"; {_NO_SPACE[number]} and give the same command again{more}"
    return f"; {_WRONG_PLACE[number]}" if number in _WRONG_PLACE else ""


def prepare_tensorflow() -> None:
    """Imports TensorFlow without its start-up notices; call it before anything else imports it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Keeps large buffers instead of asking the system for fresh pages at every step. In one pair of training
    # runs that took 46 instead of 51 seconds of processor time, in as much memory.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    _keep_freed_memory()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "tensorflow" in sys.modules:
        return
    # Two notices are written before TensorFlow reads the level, straight to the file descriptor.
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            notices.seek(0)
            os.write(terminal, notices.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _keep_freed_memory() -> None:
    """Has the C library keep what is freed, up to 256 MiB, as the allocator above does for tensors.

    Encoded pictures are strings, which that allocator does not hold. Otherwise each window of them that is
    read is given back to the system and asked for again, page by page. Only the GNU library has the two
    settings; those of the environment come first.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    library = ctypes.CDLL(None)
    library.mallopt(_M_TRIM_THRESHOLD, 256 * 2**20)
    library.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the most it takes


def print_result(result: dict[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    """Writes a command's result to standard output: one JSON object, or the lines for people."""
    sys.stdout.write(
        json.dumps(result, indent=2) + "\n" if as_json else "".join(f"{line}\n" for line in lines)
    )
    sys.stdout.flush()
