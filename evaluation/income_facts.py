"""Codes, names and GDP per capita of the world's countries, for the regression on income."""

from pathlib import Path

from bioattack.fairness.country_sample import CountryFacts
from bioattack.tfrecords_builder.countries import UnknownCountryError, country_names, find_country
from bioattack.tfrecords_builder.gdp import built_in_gdp, read_gdp


def world_facts(path: Path | None = None, *, year: int | None = None) -> tuple[CountryFacts, str]:
    """Gives codes, names and GDP, and says in words where the GDP is from.

    Args:
        path: A table of GDP per capita; by default the built-in one.
        year: Of its figures; by default the latest in a file, 2019 in the built-in table.

    Raises:
        RecordsError: If the table cannot be read.

    >>> facts, words = world_facts()
    >>> facts.code_of("Ivory Coast"), facts.code_of("Atlantis"), facts.gdp_per_capita["KEN"] > 0
    ('CIV', None, True)
    """
    if path is not None:
        table = read_gdp(path, year=year)
    else:
        table = built_in_gdp() if year is None else built_in_gdp(year)
    names = country_names()
    facts = CountryFacts(
        code_of=_code_of,
        name_of=lambda code: names.get(code, code),
        gdp_per_capita=table.gdp_per_capita,
        similar_to=_similar_to,
        why_no_gdp=table.why_missing,
        income_groups=table.income_groups,
    )
    return facts, table.source + (f", {table.year}" if table.year is not None else "")


def _code_of(text: str) -> str | None:
    try:
        return find_country(text).iso3
    except UnknownCountryError:
        return None


def _similar_to(text: str) -> tuple[str, ...]:
    try:
        return (find_country(text).name,)
    except UnknownCountryError as error:
        return error.suggestions
