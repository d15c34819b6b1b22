"""What ``folder`` and ``imagenet10`` share: labelled picture files in a directory or an archive."""

import dataclasses
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.files import File, file_checksum, open_files
from bioattack.tfrecords_builder.labels import LabelColumns, LabelRow, read_labels
from bioattack.tfrecords_builder.layout import TEST_FOLDERS, Layout, find_layout, is_picture_name, split_of
from bioattack.tfrecords_builder.source import BuildOptions, Item, Picture, Source
from bioattack.tfrecords_builder.splits import make_test_split

NOT_A_PICTURE = "files that are no pictures by their names"
OUTSIDE = "pictures outside the split folders"
NO_ROW = "pictures without a row in the labels file"
NO_LABEL = "rows without a label in the labels file"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureOptions(BuildOptions):
    """Options of the kinds that read picture files.

    Args:
        source: Folder, .zip or .tar with one folder per class, also below train/ and test/ (or val/).
        labels: csv file of labels, where folders do not say the class; a column split may name the split.
        file_column: Column of --labels that names the picture.
        label_column: Column of --labels that names the class.
        groups: Further columns of --labels to keep with every record, such as a country.
        test_fraction: Part of each class that becomes the test split where the source has no splits; 1, with
            --classes, makes all of it the test split.
    """

    source: Path
    labels: Path | None = None
    file_column: str = "file"
    label_column: str = "label"
    groups: tuple[str, ...] = ()
    test_fraction: float = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class _Labelled:
    file: File
    label: str
    split: str | None
    groups: dict[str, str]


class PictureSource(Source):
    """Lists labelled picture files; a subclass says which classes there are and how a picture is stored.

    Args:
        options: ``PictureOptions`` or a subclass.
    """

    Options: ClassVar[type[BuildOptions]] = PictureOptions
    options: PictureOptions
    test_folders: ClassVar[tuple[str, ...]] = TEST_FOLDERS
    unwanted: ClassVar[str] = "pictures of other classes"
    # Whether a picture without a row in the labels file may have its class from its folder.
    trusts_folders: ClassVar[bool] = False

    def __init__(self, options: PictureOptions) -> None:
        super().__init__(options)
        self.groups = options.groups
        # Whether classes without a training picture are meant to be there.
        self.shows_some_classes = False
        if options.groups and options.labels is None:
            raise RecordsError("--groups names columns of a labels file; give that file with --labels")
        self._files = open_files(options.source)

    def order_classes(self, counts: Counter[str]) -> list[str]:
        """Decides which labels become which class index.

        Args:
            counts: Each label that was found, with its number of pictures (0 for an empty class folder).

        Returns:
            The labels in the order of their indices; those that are not in it are left out.

        Raises:
            RecordsError: If a class that must be there is not.
        """
        raise NotImplementedError

    def index_classes(self, counts: Counter[str]) -> dict[str, int]:
        """Gives the class index of each label; by default the place of a label in ``order_classes``.

        Args:
            counts: As for ``order_classes``.

        Raises:
            RecordsError: If a class that must be there is not.
        """
        return {name: position for position, name in enumerate(self.order_classes(counts))}

    def wants(self, label: str) -> bool:
        """Tells whether pictures with this label are taken; by default all are."""
        return bool(label)

    def label_columns(self) -> LabelColumns:
        """Which columns of the labels file are read."""
        return LabelColumns(self.options.file_column, self.options.label_column, self.options.groups)

    def groups_of(self, row: LabelRow) -> dict[str, str] | None:
        """The group columns of a picture, or None where it is left out, and counted, because of its row.

        Args:
            row: With a label that is wanted.

        Raises:
            RecordsError: If the row cannot be used.
        """
        return row.groups

    def items(self) -> list[Item]:
        """See ``Source.items``."""
        self.left_out = {}
        files, folders = self._files.scan()
        pictures = []
        for file in files:
            if is_picture_name(file.path):
                pictures.append(file)
            else:
                self.leave_out(NOT_A_PICTURE, file.path)
        if not pictures:
            raise RecordsError(
                f"there are no pictures in {self.options.source}; it must hold one folder per class "
                "(archives inside it must be unpacked first)"
            )
        layout = find_layout((file.path for file in pictures), test_folders=self.test_folders)
        labelled, empty = self._label(pictures, folders, layout)
        counts = Counter(entry.label for entry in labelled)
        counts.update(dict.fromkeys(empty, 0))
        return self._divide(labelled, self.index_classes(counts))

    def _label(
        self, pictures: list[File], folders: list[str], layout: Layout
    ) -> tuple[list[_Labelled], set[str]]:
        """Returns the labelled pictures, and the names of class folders that hold none."""
        if self.options.labels is not None:
            return self._label_by_rows(pictures, layout), set()
        labelled = self._label_by_folders(pictures, layout)
        named = {layout.place(folder, is_folder=True).class_folder for folder in folders}
        empty = {name for name in named if name} - {entry.label for entry in labelled}
        return labelled, {name for name in empty if self.wants(name)}

    def _label_by_folders(self, pictures: list[File], layout: Layout) -> list[_Labelled]:
        labelled = []
        for file in pictures:
            place = layout.place(file.path)
            if place.is_outside:
                self.leave_out(OUTSIDE, file.path)
            elif place.class_folder is None:
                raise RecordsError(
                    f"{file.path} in {self.options.source} lies in no class folder; move it into one, or "
                    "give a csv file with --labels"
                )
            elif self.wants(place.class_folder):
                labelled.append(_Labelled(file, place.class_folder, place.split, {}))
            else:
                self.leave_out(self.unwanted, file.path)
        return labelled

    def _label_by_rows(self, pictures: list[File], layout: Layout) -> list[_Labelled]:
        rows = self._match(pictures, layout)
        labelled = []
        for file in pictures:
            row, place = rows.get(file.path), layout.place(file.path)
            if row is None:
                if self.trusts_folders and place.class_folder and self.wants(place.class_folder):
                    labelled.append(_Labelled(file, place.class_folder, place.split, {}))
                else:
                    self.leave_out(NO_ROW, file.path)
            elif row.label and not self.wants(row.label):
                self.leave_out(self.unwanted, file.path)
            elif row.label and (groups := self.groups_of(row)) is not None:
                split = self._split_of_row(row) if row.split else place.split
                labelled.append(_Labelled(file, row.label, split, groups))
        if not any(file.path in rows for file in pictures):
            raise RecordsError(
                f"no picture of {self.options.source} has a row in {self.options.labels} (column "
                f"{self.options.file_column!r}); choose the column with --file-column"
            )
        return labelled

    def _split_of_row(self, row: LabelRow) -> str:
        split = split_of(row.split)
        if split is None:
            raise RecordsError(
                f"{self.options.labels}, line {row.line}: the split must be train or test (or val). "
                f"Received: {row.split!r}"
            )
        return split

    def _match(self, pictures: list[File], layout: Layout) -> dict[str, LabelRow]:
        """Finds each row's picture: by path, by path inside the outer folders, or by unique bare name."""
        options = self.options
        assert options.labels is not None  # noqa: S101 - the caller has asked
        names = Counter(PurePosixPath(file.path).name for file in pictures)
        paths: dict[str, str] = {
            bare: file.path for file in pictures if names[bare := PurePosixPath(file.path).name] == 1
        }
        paths |= {layout.without_prefix(file.path): file.path for file in pictures}
        paths |= {file.path: file.path for file in pictures}
        rows: dict[str, LabelRow] = {}
        for row in read_labels(options.labels, self.label_columns()):
            path = paths.get(row.file)
            if path is None:
                if row.label and self.wants(row.label):
                    raise RecordsError(
                        f"{options.labels}, line {row.line}, names {row.file!r}, which is not among the "
                        f"pictures of {options.source}; remove the row, or choose with --file-column"
                    )
                continue
            if path in rows:
                raise RecordsError(
                    f"{options.labels} has two rows for {row.file!r}, lines {rows[path].line} and "
                    f"{row.line}; remove one"
                )
            if not row.label:
                self.leave_out(NO_LABEL, row.file)
            rows[path] = row
        return rows

    def _divide(self, labelled: list[_Labelled], index: dict[str, int]) -> list[Item]:
        items: list[Item] = []
        undivided: list[Item] = []
        for entry in labelled:
            item = Item(entry.file.path, entry.split or "", index[entry.label], entry.groups, entry.file)
            (items if entry.split else undivided).append(item)
        if items and undivided:
            raise RecordsError(
                f"{undivided[0].key} has no split while {items[0].key} is in {items[0].split}; put all "
                "pictures below train/ and test/, or none"
            )
        items += make_test_split(undivided, test_fraction=self.options.test_fraction, seed=self.options.seed)
        trained = {item.label for item in items if item.split == "train"}
        lacking = [name for name, label in index.items() if label not in trained]
        if lacking and not self.shows_some_classes:
            raise RecordsError(
                f"no training pictures of {', '.join(lacking)} in {self.options.source}; add some, or remove "
                "the class"
            )
        return items

    def checksums(self) -> dict[str, Any]:
        """See ``Source.checksums``."""
        checksums = self._files.checksums()
        if self.options.labels is not None:
            checksums["labels"] = file_checksum(self.options.labels)
        return checksums

    def prepare(self, scratch: Path) -> None:
        """See ``Source.prepare``."""
        self._files.prepare(scratch)

    def load(self, item: Item) -> Picture:
        """See ``Source.load``."""
        raise NotImplementedError
