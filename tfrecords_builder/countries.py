"""Countries by any of their usual names: ISO 3166 codes and English spellings become one code."""

import csv
import dataclasses
import difflib
import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from bioattack.tfrecords_builder.errors import RecordsError

_TABLE = Path(__file__).with_name("data") / "countries.csv"
_UNSAID = frozenset({"the", "of", "and"})
_WRITTEN_OUT = {
    "st": "saint",
    "rep": "republic",
    "dem": "democratic",
    "fed": "federated",
    "sts": "states",
    "is": "islands",
    "terr": "territories",
    "n": "north",
    "s": "south",
}
_INITIALS = re.compile(r"\b(?:\w\.\s?){2,}")
_NUM_SUGGESTIONS = 3
_SIMILARITY = 0.7


class UnknownCountryError(RecordsError):
    """A text is no country's code or name.

    Attributes:
        suggestions: English names of countries that are spelt in a similar way, the nearest first.
    """

    suggestions: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Country:
    """One country or territory.

    Args:
        iso3: ISO 3166-1 alpha-3. Two are the World Bank's: ``XKX`` (Kosovo) and ``CHI`` (Channel Islands).
        iso2: ISO 3166-1 alpha-2; empty where there is none (Channel Islands).
        name: In English, as written in tables and figures.
    """

    iso3: str
    iso2: str
    name: str


def find_country(text: str) -> Country:
    """Finds a country by its alpha-2 or alpha-3 code or an English name.

    Capitals, accents, punctuation, the order of the words and the words "the", "of" and "and" make no
    difference, so that ``Korea, Republic of`` is ``Republic of Korea``. Usual variants are known, among them
    ISO 3166's and the World Bank's. ``NA`` is Namibia: read tables without turning it into a missing value.
    Of names that two countries could claim the World Bank's reading is taken: ``Congo`` is the Republic of
    the Congo, ``Korea`` is South Korea, ``Virgin Islands`` are those of the United States. England, Scotland,
    Wales and Northern Ireland are the United Kingdom.

    Args:
        text: A code or a name.

    Raises:
        UnknownCountryError: If it is neither; the message suggests names that are spelt in a similar way.

    Source:
        ISO 3166-1 for the codes; English names as in the tz database's ``iso3166.tab`` (public domain) and
        the World Bank's list of economies.

    >>> find_country("Ivory Coast")
    Country(iso3='CIV', iso2='CI', name="Côte d'Ivoire")
    >>> find_country("gb") == find_country("GBR") == find_country("U.K.") == find_country("Great Britain")
    True
    """
    found = _by_code().get(text.replace(".", "").strip().upper()) or _by_name().get(_key(text))
    if found is None:
        suggestions = _similar(text)
        error = UnknownCountryError(_unknown(text, suggestions))
        error.suggestions = suggestions
        raise error
    return found


def country_names() -> Mapping[str, str]:
    """The English name of every country, by its alpha-3 code, in the order of the codes.

    >>> country_names()["NAM"]
    'Namibia'
    """
    return {country.iso3: country.name for country, _ in _table()}


def merge_spellings(texts: Iterable[str]) -> tuple[dict[str, str], dict[str, UnknownCountryError]]:
    """Finds the countries of a whole column, so that two spellings of one country become one.

    Args:
        texts: Codes and names, with repetitions.

    Returns:
        The alpha-3 code of each text that is a country, and the error of each that is none; both in the order
        in which the texts first occur.

    >>> codes, unknown = merge_spellings(["Burma", "Myanmar", "Columbia", "MM"])
    >>> codes, list(unknown)
    ({'Burma': 'MMR', 'Myanmar': 'MMR', 'MM': 'MMR'}, ['Columbia'])
    """
    codes: dict[str, str] = {}
    unknown: dict[str, UnknownCountryError] = {}
    for text in dict.fromkeys(texts):
        try:
            codes[text] = find_country(text).iso3
        except UnknownCountryError as error:
            unknown[text] = error
    return codes, unknown


@functools.cache
def _table() -> tuple[tuple[Country, tuple[str, ...]], ...]:
    """Every country, with the variants of its name."""
    with _TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(
            (
                Country(row["iso3"], row["iso2"], row["name"]),
                tuple(variant for variant in row["variants"].split(";") if variant),
            )
            for row in csv.DictReader(file)
        )


@functools.cache
def _by_code() -> dict[str, Country]:
    return {code: country for country, _ in _table() for code in (country.iso3, country.iso2) if code}


@functools.cache
def _by_name() -> dict[tuple[str, ...], Country]:
    """The country of each name and variant; two countries must not share one."""
    index: dict[tuple[str, ...], Country] = {}
    for country, variants in _table():
        for text in (country.name, *variants):
            if index.setdefault(_key(text), country) != country:
                raise ValueError(f"{text!r} names two countries in {_TABLE.name}")
    return index


def _words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    plain = plain.replace("'", "").replace("’", "").replace("&", " and ")  # noqa: RUF001 - as people write it
    plain = _INITIALS.sub(lambda initials: re.sub(r"[.\s]", "", initials[0]) + " ", plain)
    words = re.findall(r"[a-z0-9]+", plain)
    return [_WRITTEN_OUT.get(word, word) for word in words if word not in _UNSAID]


def _key(text: str) -> tuple[str, ...]:
    return tuple(sorted(_words(text)))


def _similar(text: str) -> tuple[str, ...]:
    """English names of the countries whose names or variants are nearest to a text."""
    spelt: dict[str, str] = {}
    for country, variants in _table():
        for name in (country.name, *variants):
            spelt.setdefault(" ".join(_words(name)), country.name)
    near = difflib.get_close_matches(" ".join(_words(text)), spelt, n=_NUM_SUGGESTIONS, cutoff=_SIMILARITY)
    return tuple(dict.fromkeys(spelt[name] for name in near))


def _unknown(text: str, suggestions: tuple[str, ...]) -> str:
    if not text.strip():
        return "a country is empty; give an ISO 3166 code of two or three letters, or an English name"
    advice = "give an ISO 3166 code of two or three letters, or an English name"
    if suggestions:
        advice = f"did you mean {' or '.join(suggestions)}?"
    return f"there is no country {text!r}; {advice}"
