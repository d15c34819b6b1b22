"""CIFAR-10: 32 x 32 pictures of ten classes."""

import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from bioattack.tfrecords_builder.arrays import ArraySource, ArraySplit
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.files import open_files
from bioattack.tfrecords_builder.source import SPLITS

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST_BATCH = "test_batch"

# All that the pickles of the original archive may name: NumPy's arrays, from before and after its renaming.
_SAFE_NAMES = frozenset(
    (f"numpy{core}", name)
    for core, name in (
        (".core.multiarray", "_reconstruct"),
        ("._core.multiarray", "_reconstruct"),
        ("", "ndarray"),
        ("", "dtype"),
    )
)


class Cifar10(ArraySource):
    """CIFAR-10 from an ``.npz`` in the Keras layout, the original archives, or Keras' own download.

    The archives are ``cifar-10-python.tar.gz`` and ``cifar-10-binary.tar.gz``; they may be unpacked. A part
    of the set keeps the published places of its pictures where the ``.npz`` has ``train_index, test_index``.

    Args:
        options: See ``ArrayOptions``.
    """

    example = "--source cifar-10-python.tar.gz --output cifar10"
    image_shape: ClassVar[tuple[int, int, int]] = (_SIDE, _SIDE, 3)
    class_names = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())  # noqa: SIM905

    def download(self) -> Any:
        """See ``ArraySource.download``."""
        from keras.datasets import cifar10

        return cifar10.load_data()

    def read_splits(self, source: Path) -> dict[str, ArraySplit]:
        """See ``ArraySource.read_splits``."""
        if source.suffix == ".npz":
            return self.read_npz(source)
        contents = self._batches(source)
        is_binary = f"{_TEST_BATCH}.bin" in contents
        ending, decode = (".bin", _decode_binary) if is_binary else ("", _decode_pickle)
        names = {"train": _TRAIN_BATCHES, "test": (_TEST_BATCH,)}
        missing = [
            name + ending for split in SPLITS for name in names[split] if name + ending not in contents
        ]
        if missing:
            raise RecordsError(
                f"{source} is no CIFAR-10: it lacks {', '.join(missing)}; give the .npz of Keras, "
                "cifar-10-python.tar.gz or cifar-10-binary.tar.gz, packed or unpacked"
            )
        splits: dict[str, ArraySplit] = {}
        for split in SPLITS:
            parts = [_decoded(decode, contents[name + ending], f"{source}, {name}") for name in names[split]]
            images = np.concatenate([part[0] for part in parts]).reshape(-1, 3, _SIDE, _SIDE)
            labels = np.concatenate([part[1] for part in parts])
            splits[split] = self.checked(images.transpose(0, 2, 3, 1), labels, what=f"{source}, {split}")
        return splits

    def _batches(self, source: Path) -> dict[str, bytes]:
        wanted = {f"{name}{ending}" for name in (*_TRAIN_BATCHES, _TEST_BATCH) for ending in ("", ".bin")}
        if source.is_file() and tarfile.is_tarfile(source):
            return _read_tar(source, wanted)
        files = open_files(source)
        return {
            name: files.read(file)
            for file in files.scan()[0]
            if (name := PurePosixPath(file.path).name) in wanted
        }


def _read_tar(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """Reads a packed archive once from start to end."""
    contents = {}
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in wanted and member.isfile():
                    file = archive.extractfile(member)
                    contents[name] = file.read() if file else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise RecordsError(f"cannot read {path}: {error}; fetch it again") from error
    return contents


Decoder = Callable[[bytes], tuple[Any, Any]]


def _decoded(decode: Decoder, content: bytes, what: str) -> tuple[Any, Any]:
    try:
        images, labels = decode(content)
    except Exception as error:  # a damaged pickle raises errors of every class
        raise RecordsError(f"{what} is damaged or not CIFAR-10 ({error}); fetch the set again") from error
    if images.dtype != np.uint8 or images.shape != (len(labels), _PIXELS):
        raise RecordsError(f"{what} has images of {images.dtype} and shape {images.shape}, not CIFAR-10's")
    return images, labels


def _decode_binary(content: bytes) -> tuple[Any, Any]:
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return rows[:, 1:], rows[:, 0]


def _decode_pickle(content: bytes) -> tuple[Any, Any]:
    batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    return np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])


class _ArrayUnpickler(pickle.Unpickler):
    """Reads NumPy arrays and plain containers; whatever else a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        if (module, name) not in _SAFE_NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR-10 batch needs")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes the bytes of an array into a pickle of protocol 2."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")
