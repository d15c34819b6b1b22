"""What the rounds of an adversarial dataset draw, learn, attack and note."""

import re

import numpy as np
import pytest

from bioattack.testing.small_dro import linear_model, read_all, small_dro_plan
from bioattack.tfrecords_builder.drawing import draw_places, expected_weight
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.reading import open_records
from bioattack.training import dro_maker as module
from bioattack.training.dro_dataset import dro_dataset
from bioattack.training.model_card import weights_sha256
from bioattack.training.run import make_repeatable


@pytest.fixture(autouse=True, scope="module")
def _repeatable():
    make_repeatable(0)


@pytest.fixture(scope="module")
def records(small_records):
    return open_records(small_records)


@pytest.mark.parametrize("weighting", ["sampling", "loss"])
def test_weightings_differ_as_they_say(weighting, records, tmp_path, monkeypatch):
    shares = []
    monkeypatch.setattr(module.DatasetMaker, "_learn", lambda _, *batch, **__: shares.append(batch[2]))
    dro_dataset(linear_model(), small_dro_plan(weighting=weighting), records=records, folder=tmp_path)
    weighted, _, _, _ = read_all(tmp_path)
    now = weighted.weights[:24]
    places = draw_places(now, 12, seeds=(0, 1, 2), is_proportional=weighting == "sampling")
    if weighting == "sampling":
        assert shares == [None] * 6
    else:
        expected = now[places] / expected_weight(now, is_proportional=False)
        np.testing.assert_allclose(np.concatenate(shares[3:]), expected)
    np.testing.assert_array_equal(weighted.index["origin"][24:], weighted.index["origin"][places])


@pytest.mark.parametrize(
    "options",
    [
        {"attack": "pgd", "norm": "linf", "epsilon": 0.03},
        {"attack": "pgd-unbounded", "distance": "ssim"},
        {"attack": "square", "norm": "linf", "epsilon": 0.03, "reference": "drawn"},
    ],
)
def test_other_attacks_keep_to_their_own_rules(options, records, tmp_path):
    summary = dro_dataset(linear_model(), small_dro_plan(**options), records=records, folder=tmp_path)
    weighted, images, _, provenance = read_all(tmp_path)
    assert summary["distance"] == options.get("distance", options.get("norm"))
    largest = np.abs(images - images[weighted.index["origin"].astype(int)]).max(axis=(1, 2, 3))
    assert largest.max() > 0
    if options["attack"] == "pgd":
        # The ball stays around the clean picture, also in the second round.
        assert largest.max() <= 0.03 + 1e-6
        np.testing.assert_allclose([one.cost for one in provenance], largest, atol=1e-6)


def test_checksum_is_that_of_the_model_that_was_attacked(records, tmp_path, monkeypatch):
    checksums, learn = [], module.DatasetMaker._learn

    def learn_and_note(maker, *batch, **options):
        learn(maker, *batch, **options)
        checksums.append(weights_sha256(maker.training.classifier))

    monkeypatch.setattr(module.DatasetMaker, "_learn", learn_and_note)
    dro_dataset(linear_model(), small_dro_plan(), records=records, folder=tmp_path)
    _, _, _, provenance = read_all(tmp_path)
    assert [one.model_sha256 for one in provenance] == [""] * 12 + np.repeat(checksums, 4).tolist()
    assert len(set(checksums)) == 6


@pytest.mark.parametrize("reference", ["origin", "drawn"])
def test_cost_is_that_of_the_attack_and_radius_that_from_clean_pictures(reference, records, tmp_path):
    plan = small_dro_plan(reference=reference, distance_weight=0.05, confidence=1.0)
    summary = dro_dataset(linear_model(), plan, records=records, folder=tmp_path)
    weighted, images, _, _ = read_all(tmp_path)
    last, origins = summary["rounds"][-1], weighted.index["origin"][24:].astype(int)
    drawn = draw_places(weighted.weights[:24], 12, seeds=(0, 1, 2))
    np.testing.assert_array_equal(origins, weighted.index["origin"][drawn])
    assert (drawn >= 12).any()

    def mean_distance(places):
        return np.linalg.norm((images[24:] - images[places]).reshape(12, -1), axis=1).mean()

    assert last["implied_radius"] == pytest.approx(mean_distance(origins), rel=1e-4)
    assert last["mean_cost"] == pytest.approx(
        mean_distance(origins if reference == "origin" else drawn), rel=1e-4
    )
    assert last["robust_surrogate"] == pytest.approx(last["worst_case_loss"] - 0.05 * last["mean_cost"])


def test_shard_that_is_damaged_while_the_dataset_grows_is_named(records, tmp_path, monkeypatch):
    begin = module.DatasetMaker._draws

    def damage_and_begin(maker, round_number):
        draws = begin(maker, round_number)
        shard = tmp_path / f"train-0000{round_number - 1}-of-00003.tfrecord"
        shard.write_bytes(bytes(shard.stat().st_size))
        return draws

    monkeypatch.setattr(module.DatasetMaker, "_draws", damage_and_begin)
    message = f"the adversarial shard {tmp_path / 'train-00000-of-00003.tfrecord'} is damaged at byte"
    with pytest.raises(RecordsError, match=f"^{re.escape(message)}"):
        dro_dataset(linear_model(), small_dro_plan(), records=records, folder=tmp_path)
