"""Labels from csv files: which picture has which label, split and groups; and which classes there are."""

import csv
import dataclasses
import itertools
from collections import Counter
from pathlib import Path

from bioattack.tfrecords_builder.errors import RecordsError

SPLIT_COLUMN = "split"
NAME_COLUMN, INDEX_COLUMN, ID_COLUMNS = "name", "index", ("wnid", "id")


@dataclasses.dataclass(frozen=True)
class LabelColumns:
    """Which columns of the csv file are read.

    Args:
        file: Names the picture: its path in the source, or its bare name where that is unique.
        label: Its class; rows where it is empty are left out.
        groups: Kept with every record.
        country: Names its country; empty where no such column is read.
    """

    file: str = "file"
    label: str = "label"
    groups: tuple[str, ...] = ()
    country: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class LabelRow:
    """One row.

    Args:
        line: Where it stands in the csv file, counted from 1 with the header.
        file: As written, with forward slashes.
        label: As written; empty where the row has none.
        split: As written in the column ``split``; empty without that column.
        groups: Value of each group column.
        country: As written; empty where no such column is read.
    """

    line: int
    file: str
    label: str
    split: str
    groups: dict[str, str]
    country: str = ""


@dataclasses.dataclass(frozen=True)
class ClassList:
    """Every class there is, whether a set of pictures shows it or not.

    Args:
        names: In the order of the indices; no two are equal.
        ids: An identifier for each, such as its WordNet id, or None.
        index: The index of each value that may stand for a class: in any column, but in no two rows.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...] | None
    index: dict[str, int]


def read_classes(path: Path) -> ClassList:
    """Reads a csv file with a row for each class, in the order of the indices that a model gives them.

    A column ``name`` must be there. A column ``index`` is checked; ``wnid`` or ``id`` is kept with the
    records, and tells two classes of the same name apart.

    Raises:
        RecordsError: If the file cannot be read, or its rows are no such list.
    """
    header, rows = _read_table(Path(path), kind="file of classes")
    if header.count(NAME_COLUMN) != 1:
        raise RecordsError(f"{path} has no column {NAME_COLUMN!r}; its columns are {', '.join(header)}")
    if len(rows) < 2:
        raise RecordsError(f"{path} lists {len(rows)} classes; a classifier needs two or more")
    id_column = next((column for column in ID_COLUMNS if column in header), None)
    ids = None if id_column is None else tuple(row[id_column] for _, row in rows)
    repeated = {name for name, count in Counter(row[NAME_COLUMN] for _, row in rows).items() if count > 1}
    names: list[str] = []
    for number, (line, row) in enumerate(rows):
        if row.get(INDEX_COLUMN, str(number)) != str(number):
            raise RecordsError(
                f"{path}, line {line}: the classes must be in the order of their indices, from 0; this one "
                f"should be {number}. Received: {row[INDEX_COLUMN]!r}"
            )
        name = row[NAME_COLUMN]
        if name in repeated and ids is not None:
            name = f"{name} ({ids[number]})"
        if not name or name in names:
            raise RecordsError(
                f"{path}, line {line}: every class needs a name of its own. Received: {name!r}"
            )
        names.append(name)
    index: dict[str, int] = {}
    ambiguous: set[str] = set()
    for number, (_, row) in enumerate(rows):
        for value in {names[number], *row.values()}:
            if index.setdefault(value, number) != number:
                ambiguous.add(value)
    return ClassList(
        tuple(names), ids, {value: number for value, number in index.items() if value not in ambiguous}
    )


def read_labels(path: Path, columns: LabelColumns) -> list[LabelRow]:
    """Reads a csv file of labels, separated by commas, semicolons or tabs.

    Raises:
        RecordsError: If the file cannot be read, lacks a column, or has a row of another length.
    """
    header, rows = _read_table(Path(path), kind="labels file")
    flags = {columns.file: "--file-column", columns.label: "--label-column"}
    flags |= dict.fromkeys(columns.groups, "--groups")
    flags |= {columns.country: "--country-column"} if columns.country else {}
    for name, flag in flags.items():
        if header.count(name) != 1:
            number = "no column" if name not in header else "several columns"
            raise RecordsError(
                f"{path} has {number} {name!r}; its columns are {', '.join(header)}: choose with {flag}"
            )
    return [
        LabelRow(
            line=line,
            file=row[columns.file].replace("\\", "/").removeprefix("./"),
            label=row[columns.label],
            split=row.get(SPLIT_COLUMN, ""),
            groups={name: row[name] for name in columns.groups},
            country=row[columns.country] if columns.country else "",
        )
        for line, row in rows
    ]


def _read_table(path: Path, *, kind: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The header of a csv file and its rows, each with the line it ends in."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            first = next(lines, "")
            reader = csv.reader(itertools.chain([first], lines), delimiter=max(",;\t", key=first.count))
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, values) for values in reader if values]
    except OSError as error:
        raise RecordsError(f"cannot read the {kind} {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordsError(f"{path} is not a csv file in UTF-8 ({error})") from error
    for line, values in rows:
        if len(values) != len(header):
            raise RecordsError(f"{path}, line {line}: {len(values)} values under {len(header)} column names")
    return header, [
        (line, dict(zip(header, (value.strip() for value in values), strict=True))) for line, values in rows
    ]
