import pickle
import zipfile

import numpy as np
import pytest

from bioattack.distances.torch_files import read_torch_file
from bioattack.testing.written_torch_files import write_pickle, write_torch_file

LAYOUTS = ("zip", "plain")


def made_up_arrays():
    random = np.random.default_rng(0)
    # A view of the whole of its own memory, turned: PyTorch stores such tensors with their strides.
    turned = random.normal(size=(4, 3)).astype(np.float32).copy().T
    return {
        "conv.weight": random.normal(size=(2, 3, 3, 3)).astype(np.float32),
        "conv.bias": random.normal(size=2).astype(np.float16),
        "turned": turned,
        "double": random.normal(size=(1, 2)),
        "count": np.array(7, np.int64),
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_what_was_written(layout, tmp_path):
    arrays = made_up_arrays()
    found = read_torch_file(write_torch_file(tmp_path / "weights.pth", arrays, layout=layout))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(("module", "name"), [("os", "system"), ("builtins", "eval"), ("torch", "load")])
def test_names_of_anything_but_tensors_are_refused(module, name, tmp_path):
    path = write_pickle(tmp_path / "weights.pth", module=module, name=name)
    with pytest.raises(ValueError, match=f"it names {module}.{name}, which is no tensor"):
        read_torch_file(path)


def test_calls_nothing_while_it_reads(tmp_path):
    made = tmp_path / "made"
    path = write_pickle(tmp_path / "weights.pth", module="os", name="mkdir", argument=str(made))
    with pytest.raises(ValueError, match="which is no tensor"):
        read_torch_file(path)
    assert not made.exists()
    pickle.loads(zipfile.ZipFile(path).read("archive/data.pkl"))  # noqa: S301 - our own
    assert made.is_dir(), "the file would have called it, had it been read with trust"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_ends_early_is_refused(layout, tmp_path):
    path = write_torch_file(tmp_path / "weights.pth", made_up_arrays(), layout=layout)
    whole = path.read_bytes()
    for length in (0, 1, 40, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"is no state dictionary of PyTorch 0\.4 or newer"):
            read_torch_file(path)


def test_a_tensor_larger_than_its_numbers_is_refused(tmp_path):
    path = write_torch_file(tmp_path / "whole.pth", {"weight": np.ones(8, np.float32)})
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "short.pth", "w") as short:
        for name in archive.namelist():
            content = archive.read(name)
            short.writestr(name, content[:-4] if name.endswith("data/0") else content)
    with pytest.raises(ValueError, match="reaches beyond its numbers"):
        read_torch_file(tmp_path / "short.pth")


@pytest.mark.parametrize("content", [b"", b"\x80\x02}.", b"not a pickle", b"PK\x03\x04" + bytes(40)])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pth is no state dictionary"):
        read_torch_file(path)
