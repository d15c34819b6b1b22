"""Files of GDP per capita: the World Bank's download, and tables of people's own."""

import csv
import dataclasses
from collections.abc import Iterable
from pathlib import Path

from bioattack.tfrecords_builder.countries import UnknownCountryError, country_names, find_country
from bioattack.tfrecords_builder.errors import RecordsError

INDICATOR = "NY.GDP.PCAP.CD"
_CODE_COLUMN, _INDICATOR_COLUMN = "Country Code", "Indicator Code"
_COUNTRY_COLUMNS = ("iso3", "country", "iso2", "code")
_GDP_COLUMNS = ("gdp_per_capita", "gdp_per_capita_usd")
_YEAR_COLUMN, _GROUP_COLUMN = "year", "income_group"
_MISSING = frozenset({"", "..", "na", "n/a", "nan", "null"})


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of a table, not yet checked.

    Args:
        iso3: The country's alpha-3 code.
        text: As written; empty or such as ``..`` where there is none.
        year: Of the figure; None where the table names none.
        where: Where it stands, for error messages.
        income_group: As written; empty where the table has none.
    """

    iso3: str
    text: str
    year: int | None
    where: str
    income_group: str = ""

    @property
    def is_given(self) -> bool:
        """Whether there is a figure at all."""
        return self.text.lower() not in _MISSING


def read_figures(path: Path) -> tuple[list[Figure], tuple[str, ...]]:
    """Reads the figures of a csv file in one of the two layouts that ``gdp.read_gdp`` describes.

    Args:
        path: Separated by commas, semicolons or tabs, in UTF-8.

    Returns:
        The figures, at most one for each country and year, and what the file lists that is no country.

    Raises:
        RecordsError: If the file cannot be read, has neither layout, or has two figures for a country and
            year.
    """
    rows = _read_rows(path)
    for number, (_, row) in enumerate(rows):
        if _CODE_COLUMN in row:
            figures, no_countries = _world_bank_figures(path, row, rows[number + 1 :])
            break
    else:
        figures, no_countries = _plain_figures(path, rows)
    _refuse_repeats(path, figures)
    return figures, no_countries


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a csv file that hold anything, each with its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordsError(f"cannot read the GDP table {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RecordsError(f"the GDP table {path} is not a csv file in UTF-8 ({error})") from error
    lines = text.splitlines()
    delimiter = max(",;\t", key=lambda mark: sum(line.count(mark) for line in lines[:20]))
    try:
        reader = csv.reader(lines, delimiter=delimiter)
        rows = [(reader.line_num, [value.strip() for value in row]) for row in reader]
    except csv.Error as error:
        raise RecordsError(f"the GDP table {path} is not a csv file ({error})") from error
    return [(line, row) for line, row in rows if any(row)]


def _world_bank_figures(
    path: Path, header: list[str], rows: list[tuple[int, list[str]]]
) -> tuple[list[Figure], tuple[str, ...]]:
    """The figures of the World Bank's layout, and what it lists that is no country."""
    years = {int(name): place for place, name in enumerate(header) if name.isdecimal() and len(name) == 4}
    if not years:
        raise RecordsError(f"the GDP table {path} has a column {_CODE_COLUMN!r} but none for a year")
    indicator = header.index(_INDICATOR_COLUMN) if _INDICATOR_COLUMN in header else None
    figures: list[Figure] = []
    others: list[str] = []
    for line, row in rows:
        row = row + [""] * (len(header) - len(row))
        if indicator is not None and row[indicator] != INDICATOR:
            raise RecordsError(
                f"the GDP table {path}, line {line}, holds the indicator {row[indicator]!r} instead of "
                f"{INDICATOR}; download that one"
            )
        code = row[header.index(_CODE_COLUMN)]
        if code not in country_names():
            others.append(row[0] or code)
            continue
        figures += [Figure(code, row[place], year, f"line {line}") for year, place in years.items()]
    return figures, tuple(others)


def _plain_figures(path: Path, rows: list[tuple[int, list[str]]]) -> tuple[list[Figure], tuple[str, ...]]:
    """The figures of a file with a row for each country, or each country and year."""
    header = rows[0][1] if rows else []
    country = next((name for name in _COUNTRY_COLUMNS if name in header), None)
    gdp = next((name for name in _GDP_COLUMNS if name in header), None)
    if country is None or gdp is None:
        raise RecordsError(
            f"the GDP table {path} has the columns {', '.join(header) or '(none)'}; it must be the World "
            f"Bank's download of {INDICATOR}, or have the columns iso3 and gdp_per_capita"
        )
    figures = []
    others: list[str] = []
    for line, values in rows[1:]:
        if len(values) != len(header):
            raise RecordsError(
                f"the GDP table {path}, line {line}: {len(values)} values under {len(header)} column names"
            )
        row = dict(zip(header, values, strict=True))
        try:
            iso3 = find_country(row[country]).iso3
        except UnknownCountryError:
            others.append(row[country])
            continue
        year = _year(row[_YEAR_COLUMN], path=path, line=line) if _YEAR_COLUMN in row else None
        figures.append(Figure(iso3, row[gdp], year, f"line {line}", row.get(_GROUP_COLUMN, "")))
    return figures, tuple(others)


def _year(text: str, *, path: Path, line: int) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise RecordsError(f"the GDP table {path}, line {line}: {text!r} is no year") from error


def _refuse_repeats(path: Path, figures: Iterable[Figure]) -> None:
    seen: dict[tuple[str, int | None], Figure] = {}
    for figure in figures:
        other = seen.setdefault((figure.iso3, figure.year), figure)
        if other is not figure:
            raise RecordsError(
                f"the GDP table {path} gives {country_names()[figure.iso3]} ({figure.iso3}) two figures, "
                f"{other.where} and {figure.where}; remove one"
            )
