"""Countries by code: spellings merged, GDP joined, and nothing dropped in silence."""

from pathlib import Path

import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.fairness.country_sample import CountryFacts, check_same_countries, make_country_sample
from bioattack.fairness.country_tables import CountryCounts

CODES = {"KEN": "KEN", "Kenya": "KEN", "KE": "KEN", "NA": "NAM", "PRK": "PRK", "Utopia": "UTO", "FR": "FRA"}
FACTS = CountryFacts(
    code_of=CODES.get,
    name_of={
        "KEN": "Kenya",
        "NAM": "Namibia",
        "PRK": "North Korea",
        "UTO": "Utopia",
        "FRA": "France",
    }.__getitem__,
    gdp_per_capita={"KEN": 2000.0, "NAM": 4000.0, "UTO": 0.0, "FRA": 40000.0},
    similar_to=lambda word: ("Kenya",) if word == "Kenja" else (),
    income_groups={"KEN": "Lower middle income"},
)


def _counts(rows, *, model="m", pictures=None):
    table = pd.DataFrame(rows, columns=["country", "num_images", "num_correct", "gdp_per_capita"])
    return CountryCounts(model, Path(f"{model}.csv"), table, pictures)


def _sample(rows, **how):
    return make_country_sample([_counts(rows)], FACTS, **how)


NAN = float("nan")


def test_spellings_of_one_country_are_one_country():
    sample = _sample([("Kenya", 8, 4.0, NAN), ("KE", 2, 2.0, NAN), ("NA", 5, 1.0, NAN)])
    (kenya, namibia) = sample.table.to_dict("records")
    assert (kenya["country"], kenya["num_images"], kenya["gdp_per_capita"]) == ("KEN", 10, 2000.0)
    assert kenya["accuracy"] == pytest.approx(0.6)
    assert (kenya["name"], kenya["income_group"]) == ("Kenya", "Lower middle income")
    assert (namibia["country"], namibia["accuracy"]) == ("NAM", pytest.approx(0.2))
    assert sample.merged == {"KEN": ("KE", "Kenya")}


def test_all_that_is_left_out_is_listed_with_its_reason():
    rows = [
        ("KEN", 8, 4, NAN),
        ("PRK", 3, 1, NAN),
        ("Utopia", 2, 1, NAN),
        ("Kenja", 4, 1, NAN),
        ("", 6, 1, NAN),
    ]
    sample = _sample([*rows, ("FR", 1, 1, NAN), ("NA", 9, 1, -5.0)], minimum_images=2)
    assert list(sample.table["country"]) == ["KEN"]
    found = {
        row["spellings"][0]: (row["num_images"], row["reason"]) for row in sample.left_out.to_dict("records")
    }
    assert found == {
        "PRK": (3, "no figure of GDP per capita"),
        "Utopia": (2, "GDP per capita is 0"),
        "NA": (9, "GDP per capita is -5"),
        "Kenja": (4, "not a country that is known by ISO 3166 code or English name; Kenya?"),
        "": (6, "names no country"),
        "FR": (1, "fewer than 2 images"),
    }


def test_gdp_that_came_with_the_counts_goes_first_and_needs_no_code():
    sample = _sample([("KEN", 8, 4, 1234.0), ("group B", 8, 4, 99.0)])
    assert dict(zip(sample.table["country"], sample.table["gdp_per_capita"], strict=True)) == {
        "KEN": 1234.0,
        "group B": 99.0,
    }


def test_two_spellings_with_two_incomes_are_refused():
    with pytest.raises(InputError, match="KE and Kenya are one country with 2 values of GDP"):
        _sample([("Kenya", 8, 4, 1.0), ("KE", 8, 4, 2.0)])


def test_models_stay_apart():
    rows = [("KEN", 10, 4, NAN), ("NA", 5, 1, NAN)]
    others = [("KEN", 10, 9, NAN), ("NA", 5, 5, NAN)]
    sample = make_country_sample([_counts(rows), _counts(others, model="o")], FACTS)
    assert sample.models == ("m", "o")
    assert sample.countries_of("o")["accuracy"].tolist() == pytest.approx([0.9, 1.0])
    check_same_countries(sample)


def test_the_same_name_twice_is_refused():
    with pytest.raises(InputError, match="model 'm' comes twice"):
        make_country_sample([_counts([("KEN", 1, 1, NAN)])] * 2, FACTS)


def test_other_pictures_are_refused():
    rows = [("KEN", 10, 4, NAN), ("NA", 5, 1, NAN)]
    with pytest.raises(InputError, match=r"o.csv \(o\) has other pictures than m.csv \(m\)"):
        make_country_sample([_counts(rows, pictures="1"), _counts(rows, model="o", pictures="2")], FACTS)
    sample = make_country_sample([_counts(rows), _counts([("KEN", 9, 4, NAN)], model="o")], FACTS)
    with pytest.raises(InputError, match="o was tested on other pictures than m: they differ in KEN, NAM"):
        check_same_countries(sample)
