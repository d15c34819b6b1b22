"""MNIST: 28 x 28 grey pictures of the ten digits."""

import math
import re
import struct
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from bioattack.tfrecords_builder.arrays import ArraySource, ArraySplit
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.files import open_files
from bioattack.tfrecords_builder.source import SPLITS

_UNSIGNED_BYTE = 8
_MAX_IDX_BYTES = 256 * 2**20
_PARTS = {"train": "train", "test": "t10k"}
# The published names, and those of unpacked copies: train-images-idx3-ubyte(.gz), train-images.idx3-ubyte.
_NAME = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?")


class Mnist(ArraySource):
    """MNIST from the Keras ``.npz`` layout, the original idx files (packed or not), or Keras.

    The idx files may lie in a folder, a .zip or a .tar. The pictures stay 28 x 28 with one channel.

    Args:
        options: See ``ArrayOptions``.
    """

    example = "--source mnist.npz --output mnist"
    image_shape: ClassVar[tuple[int, int, int]] = (28, 28, 1)
    class_names = tuple("0123456789")

    def download(self) -> Any:
        """See ``ArraySource.download``."""
        from keras.datasets import mnist

        return mnist.load_data()

    def read_splits(self, source: Path) -> dict[str, ArraySplit]:
        """See ``ArraySource.read_splits``."""
        if source.suffix == ".npz":
            return self.read_npz(source)
        found = self._find(source)
        splits: dict[str, ArraySplit] = {}
        for split in SPLITS:
            missing = [
                f"{_PARTS[split]}-{part}" for part in ("images", "labels") if (split, part) not in found
            ]
            if missing:
                raise RecordsError(
                    f"{source} is no MNIST: it lacks {' and '.join(missing)} (idx files); give the .npz of "
                    "Keras or the four original files"
                )
            images, labels = (decode_idx(*found[split, part], source=source) for part in ("images", "labels"))
            splits[split] = self.checked(images, labels, what=f"{source}, {split}")
        return splits

    def _find(self, source: Path) -> dict[tuple[str, str], tuple[str, bytes]]:
        files = open_files(source)
        found: dict[tuple[str, str], tuple[str, bytes]] = {}
        for file in files.scan()[0]:
            match = _NAME.fullmatch(PurePosixPath(file.path).name)
            if match:
                split = "train" if match[1] == "train" else "test"
                found.setdefault((split, match[2]), (file.path, files.read(file)))
        return found


def decode_idx(name: str, content: bytes, *, source: Path) -> Any:
    """Decodes an idx file of unsigned bytes, packed with gzip or not.

    Args:
        name: Of the file, for the error message.
        content: Its bytes.
        source: Where it is from, for the error message.

    Returns:
        A uint8 array of the shape that the file states.

    Raises:
        RecordsError: If it is damaged or of another type.

    Source:
        Y. LeCun, "The MNIST database", file formats: two zero bytes, type, number of axes, the axes' lengths
        as big-endian 32-bit numbers, the values.
    """
    try:
        if content.startswith(b"\x1f\x8b"):
            content = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(content, _MAX_IDX_BYTES)
        zeros, kind, num_axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{num_axes}I", content, 4)
    except (struct.error, zlib.error) as error:
        raise RecordsError(f"{name} in {source} is damaged ({error}); fetch it again") from error
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes)
    if zeros or kind != _UNSIGNED_BYTE or math.prod(shape) != len(values):
        raise RecordsError(
            f"{name} in {source} is damaged or no idx file of unsigned bytes: its header says shape {shape}, "
            f"{len(values):,} bytes follow"
        )
    return values.reshape(shape)
