import dataclasses
import json

import pytest

from bioattack.tfrecords_builder.table import Attribute, Table, table_from_json

TABLE = Table(
    (
        Attribute("age", "continuous", 17.0, 90.0, 38.4, 13.1),
        Attribute(
            "sex", "categorical", 0.0, 1.0, 0.7, 0.46, is_protected=True, categories=("Female", "Male")
        ),
    )
)


def test_what_a_model_asks_for():
    assert (TABLE.num_features, TABLE.names) == (2, ("age", "sex"))
    assert (TABLE.mean, TABLE.std) == ((38.4, 0.7), (13.1, 0.46))


def test_codes_become_words():
    assert TABLE.in_words([20.0, 0.0]) == {"age": 20.0, "sex": "Female"}
    with pytest.raises(ValueError, match="shorter"):
        TABLE.in_words([20.0])


def test_round_trip_through_json():
    assert table_from_json(json.loads(json.dumps(dataclasses.asdict(TABLE)))) == TABLE
