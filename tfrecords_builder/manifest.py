"""``manifest.json``: what a records folder holds, and from what it was made.

It is written last: a folder with a manifest is complete. It holds no times, so that the same source and
arguments give the same bytes.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.table import Table, table_from_json

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class ImageSize:
    """The pictures' common size; ``height`` and ``width`` are None where it varies.

    Args:
        height: In pixels.
        width: In pixels.
        channels: 1 or 3: decode every picture to this many; a grey JPEG may stand in a set of 3. 0 in a set
            of rows, which has no pictures.
    """

    height: int | None
    width: int | None
    channels: int


NO_IMAGES = ImageSize(None, None, 0)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records.

    Args:
        name: File name in the records folder.
        num_examples: How many records it holds; may be 0 in a small split.
        size_bytes: Its exact size.
        sha256: Hex sha256 of its bytes.
    """

    name: str
    num_examples: int
    size_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """One split.

    Args:
        num_examples: Records in all its shards.
        per_class: Records of each class, in the order of the labels.
        shards: In the order of their names, which is the stored order.
    """

    num_examples: int
    per_class: tuple[int, ...]
    shards: tuple[Shard, ...]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a records folder holds.

    Args:
        kind: Of the source, as in ``registry.KINDS``.
        class_names: In the order of the labels.
        image: The pictures' common size; ``NO_IMAGES`` in a set of rows.
        groups: Names of the group columns; each record has ``image/group/<name>``.
        splits: ``"train"`` and ``"test"``, those that have records.
        source: The source's own checksums.
        skipped: Pictures that ``--skip-bad`` left out: ``{"key", "split", "reason"}`` each.
        left_out: What the source has and the records have not: reason -> ``{"count", "examples"}``.
        duplicates: Pictures with the same bytes in both splits: ``{"num_pairs", "examples"}``.
        arguments: Of the build, those that decide what is in the records.
        versions: Of what wrote the bytes.
        plan_sha256: Over arguments and items; tells whether a command asks for these same records.
        class_ids: An identifier for each class, such as its WordNet id, or None.
        table: What the features of the rows mean, in a set of rows of a table; None in one of pictures.
        format_version: Of this file.
    """

    kind: str
    class_names: tuple[str, ...]
    image: ImageSize
    groups: tuple[str, ...]
    splits: dict[str, SplitInfo]
    source: dict[str, Any]
    skipped: tuple[dict[str, str], ...]
    left_out: dict[str, dict[str, Any]]
    duplicates: dict[str, Any]
    arguments: dict[str, Any]
    versions: dict[str, str]
    plan_sha256: str
    class_ids: tuple[str, ...] | None = None
    table: Table | None = None
    format_version: int = FORMAT_VERSION

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over the shards' checksums: one value that stands for all the records."""
        lines = [shard.sha256 for split in sorted(self.splits) for shard in self.splits[split].shards]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def to_json(self) -> str:
        """The file's text; the same manifest gives the same text."""
        content = dataclasses.asdict(self) | {"fingerprint": self.fingerprint}
        if self.table is None:
            del content["table"]
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Reads what ``to_json`` wrote.

        Raises:
            RecordsError: If the text is no manifest, or one of another format version.
        """
        try:
            content = json.loads(text)
            version = content["format_version"]
            if version != FORMAT_VERSION:
                raise RecordsError(
                    f"the manifest has format version {version}, this program reads {FORMAT_VERSION}; "
                    "build the records again"
                )
            stated = content.pop("fingerprint")
            manifest = cls(**_with_types(content))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, RecordsError):
                raise
            raise RecordsError(f"the manifest cannot be read ({error}); build the records again") from error
        if manifest.fingerprint != stated:
            raise RecordsError("the manifest was changed after it was written; build the records again")
        return manifest


def _with_types(content: dict[str, Any]) -> dict[str, Any]:
    """Turns the lists and objects of JSON into the tuples and dataclasses of ``Manifest``."""
    splits = {
        name: SplitInfo(
            num_examples=split["num_examples"],
            per_class=tuple(split["per_class"]),
            shards=tuple(Shard(**shard) for shard in split["shards"]),
        )
        for name, split in sorted(content["splits"].items(), key=lambda entry: entry[0] != "train")
    }
    ids, table = content["class_ids"], content.get("table")
    return content | {
        "splits": splits,
        "image": ImageSize(**content["image"]),
        "class_names": tuple(content["class_names"]),
        "groups": tuple(content["groups"]),
        "skipped": tuple(content["skipped"]),
        "class_ids": None if ids is None else tuple(ids),
        "table": None if table is None else table_from_json(table),
    }


def read_manifest(directory: Path) -> Manifest:
    """Reads the manifest of a records folder.

    Raises:
        RecordsError: If there is none, or it cannot be read.
    """
    path = Path(directory) / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RecordsError(
            f"{directory} is not a finished records folder: it has no {MANIFEST_NAME}; "
            "make one with bioattack-build-records"
        ) from error
    except UnicodeDecodeError as error:
        raise RecordsError(f"{path} is damaged: it is not text; build the records again") from error
    try:
        return Manifest.from_json(text)
    except RecordsError as error:
        raise RecordsError(f"{path}: {error}") from error


def shard_name(split: str, index: int, total: int) -> str:
    """The file name of a shard.

    >>> shard_name("train", 3, 8)
    'train-00003-of-00008.tfrecord'
    """
    return f"{split}-{index:05d}-of-{total:05d}.tfrecord"
