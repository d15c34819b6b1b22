"""Reads the tensors of a PyTorch file without PyTorch, and without running anything that the file names.

Such a file holds a pickle, which may name any function for its reader to call. This reader knows the few
names that describe tensors, puts its own stand-ins in their place, and refuses all others.
"""

import dataclasses
import io
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# Numbers with which a file of PyTorch 0.4 to 1.5 begins, and the version of its layout.
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
# What goes wrong where a file is not as expected.
_DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    OverflowError,
)
_STORAGES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
}


def read_torch_file(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a state dictionary that ``torch.save`` wrote.

    Args:
        path: A ``.pth`` or ``.pt`` file, of PyTorch 0.4 or newer: a zip archive, or the older plain layout.

    Returns:
        Arrays by name, of 16, 32 or 64 bits, as the file has them; dictionaries within become
        ``outer.inner``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, is damaged, or names anything but tensors.

    Source:
        The layout as ``torch.save`` writes it (PyTorch, ``torch/serialization.py``).

    >>> read_torch_file("nonesuch.pth")
    Traceback (most recent call last):
    ...
    FileNotFoundError: there is no weights file nonesuch.pth
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    try:
        with path.open("rb") as file:
            content, storages = _read_zip(file) if zipfile.is_zipfile(path) else _read_plain(file)
            return _arrays(content, storages, "")
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is no state dictionary of PyTorch 0.4 or newer, or is damaged: {error!r}"
        ) from error


@dataclasses.dataclass(frozen=True)
class _Storage:
    """Where a tensor's numbers lie."""

    dtype: str
    key: str
    size: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor that is described but not read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


class _Dictionary(dict[Any, Any]):
    """A dictionary to which a pickle can do no more than fill it."""

    def __setstate__(self, state: Any) -> None:
        """Ignores the versions that PyTorch notes beside its modules' weights."""


_STAND_INS: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dictionary,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
} | {("torch", name): dtype for name, dtype in _STORAGES.items()}


class _Reader(pickle.Unpickler):
    """An unpickler for which nothing exists but descriptions of tensors."""

    def find_class(self, module: str, name: str) -> Any:
        """Returns a stand-in."""
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor")
        return _STAND_INS[module, name]

    def persistent_load(self, record: Any) -> _Storage:
        """Returns what a tensor's numbers are called."""
        kind, dtype, key, _, size = record[:5]
        if kind != "storage" or dtype not in _STORAGES.values() or any(record[5:]):
            raise pickle.UnpicklingError(f"it holds numbers of an unknown kind, {record!r}")
        return _Storage(dtype, str(key), int(size))


_Storages = Callable[[_Storage], np.ndarray]


def _read_zip(file: BinaryIO) -> tuple[Any, _Storages]:
    archive = zipfile.ZipFile(file)
    pickles = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
    folder = pickles[0].partition("/")[0]
    if f"{folder}/byteorder" in archive.namelist() and archive.read(f"{folder}/byteorder") != b"little":
        raise pickle.UnpicklingError("its numbers begin with their most significant byte")

    def storage(wanted: _Storage) -> np.ndarray:
        return np.frombuffer(archive.read(f"{folder}/data/{wanted.key}"), wanted.dtype)

    return _Reader(io.BytesIO(archive.read(pickles[0]))).load(), storage


def _read_plain(file: BinaryIO) -> tuple[Any, _Storages]:
    if _Reader(file).load() != _MAGIC or _Reader(file).load() != _VERSION:
        raise pickle.UnpicklingError("its first numbers are not those of PyTorch")
    _Reader(file).load()
    content = _Reader(file).load()
    keys = [str(key) for key in _Reader(file).load()]
    sizes = {tensor.storage.key: tensor.storage for tensor in _tensors(content)}
    read: dict[str, np.ndarray] = {}
    for key in keys:
        size = int.from_bytes(file.read(8), "little")
        dtype = np.dtype(sizes[key].dtype)
        read[key] = np.frombuffer(file.read(size * dtype.itemsize), dtype)
    return content, lambda wanted: read[wanted.key]


def _tensors(content: Any) -> list[_Tensor]:
    if isinstance(content, _Tensor):
        return [content]
    return [tensor for value in content.values() for tensor in _tensors(value)]


def _arrays(content: Any, storages: _Storages, prefix: str) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            arrays |= _arrays(value, storages, f"{prefix}{name}.")
        elif isinstance(value, _Tensor):
            arrays[f"{prefix}{name}"] = _array(value, storages(value.storage))
    return arrays


def _array(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    last = tensor.offset + sum(
        (length - 1) * stride for length, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if min((tensor.offset, *tensor.strides, *tensor.shape)) < 0 or last >= max(1, len(numbers)):
        raise pickle.UnpicklingError(f"a tensor of shape {tensor.shape} reaches beyond its numbers")
    if math.prod(tensor.shape) == 0:
        return np.zeros(tensor.shape, numbers.dtype)
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
