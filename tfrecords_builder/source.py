"""What a source of pictures is: its options, its items, and how one of them is loaded.

A new kind is one file with one subclass of ``Source`` and one line in ``registry.KINDS``.
"""

import abc
import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal

from bioattack.tfrecords_builder.table import Table

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")
MAX_LEFT_OUT_EXAMPLES = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What every kind of source can be told.

    Args:
        output: Folder for the records; must be new or empty, or hold a started build of the same command.
        num_shards: Shards of each split; by default as many as make about 96 MB each, and up to 8 at least.
        workers: Worker processes; 0 is one per core, and none at all for a few hundred pictures.
        seed: Which pictures a made test split and --limit take.
        limit: At most this many pictures of each split, evenly over the classes.
        skip_bad: Leave out pictures that cannot be read, and list them, instead of stopping at the first.
        overwrite: Replace the records that are in the output folder.
        dry_run: Say what would be built, and write nothing.
        quiet: Show no progress.
        json: Print the result as JSON.
    """

    output: Path
    num_shards: int | None = None
    workers: int = 0
    seed: int = 0
    limit: int | None = None
    skip_bad: bool = False
    overwrite: bool = False
    dry_run: bool = False
    quiet: bool = False
    json: bool = False


# What does not change the records, and so may differ between the start of a build and its continuation.
INCIDENTAL_OPTIONS = frozenset({"output", "workers", "skip_bad", "overwrite", "dry_run", "quiet", "json"})


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One picture of a source, not yet read.

    Args:
        key: Unique within its split and the same on every machine, such as the picture's path in the source;
            becomes ``image/filename`` and the ``image_id`` of every result.
        split: ``"train"`` or ``"test"``.
        label: Index into the source's ``class_names``.
        groups: Value of each of the source's ``groups``, such as ``{"country": "KEN"}``.
        reference: From which ``Source.load`` finds the picture; picklable, with a ``repr`` that changes when
            the picture does (a size, a time, a checksum).
    """

    key: str
    split: str
    label: int
    groups: dict[str, str] = dataclasses.field(default_factory=dict)
    reference: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is stored.

    Args:
        encoded: The bytes of a JPEG or PNG file.
        format: ``"jpeg"`` or ``"png"``.
        height: In pixels.
        width: In pixels.
        channels: 1 or 3, as in ``encoded``. A grey JPEG in a set of three channels keeps its 1.
        source_sha256: Hex sha256 of the source's own bytes of this picture: the file as it was found, or the
            pixels where the source holds an array.
    """

    encoded: bytes
    format: str
    height: int
    width: int
    channels: int
    source_sha256: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width, which all pictures of a set have in common."""
        return self.height, self.width

    @property
    def num_bytes(self) -> int:
        """How much of a shard it takes, about."""
        return len(self.encoded)


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A row of a table as it is stored.

    Args:
        features: One value for each attribute, on its own scale; categories as codes.
        source_sha256: Hex sha256 of the source's own text of this row.
    """

    features: tuple[float, ...]
    source_sha256: str

    @property
    def shape(self) -> tuple[int, ...]:
        """How many features there are, which all rows of a set have in common."""
        return (len(self.features),)

    @property
    def num_bytes(self) -> int:
        """How much of a shard it takes, about."""
        return 4 * len(self.features)


class Source(abc.ABC):
    """A set of labelled pictures that can be listed and loaded one by one.

    Instances are pickled into the worker processes: open files lazily, in ``load``. ``items`` gives the same
    list on every machine, and ``load`` the same bytes for the same item, whatever the order of the calls.

    Args:
        options: An instance of the class' own ``Options``.

    Attributes:
        Options: The frozen dataclass of this kind's options, from which the command line is made.
        example: The arguments of a command that runs, for ``--help``.
        channels: 1 or 3: what the whole set is read as.
        class_names: Names in the order of the labels.
        class_ids: An identifier for each class where the source has one (WordNet ids), else None.
        groups: Names of the group columns that every item carries.
        left_out: What ``items`` did not list although the source has it: reason -> ``{"count", "examples"}``.
        remarks: What the user should know of what it did list, in the same form.
        table: What the features mean, where the source holds rows of a table instead of pictures; filled by
            ``items`` at the latest.
    """

    Options: ClassVar[type[BuildOptions]] = BuildOptions
    example: ClassVar[str] = ""
    channels: int = 3
    class_names: tuple[str, ...] = ()
    class_ids: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()
    table: Table | None = None
    left_out: dict[str, dict[str, Any]]
    remarks: dict[str, dict[str, Any]]

    def __init__(self, options: BuildOptions) -> None:
        self.options = options
        self.left_out = {}
        self.remarks = {}

    def leave_out(self, reason: str, name: str) -> None:
        """Counts one thing that is not listed, and keeps the first names of each reason."""
        _count(self.left_out, reason, name)

    def remark(self, what: str, name: str) -> None:
        """Counts one thing that is listed and that the user should know of."""
        _count(self.remarks, what, name)

    @abc.abstractmethod
    def items(self) -> list[Item]:
        """Lists every picture of every split; fills ``class_names`` and ``left_out`` at the latest now.

        Raises:
            RecordsError: If the source cannot be used; one sentence.
        """

    @abc.abstractmethod
    def load(self, item: Item) -> Picture | Row:
        """Reads one picture, or row of a table, and brings it into the form in which it is stored.

        Raises:
            RecordsError: If it cannot be read; the message names it. ``--skip-bad`` skips it.
        """

    @abc.abstractmethod
    def checksums(self) -> dict[str, Any]:
        """Describes the source's bytes for the manifest; called once, and may take its time."""

    def prepare(self, scratch: Path) -> None:  # noqa: B027
        """Does once, in the parent process, what the workers need; files go to ``scratch``, which is removed.

        Does nothing by default. A dry run does not call it.
        """


def _count(entries: dict[str, dict[str, Any]], reason: str, name: str) -> None:
    entry = entries.setdefault(reason, {"count": 0, "examples": []})
    entry["count"] += 1
    if len(entry["examples"]) < MAX_LEFT_OUT_EXAMPLES:
        entry["examples"].append(name)
