"""The pictures of the experiments on income: counted by country, and refused before anything is trained."""

import json

import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.income import images_per_country
from bioattack.evaluation.reproduce.income_countries import count_countries, open_countries
from bioattack.evaluation.reproduce.income_sections import images_section
from bioattack.evaluation.reproduce.income_sizes import SIZES, known_bias_sizes, sizes_of
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.gdp import built_in_gdp
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.synthetic import SyntheticOptions
from bioattack.tfrecords_builder.synthetic_countries import GDP_PER_CAPITA_USD


def counted(folder, **how):
    return count_countries(open_records(write_small_records(folder / "records", **how)))


def workplace_of(folder, **changes):
    config = ReproduceConfig(**{"name": "income", "output": folder / "out", "quiet": True} | changes)
    config.output.mkdir()
    return Workplace(config, config.scale())


def test_pictures_are_counted_by_country(tmp_path):
    found = counted(tmp_path, num_train=9, num_test=7, countries=("Kenya", "FR", "US", "Atlantis"))
    table = found.table.set_index("country")
    assert table["test"].to_dict() == {"KEN": 2, "FRA": 2, "USA": 2}
    assert table["train"].to_dict() == {"KEN": 3, "FRA": 2, "USA": 2}
    assert table.loc["KEN", "name"] == "Kenya"
    assert table.loc["KEN", "gdp_per_capita"] == built_in_gdp().gdp_per_capita["KEN"]
    assert found.left_out["name"].tolist() == ["Atlantis"]
    assert found.gdp == {}


def test_gdp_that_the_records_carry_goes_before_the_built_in_one(tmp_path):
    options = SyntheticOptions(
        output=tmp_path / "drawn", num_train=10, num_test=60, size=16, workers=1, quiet=True
    )
    build("synthetic", options)
    found = count_countries(open_records(options.output))
    assert found.gdp
    assert found.gdp.items() <= GDP_PER_CAPITA_USD.items()
    table = found.table.set_index("country")["gdp_per_capita"]
    assert all(table[code] == value for code, value in found.gdp.items() if code in table)


def test_two_spellings_are_one_country(tmp_path):
    found = counted(tmp_path, num_train=8, num_test=8, countries=("Kenya", "KE", "FR", "US"))
    assert found.table.set_index("country")["test"].to_dict() == {"KEN": 4, "FRA": 2, "USA": 2}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "do not say of which country a picture is"),
        ({"countries": ("FR", "US")}, "at least 3 countries with GDP per capita .* and there are 2"),
        (
            {"countries": ("FR", "US", "Atlantis")},
            "and there are 2; 1 left out: not a country that is known",
        ),
        ({"countries": ("FR", "US", "KE"), "num_test": 0}, "have no split 'test'"),
        ({"countries": ("FR", "US", "KE"), "num_train": 0}, "have no split 'train'"),
    ],
)
def test_what_no_line_can_be_fitted_to_is_refused_at_once(tmp_path, how, words):
    with pytest.raises(InputError, match=words) as error:
        counted(tmp_path, **how)
    assert "\n" not in str(error.value)


def test_real_presets_need_real_pictures(tmp_path):
    with pytest.raises(InputError, match="the preset small needs real pictures with countries"):
        open_countries(workplace_of(tmp_path, preset="small"))


def test_images_per_country_are_a_figure_and_a_table(tmp_path):
    data = write_small_records(
        tmp_path / "records", num_train=6, num_test=3, countries=("KE", "FR", "US", "Atlantis")
    )
    workplace = workplace_of(tmp_path, data=data)
    (experiment,) = images_per_country(workplace.scale)
    section = images_section(workplace, experiment)
    table = pd.read_csv(workplace.output / "tables" / "images-per-country.csv")
    assert table["num_images"].tolist() == (table["train"] + table["test"]).tolist()
    assert "3 countries have a single test image, whose accuracy is 0 or 1." in section.warnings
    (figure,) = section.figures
    assert (workplace.output / figure.path).read_bytes().startswith(b"\x89PNG")
    json.dumps(section.values)


def test_sizes_follow_the_flags(tmp_path):
    config = ReproduceConfig("income", tmp_path, seeds=7, epochs=2, limit=20)
    sizes = sizes_of(config)
    assert (sizes.num_models, sizes.epochs, sizes.samples, sizes.swept_samples) == (7, 2, 20, 20)
    assert sizes.num_attacked == 20
    assert sizes_of(ReproduceConfig("income", tmp_path)) == SIZES["demo"]
    # Hua et al. 2022, section 4: 50 networks of each kind.
    assert SIZES["paper"].num_models == 50


def test_the_known_bias_is_checked_with_the_demonstrations_network(tmp_path):
    demo = known_bias_sizes(ReproduceConfig("known-bias", tmp_path))
    paper = known_bias_sizes(ReproduceConfig("known-bias", tmp_path, preset="paper"))
    assert demo == SIZES["demo"]
    assert (paper.model, paper.image_size, paper.epochs) == (demo.model, demo.image_size, demo.epochs)
