"""The house as it is drawn in the README: who may import whom, under which names, and how fast."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.check_types import link_package

ROOT = Path(__file__).resolve().parent.parent
SISTERS = ("models", "evaluation", "tfrecords_builder")


@pytest.fixture
def package_tree(tmp_path):
    """The folders of the repository, linked into the shape in which they install."""
    link_package(tmp_path)
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


@pytest.mark.parametrize("command", ["build_records", "train", "evaluate", "attack"])
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


def _write_interpreter(folder, name, version):
    """A stand-in for an interpreter that reports a version and fails the probe if it is too new."""
    path = folder / name
    path.write_text(
        f"#!/bin/sh\necho {version}\ncase {version} in 3.11|3.12|3.13) exit 0;; *) exit 1;; esac\n"
    )
    path.chmod(0o755)
    return path


def _find_python(*arguments, path):
    command = ["/bin/sh", ROOT / "scripts" / "find_python.sh", *arguments]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("name", "version"), [("python3.12", "3.12"), ("python3", "3.11"), ("python3.13", "3.13")]
)
def test_set_up_finds_a_python_that_works(name, version, tmp_path):
    _write_interpreter(tmp_path, name, version)
    assert _find_python(path=tmp_path).stdout == f"{name}\n"


def test_set_up_passes_over_a_name_that_does_not_run(tmp_path):
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    _write_interpreter(tmp_path, "python3.11", "3.11")
    assert _find_python(path=tmp_path).stdout == "python3.11\n"


def test_set_up_says_what_is_wrong_where_only_a_newer_python_is_found(tmp_path):
    _write_interpreter(tmp_path, "python3", "3.14")
    result = _find_python(path=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "TensorFlow 2.21 has no wheel" in result.stderr
    assert "python3 is 3.14" in result.stderr
    assert "PYTHON=" in result.stderr


def test_set_up_takes_the_python_it_is_given_or_none(tmp_path):
    folder = tmp_path / "with blanks"
    folder.mkdir()
    chosen = _write_interpreter(folder, "my-python", "3.12")
    _write_interpreter(tmp_path, "python3.11", "3.11")
    assert _find_python(chosen, path=tmp_path).stdout == f"{chosen}\n"
    assert _find_python(folder / "nonesuch", path=tmp_path).returncode == 2
