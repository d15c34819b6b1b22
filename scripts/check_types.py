"""Runs mypy --strict over the four folders in the shape in which they install (bioattack.models, ...)."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def link_package(folder: Path) -> None:
    """Links the repository's folders into ``folder/bioattack`` as the wheel lays them out."""
    package = folder / "bioattack"
    package.mkdir()
    for entry in (ROOT / "bioattack").iterdir():
        (package / entry.name).symlink_to(entry)
    for sister in ("models", "evaluation", "tfrecords_builder"):
        (package / sister).symlink_to(ROOT / sister)


def main() -> int:
    """Returns mypy's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        link_package(Path(folder))
        options = [
            "--config-file",
            ROOT / "pyproject.toml",
            "--cache-dir",
            ROOT / ".mypy_cache",
            "-p",
            "bioattack",
        ]
        command = [sys.executable, "-m", "mypy", *map(str, options)]
        return subprocess.run(command, cwd=folder, env=os.environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
