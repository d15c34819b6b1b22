"""The experiments on fairness from beginning to end, as small as they go."""

import dataclasses
import json

import pytest

from bioattack.errors import InputError
from bioattack.evaluation.reproduce import (
    fairness_measure,
    fairness_networks,
    fairness_sizes,
    fairness_studies,
)
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.run import reproduce
from bioattack.testing.small_records import write_small_records
from bioattack.testing.small_tables import write_small_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def least_sizes():
    """One radius, few steps, few draws, one way to move rows: every part runs, and none for long."""
    rows = dataclasses.replace(fairness_sizes.ROWS, perturbs=("valid",), epsilons=(10.0,), precision=250.0)
    pictures = dataclasses.replace(fairness_sizes.PICTURES, epsilons=(0.01,), precision=0.05)
    sizes = dataclasses.replace(
        fairness_sizes.SIZES["demo"], inner_steps=1, num_left_out=2, leave_one_out_epochs=1, num_draws=100
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fairness_sizes, "ROWS", rows)
        patch.setattr(fairness_sizes, "PICTURES", pictures)
        patch.setitem(fairness_sizes.SIZES, "demo", sizes)
        patch.setattr(fairness_measure, "ATTACK_STEPS", 2)
        # Other processes would not know of these sizes.
        patch.setattr(fairness_studies, "num_cores", lambda: 1)
        yield


@pytest.fixture(scope="module")
def sections_of(tmp_path_factory):
    """Runs an experiment on pictures or rows; those of one kind share what is trained and attacked."""
    folders = {}

    def sections(kind, name):
        if kind not in folders:
            folder = folders[kind] = tmp_path_factory.mktemp(kind)
            {"pictures": write_small_records, "rows": write_small_table}[kind](folder / "records")
        folder = folders[kind]
        config = ReproduceConfig(
            name=name, data=folder / "records", output=folder / "out", epochs=1, quiet=True
        )
        return reproduce(config)["sections"], folder / "out"

    return sections


def test_every_section_is_made_and_nothing_twice(sections_of):
    found, output = sections_of("rows", "fairness")
    names = ["accuracy", "classes", "least-epsilon", "success", "groups"]
    assert [section["name"] for section in found] == [f"fairness-{name}" for name in names]
    for section in found:
        assert all((output / figure["path"]).is_file() for figure in section["figures"])
    before = {path: path.stat().st_mtime_ns for path in (output / "runs").rglob("model.keras")}
    before |= {path: path.stat().st_mtime_ns for path in (output / "attacks").rglob("results.csv.gz")}
    assert len(before) == 2 + 2 * 2
    again, _ = sections_of("rows", "fairness")
    assert json.dumps(again) == json.dumps(found)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_confidences_are_of_named_classes_and_have_a_figure(sections_of):
    (section,), _ = sections_of("rows", "fairness-groups")
    (scores,) = section["values"].values()
    assert {row["name"] for row in scores["scores"]} == {"EOU(yes | no)", "EOU(yes | yes)"}
    assert [figure["path"] for figure in section["figures"]][
        -1
    ] == "figures/fairness-groups-sex-valid-eou.png"


def test_accuracies_are_those_of_the_networks(sections_of):
    (section,), output = sections_of("pictures", "fairness-accuracy")
    standard, robust = section["values"]["accuracies"]
    # The standard network's own adversarial examples are what is transferred: to itself, nothing is.
    assert standard["transfer"] == standard["white_box"]
    for network in (standard, robust):
        assert network["clean"][1] == network["transfer"][1] == network["white_box"][1] == 15
        assert network["white_box"][0] <= network["clean"][0]
    card = json.loads((output / "runs/fairness-standard-seed-0/model_card.json").read_text())
    assert standard["clean"][0] == round(15 * card["accuracy"]["test"])


@pytest.mark.parametrize(("kind", "label"), [("pictures", "median"), ("rows", "pgd")])
def test_other_kinds_of_robustness_stand_side_by_side(sections_of, monkeypatch, kind, label):
    networks = [network for network in fairness_networks.FURTHER_NETWORKS if network.label == label]
    monkeypatch.setattr(fairness_networks, "FURTHER_NETWORKS", tuple(networks))
    (section,), _ = sections_of(kind, "fairness-methods")
    table, *others = section["tables"]
    assert [row[0] for row in table["rows"]] == ["standard", "robust (merged)", networks[0].title]
    assert table["header"][1:5] == ["clean", "transfer", "white-box", "CAU"]
    assert len({len(row) for row in table["rows"]} | {len(table["header"])}) == 1
    (values,) = section["values"].values()
    # The standard network's examples are its own; what is right at their end may have been wrong on the way.
    assert values[0]["transfer"] >= values[0]["white-box"]
    # Only the rows have a protected attribute: scores and differences by sex.
    assert len(others) == (2 if kind == "rows" else 0)
    assert all("EOU" in caption for caption in (other["caption"] for other in others))


def test_records_without_groups_are_said_to_have_none(sections_of):
    (section,), _ = sections_of("pictures", "fairness-groups")
    assert "no protected attribute" in section["warnings"][0]


def test_leaving_out_is_scored_beside_its_controls(sections_of):
    (section,), output = sections_of("rows", "fairness-leave-one-out")
    scores, differences = section["tables"]
    # Two networks, three ways and what is published; robust less standard in three ways, and less the noise.
    assert (len(scores["rows"]), len(differences["rows"])) == (2 * 4, 3 + 2)
    for families in section["values"].values():
        for _, by_image, by_model in families.values():
            assert by_image["value"] * by_image["num_images"] == pytest.approx(2 * by_model["value"])
    robust = output / "runs/fairness-left-out-robust-seed-0"
    settings = json.loads((robust / "paired-000/model_card.json").read_text())
    assert settings["data"]["left_out"]
    assert settings["training_options"]["standard_model"].endswith("left-out-standard-seed-0/full")


def test_records_without_a_test_split_are_refused(tmp_path):
    data = write_small_records(tmp_path / "records", num_test=0)
    with pytest.raises(InputError, match="have no split 'test'"):
        reproduce(ReproduceConfig(name="fairness", data=data, output=tmp_path / "out", quiet=True))
