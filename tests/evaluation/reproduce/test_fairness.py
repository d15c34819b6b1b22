"""The experiments on fairness from beginning to end, as small as they go."""

import json

import pytest

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.run import reproduce
from bioattack.testing.small_records import write_small_records
from bioattack.testing.small_tables import write_small_table

pytestmark = pytest.mark.slow


def config_of(tmp_path, write, name, **changes):
    data = tmp_path / "records"
    if not data.is_dir():
        write(data)
    given = {"epochs": 1, "quiet": True, "output": tmp_path / "out"} | changes
    return ReproduceConfig(name=name, data=data, **given)


@pytest.mark.parametrize("write", [write_small_records, write_small_table], ids=["pictures", "rows"])
def test_every_section_is_made_and_nothing_twice(tmp_path, write):
    found = reproduce(config_of(tmp_path, write, "fairness"))
    names = ["accuracy", "classes", "least-epsilon", "success", "groups"]
    assert [section["name"] for section in found["sections"]] == [f"fairness-{name}" for name in names]
    output = tmp_path / "out"
    for section in found["sections"]:
        assert all((output / figure["path"]).is_file() for figure in section["figures"])
    before = {path: path.stat().st_mtime_ns for path in (output / "runs").rglob("model.keras")}
    before |= {path: path.stat().st_mtime_ns for path in (output / "attacks").rglob("results.csv.gz")}
    assert before
    again = reproduce(config_of(tmp_path, write, "fairness"))
    assert json.dumps(again["sections"]) == json.dumps(found["sections"])
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_accuracies_are_those_of_the_networks(tmp_path):
    (section,) = reproduce(config_of(tmp_path, write_small_records, "fairness-accuracy", epochs=8))[
        "sections"
    ]
    standard, robust = section["values"]["accuracies"]
    # The standard network's own adversarial examples are what is transferred: to itself, nothing is.
    assert standard["transfer"] == standard["white_box"]
    for network in (standard, robust):
        assert network["clean"][1] == network["transfer"][1] == network["white_box"][1] == 15
        assert network["white_box"][0] <= network["clean"][0]
    card = json.loads((tmp_path / "out/runs/fairness-standard-seed-0/model_card.json").read_text())
    assert standard["clean"][0] == round(15 * card["accuracy"]["test"])


def test_other_kinds_of_training_stand_side_by_side(tmp_path):
    (section,) = reproduce(config_of(tmp_path, write_small_records, "fairness-methods"))["sections"]
    (table,) = section["tables"]
    titles = [row[0] for row in table["rows"]]
    assert titles[:2] == ["standard", "robust (merged)"]
    assert {"PGD", "TRADES", "Wasserstein", "retrained (merged)"} <= set(titles)
    assert len({len(row) for row in table["rows"]} | {len(table["header"])}) == 1


def test_records_without_groups_are_said_to_have_none(tmp_path):
    found = reproduce(config_of(tmp_path, write_small_records, "fairness-groups"))
    assert "no protected attribute" in found["sections"][0]["warnings"][0]


def test_records_without_a_test_split_are_refused(tmp_path):
    config = config_of(tmp_path, lambda folder: write_small_records(folder, num_test=0), "fairness")
    with pytest.raises(InputError, match="have no split 'test'"):
        reproduce(config)
