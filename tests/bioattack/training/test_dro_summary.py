import pytest

from bioattack.training.dataset_chunks import Chunk
from bioattack.training.dro_summary import SweepPoint, summarise, sweep_point
from bioattack.training.options import DroOptions

# Two chunks of the first round, one of the second, of four clean records.
SUMS = [
    {"samples": 2, "correct": 2, "fooled": 1, "fooled_8bit": 1, "attack_steps": 6, "cost": 1.0, "loss": 2.0},
    {"samples": 2, "correct": 1, "fooled": 1, "fooled_8bit": 0, "attack_steps": 4, "cost": 2.0, "loss": 4.0},
    {"samples": 4, "correct": 4, "fooled": 3, "fooled_8bit": 1, "attack_steps": 8, "cost": 2.0, "loss": 8.0},
]
WEIGHTS = [{"weight": 3, "weighted_cost": 1.5}, {"weight": 7, "weighted_cost": 7.0}]
WEIGHTS += [{"weight": 26, "weighted_cost": 13.0}]


def notes():
    chunks = [Chunk(0, 0, 0, 4), Chunk(1, 1, 0, 1), Chunk(2, 1, 1, 2), Chunk(3, 2, 0, 2)]
    sums = [{"seconds": 1.0}]
    sums += [one | other | {"seconds": 2.0} for one, other in zip(SUMS, WEIGHTS, strict=True)]
    return list(zip(chunks, sums, strict=True))


def test_sums_become_means_of_each_round():
    summary = summarise(notes(), options=DroOptions(distance_weight=2.0), cost="ssim", num_clean=4)
    first, last = summary["rounds"]
    assert (first["samples"], first["accuracy_before"], first["success_rate"]) == (4, 0.75, 2 / 3)
    assert (first["success_rate_8bit"], first["mean_attack_steps"], first["seconds"]) == (1 / 3, 2.5, 4.0)
    assert (first["mean_cost"], first["worst_case_loss"], first["robust_surrogate"]) == (0.75, 1.5, 0.0)
    assert summary["implied_radius"] == last["mean_cost"] == 0.5
    # 1.5 + 7 + 13 over the weights 3 + 7 + 26 of attacked and 4 of clean records.
    assert summary["weighted_cost"] == pytest.approx(21.5 / 40)
    assert (summary["num_records"], summary["seconds"]) == (12, 7.0)
    assert sweep_point(summary) == SweepPoint(2.0, 0.5, 2.0, 1.0, 0.75)


def test_attack_without_lambda_has_no_surrogate():
    summary = summarise(notes(), options=DroOptions(attack="pgd"), cost="l2", num_clean=4)
    assert summary["distance_weight"] is None
    assert summary["rounds"][0]["robust_surrogate"] is None


def test_nothing_right_before_gives_no_success_rate():
    sums = [(chunk, one | {"correct": 0, "fooled": 0}) for chunk, one in notes()]
    summary = summarise(sums, options=DroOptions(), cost="ssim", num_clean=4)
    assert summary["rounds"][0]["success_rate"] is None
