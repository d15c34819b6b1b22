"""GDP per capita and income group by country: a built-in table, and the files that people have."""

import csv
import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.gdp_files import Figure, read_figures

BUILT_IN_YEAR = 2019
# Of every picture that has a country, in ``geo`` and in ``synthetic``.
INCOME_COLUMNS = ("country", "gdp_per_capita", "income_group")
_TABLE = Path(__file__).with_name("data") / "gdp_per_capita.csv"
_BUILT_IN_SOURCE = (
    "World Bank, World Development Indicators, GDP (NY.GDP.MKTP.CD) over population (SP.POP.TOTL), in "
    "current US dollars; CC BY 4.0"
)
# The last column of a download often has figures of the quickest countries only.
_COVERAGE = 0.9


@dataclasses.dataclass(frozen=True)
class CountryIncome:
    """What a country has for each head of its population.

    Args:
        iso3: Its code.
        gdp_per_capita: Current US dollars, above 0.
        year: Of the figure; None where its source names none.
        income_group: Of the World Bank's four, such as ``"Low income"``; empty where unknown.
    """

    iso3: str
    gdp_per_capita: float
    year: int | None
    income_group: str = ""


@dataclasses.dataclass(frozen=True)
class GdpTable:
    """GDP per capita by country.

    Args:
        incomes: By alpha-3 code, in the order of the codes.
        source: Where the figures are from.
        year: That was asked for or chosen; a country without a figure of that year has its latest earlier
            one. None where the source names none.
        unusable: Countries that the source lists without a figure that can be used: code -> what is wrong
            with it, such as ``"GDP per capita is 0"``.
        no_countries: What the source lists beside countries, such as ``World``.
    """

    incomes: Mapping[str, CountryIncome]
    source: str
    year: int | None = None
    unusable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    no_countries: tuple[str, ...] = ()

    @property
    def gdp_per_capita(self) -> dict[str, float]:
        """Current US dollars by alpha-3 code."""
        return {iso3: income.gdp_per_capita for iso3, income in self.incomes.items()}

    @property
    def income_groups(self) -> dict[str, str]:
        """The World Bank's income group by alpha-3 code; empty where unknown."""
        return {iso3: income.income_group for iso3, income in self.incomes.items()}

    def why_missing(self, iso3: str) -> str | None:
        """Says why a country has no figure; None where it has one.

        >>> built_in_gdp().why_missing("PRK"), built_in_gdp().why_missing("KEN")
        ('no figure', None)
        """
        return None if iso3 in self.incomes else self.unusable.get(iso3, "no figure")


def built_in_gdp(year: int = BUILT_IN_YEAR) -> GdpTable:
    """The built-in table: 214 countries in 2019, 202 of them also in 2022.

    Four countries have no figure of 2019 and stand with an earlier year (Eritrea 2011, Venezuela 2014, South
    Sudan 2015, Yemen 2018). Income groups are the World Bank's of about 2022, not those of the year.

    Args:
        year: A country without a figure of that year has its latest earlier one.

    Raises:
        RecordsError: If there is no figure of that year or before.

    Source:
        World Bank, World Development Indicators: GDP in current US dollars (NY.GDP.MKTP.CD) over population
        (SP.POP.TOTL), which is what NY.GDP.PCAP.CD publishes; income groups from the same. CC BY 4.0.

    >>> table = built_in_gdp()
    >>> len(table.incomes), table.incomes["KEN"].gdp_per_capita, table.incomes["VEN"].year
    (214, 1960.41, 2014)
    """
    return _built_in(year)


def income_columns(iso3: str, table: GdpTable) -> dict[str, str]:
    """The group columns of a picture from a country: its code, GDP per capita and income group, as text.

    Args:
        iso3: The country's alpha-3 code.
        table: The last two columns are empty where it has no figure of the country.

    >>> income_columns("KEN", built_in_gdp())
    {'country': 'KEN', 'gdp_per_capita': '1960.41', 'income_group': 'Lower middle income'}
    """
    income = table.incomes.get(iso3)
    values = ("", "") if income is None else (repr(income.gdp_per_capita), income.income_group)
    return dict(zip(INCOME_COLUMNS, (iso3, *values), strict=True))


def read_gdp(path: Path, *, year: int | None = None) -> GdpTable:
    """Reads a csv file of GDP per capita, in one of two layouts.

    - The World Bank's download of the indicator NY.GDP.PCAP.CD: some lines about the source, then a header
      with ``Country Code`` and a column for each year. Aggregates such as ``World`` are no countries.
    - A header with ``iso3`` (or ``country``: any code or English name) and ``gdp_per_capita``; ``year`` and
      ``income_group`` may be there.

    Where the file has no income groups they are those of the built-in table.

    Args:
        path: Separated by commas, semicolons or tabs, in UTF-8.
        year: Of the figures; a country without one has its latest earlier one. By default the latest year in
            which nine in ten of the file's countries have a figure.

    Returns:
        The table; a figure that is missing, zero or negative is in ``unusable`` with the reason.

    Raises:
        RecordsError: If the file cannot be read, has neither layout, holds a figure that is no number, gives
            a country two figures for one year (under two spellings, say), or has none of that year or before.
    """
    figures, no_countries = read_figures(Path(path))
    groups = built_in_gdp().income_groups
    figures = [
        dataclasses.replace(figure, income_group=figure.income_group or groups.get(figure.iso3, ""))
        for figure in figures
    ]
    chosen = _choose_year(figures) if year is None else year
    return _make_table(figures, year=chosen, source=Path(path).name, no_countries=no_countries)


@functools.cache
def _built_in(year: int) -> GdpTable:
    return _make_table(_built_in_figures(), year=year, source=_BUILT_IN_SOURCE)


def _built_in_figures() -> tuple[Figure, ...]:
    with _TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(
            Figure(row["iso3"], row["gdp_per_capita_usd"], int(row["year"]), _TABLE.name, row["income_group"])
            for row in csv.DictReader(file)
        )


def _choose_year(figures: Iterable[Figure]) -> int | None:
    counts: dict[int, int] = {}
    for figure in figures:
        if figure.year is not None and figure.is_given:
            counts[figure.year] = counts.get(figure.year, 0) + 1
    enough = [year for year, count in counts.items() if count >= _COVERAGE * max(counts.values())]
    return max(enough, default=None)


def _make_table(
    figures: Iterable[Figure], *, year: int | None, source: str, no_countries: tuple[str, ...] = ()
) -> GdpTable:
    """Takes of each country the figure of the year, or the latest before it."""
    best: dict[str, Figure] = {}
    listed: dict[str, str] = {}
    for figure in sorted(figures, key=lambda figure: figure.year or 0):
        listed.setdefault(figure.iso3, "no figure" if year is None else f"no figure of {year} or before")
        is_late = year is not None and figure.year is not None and figure.year > year
        if not is_late and figure.is_given:
            best[figure.iso3] = figure
    incomes: dict[str, CountryIncome] = {}
    for iso3 in sorted(best):
        figure = best[iso3]
        value, problem = _checked(figure, source)
        if problem:
            listed[iso3] = problem
        else:
            incomes[iso3] = CountryIncome(iso3, value, figure.year, figure.income_group)
    if not incomes:
        raise RecordsError(
            f"the GDP table {source} has no figure that can be used"
            + ("" if year is None else f" of {year} or before")
        )
    unusable = {iso3: listed[iso3] for iso3 in sorted(listed) if iso3 not in incomes}
    return GdpTable(incomes, source, year, unusable, no_countries)


def _checked(figure: Figure, source: str) -> tuple[float, str]:
    """A figure as a number, and what is wrong with it."""
    try:
        value = float(figure.text)
    except ValueError as error:
        raise RecordsError(
            f"the GDP table {source}, {figure.where}: {figure.text!r} is no number of dollars"
        ) from error
    if not math.isfinite(value) or value <= 0:
        return value, f"GDP per capita is {figure.text}"
    return value, ""
