"""Files as ``torch.save`` writes them, written without PyTorch, for the tests of what reads them."""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_STORAGES = {"<f4": "FloatStorage", "<f2": "HalfStorage", "<f8": "DoubleStorage", "<i8": "LongStorage"}


def write_torch_file(path: Path, arrays: Mapping[str, np.ndarray], *, layout: str = "zip") -> Path:
    """Writes a state dictionary.

    Args:
        path: Where to.
        arrays: Tensors by name; what is not contiguous is written with its strides.
        layout: ``"zip"`` as from PyTorch 1.6, or ``"plain"`` as from 0.4 to 1.5.

    Returns:
        The path.
    """
    keys = [str(number) for number in range(len(arrays))]
    items = zip(arrays.items(), keys, strict=True)
    content = b"}(" + b"".join(_text(name) + _tensor(array, key, layout) for (name, array), key in items)
    numbers = {key: _numbers(array) for key, array in zip(keys, arrays.values(), strict=True)}
    if layout == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", _pickle(content + b"u"))
            archive.writestr("archive/version", "3\n")
            for key, values in numbers.items():
                archive.writestr(f"archive/data/{key}", values.tobytes())
        return path
    magic = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
    with path.open("wb") as file:
        file.write(_pickle(b"\x8a" + bytes([len(magic)]) + magic) + _pickle(b"J" + struct.pack("<i", 1001)))
        file.write(_pickle(b"}(" + _text("little_endian") + b"\x88u") + _pickle(content + b"u"))
        file.write(_pickle(b"](" + b"".join(map(_text, keys)) + b"e"))
        for values in numbers.values():
            file.write(struct.pack("<q", values.size) + values.tobytes())
    return path


def write_pickle(path: Path, *, module: str, name: str, argument: str = "") -> Path:
    """Writes an archive whose pickle would call the named function if it were run."""
    with zipfile.ZipFile(path, "w") as archive:
        call = _name(module, name) + b"(" + _text(argument) + b"tR"
        archive.writestr("archive/data.pkl", _pickle(b"}(" + _text("weights") + call + b"u"))
    return path


def _numbers(array: np.ndarray) -> np.ndarray:
    """The block of memory behind an array; of a view, the array it views."""
    return np.ascontiguousarray(array if array.base is None else array.base).reshape(-1)


def _pickle(content: bytes) -> bytes:
    return b"\x80\x02" + content + b"."


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def _tensor(array: np.ndarray, key: str, layout: str) -> bytes:
    kind = _name("torch", _STORAGES[array.dtype.str])
    storage = b"(" + _text("storage") + kind + _text(key) + _text("cpu")
    storage += b"J" + struct.pack("<i", _numbers(array).size) + (b"tQ" if layout == "zip" else b"NtQ")
    strides = tuple(stride // array.itemsize for stride in array.strides)
    hooks = _name("collections", "OrderedDict") + b")R"
    arguments = storage + b"J\0\0\0\0" + _integers(array.shape) + _integers(strides) + b"\x89" + hooks
    return _name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"
