"""What the experiments on fairness are made of: published figures, sizes, networks, and their tables."""

import pytest

from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.fairness_networks import (
    FURTHER_NETWORKS,
    PAPER_NETWORKS,
    networks_for,
    run_folder,
    train_config,
)
from bioattack.evaluation.reproduce.fairness_published import (
    CAU,
    CRU_SUCCESS,
    LEAVE_ONE_OUT,
    published_unfairness,
)
from bioattack.evaluation.reproduce.fairness_sizes import PICTURES, ROWS, sizes_of, subject_of
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.testing.small_records import write_small_records
from bioattack.testing.small_tables import write_small_table
from bioattack.tfrecords_builder.reading import open_records
from bioattack.training.config import make_plan


@pytest.fixture
def make_workplace(tmp_path):
    def make(write, **changes):
        data = write(tmp_path / "records")
        given = {"name": "fairness", "output": tmp_path / "out", "data": data, "quiet": True} | changes
        config = ReproduceConfig(**given)
        return Workplace(config, config.scale(), open_records(data))

    return make


def test_published_figures_agree_with_each_other():
    # Mean over 10,000 tested of 100 models, and over 100 models of 10,000 tested; the two are rounded apart.
    for _, by_test, by_left_out in LEAVE_ONE_OUT.values():
        assert by_test * 10_000 == pytest.approx(by_left_out * 100, rel=2e-4)
    unfairness = [published_unfairness(label, true) for label in ("standard", "robust") for true in (0, 1)]
    assert unfairness == pytest.approx([0.052, 0.067, 0.094, 0.123])
    assert CAU["pictures"] == {"standard": 0.286, "robust": 0.344}
    assert set(CRU_SUCCESS["pictures"]["robust"]) == set(PICTURES.epsilons)
    assert set(CRU_SUCCESS["rows"]["robust"]) == set(ROWS.epsilons)


@pytest.mark.parametrize(
    ("write", "subject"),
    [(write_small_records, PICTURES), (write_small_table, ROWS)],
    ids=["pictures", "rows"],
)
def test_networks_are_trained_as_the_paper_has_it(make_workplace, write, subject):
    workplace = make_workplace(write, preset="small")
    assert subject_of(workplace.pictures) is subject
    standard, robust = PAPER_NETWORKS
    perturb = subject.perturbs[-1]
    plan = make_plan(train_config(workplace, standard, 3, perturb=perturb))
    assert (plan.config.model, plan.config.balance) == (subject.model, subject.is_balanced)
    assert (plan.epochs, plan.batch_size, plan.schedule, plan.config.learning_rate) == (
        20,
        250,
        "constant",
        1e-3,
    )
    plan = make_plan(train_config(workplace, robust, 3, perturb=perturb))
    options = plan.training_settings()
    assert plan.config.training == "merged"
    assert plan.config.initial_weights is None
    assert (options["epsilon"], options["num_steps"]) == (subject.training_epsilon, 40)
    assert options["standard_model"] == str(run_folder(workplace, standard, 3))


def test_rows_that_are_moved_in_other_ways_are_learned_by_other_networks(make_workplace):
    workplace = make_workplace(write_small_table)
    standard, robust = PAPER_NETWORKS
    folders = {run_folder(workplace, robust, 0, perturb=perturb) for perturb in ROWS.perturbs}
    assert len(folders) == 2
    assert len({run_folder(workplace, standard, 0, perturb=perturb) for perturb in ROWS.perturbs}) == 1
    for perturb in ROWS.perturbs:
        config = train_config(workplace, robust, 0, perturb=perturb)
        assert make_plan(config).training_options.perturb == perturb


def test_retraining_starts_from_the_standard_network(make_workplace):
    workplace = make_workplace(write_small_records)
    retrained = next(network for network in FURTHER_NETWORKS if network.is_retrained)
    config = train_config(workplace, retrained, 0)
    assert config.training == "merged"
    assert config.initial_weights == run_folder(workplace, PAPER_NETWORKS[0], 0) / "model.keras"


def test_what_takes_pictures_only_is_not_asked_of_rows():
    labels = {network.label for network in networks_for(ROWS, with_further=True)}
    assert labels == {"standard", "robust", "retrained", "pgd", "trades"}
    assert networks_for(PICTURES, with_further=True)[:2] == PAPER_NETWORKS
    assert len(networks_for(PICTURES, with_further=True)) == 2 + len(FURTHER_NETWORKS)


@pytest.mark.parametrize(
    ("write", "subject"),
    [(write_small_records, PICTURES), (write_small_table, ROWS)],
    ids=["pictures", "rows"],
)
def test_every_network_can_be_planned(make_workplace, write, subject):
    workplace = make_workplace(write)
    for perturb in subject.perturbs:
        networks = networks_for(subject, with_further=True)
        plans = {
            network.label: make_plan(train_config(workplace, network, 0, perturb=perturb))
            for network in networks
        }
        for label in ("pgd", "trades"):
            options = plans[label].training_options
            assert options.epsilon == subject.training_epsilon
            assert options.perturb == (perturb or "valid")
        # What is moved in other ways is learned by another network.
        folders = {network.label: plans[network.label].config.output.name for network in networks}
        assert ("-valid-" in folders["pgd"]) == (perturb == "valid")
        assert folders["standard"] == "fairness-standard-seed-0"


def test_sizes_follow_preset_and_flags():
    def sizes(subject, **given):
        return sizes_of(ReproduceConfig(name="fairness", output="out", **given), subject)

    assert sizes(PICTURES, preset="small").num_left_out == 20
    assert sizes(ROWS, preset="small").num_left_out == sizes(PICTURES, preset="paper").num_left_out == 100
    assert sizes(PICTURES, epochs=2).epochs == 2
    assert sizes(PICTURES, limit=7).test_limit == 7
