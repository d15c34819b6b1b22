"""Where a result came from: versions of what computed it, and the commit of the code."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

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


def git_commit() -> str | None:
    """Returns the commit of the checkout that this code runs from, or ``None`` for an installed package."""
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
