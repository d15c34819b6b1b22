"""Every network of the registry, trained for a moment as a user would train it."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.fixations import (
    FixationGazes,
    FoldFixations,
    MeanOverFixations,
    five_gazes,
)
from bioattack.models.registry import build_model, model_names
from bioattack.tfrecords_builder.reading import open_records
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.run import train
from bioattack.training.standard import StandardTraining

# What the card says of few networks only, with their small presets at 32 pixels.
AUXILIARY_FEATURES = {"cortical": ["scale_1_features", "scale_2_features"]}
LEARNING_RATE_FACTORS = {"multi_gaze": {"localisation": 1.0}, "stn": {"localisation": 1.0}}


def answers_of_files(run, images, *, num_calls=1):
    """The logits of ``model.keras`` and of the SavedModel in their last call, with the same random draws."""
    stored = keras.saving.load_model(run / "model.keras")
    saved = tf.saved_model.load(str(run / "saved_model"))
    for variable in (*stored.variables, *saved.variables):
        if "seed_generator_state" in variable.name:
            variable.assign([7, 0])
    for _ in range(num_calls):
        logits = np.asarray(stored(images, training=False)), np.asarray(saved.serve(images))
    return logits


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in model_names() if name != "adult_mlp"])
def test_trains_and_its_files_agree(name, records_of_32_pixels, tmp_path):
    run = tmp_path / "run"
    result = train(
        TrainConfig(model=name, data=records_of_32_pixels, output=run, epochs=1, batch_size=20, quiet=True)
    )
    card = result.details
    assert result.status == "trained"
    assert (run / "history.csv").read_text().count("\n") == 2
    # Random gazes and noise in the test are options; without them the figures of a run can be repeated.
    assert card["has_random_layers"] is False
    assert card["auxiliary_features"] == AUXILIARY_FEATURES.get(name, [])
    assert card["learning_rate_factors"] == LEARNING_RATE_FACTORS.get(name, {})
    images, _ = next(iter(open_records(records_of_32_pixels).dataset("test", batch_size=20)))
    stored, saved = answers_of_files(run, images)
    np.testing.assert_allclose(stored, saved, rtol=1e-3, atol=1e-4)
    assert stored.shape == (20, 3)
    assert np.isfinite(stored).all()


# Networks that differ in more than size; check_layer holds every layer to mixed precision by itself.
@pytest.mark.parametrize("name", ["resnet18", "cortical", "r_blur", "stn", "multi_gaze"])
def test_learns_in_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_model(name, image_shape=(32, 32, 3), num_classes=3, seed=0)
        plan = make_plan(TrainConfig(model=name, data=Path("records"), output=Path("run"), batch_size=6))
        training = StandardTraining(model, plan)
        training.compile_for(steps_per_epoch=1)
        training.run_eagerly = True
        before = [np.asarray(weight) for weight in model.trainable_weights]
        images = np.random.default_rng(0).random((6, 32, 32, 3), dtype=np.float32)
        measured = training.train_on_batch(images, np.arange(6) % 3, return_dict=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(measured["loss"])
    assert {output.dtype for output in model.outputs} == {"float32"}
    moved = [
        bool(np.any(np.asarray(weight) != start))
        for weight, start in zip(model.trainable_weights, before, strict=True)
    ]
    # Not all: biases before a batch normalisation have no gradient.
    assert sum(moved) > len(moved) / 2
    assert all(np.isfinite(np.asarray(weight)).all() for weight in model.weights)


def test_network_that_draws_when_it_is_tested_says_so(small_records, tmp_path, monkeypatch):
    def build(*_, **__):
        images = keras.Input((16, 16, 3))
        gazes = FixationGazes(fixed=five_gazes(2), lowest=-2, highest=2, when_tested="random")(images)
        folded, gaze = FoldFixations()(images, gazes)
        means = keras.layers.GlobalAveragePooling2D()(folded)
        logits = keras.layers.Dense(3)(keras.layers.Concatenate()([means, gaze]))
        return keras.Model(images, MeanOverFixations()(logits, gazes))

    monkeypatch.setattr("bioattack.training.run.build_model", build)
    run = tmp_path / "run"
    train(TrainConfig(model="small_cnn", data=small_records, output=run, epochs=0, quiet=True))
    card = json.loads((run / "model_card.json").read_text())
    assert card["has_random_layers"] is True
    (note,) = card["notes"]
    assert "an attack that sees a single draw overstates its robustness" in note
    images = np.ones((4, 16, 16, 3), "float32")
    one, other = answers_of_files(run, images), answers_of_files(run, images, num_calls=2)
    np.testing.assert_allclose(one[0], one[1], rtol=1e-5)
    np.testing.assert_allclose(other[0], other[1], rtol=1e-5)
    assert np.abs(one[0] - other[0]).max() > 1e-3
