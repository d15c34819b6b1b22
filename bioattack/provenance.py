"""Where a result came from: versions of what computed it, and the commit of the code."""

import functools
import importlib.metadata
import platform
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bioattack._version import __version__

_PACKAGES = ("tensorflow", "keras", "numpy")


def versions() -> dict[str, str]:
    """Returns the versions of Python, of this package and of the libraries that compute.

    >>> sorted(versions())
    ['bioattack', 'keras', 'numpy', 'python', 'tensorflow']
    """
    return {
        "python": platform.python_version(),
        "bioattack": __version__,
        **{package: importlib.metadata.version(package) for package in _PACKAGES},
    }


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], *, ignored: Collection[str] = ()
) -> list[str]:
    """Says in words what two sets of settings differ in.

    Args:
        before: What something was made with.
        now: What is asked for.
        ignored: Names that do not count.

    >>> differences({"seed": 1}, {"seed": 2, "limit": 5})
    ['seed = 1 before and 2 now', 'limit = none before and 5 now']
    """
    return [
        f"{name} = {before.get(name, 'none')} before and {now.get(name, 'none')} now"
        for name in dict.fromkeys([*now, *before])
        if name not in ignored and before.get(name) != now.get(name)
    ]


@functools.cache
def git_commit() -> str | None:
    """Returns the commit of the checkout that this code runs from, or ``None`` for an installed package.

    It is that of the first call: what is committed while a program runs is not what runs.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
