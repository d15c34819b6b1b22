import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bioattack.cli.train import main
from bioattack.errors import InputError
from bioattack.evaluation.leave_one_out import (
    draw_left_out,
    full_probabilities,
    left_out_probabilities,
    score_left_out,
)
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.selection import read_names
from bioattack.training.many_config import WAYS, ManyConfig

NUM_LEFT_OUT = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("left_out")
    records = write_small_records(folder / "records", size=8)
    return ManyConfig(
        "small_cnn", records, folder / "out", epochs=1, batch_size=16, seed=2, leave_one_out=NUM_LEFT_OUT
    )


@pytest.fixture(scope="module")
def output(config):
    options = ["--model", "small_cnn", "--data", str(config.data), "--output", str(config.output)]
    options += ["--epochs", "1", "--batch-size", "16", "--seed", "2", "--jobs", "1", "--quiet"]
    assert main([*options, "--leave-one-out", str(NUM_LEFT_OUT)]) == 0
    return config.output


def card_of(folder: Path):
    return json.loads((folder / "model_card.json").read_text())


def test_what_is_left_out_is_drawn_by_seed_from_the_training_split(config):
    drawn = draw_left_out(config)
    names, _ = read_names(open_records(config.data), "train")
    assert len(set(drawn)) == NUM_LEFT_OUT
    assert set(drawn) <= set(names)
    assert draw_left_out(dataclasses.replace(config, leave_one_out=5))[:NUM_LEFT_OUT] == drawn
    assert draw_left_out(dataclasses.replace(config, seed=3)) != drawn
    assert set(draw_left_out(dataclasses.replace(config, limit=4))) <= set(names[:4])


def test_too_many_to_leave_out(config):
    with pytest.raises(InputError, match=r"below the number of training records, which is 60. Received: 60"):
        draw_left_out(dataclasses.replace(config, leave_one_out=60))


def test_no_test_split(tmp_path):
    records = write_small_records(tmp_path / "records", num_test=0, size=8)
    with pytest.raises(InputError, match=r"a split named test, which .* lacks"):
        draw_left_out(ManyConfig("small_cnn", records, tmp_path / "out", leave_one_out=1))


def test_models_lack_what_was_drawn(config, output):
    drawn = draw_left_out(config)
    for number in range(NUM_LEFT_OUT):
        cards = {way: card_of(output / f"{way}-{number:03d}") for way in WAYS}
        assert {way: card["data"]["left_out"] for way, card in cards.items()} == {
            "published": [drawn[number]],
            "paired": [drawn[number]],
            "noise": [],
        }
        assert {way: card["seed"] for way, card in cards.items()} == {
            "published": 3 + number,
            "paired": 2,
            "noise": 3 + number,
        }
    table = pd.read_csv(output / "models.csv", keep_default_na=False)
    assert list(table["left_out"][:4]) == ["", drawn[0], drawn[0], ""]
    assert list(table["way"][:4]) == ["full", *WAYS]
    assert len(table) == 1 + 3 * NUM_LEFT_OUT


def test_probabilities_come_one_model_at_a_time(output):
    full = full_probabilities(output)
    assert (full.shape, full.dtype) == ((15, 3), np.float32)
    for way in WAYS:
        found = dict(left_out_probabilities(output, way))
        assert list(found) == [f"{way}-{number:03d}" for number in range(NUM_LEFT_OUT)]
        assert all(one.shape == full.shape and one.dtype == np.float32 for one in found.values())
        np.testing.assert_allclose(np.stack(list(found.values())).sum(axis=2), 1, atol=1e-5)


def test_scores_agree_with_numpy(output):
    full = np.array(full_probabilities(output), float)
    scores = score_left_out(output)
    assert list(scores) == list(WAYS)
    for way in WAYS:
        others = np.stack([one for _, one in left_out_probabilities(output, way)]).astype(float)
        is_other = others.argmax(axis=2) != full.argmax(axis=1)
        luf, luf_t, luf_l = (score.value for score in scores[way])
        assert luf == pytest.approx(np.abs(others - full).max(axis=(0, 2)).mean(), abs=1e-9)
        assert luf_t == pytest.approx(is_other.sum(axis=0).mean(), abs=1e-9)
        assert luf_l == pytest.approx(is_other.sum(axis=1).mean(), abs=1e-9)
        assert luf_t * len(full) == pytest.approx(luf_l * NUM_LEFT_OUT)
    table = pd.read_csv(output / "leave_one_out.csv")
    assert list(table["way"].unique()) == list(WAYS)
    assert table["value"].tolist() == pytest.approx([one.value for way in WAYS for one in scores[way]])


def test_paired_models_differ_less_than_models_of_other_seeds(output):
    luf = {way: found[0].value for way, found in score_left_out(output).items()}
    assert 0 < luf["paired"] < luf["noise"]


def test_unfinished_folder_is_told(tmp_path):
    with pytest.raises(InputError, match="has no finished model full"):
        score_left_out(tmp_path)
