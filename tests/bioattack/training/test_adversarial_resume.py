"""A run whose pictures are attacked in every step, from random points, goes on where it was interrupted."""

import json

import keras
import pytest

from bioattack.cli.train import main
from bioattack.training.config import TrainConfig
from bioattack.training.run import train


@pytest.mark.parametrize("name", ["pgd", "trades", "wasserstein"])
def test_interrupted_run_ends_like_one_that_is_not(name, small_records, tmp_path, monkeypatch):
    def run_into(output):
        options = {"num_steps": 2}
        config = TrainConfig(
            model="small_cnn",
            data=small_records,
            output=output,
            training=name,
            training_options=options,
            epochs=2,
            batch_size=30,
            quiet=True,
        )
        return train(config).details

    # What is written at the end is tested elsewhere, and takes longer than the runs.
    monkeypatch.setattr("bioattack.training.run.write_saved_model", lambda *_, **__: None)
    whole = run_into(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("bioattack.training.run.FiniteLoss", interrupting_in_the_second_epoch())
        with pytest.raises(KeyboardInterrupt):
            run_into(tmp_path / "run")
    assert not (tmp_path / "run" / "model_card.json").exists()
    resumed = run_into(tmp_path / "run")
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert (tmp_path / "run" / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()
    card = json.loads((tmp_path / "run" / "model_card.json").read_text())
    assert card["training"] == name
    assert card["training_options"]["num_steps"] == 2
    assert (
        f"[training_options]\n{next(iter(card['training_options']))} = "
        in (tmp_path / "run" / "config.toml").read_text()
    )


def interrupting_in_the_second_epoch():
    class Interrupting(keras.callbacks.Callback):
        num_steps = 0

        def __init__(self, **_):
            super().__init__()

        def on_train_batch_end(self, *_, **__):
            self.num_steps += 1
            if self.num_steps == 3:  # of two steps an epoch
                raise KeyboardInterrupt

    return Interrupting


def test_command_says_how_it_would_train(small_records, tmp_path, capsys):
    (tmp_path / "run.toml").write_text(
        'model = "small_cnn"\ntraining = "pgd"\n\n[training_options]\nnum_steps = 3\nnorm = "l2"\n'
    )
    flags = ["--config", tmp_path / "run.toml", "--data", small_records, "--output", tmp_path / "run"]
    assert main([*map(str, flags), "--training-options.epsilon", "5e-1", "--dry-run"]) == 0
    options = "epsilon 0.5, num_steps 3, relative_step 0.25, has_random_start true, norm l2, perturb valid"
    assert f"  training pgd: {options}" in capsys.readouterr().out.splitlines()
