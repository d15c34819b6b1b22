"""ImageNet pictures in a .zip file with a list beside it, as records."""

import csv
import dataclasses
import hashlib
import zipfile
from pathlib import Path
from typing import Any

from bioattack.errors import InputError
from bioattack.tfrecords_builder.build import build_source
from bioattack.tfrecords_builder.images import Crop, read_picture
from bioattack.tfrecords_builder.reading import Records, open_records
from bioattack.tfrecords_builder.source import BuildOptions, Item, Picture, Source

KIND = "listed-imagenet"
NUM_CLASSES = 1000
CLASS_LIST = "imagenet_classes.csv"
_INDEX_COLUMNS = ("true_index", "ilsvrc_index")
_NAME_COLUMNS = ("true_name", "name")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListedOptions(BuildOptions):
    """Which pictures, and how large.

    Args:
        archive: The .zip file; a .csv file of the same name lists its pictures.
        size: Side of the square that is cut from each in pixels.
        class_names: Of the 1,000 classes by index.
    """

    archive: str
    size: int
    class_names: tuple[str, ...]


class ListedPictures(Source):
    """The pictures of an archive that its list gives one of the 1,000 ImageNet classes, all for testing.

    The shorter side is scaled to the size and the central square cut out; a square of that size stays as it
    is.

    Args:
        options: Which.
    """

    Options = ListedOptions

    def __init__(self, options: ListedOptions) -> None:
        super().__init__(options)
        self.archive, self.size = Path(options.archive), options.size
        self.class_names = options.class_names

    def items(self) -> list[Item]:
        """Lists the pictures in the order of the list.

        Raises:
            InputError: If the list lacks a column, or names a picture that the archive does not hold.
        """
        members = {Path(name).name: name for name in self._names()}
        items = []
        for row in read_list(self.archive):
            index = next((row[column] for column in _INDEX_COLUMNS if row.get(column)), None)
            name = row.get("file")
            if name is None or index is None:
                columns = " or ".join(_INDEX_COLUMNS)
                raise InputError(f"--data: {list_of(self.archive)} needs the columns file and {columns}")
            if not index.isdecimal() or int(index) >= NUM_CLASSES:
                self.leave_out("none of the 1,000 classes", name)
                continue
            if name not in members:
                raise InputError(f"--data: {self.archive} does not hold {name}, which its list names")
            items.append(Item(name, "test", int(index), reference=members[name]))
        return items

    def load(self, item: Item) -> Picture:
        """Reads a picture and cuts out the square."""
        with zipfile.ZipFile(self.archive) as archive:
            content = archive.read(str(item.reference))
        return read_picture(content, item.key, crop=Crop(self.size))

    def checksums(self) -> dict[str, Any]:
        """The archive's and the list's sha256."""
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (self.archive, list_of(self.archive))
        }

    def _names(self) -> list[str]:
        try:
            with zipfile.ZipFile(self.archive) as archive:
                return archive.namelist()
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"--data: {self.archive} cannot be read as a .zip file ({error})") from error


def list_of(archive: Path) -> Path:
    """Names the list of an archive's pictures."""
    return archive.with_suffix(".csv")


def read_list(archive: Path) -> list[dict[str, str]]:
    """Reads the list of an archive's pictures.

    Raises:
        InputError: If there is none.
    """
    path = list_of(archive)
    if not path.is_file():
        raise InputError(
            f"--data: {archive} has no list beside it: {path.name}, with the columns file and true_index"
        )
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def class_names_of(archive: Path, weights: Path | None) -> tuple[str, ...]:
    """Gives the names of the 1,000 classes: of ``imagenet_classes.csv``, or those that the list itself knows.

    Args:
        archive: The pictures.
        weights: Folder of published weights, which may hold ``imagenet_classes.csv`` (``index``, ``name``).
    """
    names = {index: f"class {index}" for index in range(NUM_CLASSES)}
    path = weights and weights / CLASS_LIST
    if path and path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["index"], row["name"]) for row in csv.DictReader(file)]
    else:
        rows = [(_first(row, _INDEX_COLUMNS), _first(row, _NAME_COLUMNS)) for row in read_list(archive)]
    for index, name in rows:
        if index.isdecimal() and int(index) in names and name:
            # Two classes are called crane.
            short = name.partition(",")[0]
            taken = [place for place, other in names.items() if other == short and place != int(index)]
            names[int(index)] = f"{short} ({index})" if taken else short
    return tuple(names[index] for index in range(NUM_CLASSES))


def _first(row: dict[str, str], columns: tuple[str, ...]) -> str:
    return next((row[column] for column in columns if row.get(column)), "")


def build_listed(archive: Path, folder: Path, *, size: int, weights: Path | None, quiet: bool) -> Records:
    """Makes records of the pictures of an archive, or opens those that are there.

    Args:
        archive: The .zip file.
        folder: Records folder to make.
        size: Side of the pictures in pixels.
        weights: As for ``class_names_of``.
        quiet: Whether to show no progress.

    Raises:
        InputError: If the archive or its list cannot be used.
        RecordsError: If a picture cannot be read.
    """
    options = ListedOptions(
        output=folder,
        workers=1,
        quiet=quiet,
        archive=str(archive),
        size=size,
        class_names=class_names_of(archive, weights),
    )
    build_source(KIND, ListedPictures(options))
    return open_records(folder)
