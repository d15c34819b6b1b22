from pathlib import Path

import keras
import numpy as np
import pytest

from bioattack.testing.small_records import write_small_records
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.registry import training_class


@pytest.fixture(scope="session")
def small_records(tmp_path_factory):
    """60 training and 15 test pictures of 16 x 16 pixels in three classes."""
    return write_small_records(tmp_path_factory.mktemp("records") / "small")


@pytest.fixture(scope="session")
def records_of_32_pixels(tmp_path_factory):
    """40 training and 20 test pictures of 32 x 32 pixels in three classes."""
    folder = tmp_path_factory.mktemp("records") / "of_32_pixels"
    return write_small_records(folder, num_train=40, num_test=20, size=32)


@pytest.fixture(scope="session")
def prepared_training():
    """Makes the training of a classifier, compiled with gradient descent at a rate of 0.1 or with Adam."""

    def prepare(name, classifier, *, optimizer="sgd", run_eagerly=False, seed=0, **options):
        plan = make_plan(
            TrainConfig(
                model="small_cnn",
                data=Path("records"),
                output=Path("run"),
                training=name,
                training_options=options,
                seed=seed,
                epochs=2,
            )
        )
        training = training_class(name)(classifier, plan)
        training.compile_for(steps_per_epoch=5)
        if optimizer == "sgd":
            training.optimizer = keras.optimizers.SGD(0.1)
        training.run_eagerly = run_eagerly
        return training

    return prepare


@pytest.fixture(scope="session")
def linear_classifier():
    """Makes a classifier of 2 x 2 pictures whose logits are a weighted sum of the pixels."""

    def make(*, num_classes=2, scale=1.0, seed=0):
        images = keras.Input((2, 2, 1))
        logits = keras.layers.Dense(num_classes, name="logits")(keras.layers.Flatten()(images))
        model = keras.Model(images, logits)
        random = np.random.default_rng(seed)
        model.set_weights([scale * random.normal(size=weight.shape) for weight in model.weights])
        return model

    return make
