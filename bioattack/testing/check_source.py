"""The harness that every source of records passes."""

import dataclasses
import io
import json
import math
import pickle
from pathlib import Path
from typing import Any

from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring
from PIL import Image

from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.manifest import Manifest
from bioattack.tfrecords_builder.registry import source_class
from bioattack.tfrecords_builder.schema import Example, RowExample, parse, parse_row
from bioattack.tfrecords_builder.source import SPLITS, BuildOptions, Item, Picture, Row, Source
from bioattack.tfrecords_builder.splits import key_hash
from bioattack.tfrecords_builder.tfrecord import read_records
from bioattack.tfrecords_builder.verify import verify


def check_source(
    kind: str, arguments: dict[str, Any], *, folder: Path, counts: dict[str, tuple[int, ...]]
) -> Manifest:
    """Checks a source from its options to its finished records.

    That its options are documented; that its items are unique, complete and the same each time; that pictures
    load the same in any order and in a copy sent to a worker; that they decode to what they claim, and rows
    of a table lie in the ranges of its attributes; that the records hold exactly the items, in the shards
    and the order of their hashes; that two workers write the same bytes as one; and that the finished folder
    verifies.

    Args:
        kind: As in ``registry.KINDS``.
        arguments: Of the source's ``Options``, without ``output``; a handful of pictures is enough.
        folder: An empty folder for the records.
        counts: Split -> number of pictures of each class, counted by whoever made the pictures.

    Returns:
        The manifest, for further checks.

    Raises:
        AssertionError: At the first thing that does not hold.
    """
    cls = source_class(kind)
    _check_options(cls.Options)
    options = cls.Options(output=folder / "one", workers=1, num_shards=3, quiet=True, **arguments)
    source = cls(options)
    items = source.items()
    _check_items(source, items, counts)
    _check_loading(source, items)
    manifest = build(kind, options).manifest
    _require(manifest is not None, "the build wrote no manifest")
    assert manifest is not None  # noqa: S101 - for the type checker; required above
    found = {split: info.per_class for split, info in manifest.splits.items()}
    _require(found == counts, f"the manifest counts {found}, not {counts}")
    _check_records(source, items, manifest, options.output)
    _require(verify(options.output) == [], "the finished records do not verify")
    again = dataclasses.replace(options, output=folder / "two", workers=2)
    other = build(kind, again).manifest
    _require(manifest == other, "two workers do not write the same records as one")
    return manifest


def _require(condition: bool, message: str) -> None:
    # Not that of bioattack.testing.checking: records are checked without importing Keras.
    if not condition:
        raise AssertionError(message)


def _check_options(options_class: type[BuildOptions]) -> None:
    _require(issubclass(options_class, BuildOptions), "Options does not extend BuildOptions")
    documented = {
        parameter.arg_name
        for ancestor in options_class.__mro__
        for parameter in parse_docstring(ancestor.__doc__ or "", style=DocstringStyle.GOOGLE).params
    }
    missing = {field.name for field in dataclasses.fields(options_class)} - documented
    _require(not missing, f"options without a line of help: {sorted(missing)}")


def _check_items(source: Source, items: list[Item], counts: dict[str, tuple[int, ...]]) -> None:
    keys = {(item.split, item.key) for item in items}
    _require(len(keys) == len(items), "a key occurs twice in a split")
    _require(source.items() == items, "items() is different the second time")
    _require({item.split for item in items} <= set(SPLITS), "an unknown split")
    _require(
        all(set(item.groups) == set(source.groups) for item in items), "an item without the source's groups"
    )
    classes = range(len(source.class_names))
    found = {
        split: tuple(sum(item.split == split and item.label == label for item in items) for label in classes)
        for split in counts
    }
    _require(found == counts, f"items() counts {found}, not {counts}")
    _require(sum(map(sum, counts.values())) == len(items), "a label outside the classes, or another split")


def _check_loading(source: Source, items: list[Item]) -> None:
    first = [source.load(item) for item in items]
    copy: Source = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own bytes
    backwards = [copy.load(item) for item in reversed(items)]
    _require(backwards[::-1] == first, "a copy of the source, read backwards, gives other bytes")
    for item, picture in zip(items, first, strict=True):
        if isinstance(picture, Row):
            _check_row(source, item.key, picture)
        else:
            _check_picture(item.key, picture)
            _require(picture.channels <= source.channels, f"{item.key} has more channels than its set")
    json.dumps(source.checksums())
    _require(source.checksums() == source.checksums(), "checksums() is different the second time")


def _check_picture(key: str, picture: Picture) -> None:
    with Image.open(io.BytesIO(picture.encoded)) as image:
        image.load()
        claimed = (picture.format, picture.width, picture.height, picture.channels)
        decoded = ((image.format or "").lower(), *image.size, len(image.getbands()))
        _require(decoded in (claimed, ("mpo", *claimed[1:])), f"{key} claims {claimed} and is {decoded}")
    _require(len(picture.source_sha256) == 64, f"{key} has no sha256 of its source")


def _check_row(source: Source, key: str, row: Row) -> None:
    _require(source.table is not None, "a source of rows has no table")
    assert source.table is not None  # noqa: S101 - for the type checker; required above
    attributes = source.table.attributes
    _require(len(row.features) == len(attributes), f"{key} has {len(row.features)} features")
    for attribute, value in zip(attributes, row.features, strict=True):
        is_valid = math.isfinite(value) and attribute.minimum <= value <= attribute.maximum
        _require(is_valid, f"{key}: {attribute.name} is {value}")
        is_whole = not (attribute.is_integer or attribute.categories) or value == int(value)
        _require(is_whole, f"{key}: {attribute.name} is {value}, which is not a whole number")
    _require(len(row.source_sha256) == 64, f"{key} has no sha256 of its source")


def _check_records(source: Source, items: list[Item], manifest: Manifest, output: Path) -> None:
    by_key = {(item.split, item.key): item for item in items}
    for split, info in manifest.splits.items():
        for index, shard in enumerate(info.shards):
            read = parse if manifest.table is None else parse_row
            examples = [read(record) for record in read_records(output / shard.name)]
            hashes = [key_hash(split, example.filename) for example in examples]
            _require(hashes == sorted(hashes), f"{shard.name} is not in the order of the hashes")
            _require(
                all(number % len(info.shards) == index for number in hashes), "a record in a wrong shard"
            )
            for example in examples:
                _check_example(source, by_key.pop((split, example.filename)), example)
    _require(not by_key, f"items without a record: {sorted(by_key)}")


def _check_example(source: Source, item: Item, example: Example | RowExample) -> None:
    picture = source.load(item)
    expected: Example | RowExample
    if isinstance(picture, Row):
        expected = RowExample(
            features=picture.features,
            label=item.label,
            class_name=source.class_names[item.label],
            filename=item.key,
            sha256=picture.source_sha256,
            groups=item.groups,
        )
        _require(example == expected, f"the record of {item.key} is not what the source gives")
        return
    expected = Example(
        encoded=picture.encoded,
        format=picture.format,
        height=picture.height,
        width=picture.width,
        channels=picture.channels,
        label=item.label,
        class_name=source.class_names[item.label],
        filename=item.key,
        sha256=picture.source_sha256,
        groups=item.groups,
        class_id=source.class_ids[item.label] if source.class_ids else "",
    )
    _require(example == expected, f"the record of {item.key} is not what the source gives")
