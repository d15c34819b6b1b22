import numpy as np
import pytest

from bioattack.distances.numpy_files import read_numpy_archive


def test_arrays_come_back_by_name(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **{"conv/kernel": np.arange(3.0), "stride": np.array(2)})
    found = read_numpy_archive(tmp_path / "a.npz")
    assert list(found) == ["conv/kernel", "stride"]
    np.testing.assert_array_equal(found["conv/kernel"], [0, 1, 2])


def damaged(path, kind):
    """The file's bytes, spoilt."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    parts = {
        "empty": b"",
        "cut off": path.read_bytes()[:600],
        "noise": bytes(range(1, 200)),
        "changed": content,
    }
    return bytes(parts[kind])


@pytest.mark.parametrize("kind", ["empty", "cut off", "noise", "changed"])
def test_a_damaged_file_is_one_sentence(kind, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.random.default_rng(0).normal(size=1000))
    (tmp_path / "a.npz").write_bytes(damaged(tmp_path / "a.npz", kind))
    with pytest.raises(ValueError, match=r"a\.npz is no NumPy archive \(\.npz\) of plain arrays") as error:
        read_numpy_archive(tmp_path / "a.npz")
    assert "\n" not in str(error.value)


def test_a_single_array_and_pickles_are_refused(tmp_path):
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.ones(3))
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    for name in ("one.npz", "objects.npz"):
        with pytest.raises(ValueError, match="is no NumPy archive"):
            read_numpy_archive(tmp_path / name)
