"""One writer per folder, and no TensorFlow for it."""

import os
import subprocess
import sys

import pytest

from bioattack.errors import InputError
from bioattack.locking import only_writer


def test_second_writer_is_refused_until_the_first_is_gone(tmp_path):
    with (
        only_writer(tmp_path),
        pytest.raises(InputError, match="another process is writing into"),
        only_writer(tmp_path),
    ):
        pass
    with only_writer(tmp_path):
        pass


def test_a_killed_writer_lets_go(tmp_path):
    code = (
        "import os, pathlib, signal, sys\n"
        "from bioattack.locking import only_writer\n"
        "with only_writer(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=os.environ, check=False)
    assert killed.returncode == -9
    with only_writer(tmp_path):
        pass


def test_no_tensorflow_is_needed():
    code = "import sys, bioattack.locking; assert 'tensorflow' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
