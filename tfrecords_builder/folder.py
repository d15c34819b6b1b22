"""Your own pictures: one folder per class, or a csv file of labels."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.files import file_checksum
from bioattack.tfrecords_builder.images import Crop, CropRule, read_picture
from bioattack.tfrecords_builder.labels import read_classes
from bioattack.tfrecords_builder.pictures import PictureOptions, PictureSource
from bioattack.tfrecords_builder.source import BuildOptions, Item, Picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderOptions(PictureOptions):
    """Options of the kind ``folder``.

    Args:
        size: Side in pixels to which all pictures are brought; without it they must be of one size already,
            and JPEG and PNG files are stored as they are.
        crop: How --size does it. "scaled" scales the shorter side and cuts out the central square;
            "center" is the papers' rule, which scales small pictures up and does not scale large ones down.
        classes: csv file of all classes in the order of their indices (column name; wnid or id may be there),
            where a model knows more of them than the pictures show. Folders or labels may give the value of
            any column; pictures of other classes are left out.
    """

    size: int | None = None
    crop: CropRule = dataclasses.field(default="scaled", metadata={"choices": ("scaled", "center")})
    classes: Path | None = None


class Folder(PictureSource):
    """Pictures in one folder per class, or labelled by a csv file; always read as three channels.

    The classes are in the order of their names, or of their numbers where all of them are whole numbers,
    unless a file lists them.

    Args:
        options: See ``FolderOptions``.
    """

    Options: ClassVar[type[BuildOptions]] = FolderOptions
    options: FolderOptions
    example = "--source photos.zip --output records --size 64"

    def __init__(self, options: FolderOptions) -> None:
        super().__init__(options)
        self._crop = Crop(options.size, options.crop) if options.size is not None else None
        self._classes = read_classes(options.classes) if options.classes is not None else None
        self.shows_some_classes = self._classes is not None

    def wants(self, label: str) -> bool:
        """See ``PictureSource.wants``."""
        return bool(label) if self._classes is None else label in self._classes.index

    def index_classes(self, counts: Counter[str]) -> dict[str, int]:
        """See ``PictureSource.index_classes``."""
        if self._classes is None:
            return super().index_classes(counts)
        if not counts:
            raise RecordsError(
                f"no picture of {self.options.source} is of a class in {self.options.classes}: the folders "
                "or labels must give the values of one of its columns"
            )
        self.class_names, self.class_ids = self._classes.names, self._classes.ids
        return self._classes.index

    def order_classes(self, counts: Counter[str]) -> list[str]:
        """See ``PictureSource.order_classes``."""
        for name, number in sorted(counts.items()):
            if not number:
                raise RecordsError(
                    f"the class folder {name!r} in {self.options.source} holds no pictures; fill or remove it"
                )
        if len(counts) < 2:
            raise RecordsError(
                f"{self.options.source} has {len(counts)} class; a classifier needs two or more, each in a "
                "folder of its own (or give a csv file with --labels)"
            )
        self.class_names = tuple(sorted(counts, key=_number if all(map(_is_number, counts)) else None))
        return list(self.class_names)

    def checksums(self) -> dict[str, Any]:
        """See ``Source.checksums``."""
        checksums = super().checksums()
        if self.options.classes is not None:
            checksums["classes"] = file_checksum(self.options.classes)
        return checksums

    def load(self, item: Item) -> Picture:
        """See ``Source.load``."""
        return read_picture(self._files.read(item.reference), item.key, crop=self._crop)


def _is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal() and str(int(name)) == name


def _number(name: str) -> int:
    return int(name)
