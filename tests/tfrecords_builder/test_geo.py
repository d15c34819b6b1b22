import csv
import json
from pathlib import Path

import pytest

from bioattack.cli.build_records import main
from bioattack.testing.check_source import check_source
from bioattack.testing.made_up_pictures import class_pictures, write_files
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.gdp import INCOME_COLUMNS, built_in_gdp
from bioattack.tfrecords_builder.geo import Geo, GeoOptions
from bioattack.tfrecords_builder.synthetic import Synthetic, SyntheticOptions

COUNTRIES = ["KE", "KEN", "Kenya", "Ivory Coast", "U.S.", "NA"]
ROWS = [(f"{number}.png", ["bed", "mug"][number % 2], name) for number, name in enumerate(COUNTRIES)]


def _csv(path, rows, header=("path", "label", "country")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def pictures(tmp_path):
    return write_files(tmp_path / "source", class_pictures({".": 12}))


def _geo(pictures, rows, *, header=("path", "label", "country"), **options):
    labels = _csv(pictures.parent / "labels.csv", rows, header)
    return Geo(GeoOptions(source=pictures, labels=labels, output=pictures.parent / "unused", **options))


def test_spellings_become_one_country_with_its_income(pictures, tmp_path):
    arguments = {"source": pictures, "labels": _csv(tmp_path / "labels.csv", ROWS), "test_fraction": 0.3}
    counts = {"train": (2, 2), "test": (1, 1)}
    manifest = check_source("geo", arguments, folder=tmp_path / "out", counts=counts)
    assert manifest.groups == INCOME_COLUMNS
    source = _geo(pictures, ROWS)
    found = {item.key: item.groups for item in source.items()}
    assert [found[f"{number}.png"]["country"] for number in range(6)] == [
        "KEN", "KEN", "KEN", "CIV", "USA", "NAM",
    ]  # fmt: skip
    income = built_in_gdp().incomes["CIV"]
    assert found["3.png"] == {
        "country": "CIV",
        "gdp_per_capita": str(income.gdp_per_capita),
        "income_group": "Lower middle income",
    }
    listed = manifest.source["gdp"]
    assert listed["year"] == 2019
    assert listed["countries"]["CIV"] == {
        "name": "Côte d'Ivoire", "gdp_per_capita": income.gdp_per_capita, "year": 2019,
    }  # fmt: skip
    assert list(listed["countries"]) == ["CIV", "KEN", "NAM", "USA"]


def test_unknown_countries_are_left_out_and_listed(pictures):
    source = _geo(pictures, [*ROWS, ("6.png", "bed", "Columbia"), ("7.png", "mug", ""), ("8.png", "", "KEN")])
    assert len(source.items()) == 6
    assert source.left_out == {
        "pictures of an unknown country": {
            "count": 1,
            "examples": ["6.png: there is no country 'Columbia'; did you mean Colombia?"],
        },
        "pictures without a country": {"count": 1, "examples": ["7.png"]},
        "rows without a label in the labels file": {"count": 1, "examples": ["8.png"]},
        "pictures without a row in the labels file": {
            "count": 3, "examples": ["10.png", "11.png", "9.png"],
        },
    }  # fmt: skip
    assert source.remarks == {}


def test_countries_without_gdp_stay_and_are_listed(pictures, tmp_path):
    gdp = tmp_path / "gdp.csv"
    gdp.write_text("iso3,gdp_per_capita\nKEN,1000\nCIV,0\nUSA,50000\n")
    source = _geo(pictures, ROWS, gdp=gdp)
    items = source.items()
    assert len(items) == 6
    assert [item.groups["gdp_per_capita"] for item in items if item.groups["country"] == "NAM"] == [""]
    assert source.remarks == {
        "pictures of a country without GDP per capita": {
            "count": 2,
            "examples": [
                "3.png: Côte d'Ivoire (CIV), GDP per capita is 0",
                "5.png: Namibia (NAM), no figure",
            ],
        }
    }
    listed = source.checksums()["gdp"]
    assert listed["countries"]["CIV"] == {
        "name": "Côte d'Ivoire", "gdp_per_capita": None, "why": "GDP per capita is 0",
    }  # fmt: skip
    assert (listed["name"], listed["year"]) == ("gdp.csv", None)


def test_the_command_lists_both(pictures, tmp_path, capsys):
    rows = [*ROWS, ("6.png", "bed", "Columbia"), ("7.png", "mug", "North Korea")]
    labels = _csv(tmp_path / "labels.csv", rows)
    words = ["geo", "--source", str(pictures), "--labels", str(labels), "--output", str(tmp_path / "records")]
    assert main([*words, "--quiet", "--json"]) == 0
    shown = capsys.readouterr()
    assert "left out: 1 pictures of an unknown country (6.png: there is no country 'Columbia'" in shown.err
    assert (
        "note: 1 pictures of a country without GDP per capita (7.png: North Korea (PRK), no figure)\n"
        in shown.err
    )
    summary = json.loads(shown.out)
    assert summary["remarks"]["pictures of a country without GDP per capita"]["count"] == 1
    assert summary["left_out"]["pictures of an unknown country"]["count"] == 1


def test_other_columns_years_and_groups(pictures):
    rows = [(name, label, country, "x") for name, label, country in ROWS]
    source = _geo(
        pictures,
        rows,
        header=("file", "what", "where", "home"),
        file_column="file",
        label_column="what",
        country_column="where",
        groups=("home",),
        gdp_year=2022,
    )
    items = source.items()
    assert source.groups == (*INCOME_COLUMNS, "home")
    kenya = next(item.groups for item in items if item.groups["country"] == "KEN")
    assert kenya["home"] == "x"
    assert float(kenya["gdp_per_capita"]) == built_in_gdp(2022).gdp_per_capita["KEN"]


def test_classes_from_a_list(pictures, tmp_path):
    classes = _csv(tmp_path / "classes.csv", [("bed",), ("cup",), ("mug",)], header=("name",))
    source = _geo(pictures, ROWS, classes=classes)
    assert {item.label for item in source.items()} == {0, 2}
    with pytest.raises(
        RecordsError, match=r"labels\.csv, line 8: there is no class 'sofa' in .*classes\.csv"
    ):
        _geo(pictures, [*ROWS, ("6.png", "sofa", "KEN")], classes=classes).items()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("99.png", "bed", "KEN"), r"line 8, names '99\.png', which is not among the pictures"),
        (("0.png", "bed", "KEN"), r"two rows for '0\.png', lines 2 and 8; remove one"),
    ],
)
def test_missing_files_and_duplicate_lines_are_refused(pictures, row, message):
    with pytest.raises(RecordsError, match=message):
        _geo(pictures, [*ROWS, row]).items()


def test_no_known_country_at_all_is_refused(pictures):
    rows = [(name, label, "x1") for name, label, _ in ROWS]
    message = (
        r"has both a label and a known country in .*\(6 pictures of an unknown country.*--country-column"
    )
    with pytest.raises(RecordsError, match=message):
        _geo(pictures, rows).items()


def test_missing_column_names_its_flag(pictures):
    with pytest.raises(RecordsError, match=r"has no column 'country'; .* choose with --country-column"):
        _geo(pictures, ROWS, header=("path", "label", "where")).items()


def test_columns_that_every_record_has_cannot_be_asked_for(pictures):
    with pytest.raises(RecordsError, match="--groups must not name 'country': every record has that column"):
        _geo(pictures, ROWS, groups=("country",))


def test_the_built_in_pictures_have_the_same_columns():
    source = Synthetic(SyntheticOptions(output=Path("unused"), num_train=100, bias=0.5))
    assert source.groups == INCOME_COLUMNS
    table = built_in_gdp(2022)
    for item in source.items():
        assert tuple(item.groups) == INCOME_COLUMNS
        income = table.incomes[item.groups["country"]]
        assert float(item.groups["gdp_per_capita"]) == round(income.gdp_per_capita)
        assert item.groups["income_group"] == income.income_group


@pytest.mark.realdata
def test_dollar_street(realdata, tmp_path):
    geo = realdata / "geo"
    arguments = {
        "source": geo / "dollar_street_sample.zip",
        "labels": geo / "dollar_street_sample.csv",
        "file_column": "file",
        "label_column": "category",
        "groups": ("iso3", "income_tercile"),
        "gdp": geo / "gdp_per_capita.csv",
        "gdp_year": 2019,
        "size": 64,
    }
    counts = {"train": (12, 11), "test": (3, 3)}
    manifest = check_source("geo", arguments, folder=tmp_path / "out", counts=counts)
    items = Geo(GeoOptions(output=tmp_path / "unused", **arguments)).items()
    # The sample's own codes, beside the names that were read.
    assert all(item.groups["country"] == item.groups["iso3"] for item in items)
    figures = {iso3: entry["gdp_per_capita"] for iso3, entry in manifest.source["gdp"]["countries"].items()}
    assert figures == {iso3: built_in_gdp().gdp_per_capita[iso3] for iso3 in figures}
    assert len(figures) == 10
    options = GeoOptions(output=tmp_path / "again", quiet=True, **arguments)
    assert build("geo", options).remarks == {}
