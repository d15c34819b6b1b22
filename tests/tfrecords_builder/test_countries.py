import csv

import pytest

from bioattack.tfrecords_builder.countries import (
    UnknownCountryError,
    country_names,
    find_country,
    merge_spellings,
)

# ISO 3166-1's own short names and codes, and what else people write.
SPELLINGS = {
    "AND": ["AD", "Andorra", "Principality of Andorra"],
    "BHS": ["Bahamas", "The Bahamas", "Bahamas, The", "Bahamas (the)"],
    "CIV": ["Côte d'Ivoire", "Cote d’Ivoire", "COTE D IVOIRE", "Ivory Coast"],  # noqa: RUF001
    "COD": ["Congo, Dem. Rep.", "Congo (the Democratic Republic of the)", "DRC", "DR Congo", "Zaire"],
    "COG": ["Congo", "Congo, Rep.", "Congo-Brazzaville", "Republic of Congo"],
    "CZE": ["Czechia", "Czech Republic", "Czech Rep."],
    "EGY": ["Egypt, Arab Rep.", "Arab Republic of Egypt", " egypt "],
    "GBR": ["UK", "U.K.", "gb", "Great Britain", "United Kingdom of Great Britain and Northern Ireland"],
    "GNB": ["Guinea-Bissau", "Guinea Bissau"],
    "IRN": ["Iran (Islamic Republic of)", "Iran, Islamic Rep."],
    "KOR": ["Korea, Rep.", "Korea (the Republic of)", "South Korea", "S. Korea"],
    "LAO": ["Lao PDR", "Lao People's Democratic Republic (the)", "Laos"],
    "MKD": ["North Macedonia", "Macedonia", "The former Yugoslav Republic of Macedonia"],
    "NAM": ["NA", "na", "Namibia"],
    "PRK": ["Korea, Dem. People's Rep.", "North Korea", "Korea (the Democratic People's Republic of)"],
    "PSE": ["Palestine, State of", "West Bank and Gaza", "Palestine"],
    "SWZ": ["Eswatini", "Swaziland"],
    "TUR": ["Türkiye", "Turkiye", "Turkey"],
    "USA": ["US", "U.S.", "U.S.A.", "usa", "United States", "The United States of America"],
    "VCT": ["St. Vincent & the Grenadines", "Saint Vincent and the Grenadines"],
    "VNM": ["Viet Nam", "Vietnam"],
    "XKX": ["Kosovo", "XK"],
}


@pytest.mark.parametrize("iso3", SPELLINGS)
def test_spellings_of_one_country(iso3):
    for text in [iso3, iso3.lower(), *SPELLINGS[iso3]]:
        assert find_country(text).iso3 == iso3


def test_every_country_has_three_letters_two_letters_and_a_name():
    names = country_names()
    # ISO 3166-1 has 249; the World Bank counts Kosovo and the Channel Islands, too.
    assert len(names) == 251
    assert len(set(names.values())) == 251
    found = [find_country(iso3) for iso3 in names]
    assert len({country.iso2 for country in found}) == 251
    assert all(len(country.iso3) == 3 and len(country.iso2) in (0, 2) for country in found)
    for country in found:
        assert find_country(country.name) == country
        assert country.iso2 == "" or find_country(country.iso2) == country


@pytest.mark.parametrize(
    ("text", "message", "suggestions"),
    [
        ("Columbia", r"^there is no country 'Columbia'; did you mean Colombia\?$", ("Colombia",)),
        ("Germny", r"did you mean Germany or Guernsey\?$", ("Germany", "Guernsey")),
        ("Atlantis", r"there is no country 'Atlantis'; give an ISO 3166 code of two or three letters", ()),
        ("XX", "there is no country 'XX'", ()),
        ("World", "there is no country 'World'", ()),
        (" ", r"^a country is empty; give an ISO 3166 code", ()),
    ],
)
def test_what_is_no_country_is_refused(text, message, suggestions):
    with pytest.raises(UnknownCountryError, match=message) as refused:
        find_country(text)
    assert refused.value.suggestions == suggestions


def test_two_spellings_become_one():
    codes, unknown = merge_spellings(["Kenya", "KE", "Columbia", "Kenya", "KEN", "Columbia"])
    assert codes == {"Kenya": "KEN", "KE": "KEN", "KEN": "KEN"}
    assert list(unknown) == ["Columbia"]


@pytest.mark.realdata
def test_real_tables(realdata):
    for name in ("gdp_per_capita.csv", "dollarstreet_clip_recall_by_country.csv", "dollar_street_sample.csv"):
        with (realdata / "geo" / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            texts = {row["country"], row["iso3"], row.get("iso2") or row["iso3"]}
            assert {find_country(text).iso3 for text in texts} == {row["iso3"]}
