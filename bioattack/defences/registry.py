"""The defences by name; reading this table imports no TensorFlow."""

import dataclasses

from bioattack.errors import InputError


@dataclasses.dataclass(frozen=True)
class DefenceEntry:
    """One line of the table.

    Args:
        target: ``"module:Class"``, a ``Defence`` of one whole number.
        number: What that number is called.
        least: The smallest it may be.
        largest: The largest it may be.
    """

    target: str
    number: str
    least: int
    largest: int


DEFENCES: dict[str, DefenceEntry] = {
    "jpeg": DefenceEntry("bioattack.defences.jpeg:JpegCompression", "quality", 1, 100),
    "bits": DefenceEntry("bioattack.defences.bit_depth:BitDepth", "bits", 1, 8),
    "median": DefenceEntry("bioattack.defences.median:MedianSmoothing", "size", 2, 9),
}


def read_defence(name: str) -> tuple[str, int]:
    """Takes the name of a defence apart.

    Args:
        name: ``"jpeg:QUALITY"``, 1 to 100, ``"bits:BITS"``, 1 to 8, or ``"median:SIZE"``, 2 to 9.

    Returns:
        Its kind and its number.

    Raises:
        InputError: If there is no such defence.

    >>> read_defence("bits:4")
    ('bits', 4)
    """
    kind, _, number = name.partition(":")
    entry = DEFENCES.get(kind)
    if entry is None or not number.isascii() or not number.isdecimal():
        known = [
            f"{one}:{its.number.upper()} ({its.least} to {its.largest})" for one, its in DEFENCES.items()
        ]
        raise InputError(f"there is no defence {name!r}; there are {', '.join(known)}")
    if not entry.least <= int(number) <= entry.largest:
        raise InputError(
            f"{entry.number} must be a whole number from {entry.least} to {entry.largest}. "
            f"Received: {entry.number}={number}"
        )
    return kind, int(number)
