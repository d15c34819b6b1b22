"""Labels from a csv file: which picture has which label, split and groups."""

import csv
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from bioattack.tfrecords_builder.errors import RecordsError

SPLIT_COLUMN = "split"


@dataclasses.dataclass(frozen=True)
class LabelColumns:
    """Which columns of the csv file are read.

    Args:
        file: Names the picture: its path in the source, or its bare name where that is unique.
        label: Its class; rows where it is empty are left out.
        groups: Kept with every record.
    """

    file: str = "file"
    label: str = "label"
    groups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class LabelRow:
    """One row.

    Args:
        line: Where it stands in the csv file, counted from 1 with the header.
        file: As written, with forward slashes.
        label: As written; empty where the row has none.
        split: As written in the column ``split``; empty without that column.
        groups: Value of each group column.
    """

    line: int
    file: str
    label: str
    split: str
    groups: dict[str, str]


def read_labels(path: Path, columns: LabelColumns) -> list[LabelRow]:
    """Reads a csv file of labels, separated by commas, semicolons or tabs.

    Raises:
        RecordsError: If the file cannot be read, lacks a column, or has a row of another length.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as lines:
            return list(_rows(lines, path, columns))
    except OSError as error:
        raise RecordsError(f"cannot read the labels file {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordsError(f"{path} is not a csv file in UTF-8 ({error})") from error


def _rows(lines: Iterable[str], path: Path, columns: LabelColumns) -> Iterator[LabelRow]:
    iterator = iter(lines)
    first = next(iterator, "")
    reader = csv.reader(_chain(first, iterator), delimiter=max(",;\t", key=first.count))
    header = [name.strip() for name in next(reader, [])]
    flags = {columns.file: "--file-column", columns.label: "--label-column"}
    flags |= dict.fromkeys(columns.groups, "--groups")
    for name, flag in flags.items():
        if header.count(name) != 1:
            number = "no column" if name not in header else "several columns"
            raise RecordsError(
                f"{path} has {number} {name!r}; its columns are {', '.join(header)}: choose with {flag}"
            )
    for values in reader:
        if not values:
            continue
        if len(values) != len(header):
            raise RecordsError(
                f"{path}, line {reader.line_num}: {len(values)} values under {len(header)} column names"
            )
        row = dict(zip(header, (value.strip() for value in values), strict=True))
        yield LabelRow(
            line=reader.line_num,
            file=row[columns.file].replace("\\", "/").removeprefix("./"),
            label=row[columns.label],
            split=row.get(SPLIT_COLUMN, ""),
            groups={name: row[name] for name in columns.groups},
        )


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
