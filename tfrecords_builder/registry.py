"""The kinds of sources, by name; reading this table imports none of them."""

import dataclasses
import importlib
from collections.abc import Iterable

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.source import Source


@dataclasses.dataclass(frozen=True)
class Kind:
    """One line of the table.

    Args:
        name: What the user types after ``bioattack-build-records``.
        target: Where its ``Source`` is, as ``"module:Class"``.
        summary: One line for ``--help``.
    """

    name: str
    target: str
    summary: str


def make_table(kinds: Iterable[Kind]) -> dict[str, Kind]:
    """Indexes the kinds by name; ValueError where two have the same."""
    table: dict[str, Kind] = {}
    for kind in kinds:
        if kind.name in table:
            raise ValueError(f"the kind {kind.name!r} is in the table twice")
        table[kind.name] = kind
    return table


_HERE = "bioattack.tfrecords_builder"
KINDS = make_table(
    [
        Kind(
            "imagenet10", f"{_HERE}.imagenet10:ImageNet10", "ten ImageNet classes, cropped as in the papers"
        ),
        Kind(
            "folder", f"{_HERE}.folder:Folder", "your own pictures: one folder per class, or a csv of labels"
        ),
        Kind("geo", f"{_HERE}.geo:Geo", "pictures with the countries they come from, and their incomes"),
        Kind("cifar10", f"{_HERE}.cifar10:Cifar10", "CIFAR-10: .npz, the original archives, or a download"),
        Kind("mnist", f"{_HERE}.mnist:Mnist", "MNIST: .npz, the original idx files, or a download"),
        Kind("adult", f"{_HERE}.adult:Adult", "UCI Adult: rows of a census, with sex and race"),
        Kind(
            "synthetic", f"{_HERE}.synthetic:Synthetic", "ten classes of drawn objects; needs no data at all"
        ),
    ]
)
SOURCES: dict[str, str] = {kind.name: kind.target for kind in KINDS.values()}


def source_class(kind: str) -> type[Source]:
    """Imports and returns the source of one kind.

    Raises:
        RecordsError: If there is no such kind.
    """
    if kind not in KINDS:
        raise RecordsError(f"there is no kind of source {kind!r}; the kinds are {', '.join(KINDS)}")
    module, _, name = KINDS[kind].target.partition(":")
    found: type[Source] = getattr(importlib.import_module(module), name)
    return found
