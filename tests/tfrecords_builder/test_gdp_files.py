import pytest

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.gdp_files import Figure, read_figures


def _write(tmp_path, text):
    path = tmp_path / "gdp.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_of_ones_own(tmp_path, separator):
    text = "iso3,year,gdp_per_capita\nKEN,2019,5.5\n\nEurope,2019,1\nNA,2019,..\n"
    figures, no_countries = read_figures(_write(tmp_path, text.replace(",", separator)))
    assert figures == [Figure("KEN", "5.5", 2019, "line 2"), Figure("NAM", "..", 2019, "line 5")]
    assert [figure.is_given for figure in figures] == [True, False]
    assert no_countries == ("Europe",)


def test_a_cell_for_each_year_of_a_download(tmp_path):
    text = (
        '"Last Updated Date","x",\n\nCountry Name,Country Code,2018,2019,\nKenya,KEN,1,2,\nWorld,WLD,3,4,\n'
    )
    figures, no_countries = read_figures(_write(tmp_path, text))
    assert [(figure.iso3, figure.year, figure.text) for figure in figures] == [
        ("KEN", 2018, "1"),
        ("KEN", 2019, "2"),
    ]
    assert no_countries == ("World",)


def test_two_spellings_of_one_country_are_refused(tmp_path):
    path = _write(tmp_path, "country,gdp_per_capita\nIvory Coast,1\nCote d'Ivoire,1\n")
    with pytest.raises(RecordsError, match=r"gives Côte d'Ivoire \(CIV\) two figures, line 2 and line 3"):
        read_figures(path)


def test_a_download_without_years_is_refused(tmp_path):
    with pytest.raises(RecordsError, match="has a column 'Country Code' but none for a year"):
        read_figures(_write(tmp_path, "Country Name,Country Code\nKenya,KEN\n"))
