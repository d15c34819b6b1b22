import errno
import os
from pathlib import Path

import pytest
import tensorflow as tf

from bioattack import files, locking
from bioattack.files import naming_the_place, remove_partials, replacing


def test_file_is_replaced_at_the_end_only(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_is_replaced_at_the_end_only(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with replacing(path) as partial:
        partial.mkdir()
        (partial / "new").touch()
        assert (path / "old").exists()
    assert [entry.name for entry in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with replacing(path) as partial:
            partial.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        # h5py has the number in the text only; TensorFlow has its own class.
        OSError("Unable to synchronously write (file write failed: errno = 28, No space left on device)"),
        tf.errors.ResourceExhaustedError(None, None, "variables.data; No space left on device"),
        RuntimeError("Unable to close file (errno = 28, error message = 'No space left on device')"),
    ],
)
def test_full_disk_names_the_place(tmp_path, error):
    with (
        pytest.raises(OSError, match=r"No space left on device: .*model\.keras") as caught,
        naming_the_place(tmp_path / "model.keras"),
    ):
        raise error
    assert caught.value.errno == errno.ENOSPC


def test_other_errors_pass(tmp_path):
    with pytest.raises(tf.errors.DataLossError, match="corrupt"), naming_the_place(tmp_path):
        raise tf.errors.DataLossError(None, None, "corrupt")


def test_partials_are_removed(tmp_path):
    (tmp_path / "a.npz.partial").touch()
    (tmp_path / "b.partial").mkdir()
    (tmp_path / "c").touch()
    remove_partials(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["c"]


def test_lock_is_the_one_that_needs_no_tensorflow():
    assert files.only_writer is locking.only_writer


def test_only_what_was_written_is_brought_to_the_disk(tmp_path, monkeypatch):
    """Otherwise writing a thousand files into one folder would flush a thousand of them each time."""
    for number in range(5):
        (tmp_path / f"{number}.txt").touch()
    flushed, fsync = [], os.fsync

    def noted(handle):
        flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    with replacing(tmp_path / "new.txt") as partial:
        partial.write_text("new")
    assert flushed == [str(tmp_path / "new.txt.partial"), str(tmp_path)]
    flushed.clear()
    with replacing(tmp_path / "folder") as partial:
        (partial / "inner").mkdir(parents=True)
        (partial / "inner" / "a.txt").write_text("a")
    inner = ["", "/inner", "/inner/a.txt"]
    assert flushed == [*(f"{tmp_path}/folder.partial{name}" for name in inner), str(tmp_path)]
