import csv

import pytest

from bioattack.tfrecords_builder.countries import country_names
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.gdp import CountryIncome, built_in_gdp, income_columns, read_gdp
from bioattack.tfrecords_builder.synthetic_countries import GDP_PER_CAPITA_USD, GDP_PER_CAPITA_YEAR

GROUPS = {"Low income", "Lower middle income", "Upper middle income", "High income"}
# The layout of the World Bank's downloads, with its four lines before the header and its trailing commas.
WORLD_BANK = """\ufeff"Data Source","World Development Indicators",

"Last Updated Date","2024-06-28",

"Country Name","Country Code","Indicator Name","Indicator Code","2018","2019","2020",
{rows}"""


def _world_bank(tmp_path, *rows, indicator="NY.GDP.PCAP.CD"):
    lines = [f'"{name}","{code}","GDP per capita","{indicator}",{values},' for name, code, values in rows]
    path = tmp_path / "API_NY.GDP.PCAP.CD.csv"
    path.write_text(WORLD_BANK.format(rows="\n".join(lines)), encoding="utf-8")
    return path


def _plain(tmp_path, text):
    path = tmp_path / "gdp.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_built_in_table():
    table = built_in_gdp()
    assert (len(table.incomes), table.year) == (214, 2019)
    assert set(table.incomes) <= set(country_names())
    assert set(table.income_groups.values()) == GROUPS
    assert {iso3: income.year for iso3, income in table.incomes.items() if income.year != 2019} == {
        "ERI": 2011, "SSD": 2015, "VEN": 2014, "YEM": 2018,
    }  # fmt: skip
    # World Bank, NY.GDP.PCAP.CD of 2019: 65,120 and 1,970; revisions of the population move them a little.
    assert table.gdp_per_capita["USA"] == pytest.approx(65_120, rel=0.01)
    assert table.gdp_per_capita["KEN"] == pytest.approx(1_970, rel=0.01)
    assert table.gdp_per_capita["NAM"] > 0


def test_bias_of_the_built_in_pictures_follows_the_built_in_table():
    table = built_in_gdp(GDP_PER_CAPITA_YEAR)
    for iso3, dollars in GDP_PER_CAPITA_USD.items():
        assert table.incomes[iso3].year == GDP_PER_CAPITA_YEAR
        assert round(table.incomes[iso3].gdp_per_capita) == dollars


def test_built_in_table_of_other_years():
    assert built_in_gdp(2022).incomes["CUB"].year == 2019
    assert built_in_gdp(2030).gdp_per_capita == built_in_gdp(2022).gdp_per_capita
    assert list(built_in_gdp(2012).incomes) == ["ERI"]
    assert built_in_gdp(2012).why_missing("USA") == "no figure of 2012 or before"
    with pytest.raises(RecordsError, match="has no figure that can be used of 2000 or before"):
        built_in_gdp(2000)


def test_world_bank_download(tmp_path):
    path = _world_bank(
        tmp_path,
        ("Namibia", "NAM", '"","5000.5",""'),
        ("World", "WLD", '"11000","11300","10900"'),
        ("Korea, Dem. People's Rep.", "PRK", '"","",""'),
        ("Kenya", "KEN", '"1700.25","",""'),
        ("Chad", "TCD", '"650","0",""'),
        ("Kosovo", "XKX", '"4300","4400","4350"'),
    )
    table = read_gdp(path)
    # 2018 and 2019 have three figures each, and 2019 is the later.
    assert table.year == 2019
    assert table.incomes["KEN"] == CountryIncome("KEN", 1700.25, 2018, "Lower middle income")
    assert table.gdp_per_capita == {"KEN": 1700.25, "NAM": 5000.5, "XKX": 4400.0}
    assert table.unusable == {"PRK": "no figure of 2019 or before", "TCD": "GDP per capita is 0"}
    assert table.no_countries == ("World",)
    assert read_gdp(path, year=2018).gdp_per_capita["TCD"] == 650


def test_own_table(tmp_path):
    path = _plain(
        tmp_path, "iso3;gdp_per_capita;income_group\nNA;5000;high\nKEN;1e3;\nTCD;;\nSOM;-3;\nEurope;9;\n"
    )
    table = read_gdp(path)
    assert table.gdp_per_capita == {"KEN": 1000.0, "NAM": 5000.0}
    assert table.income_groups == {"KEN": "Lower middle income", "NAM": "high"}
    assert table.unusable == {"SOM": "GDP per capita is -3", "TCD": "no figure"}
    assert table.no_countries == ("Europe",)
    assert (table.source, table.year, table.incomes["KEN"].year) == ("gdp.csv", None, None)
    assert (table.why_missing("USA"), table.why_missing("SOM"), table.why_missing("KEN")) == (
        "no figure", "GDP per capita is -3", None,
    )  # fmt: skip


def test_own_table_by_year(tmp_path):
    path = _plain(
        tmp_path, "country,year,gdp_per_capita\nBurma,2010,800\nMyanmar,2019,1300\nKenya,2010,950\n"
    )
    assert read_gdp(path).year == 2010  # 2019 has the figure of one country in two
    assert read_gdp(path, year=2015).gdp_per_capita == {"KEN": 950.0, "MMR": 800.0}
    assert read_gdp(path, year=2020).incomes["MMR"].year == 2019


def test_columns_of_a_record():
    table = built_in_gdp()
    assert income_columns("PRK", table) == {"country": "PRK", "gdp_per_capita": "", "income_group": ""}
    assert float(income_columns("USA", table)["gdp_per_capita"]) == table.gdp_per_capita["USA"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has the columns \(none\); it must be the World Bank's download of NY\.GDP\.PCAP\.CD, or have"),
        ("iso3,income\nKEN,3\n", "has the columns iso3, income; it must be"),
        ("iso3,gdp_per_capita\nKEN,12 dollars\n", r"line 2: '12 dollars' is no number of dollars"),
        ("iso3,gdp_per_capita\nKEN,1,5\n", "line 2: 3 values under 2 column names"),
        ("iso3,year,gdp_per_capita\nKEN,19x,5\n", "line 2: '19x' is no year"),
        (
            "country,gdp_per_capita\nBurma,1\nMyanmar,2\n",
            r"gives Myanmar \(MMR\) two figures, line 2 and line 3",
        ),
        ("iso3,gdp_per_capita\nKEN,0\n", "has no figure that can be used"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    with pytest.raises(RecordsError, match=message):
        read_gdp(_plain(tmp_path, text))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(RecordsError, match=r"cannot read the GDP table .*: No such file"):
        read_gdp(tmp_path / "missing.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordsError, match="is not a csv file in UTF-8"):
        read_gdp(tmp_path / "bytes.csv")
    path = _world_bank(tmp_path, ("Kenya", "KEN", '"1","2","3"'), indicator="SP.POP.TOTL")
    with pytest.raises(RecordsError, match=r"line 6, holds the indicator 'SP\.POP\.TOTL' instead of"):
        read_gdp(path)


@pytest.mark.realdata
def test_real_table(realdata):
    path = realdata / "geo" / "gdp_per_capita.csv"
    with path.open(newline="", encoding="utf-8") as file:
        expected = {
            row["iso3"]: float(row["gdp_per_capita_usd"])
            for row in csv.DictReader(file)
            if row["year"] == "2019"
        }
    table = read_gdp(path, year=2019)
    assert {iso3: value for iso3, value in table.gdp_per_capita.items() if iso3 in expected} == expected
    assert table.incomes == built_in_gdp().incomes
    with (realdata / "geo" / "dollarstreet_clip_recall_by_country.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert table.gdp_per_capita[row["iso3"]] == float(row["gdp_per_capita_usd_2019"])
