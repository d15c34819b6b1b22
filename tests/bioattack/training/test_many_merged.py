"""Many models that learn from the attacked pictures that the first of them makes."""

import dataclasses

import pytest

from bioattack.training import many_data
from bioattack.training.config import TrainConfig
from bioattack.training.many_config import ManyConfig, left_out_members
from bioattack.training.many_workshop import Workshop
from bioattack.training.run import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def members(small_records, tmp_path_factory):
    """A model with all pictures, and two in each way without one of them."""
    folder = tmp_path_factory.mktemp("merged")
    standard = TrainConfig(
        "small_cnn", small_records, folder / "standard", epochs=0, batch_size=16, quiet=True
    )
    train(standard)
    config = ManyConfig(
        "small_cnn",
        small_records,
        folder / "out",
        training="merged",
        training_options={"standard_model": str(folder / "standard"), "epsilon": 0.05, "num_steps": 2},
        epochs=2,
        batch_size=16,
        limit=40,
        quiet=True,
        leave_one_out=2,
        ways=("published",),
    )
    return left_out_members(config, ["train/00003.png", "train/00011.png"])


@pytest.fixture(scope="module")
def cards(members):
    workshop = Workshop()
    return {member.name: workshop.train(member.config)[0] for member in members}


def test_models_are_those_trained_alone(members, cards, tmp_path):
    last = members[-1]
    alone = train(dataclasses.replace(last.config, output=tmp_path / "alone")).details
    assert cards[last.name]["weights_sha256"] == alone["weights_sha256"]
    assert len({card["weights_sha256"] for card in cards.values()}) == 3


def test_full_model_is_that_trained_alone(members, cards, tmp_path):
    alone = train(dataclasses.replace(members[0].config, output=tmp_path / "alone")).details
    assert cards["full"]["weights_sha256"] == alone["weights_sha256"]


def test_memory_changes_nothing(members, cards, tmp_path, monkeypatch):
    monkeypatch.setattr(many_data, "MOST_BYTES", 0)
    card, _ = Workshop().train(dataclasses.replace(members[1].config, output=tmp_path / "run"))
    assert card["weights_sha256"] == cards[members[1].name]["weights_sha256"]
