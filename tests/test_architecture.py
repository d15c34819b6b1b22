"""The house as it is drawn in the README: who may import whom, under which names, and how fast."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SISTERS = ("models", "evaluation", "tfrecords_builder")


@pytest.fixture
def package_tree(tmp_path):
    """The folders of the repository, linked into the shape in which they install."""
    package = tmp_path / "bioattack"
    package.mkdir()
    for entry in (ROOT / "bioattack").iterdir():
        (package / entry.name).symlink_to(entry)
    for sister in SISTERS:
        (package / sister).symlink_to(ROOT / sister)
    return tmp_path


def test_imports_only_go_down(package_tree):
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=package_tree,
        env=os.environ | {"PYTHONPATH": str(package_tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("sister", SISTERS)
def test_bare_name_is_refused(sister):
    result = subprocess.run(
        [sys.executable, "-c", f"import {sister}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert f"import this package as bioattack.{sister}" in result.stderr


@pytest.mark.parametrize("command", ["build_records", "train", "evaluate"])
def test_help_imports_no_tensorflow(command):
    code = (
        f"import sys; from bioattack.cli.{command} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules, 'a heavy import'\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "example: bioattack-" in result.stdout
