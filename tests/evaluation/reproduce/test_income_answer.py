"""Accuracies by country: counted, written with the records' own GDP, refused where they would be useless."""

import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.income_answer import count_right, write_countries
from bioattack.evaluation.reproduce.income_countries import count_countries
from bioattack.evaluation.reproduce.run import reproduce
from bioattack.testing.small_records import write_small_records
from bioattack.testing.tiny_models import save_tint_model
from bioattack.tfrecords_builder.reading import open_records

PLACES = ("BDI", "KEN", "IND", "BOL", "CHN", "POL", "FRA", "USA")


def test_right_answers_are_counted_by_country(tmp_path):
    data = write_small_records(tmp_path / "records", num_train=24, num_test=72, countries=PLACES)
    countries = count_countries(open_records(data))
    # It takes every picture for what it is tinted with: which these pictures' labels are.
    table = count_right(save_tint_model(tmp_path / "tint"), countries)
    assert table["country"].tolist() == sorted(PLACES)
    assert table["n"].tolist() == [9] * len(PLACES)
    assert table["accuracy"].tolist() == [1.0] * len(PLACES)


def test_gdp_is_written_where_the_records_carry_it(tmp_path):
    table = pd.DataFrame({"model": "m", "country": ["KEN"], "accuracy": [0.5], "n": [2], "other": [1]})
    write_countries(tmp_path / "new" / "with.csv", table, {"KEN": 2091.0})
    write_countries(tmp_path / "new" / "without.csv", table, {})
    assert (tmp_path / "new" / "with.csv").read_text().splitlines()[1] == "m,KEN,0.5,2,2091.0"
    assert (tmp_path / "new" / "without.csv").read_text().splitlines()[0] == "model,country,accuracy,n"


def test_records_without_countries_are_refused_before_training(tmp_path):
    data = write_small_records(tmp_path / "records")
    with pytest.raises(InputError, match="do not say of which country a picture is"):
        reproduce(ReproduceConfig("income", tmp_path / "out", data=data, quiet=True))
    assert not list((tmp_path / "out").glob("income/seed-0/*"))
