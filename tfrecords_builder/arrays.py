"""What ``cifar10`` and ``mnist`` share: pictures that the source holds as arrays."""

import abc
import contextlib
import dataclasses
import hashlib
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.files import file_checksum
from bioattack.tfrecords_builder.images import encode_png
from bioattack.tfrecords_builder.source import SPLITS, BuildOptions, Item, Picture, Source

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayOptions(BuildOptions):
    """Options of the kinds that come as arrays.

    Args:
        source: The set as a file or a folder of its files; without it Keras downloads it.
    """

    source: Path | None = None


@dataclasses.dataclass(frozen=True)
class ArraySplit:
    """One split of a set.

    Args:
        images: ``(count, height, width, channels)``, uint8.
        labels: ``(count,)``, in ``[0, number of classes)``.
        numbers: ``(count,)``: each picture's place in the published order, which makes its key.
    """

    images: Pixels
    labels: Labels
    numbers: Labels


class ArraySource(Source):
    """Reads a set of small pictures into memory; a subclass says how.

    The key of a picture is its place in the published order, ``train/00042``.

    Args:
        options: See ``ArrayOptions``.
    """

    Options: ClassVar[type[BuildOptions]] = ArrayOptions
    options: ArrayOptions
    image_shape: ClassVar[tuple[int, int, int]]

    def __init__(self, options: ArrayOptions) -> None:
        super().__init__(options)
        self.channels = self.image_shape[2]
        self._splits: dict[str, ArraySplit] | None = None

    @abc.abstractmethod
    def read_splits(self, source: Path) -> dict[str, ArraySplit]:
        """Reads the set from a file or folder.

        Raises:
            RecordsError: If it is none of the known forms, or damaged.
        """

    @abc.abstractmethod
    def download(self) -> Any:
        """Loads ``((x_train, y_train), (x_test, y_test))`` through Keras."""

    def items(self) -> list[Item]:
        """See ``Source.items``."""
        return [
            Item(f"{split}/{number:05d}", split, int(label), {}, position)
            for split, arrays in self._arrays().items()
            for position, (number, label) in enumerate(zip(arrays.numbers, arrays.labels, strict=True))
        ]

    def load(self, item: Item) -> Picture:
        """See ``Source.load``."""
        return encode_png(self._arrays()[item.split].images[item.reference])

    def checksums(self) -> dict[str, Any]:
        """See ``Source.checksums``."""
        source = self.options.source
        if source is not None and source.is_file():
            return file_checksum(source)
        digest = hashlib.sha256()
        for arrays in self._arrays().values():
            digest.update(arrays.images.tobytes())
            digest.update(arrays.labels.tobytes())
        return {"name": source.name if source else "keras.datasets", "arrays_sha256": digest.hexdigest()}

    def __getstate__(self) -> dict[str, Any]:
        # A worker reads the file again: that is faster than sending the arrays, and they may be on its disk.
        return self.__dict__ | ({"_splits": None} if self.options.source else {})

    def _arrays(self) -> dict[str, ArraySplit]:
        if self._splits is None:
            source = self.options.source
            if source is None:
                self._splits = self._downloaded()
            elif not source.exists():
                raise RecordsError(f"there is no file or folder {source}; --source must name one")
            else:
                self._splits = self.read_splits(source)
        return self._splits

    def _downloaded(self) -> dict[str, ArraySplit]:
        name = type(self).__name__
        try:
            with contextlib.redirect_stdout(sys.stderr):  # where Keras shows its progress
                train, test = self.download()
        except Exception as error:  # Keras raises errors of every class where there is no network
            raise RecordsError(
                f"Keras could not download {name} ({' '.join(str(error).split())}); fetch it where there is "
                "a network and give it with --source"
            ) from error
        return {
            split: self.checked(images, labels, what=f"the downloaded {name}, {split}")
            for split, (images, labels) in zip(SPLITS, (train, test), strict=True)
        }

    def checked(self, images: Any, labels: Any, *, what: str, numbers: Any = None) -> ArraySplit:
        """Checks the arrays of one split and gives them their common form.

        Args:
            images: uint8; without the channel axis where there is one channel.
            labels: Whole numbers, ``(count,)`` or ``(count, 1)``.
            what: Where they are from, for the error message.
            numbers: Each picture's place in the published order; by default its place here.

        Raises:
            RecordsError: If shape, type or values are not this set's.
        """
        images, labels = np.asarray(images), np.asarray(labels)
        if images.ndim == 3:
            images = images[..., np.newaxis]
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape or not len(images):
            raise RecordsError(
                f"{what}: the images must be uint8 of shape (count, "
                f"{', '.join(map(str, self.image_shape))}). "
                f"Received: {images.dtype} of shape {images.shape}"
            )
        if labels.shape not in ((len(images),), (len(images), 1)) or labels.dtype.kind not in "iu":
            raise RecordsError(
                f"{what}: there must be one whole number as label for each of {len(images)} images. "
                f"Received: {labels.dtype} of shape {labels.shape}"
            )
        labels = labels.reshape(-1).astype(np.int64)
        if labels.min() < 0 or labels.max() >= len(self.class_names):
            raise RecordsError(
                f"{what}: the labels must be 0 to {len(self.class_names) - 1}. "
                f"Received: {labels.min()} to {labels.max()}"
            )
        numbers = np.arange(len(images)) if numbers is None else np.asarray(numbers)
        is_numbering = numbers.shape == labels.shape and numbers.dtype.kind in "iu"
        if not is_numbering or len(np.unique(numbers)) != len(numbers):
            raise RecordsError(f"{what}: the index must give each image a whole number of its own")
        return ArraySplit(images, labels, numbers.astype(np.int64))

    def read_npz(self, path: Path) -> dict[str, ArraySplit]:
        """Reads the Keras layout: ``x_train, y_train, x_test, y_test``; also ``train_index, test_index``.

        Raises:
            RecordsError: If an array is missing, needs pickle, or does not fit.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name != "class_names"}
        except Exception as error:  # damaged archives raise errors of every class
            raise RecordsError(f"cannot read {path}: {' '.join(str(error).split())}") from error
        missing = [name for name in ("x_train", "y_train", "x_test", "y_test") if name not in arrays]
        if missing:
            raise RecordsError(
                f"{path} lacks {', '.join(missing)}; it holds {', '.join(arrays) or 'nothing'}"
            )
        return {
            split: self.checked(
                arrays[f"x_{split}"],
                arrays[f"y_{split}"],
                what=f"{path}, {split}",
                numbers=arrays.get(f"{split}_index"),
            )
            for split in SPLITS
        }
