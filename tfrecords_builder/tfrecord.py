"""The TFRecord file format: each record framed by its length and two checksums.

``length (8 bytes), masked crc32c of it (4), the record, masked crc32c of it (4)``, all little-endian; a crc
is masked by rotating it right by 15 bits and adding 0xa282ead8 (TensorFlow, ``tensorflow/core/lib/io``).
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from bioattack.tfrecords_builder.errors import RecordsError

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = _LENGTH.size + _CHECKSUM.size


def masked_checksum(content: bytes) -> int:
    """The masked crc32c of some bytes.

    >>> hex(masked_checksum(b""))
    '0xa282ead8'
    """
    value: int = google_crc32c.value(content)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(record: bytes) -> tuple[bytes, bytes]:
    """What stands before and after a record in the file."""
    length = _LENGTH.pack(len(record))
    return length + _CHECKSUM.pack(masked_checksum(length)), _CHECKSUM.pack(masked_checksum(record))


def read_records(path: Path) -> Iterator[bytes]:
    """Yields the records of a file, one after the other.

    Raises:
        RecordsError: Where the file is cut short or a checksum is wrong.
    """
    with Path(path).open("rb") as file:
        while header := file.read(_HEADER_BYTES):
            if len(header) < _HEADER_BYTES or not _is_right(header[:8], header[8:]):
                raise RecordsError(f"{path} is damaged at byte {file.tell() - len(header)}")
            (length,) = _LENGTH.unpack(header[:8])
            record, checksum = file.read(length), file.read(_CHECKSUM.size)
            if len(record) < length or not _is_right(record, checksum):
                raise RecordsError(f"{path} is damaged before byte {file.tell()}")
            yield record


def _is_right(content: bytes, checksum: bytes) -> bool:
    return checksum == _CHECKSUM.pack(masked_checksum(content))
