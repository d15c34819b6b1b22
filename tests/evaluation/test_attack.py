"""An attack from beginning to end, as the library runs it."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.evaluation import attack as module
from bioattack.evaluation.attack import attack
from bioattack.evaluation.attack_config import AttackConfig
from bioattack.evaluation.results import read_results, read_summary
from bioattack.testing.small_records import write_small_records
from bioattack.testing.tiny_models import save_tint_model

NUM_IMAGES = 12


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_small_records(tmp_path_factory.mktemp("data") / "records", num_test=NUM_IMAGES)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tint_model(tmp_path_factory.mktemp("models") / "tint")


def config(model, records, output, **changes):
    settings = {"attack": ("fgsm",), "epsilons": (0.05, 0.12), "batch_size": 5, "quiet": True}
    return AttackConfig(model=(model,), data=records, output=output, **(settings | changes))


def test_the_summary_says_what_was_run_and_what_came_of_it(model, records, tmp_path):
    made = config(model, records, tmp_path / "o", attack=("fgsm", "square-ce"), seed=3)
    # The numbers are each attack's own, also where none were given.
    made_plan = attack(AttackConfig(**{**vars(made), "dry_run": True}))["attacks"]
    assert made_plan[0]["stages"][0]["num_steps"] == 1
    assert made_plan[1]["stages"][0]["num_steps"] == 5000
    summary = attack(AttackConfig(**{**vars(made), "steps": 4}))
    assert summary["was_complete"] is False
    stages = [entry["stages"][0] for entry in summary["attacks"]]
    assert [stage["loss"] for stage in stages] == ["ce", "ce"]
    assert [stage["num_steps"] for stage in stages] == [4, 4]
    assert stages[0]["relative_step"] == 1.0
    assert stages[0]["has_random_start"] is False
    assert stages[1]["relative_step"] is None
    assert {"protocol", "was_complete"}.isdisjoint(read_summary(tmp_path / "o"))
    rows = read_results(tmp_path / "o")
    assert set(rows["seed"]) == {3}
    for row in summary["adversarial"]:
        its = rows[(rows["attack"] == row["attack"]) & (rows["epsilon"] == row["epsilon"])]
        assert row["num_images"] == len(its) == NUM_IMAGES
        assert row["accuracy"] == pytest.approx((its["correct_clean"] & ~its["success"]).mean())
    again = attack(AttackConfig(**{**vars(made), "steps": 4}))
    assert again == read_summary(tmp_path / "o") | {"was_complete": True}


def test_epsilons_apart_and_in_one_run_agree_where_a_larger_ball_is_no_harder(model, records, tmp_path):
    one = attack(config(model, records, tmp_path / "one"))
    apart = attack(config(model, records, tmp_path / "apart", independent=True))
    assert [row["num_success"] for row in one["adversarial"]] == [
        row["num_success"] for row in apart["adversarial"]
    ]
    assert one["adversarial"][1]["num_success"] > 0
    steps = read_results(tmp_path / "apart").query("attack != 'none'")["steps"]
    assert (steps == 1).all()


def test_restarts_find_no_less_and_take_more_steps(model, records, tmp_path):
    common = {"attack": ("pgd",), "steps": 3, "relative_step": 0.4, "epsilons": (0.115,)}
    once = attack(config(model, records, tmp_path / "1", **common))
    thrice = attack(config(model, records, tmp_path / "3", restarts=3, **common))
    assert thrice["adversarial"][0]["num_success"] >= once["adversarial"][0]["num_success"]
    rows = [read_results(tmp_path / name).query("attack == 'pgd'") for name in ("1", "3")]
    stands = ~rows[1]["success"].to_numpy()
    assert stands.any()
    assert (rows[1].loc[stands, "steps"] == 9).all()
    assert not (rows[0]["success"] & ~rows[1]["success"]).any()


def test_probabilities_are_taken_when_they_are_said_to_be(records, tmp_path):
    model = save_tint_model(tmp_path / "m", after=tf.nn.softmax)
    summary = attack(config(model, records, tmp_path / "o", outputs="probabilities"))
    assert "The models give probabilities, of which the logarithm was taken." in summary["notes"]
    assert summary["adversarial"][1]["num_success"] > 0


def test_a_gradient_that_is_zero_is_said_also_of_a_search(records, tmp_path):
    def held_where_red(images):
        means = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
        return tf.where(means[..., :1] > means[..., 1:2], tf.stop_gradient(images), images)

    model = save_tint_model(tmp_path / "m", before=held_where_red)
    summary = attack(config(model, records, tmp_path / "o", least_epsilon=0.01, epsilons=(0.05,)))
    number = read_results(tmp_path / "o").query("has_zero_gradient")["image_id"].nunique()
    assert 0 < number < NUM_IMAGES
    assert summary["notes"][0].startswith(f"For {number} pictures m is so certain")


def test_stopped_before_the_summary_it_ends(model, records, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_summary", interrupt)
    with pytest.raises(KeyboardInterrupt):
        attack(config(model, records, tmp_path / "o", save="records"))
    monkeypatch.undo()
    attack(config(model, records, tmp_path / "o", save="records"))
    attack(config(model, records, tmp_path / "whole", save="records"))
    pd.testing.assert_frame_equal(
        read_results(tmp_path / "o").drop(columns="seconds"),
        read_results(tmp_path / "whole").drop(columns="seconds"),
    )
    assert not (tmp_path / "o" / "images").exists()


def test_another_target_is_another_attack(model, records, tmp_path):
    attack(config(model, records, tmp_path / "o", target="green"))
    rows = read_results(tmp_path / "o").query("attack == 'fgsm' and label != 1")
    assert rows["success"].any()
    assert (rows["success"] == (rows["predicted_adversarial"] == 1)).all()
    with pytest.raises(InputError, match="target = green before and blue now"):
        attack(config(model, records, tmp_path / "o", target="blue"))
    assert np.isfinite(rows["margin_adversarial"]).all()
