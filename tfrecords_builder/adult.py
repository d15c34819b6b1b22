"""UCI Adult: rows of the 1994 census of the United States, with two classes of income."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.files import File, Files, file_checksum, open_files
from bioattack.tfrecords_builder.source import SPLITS, BuildOptions, Item, Row, Source, Split
from bioattack.tfrecords_builder.table import Attribute, Table

MISSING = "rows with a missing value (?)"
PROTECTED = ("race", "sex")
# Empty: a continuous attribute, in whole numbers. Spelt, Columbia and all, as in the source.
# Becker and Kohavi 1996, Adult, UCI Machine Learning Repository, adult.names.
_CATEGORIES: dict[str, str] = {
    "age": "",
    "workclass": (
        "Federal-gov Local-gov Never-worked Private Self-emp-inc Self-emp-not-inc State-gov Without-pay"
    ),
    "fnlwgt": "",
    "education": (
        "10th 11th 12th 1st-4th 5th-6th 7th-8th 9th Assoc-acdm Assoc-voc Bachelors Doctorate HS-grad Masters "
        "Preschool Prof-school Some-college"
    ),
    "education-num": "",
    "marital-status": (
        "Divorced Married-AF-spouse Married-civ-spouse Married-spouse-absent Never-married Separated Widowed"
    ),
    "occupation": (
        "Adm-clerical Armed-Forces Craft-repair Exec-managerial Farming-fishing Handlers-cleaners "
        "Machine-op-inspct Other-service Priv-house-serv Prof-specialty Protective-serv Sales Tech-support "
        "Transport-moving"
    ),
    "relationship": "Husband Not-in-family Other-relative Own-child Unmarried Wife",
    "race": "Amer-Indian-Eskimo Asian-Pac-Islander Black Other White",
    "sex": "Female Male",
    "capital-gain": "",
    "capital-loss": "",
    "hours-per-week": "",
    "native-country": (
        "Cambodia Canada China Columbia Cuba Dominican-Republic Ecuador El-Salvador England France Germany "
        "Greece Guatemala Haiti Holand-Netherlands Honduras Hong Hungary India Iran Ireland Italy Jamaica "
        "Japan Laos Mexico Nicaragua Outlying-US(Guam-USVI-etc) Peru Philippines Poland Portugal Puerto-Rico "
        "Scotland South Taiwan Thailand Trinadad&Tobago United-States Vietnam Yugoslavia"
    ),
}
ATTRIBUTES = {name: tuple(categories.split()) for name, categories in _CATEGORIES.items()}
_FILES = {"train": "adult.data", "test": "adult.test"}
_NUM_VALUES = len(ATTRIBUTES) + 1
_SEPARATORS = {";": "semicolons", "\t": "tabs", " ": "blanks"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdultOptions(BuildOptions):
    """Options of the kind ``adult``.

    Args:
        source: Folder, .zip or .tar with the original adult.data and adult.test, or one of the two files
            where the other lies beside it.
    """

    source: Path


@dataclasses.dataclass(frozen=True, slots=True)
class _ParsedRow:
    """One row of a file.

    Args:
        number: Its place among the file's rows, those with missing values included.
        label: 0 or 1.
        features: In the order of the attributes.
        sha256: Of its text.
    """

    number: int
    label: int
    features: tuple[float, ...]
    sha256: str


class Adult(Source):
    """The census rows of UCI Adult as records of 14 numbers; those with a missing value are left out.

    Continuous attributes stay on their own scales. A category is the place of its name in the alphabetical
    list of those that ``adult.names`` documents; the manifest's ``table`` has these lists, the ranges, the
    training rows' means and deviations, and which attributes are protected (race and sex, which are the
    group columns too). The key of a row is its place in the file, ``train/00042``. ``adult.data`` is the
    train split (30,162 of 32,561 rows stay), ``adult.test`` the test split (15,060 of 16,281).

    Args:
        options: See ``AdultOptions``.

    Source:
        Becker and Kohavi 1996, Adult, UCI Machine Learning Repository; CC BY 4.0.
    """

    Options: ClassVar[type[BuildOptions]] = AdultOptions
    options: AdultOptions
    example = "--source adult.zip --output adult"
    channels = 0
    class_names = ("<=50K", ">50K")
    groups = PROTECTED

    def __init__(self, options: AdultOptions) -> None:
        super().__init__(options)
        self._files, self._found = _find(options.source)

    def items(self) -> list[Item]:
        """See ``Source.items``."""
        self.left_out = {}
        rows = {split: self._read(split) for split in SPLITS}
        self.table = _make_table(rows)
        return [self._item(split, row) for split in SPLITS for row in rows[split]]

    def _item(self, split: str, row: _ParsedRow) -> Item:
        names = list(ATTRIBUTES)
        groups = {name: ATTRIBUTES[name][int(row.features[names.index(name)])] for name in PROTECTED}
        return Item(f"{split}/{row.number:05d}", split, row.label, groups, (row.features, row.sha256))

    def load(self, item: Item) -> Row:
        """See ``Source.load``."""
        features, sha256 = item.reference
        return Row(features, sha256)

    def checksums(self) -> dict[str, Any]:
        """See ``Source.checksums``."""
        if self.options.source.is_file() and self._files.path == self.options.source:
            return self._files.checksums()
        return {file.path: file_checksum(self._files.path / file.path) for file in self._found.values()}

    def _read(self, split: str) -> list[_ParsedRow]:
        file = self._found[split]
        where = f"{file.path} in {self.options.source}"
        try:
            lines = self._files.read(file).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise RecordsError(f"{where} is not text in UTF-8 ({error}); give the original file") from error
        rows: list[_ParsedRow] = []
        number = 0
        for line, text in enumerate(lines, start=1):
            if not text.strip() or text.startswith("|"):
                continue
            values = _split_line(text, f"{where}, line {line}", is_first=number == 0)
            if "?" in values:
                self.leave_out(MISSING, f"{split}/{number:05d}")
            else:
                rows.append(_parse(values, number, f"{where}, line {line}"))
            number += 1
        if not rows:
            raise RecordsError(f"{where} has no rows without missing values; give the original file")
        return rows


def _find(source: Path) -> tuple[Files, dict[str, File]]:
    """The two files of the set, and how they are read."""
    folder = source.parent if source.is_file() and source.name in _FILES.values() else source
    files = open_files(folder)
    listed = files.scan()[0]
    found: dict[str, File] = {}
    for split, name in _FILES.items():
        matching = [file for file in listed if PurePosixPath(file.path).name == name]
        if len(matching) != 1:
            number = "no" if not matching else f"{len(matching)} files"
            raise RecordsError(
                f"{folder} has {number} {name}; give a folder or an archive with the original adult.data and "
                "adult.test, one of each"
            )
        found[split] = matching[0]
    return files, found


def _split_line(text: str, where: str, *, is_first: bool) -> list[str]:
    """The values of one line, label included."""
    values = [value.strip() for value in text.split(",")]
    if len(values) != _NUM_VALUES:
        other = next(
            (name for mark, name in _SEPARATORS.items() if text.count(mark) == _NUM_VALUES - 1), None
        )
        found = f"{len(values)} values" if other is None else f"values separated by {other}"
        raise RecordsError(
            f"{where}, has {found} in place of {_NUM_VALUES} separated by commas (14 attributes and the "
            "class); give the original file of UCI Adult"
        )
    if is_first and not any(value.lstrip("-").isdecimal() for value in values):
        raise RecordsError(f"{where}, is a header ({values[0]}, {values[1]}, ...); remove that line")
    return values


def _parse(values: list[str], number: int, where: str) -> _ParsedRow:
    """One row without missing values."""
    features = tuple(
        _feature(name, value, where) for name, value in zip(ATTRIBUTES, values[:-1], strict=True)
    )
    label = values[-1].removesuffix(".")  # the labels of adult.test end in a full stop
    if label not in Adult.class_names:
        raise RecordsError(
            f"{where}: the class must be {' or '.join(Adult.class_names)}. Received: {values[-1]!r}"
        )
    text = ",".join([*values[:-1], label])
    return _ParsedRow(
        number, Adult.class_names.index(label), features, hashlib.sha256(text.encode()).hexdigest()
    )


def _feature(name: str, value: str, where: str) -> float:
    categories = ATTRIBUTES[name]
    if not categories:
        try:
            return float(int(value))
        except ValueError as error:
            raise RecordsError(f"{where}: {name} must be a whole number. Received: {value!r}") from error
    if value not in categories:
        raise RecordsError(
            f"{where}: {name} has an unknown category {value!r}; it must be one of {', '.join(categories)}"
        )
    return float(categories.index(value))


def _make_table(rows: Mapping[Split, list[_ParsedRow]]) -> Table:
    """Ranges over all rows, means and deviations over the training rows."""
    features = {split: np.array([row.features for row in rows[split]]) for split in SPLITS}
    every = np.concatenate([features[split] for split in SPLITS])
    attributes = []
    for column, (name, categories) in enumerate(ATTRIBUTES.items()):
        low, high = (
            (0, len(categories) - 1) if categories else (every[:, column].min(), every[:, column].max())
        )
        attributes.append(
            Attribute(
                name=name,
                kind="categorical" if categories else "continuous",
                minimum=float(low),
                maximum=float(high),
                mean=float(features["train"][:, column].mean()),
                std=float(features["train"][:, column].std()),
                is_protected=name in PROTECTED,
                categories=categories,
            )
        )
    return Table(tuple(attributes))
