"""The record schema: one picture, or one row, as a ``tf.train.Example``; needs no TensorFlow.

The message types live in a descriptor pool of their own, so that TensorFlow may be imported beside them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from bioattack.tfrecords_builder.errors import RecordsError

ENCODED = "image/encoded"
FORMAT = "image/format"
HEIGHT = "image/height"
WIDTH = "image/width"
CHANNELS = "image/channels"
LABEL = "image/class/label"
CLASS_NAME = "image/class/text"
CLASS_ID = "image/class/synset"
FILENAME = "image/filename"
SHA256 = "image/key/sha256"
GROUP_PREFIX = "image/group/"
FEATURES = "row/features"


@dataclasses.dataclass(frozen=True)
class Example:
    """One record.

    Args:
        encoded: The bytes of a JPEG or PNG file.
        format: ``"jpeg"`` or ``"png"``.
        height: In pixels.
        width: In pixels.
        channels: 1 or 3, as in ``encoded``.
        label: Index into the manifest's ``class_names``.
        class_name: The label's name.
        filename: The item's key: the ``image_id`` of every result.
        sha256: Hex sha256 of the source's own bytes.
        groups: Value of each group column.
        class_id: The label's identifier, such as its WordNet id; empty where the source has none.
    """

    encoded: bytes
    format: str
    height: int
    width: int
    channels: int
    label: int
    class_name: str
    filename: str
    sha256: str
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)
    class_id: str = ""


@dataclasses.dataclass(frozen=True)
class RowExample:
    """One record of a set of rows of a table; its fields are those of a picture with ``row/`` for ``image/``.

    Args:
        features: One value for each attribute of the manifest's table; stored as float32.
        label: Index into the manifest's ``class_names``.
        class_name: The label's name.
        filename: The row's key: the ``image_id`` of every result.
        sha256: Hex sha256 of the source's own text of the row.
        groups: Value of each group column.
    """

    features: tuple[float, ...]
    label: int
    class_name: str
    filename: str
    sha256: str
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)


_ROW_TEXT_FIELDS = {"class_name": CLASS_NAME, "filename": FILENAME, "sha256": SHA256}
_TEXT_FIELDS = {
    "format": FORMAT,
    "class_name": CLASS_NAME,
    "filename": FILENAME,
    "sha256": SHA256,
}
_INTEGER_FIELDS = {"height": HEIGHT, "width": WIDTH, "channels": CHANNELS, "label": LABEL}


def group_field(name: str) -> str:
    """The feature in which a group column is stored, such as ``image/group/country``."""
    return GROUP_PREFIX + name


def serialise(example: Example) -> bytes:
    """Writes one record as ``tf.train.Example`` wire bytes, the same bytes for the same record.

    >>> record = Example(b"...", "png", 1, 1, 3, 0, "bee", "bee/1.png", "00", {"country": "KEN"})
    >>> parse(serialise(record)) == record
    True
    """
    written = _example_class()()
    feature: Any = written.features.feature
    feature[ENCODED].bytes_list.value.append(example.encoded)
    for name, field in _TEXT_FIELDS.items():
        feature[field].bytes_list.value.append(getattr(example, name).encode())
    for name, field in _INTEGER_FIELDS.items():
        feature[field].int64_list.value.append(getattr(example, name))
    if example.class_id:
        feature[CLASS_ID].bytes_list.value.append(example.class_id.encode())
    for name, value in example.groups.items():
        feature[group_field(name)].bytes_list.value.append(value.encode())
    serialised: bytes = written.SerializeToString(deterministic=True)
    return serialised


def row_field(field: str) -> str:
    """The feature of a row that corresponds to one of a picture.

    >>> row_field(LABEL)
    'row/class/label'
    """
    return f"row/{field.removeprefix('image/')}"


def serialise_row(example: RowExample) -> bytes:
    """Writes one row of a table as ``tf.train.Example`` wire bytes, the same bytes for the same row.

    >>> row = RowExample((39.0, 1.0), 0, "<=50K", "train/00000", "00", {"sex": "Male"})
    >>> parse_row(serialise_row(row)) == row
    True
    """
    written = _example_class()()
    feature: Any = written.features.feature
    feature[FEATURES].float_list.value.extend(example.features)
    feature[row_field(LABEL)].int64_list.value.append(example.label)
    for name, field in _ROW_TEXT_FIELDS.items():
        feature[row_field(field)].bytes_list.value.append(getattr(example, name).encode())
    for name, value in example.groups.items():
        feature[row_field(group_field(name))].bytes_list.value.append(value.encode())
    serialised: bytes = written.SerializeToString(deterministic=True)
    return serialised


def parse_row(record: bytes) -> RowExample:
    """Reads what ``serialise_row`` wrote.

    Raises:
        RecordsError: If the bytes are no record of a row.
    """
    read = _example_class()()
    prefix = row_field(GROUP_PREFIX)
    try:
        read.ParseFromString(record)
        feature: Any = dict(read.features.feature.items())
        values: dict[str, Any] = {"features": tuple(feature[FEATURES].float_list.value)}
        values["label"] = feature[row_field(LABEL)].int64_list.value[0]
        for name, field in _ROW_TEXT_FIELDS.items():
            values[name] = feature[row_field(field)].bytes_list.value[0].decode()
    except (message.DecodeError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise RecordsError(f"this is no record of a row ({error}); build the records again") from error
    values["groups"] = {
        name.removeprefix(prefix): feature[name].bytes_list.value[0].decode()
        for name in sorted(feature)
        if name.startswith(prefix)
    }
    return RowExample(**values)


def parse(record: bytes) -> Example:
    """Reads what ``serialise`` wrote.

    Raises:
        RecordsError: If the bytes are no record of this schema.
    """
    read = _example_class()()
    try:
        read.ParseFromString(record)
        feature: Any = dict(read.features.feature.items())
        values: dict[str, Any] = {"encoded": feature[ENCODED].bytes_list.value[0]}
        for name, field in _TEXT_FIELDS.items():
            values[name] = feature[field].bytes_list.value[0].decode()
        for name, field in _INTEGER_FIELDS.items():
            values[name] = feature[field].int64_list.value[0]
    except (message.DecodeError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise RecordsError(f"this is no record of a picture ({error}); build the records again") from error
    if CLASS_ID in feature:
        values["class_id"] = feature[CLASS_ID].bytes_list.value[0].decode()
    values["groups"] = {
        name.removeprefix(GROUP_PREFIX): feature[name].bytes_list.value[0].decode()
        for name in sorted(feature)
        if name.startswith(GROUP_PREFIX)
    }
    return Example(**values)


def _example_class() -> Any:
    return _CLASSES["tensorflow.Example"]


def _make_classes() -> dict[str, Any]:
    """Builds the message types of TensorFlow's example.proto and feature.proto."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="bioattack/example.proto", package="tensorflow", syntax="proto3"
    )
    lists = {"BytesList": field.TYPE_BYTES, "FloatList": field.TYPE_FLOAT, "Int64List": field.TYPE_INT64}
    for name, kind in lists.items():
        file.message_type.add(name=name).field.add(
            name="value", number=1, type=kind, label=field.LABEL_REPEATED
        )
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind_name) in enumerate(
        {"bytes_list": "BytesList", "float_list": "FloatList", "int64_list": "Int64List"}.items(), 1
    ):
        _add_message_field(feature, name, number, kind_name, oneof_index=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    _add_message_field(entry, "value", 2, "Feature")
    _add_message_field(features, "feature", 1, "Features.FeatureEntry", label=field.LABEL_REPEATED)
    _add_message_field(file.message_type.add(name="Example"), "features", 1, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for name in ("tensorflow.Example",)
    }


def _add_message_field(owner: Any, name: str, number: int, type_name: str, **more: Any) -> None:
    field = descriptor_pb2.FieldDescriptorProto
    owner.field.add(
        name=name,
        number=number,
        type=field.TYPE_MESSAGE,
        type_name=f".tensorflow.{type_name}",
        **({"label": field.LABEL_OPTIONAL} | more),
    )


_CLASSES = _make_classes()
