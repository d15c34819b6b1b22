"""Your own pictures: one folder per class, or a csv file of labels."""

import dataclasses
from collections import Counter
from typing import ClassVar

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.images import Crop, CropRule, read_picture
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
    """

    size: int | None = None
    crop: CropRule = dataclasses.field(default="scaled", metadata={"choices": ("scaled", "center")})


class Folder(PictureSource):
    """Pictures in one folder per class, or labelled by a csv file; always read as three channels.

    The classes are in the order of their names, or of their numbers where all of them are whole numbers.

    Args:
        options: See ``FolderOptions``.
    """

    Options: ClassVar[type[BuildOptions]] = FolderOptions
    options: FolderOptions
    example = "--source photos.zip --output records --size 64"

    def __init__(self, options: FolderOptions) -> None:
        super().__init__(options)
        self._crop = Crop(options.size, options.crop) if options.size is not None else None

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

    def load(self, item: Item) -> Picture:
        """See ``Source.load``."""
        return read_picture(self._files.read(item.reference), item.key, crop=self._crop)


def _is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal() and str(int(name)) == name


def _number(name: str) -> int:
    return int(name)
