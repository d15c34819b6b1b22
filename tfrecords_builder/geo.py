"""Pictures with the countries they come from, and what these countries earn."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from bioattack.tfrecords_builder.countries import UnknownCountryError, country_names, find_country
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.files import file_checksum
from bioattack.tfrecords_builder.folder import Folder, FolderOptions
from bioattack.tfrecords_builder.gdp import (
    BUILT_IN_YEAR,
    INCOME_COLUMNS,
    GdpTable,
    built_in_gdp,
    income_columns,
    read_gdp,
)
from bioattack.tfrecords_builder.labels import LabelColumns, LabelRow
from bioattack.tfrecords_builder.source import BuildOptions, Item

UNKNOWN_COUNTRY = "pictures of an unknown country"
WITHOUT_COUNTRY = "pictures without a country"
WITHOUT_GDP = "pictures of a country without GDP per capita"


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeoOptions(FolderOptions):
    """Options of the kind ``geo``.

    Args:
        source: Folder, .zip or .tar of pictures.
        labels: csv file of the pictures: path, label, country; a column split may name the split.
        file_column: Column of --labels that names the picture.
        label_column: Column of --labels that names the class.
        groups: Further columns of --labels to keep with every record, such as a household's income.
        country_column: Column of --labels with the country: ISO 3166 alpha-2 or alpha-3, or an English name.
        classes: csv file of all classes in the order of their indices (column name; wnid or id may be there);
            a label that is not in it is refused.
        gdp: csv file of GDP per capita: the World Bank's download, or columns iso3 and gdp_per_capita. By
            default a built-in table.
        gdp_year: Year of the figures; a country without one has its latest earlier one. By default 2019, or
            the latest year of --gdp that is nearly complete.
    """

    labels: Path = dataclasses.field()
    file_column: str = "path"
    country_column: str = "country"
    gdp: Path | None = None
    gdp_year: int | None = None


class Geo(Folder):
    """Labelled pictures, each with its country, the country's GDP per capita and its income group.

    Every record has three group columns: ``country`` (ISO 3166 alpha-3, so that two spellings of a country
    are one), ``gdp_per_capita`` (current US dollars; empty where unknown) and ``income_group`` (the World
    Bank's; empty where unknown). A picture whose country is missing or unknown is left out and counted; one
    whose country has no GDP per capita stays, and is counted in ``remarks``.

    Args:
        options: See ``GeoOptions``.
    """

    Options: ClassVar[type[BuildOptions]] = GeoOptions
    options: GeoOptions
    example = "--source photos.zip --labels photos.csv --output records --size 64"

    def __init__(self, options: GeoOptions) -> None:
        super().__init__(options)
        taken = [name for name in options.groups if name in INCOME_COLUMNS]
        if taken:
            raise RecordsError(f"--groups must not name {taken[0]!r}: every record has that column already")
        self.groups = (*INCOME_COLUMNS, *options.groups)
        self._gdp = _read_table(options)
        self._countries: list[str] = []

    def label_columns(self) -> LabelColumns:
        """See ``PictureSource.label_columns``."""
        return dataclasses.replace(super().label_columns(), country=self.options.country_column)

    def wants(self, label: str) -> bool:
        """See ``PictureSource.wants``; what is no class is refused with its line, in ``groups_of``."""
        return bool(label)

    def groups_of(self, row: LabelRow) -> dict[str, str] | None:
        """See ``PictureSource.groups_of``."""
        if self._classes is not None and row.label not in self._classes.index:
            raise RecordsError(
                f"{self.options.labels}, line {row.line}: there is no class {row.label!r} in "
                f"{self.options.classes}; correct the label or add the class"
            )
        if not row.country:
            self.leave_out(WITHOUT_COUNTRY, row.file)
            return None
        try:
            country = find_country(row.country)
        except UnknownCountryError as error:
            self.leave_out(UNKNOWN_COUNTRY, f"{row.file}: {error}")
            return None
        return income_columns(country.iso3, self._gdp) | row.groups

    def items(self) -> list[Item]:
        """See ``Source.items``."""
        self.remarks = {}
        items = super().items()
        for item in items:
            iso3 = item.groups["country"]
            if why := self._gdp.why_missing(iso3):
                self.remark(WITHOUT_GDP, f"{item.key}: {country_names()[iso3]} ({iso3}), {why}")
        self._countries = sorted({item.groups["country"] for item in items})
        return items

    def index_classes(self, counts: Counter[str]) -> dict[str, int]:
        """See ``PictureSource.index_classes``."""
        if not counts:
            reasons = [f"{entry['count']} {reason}" for reason, entry in self.left_out.items()]
            raise RecordsError(
                f"no picture of {self.options.source} has both a label and a known country in "
                f"{self.options.labels} ({', '.join(reasons)}); choose the column with --country-column"
            )
        return super().index_classes(counts)

    def checksums(self) -> dict[str, Any]:
        """See ``Source.checksums``; also the figures of every country that has a picture."""
        gdp: dict[str, Any] = {"source": self._gdp.source, "year": self._gdp.year}
        if self.options.gdp is not None:
            gdp |= file_checksum(self.options.gdp)
        incomes = self._gdp.incomes
        gdp["countries"] = {
            iso3: {"name": country_names()[iso3]}
            | (
                {"gdp_per_capita": incomes[iso3].gdp_per_capita, "year": incomes[iso3].year}
                if iso3 in incomes
                else {"gdp_per_capita": None, "why": self._gdp.why_missing(iso3)}
            )
            for iso3 in self._countries
        }
        return super().checksums() | {"gdp": gdp}


def _read_table(options: GeoOptions) -> GdpTable:
    if options.gdp is None:
        return built_in_gdp(options.gdp_year or BUILT_IN_YEAR)
    return read_gdp(options.gdp, year=options.gdp_year)
