"""From counts as spelled to one table: countries by code, with GDP, and a list of what was left out."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bioattack.errors import InputError
from bioattack.fairness.country_tables import CountryCounts

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    *("model", "country", "name", "income_group", "spellings"),
    *("num_images", "accuracy", "gdp_per_capita"),
)
NO_COUNTRY = "names no country"
UNKNOWN = "not a country that is known by ISO 3166 code or English name"
NO_GDP = "no figure of GDP per capita"


@dataclasses.dataclass(frozen=True)
class CountryFacts:
    """What is known of the countries of the world; plain functions and tables, so that any source will do.

    Args:
        code_of: Gives the ISO alpha-3 code of a code or English name, or ``None``.
        name_of: Gives the English name of an alpha-3 code.
        gdp_per_capita: By alpha-3 code, US dollars.
        similar_to: Gives the names of countries that are spelt like a word that is none.
        why_no_gdp: Says of a code why the table has no GDP that can be used.
        income_groups: Such as "Low income", by alpha-3 code.
    """

    code_of: Callable[[str], str | None]
    name_of: Callable[[str], str]
    gdp_per_capita: Mapping[str, float]
    similar_to: Callable[[str], Sequence[str]] = lambda _: ()
    why_no_gdp: Callable[[str], str | None] = lambda _: None
    income_groups: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class CountrySample:
    """The countries of a sample, and what models get right in them.

    Args:
        models: In the order given.
        table: ``model, country, name, income_group, spellings, num_images, accuracy, gdp_per_capita``, by
            model and code.
        left_out: ``country, name, spellings, num_images, reason``: what is not in the table.
        merged: The spellings of countries that came under several, by code.
    """

    models: tuple[str, ...]
    table: "pd.DataFrame"
    left_out: "pd.DataFrame"
    merged: Mapping[str, tuple[str, ...]]

    def countries_of(self, model: str) -> "pd.DataFrame":
        """Returns the rows of one model, without its name."""
        rows = self.table[self.table["model"] == model]
        return rows.drop(columns="model").reset_index(drop=True)


def make_country_sample(
    counts: Sequence[CountryCounts], facts: CountryFacts, *, minimum_images: int = 1
) -> CountrySample:
    """Puts the counts of several models on the same pictures into one table.

    Two spellings of a country are one country. A GDP that came with the counts goes before the one of
    ``facts``; a place that has one there needs no code. Everything that is left out is listed.

    Args:
        counts: What each model got right.
        facts: Codes, names and GDP.
        minimum_images: Countries with fewer images are left out.

    Raises:
        InputError: If models bear the same name or were not given the same pictures, or a country has two
            different values of GDP.

    >>> import pandas as pd
    >>> from pathlib import Path
    >>> rows = {"country": ["fr", "FRA"], "num_images": [8, 2], "num_correct": [4, 2], "gdp_per_capita": 4e4}
    >>> facts = CountryFacts(lambda word: word.upper()[:2], str, {})
    >>> sample = make_country_sample([CountryCounts("m", Path("m.csv"), pd.DataFrame(rows), None)], facts)
    >>> sample.table[["country", "num_images", "accuracy"]].values.tolist(), dict(sample.merged)
    ([['FR', 10, 0.6]], {'FR': ('FRA', 'fr')})
    """
    import pandas as pd

    _check_models(counts)
    tables = [_by_code(entry, facts).assign(model=entry.model) for entry in counts]
    everything = pd.concat(tables, ignore_index=True)
    everything["reason"] = [_reason(row, facts, minimum_images) for row in everything.itertuples()]
    kept = everything[everything["reason"] == ""]
    first = tables[0]
    left_out = everything[(everything["reason"] != "") & (everything["model"] == counts[0].model)]
    is_merged = first["spellings"].map(len) > 1
    merged = zip(first["country"][is_merged], first["spellings"][is_merged], strict=True)
    return CountrySample(
        models=tuple(entry.model for entry in counts),
        table=kept[list(_COLUMNS)].reset_index(drop=True),
        left_out=left_out[["country", "name", "spellings", "num_images", "reason"]].reset_index(drop=True),
        merged={code: spellings for code, spellings in merged if code},
    )


def _check_models(counts: Sequence[CountryCounts]) -> None:
    first = counts[0]
    names: set[str] = set()
    for entry in counts:
        if entry.model in names:
            raise InputError(
                f"model {entry.model!r} comes twice; give each model once, under a name of its own"
            )
        names.add(entry.model)
        if first.pictures != entry.pictures and None not in (first.pictures, entry.pictures):
            raise InputError(
                f"{entry.source} ({entry.model}) has other pictures than {first.source} ({first.model}): "
                "models can only be compared on the same records"
            )


def _by_code(entry: CountryCounts, facts: CountryFacts) -> "pd.DataFrame":
    rows = entry.rows.assign(
        code=[
            _code(str(spelling), has_gdp=gdp == gdp, facts=facts)
            for spelling, gdp in zip(entry.rows["country"], entry.rows["gdp_per_capita"], strict=True)
        ]
    )
    # What has no code stands for itself, so that it can be listed.
    rows["key"] = rows["code"].where(rows["code"] != "", "?" + rows["country"])
    records = [_one_country(group, facts, source=entry.source) for _, group in rows.groupby("key", sort=True)]
    import pandas as pd

    return pd.DataFrame(records)


def _code(spelling: str, *, has_gdp: bool, facts: CountryFacts) -> str:
    if not spelling:
        return ""
    return facts.code_of(spelling) or (spelling if has_gdp else "")


def _one_country(group: "pd.DataFrame", facts: CountryFacts, *, source: Any) -> dict[str, Any]:
    code = str(group["code"].iloc[0])
    spellings = tuple(sorted(group["country"]))
    given = group["gdp_per_capita"].dropna().unique()
    if len(given) > 1:
        raise InputError(
            f"{source}: {' and '.join(spellings)} are one country with {len(given)} values of GDP per capita"
        )
    is_known = bool(code) and facts.code_of(spellings[0]) is not None
    number = int(group["num_images"].sum())
    return {
        "country": code,
        "name": facts.name_of(code) if is_known else spellings[0],
        "spellings": spellings,
        "num_images": number,
        "accuracy": float(group["num_correct"].sum()) / number,
        "income_group": facts.income_groups.get(code, ""),
        "gdp_per_capita": float(given[0]) if len(given) else facts.gdp_per_capita.get(code, float("nan")),
    }


def _reason(row: Any, facts: CountryFacts, minimum_images: int) -> str:
    if not row.country:
        similar = " or ".join(facts.similar_to(row.spellings[0])) if row.spellings[0] else ""
        return NO_COUNTRY if not row.spellings[0] else UNKNOWN + (f"; {similar}?" if similar else "")
    if row.gdp_per_capita != row.gdp_per_capita:
        return facts.why_no_gdp(row.country) or NO_GDP
    if row.gdp_per_capita <= 0 or row.gdp_per_capita == float("inf"):
        return f"GDP per capita is {row.gdp_per_capita:g}"
    return "" if row.num_images >= minimum_images else f"fewer than {minimum_images} images"


def check_same_countries(sample: CountrySample) -> None:
    """Refuses models that were not tested on the same numbers of pictures of the same countries.

    Args:
        sample: The sample.

    Raises:
        InputError: If they were not: the tables are of different datasets.
    """
    first = None
    for model in sample.models:
        rows = sample.countries_of(model)
        found = dict(zip(rows["country"], rows["num_images"], strict=True))
        if first is not None and found != first:
            differing = sorted(
                code for code in found.keys() | first.keys() if found.get(code) != first.get(code)
            )
            raise InputError(
                f"{model} was tested on other pictures than {sample.models[0]}: they differ in "
                f"{', '.join(differing[:5])}{' and more' if len(differing) > 5 else ''}; models can only be "
                "compared on the same records"
            )
        first = first or found
