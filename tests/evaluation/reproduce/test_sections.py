"""The sections that need networks of the paper: on networks that are hardly trained, at their smallest."""

import pandas as pd
import pytest

from bioattack.evaluation.reproduce.costs import costs_section
from bioattack.evaluation.reproduce.experiment import Experiment, Row, Variant
from bioattack.evaluation.reproduce.honest import attack_answers, honest_section
from bioattack.evaluation.reproduce.honest_checks import PAPER
from bioattack.evaluation.reproduce.opening import open_workplace
from bioattack.evaluation.reproduce.rebuilt import measure_random_gaze
from bioattack.evaluation.reproduce.run import reproduce

PLAIN = Variant("plain", "tiny_network")
ROWS = (Row(PLAIN, "Plain"),)


@pytest.fixture(scope="module")
def place(make_config, tmp_path_factory):
    """A workplace with one hardly trained network that looks several times."""
    config = make_config(tmp_path_factory.mktemp("place") / "out", limit=6)
    with open_workplace(config, needs_records=True) as workplace:
        workplace.train(PLAIN, 0)
        workplace.evaluate(PLAIN, 0)
        yield workplace


def test_random_gazes_are_measured_once(place):
    found = measure_random_gaze(place, PLAIN, 0)
    assert len(found["accuracies"]) == 3
    assert found["num_images"] == 6
    assert (place.output / "rebuilt" / "plain-seed0-random.keras").is_file()
    assert measure_random_gaze(place, PLAIN, 0) == found
    assert measure_random_gaze(place, Variant("other", "small_cnn"), 0) is None


def test_stronger_attacks_meet_the_same_pictures(place):
    experiment = Experiment("honest", "Stronger", (), honest_section, rows=ROWS)
    section = honest_section(place, experiment)
    answers = attack_answers(place, PLAIN, 0)
    assert set(answers) == {
        PAPER,
        "foolbox",
        "long",
        "rms",
        "l2",
        "ends",
        "one-draw",
        "several-draws",
        "stopped",
    }
    pictures = [list(right.index) for right in answers.values()]
    assert all(found == pictures[0] for found in pictures)
    assert len(pictures[0]) == 6
    assert list(answers["l2"].columns) == [0.0, 0.1, 0.25, 0.5, 1.0, 2.0]
    assert (answers["long"] <= answers[PAPER]).all(axis=None)
    table = pd.read_csv(place.output / "tables" / "honest.csv")
    assert set(table["attack"]) == set(answers)
    assert [row[0] for row in section.tables[0].rows] == ["Plain", *[""] * 6]


def test_costs_are_those_of_the_files(place):
    experiment = Experiment("shared-weights", "Costs", (), costs_section, rows=ROWS)
    costs = costs_section(place, experiment).values["costs"]["plain"]
    size = (place.output / "runs" / "plain-seed0" / "model.keras").stat().st_size
    assert costs["keras_mb"] == pytest.approx(size / 1e6)
    assert costs["saved_model_mb"] > costs["keras_mb"] / 4
    assert costs["num_parameters"] == place.card(PLAIN, 0)["num_parameters"]
    assert min(costs["epoch_s"], costs["answers_s"], costs["attack_step_s"]) > 0


@pytest.mark.parametrize("name", ["figure5", "figure7", "figure8", "figure14"])
def test_figures_that_need_no_training(configure, name):
    config = configure(name=name)
    (section,) = reproduce(config)["sections"]
    drawn = [config.output / figure["path"] for figure in section["figures"]]
    assert drawn
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
