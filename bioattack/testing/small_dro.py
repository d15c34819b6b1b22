"""What tests of adversarial datasets share: a linear model, a small plan, and all that a dataset holds."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from bioattack.attacks.registry import DISTANCE_ATTACKS
from bioattack.tfrecords_builder.attacked_records import Provenance, read_provenance
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.weighted_reading import WeightedRecords, open_weighted_records
from bioattack.training.config import TrainConfig, TrainPlan, make_plan

LEARNING_RATE = 0.01


def linear_model() -> keras.Model:
    """Makes a linear classifier of 16 x 16 pictures that tells their tint.

    >>> linear_model().output_shape
    (None, 3)
    """
    images = keras.Input((16, 16, 3))
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    kernel = np.zeros((16, 16, 3, 3), np.float32)
    kernel += 0.05 * np.eye(3, dtype=np.float32)
    kernel += np.random.default_rng(0).normal(0, 0.01, kernel.shape).astype(np.float32)
    model.set_weights([kernel.reshape(-1, 3), np.zeros(3, np.float32)])
    return model


def small_dro_plan(*, batch_size: int = 4, limit: int = 12, **options: Any) -> TrainPlan:
    """Plans two rounds on a few pictures.

    Args:
        batch_size: Pictures per step.
        limit: Clean pictures.
        **options: Of ``DroOptions``; others than its own defaults where they are not given.

    >>> small_dro_plan(rounds=1).training_options.num_steps
    6
    """
    given: dict[str, Any] = {"attack": "lagrangian", "num_steps": 6, "step_length": 0.3} | options
    if given["attack"] in DISTANCE_ATTACKS:
        given.setdefault("distance", "l2")
    return make_plan(
        TrainConfig(
            model="small_cnn",
            data=Path("records"),
            output=Path("run"),
            training="dro",
            training_options=given,
            schedule="constant",
            learning_rate=LEARNING_RATE,
            batch_size=batch_size,
            limit=limit,
            quiet=True,
        )
    )


def read_all(folder: Path) -> tuple[WeightedRecords, np.ndarray, np.ndarray, list[Provenance]]:
    """Reads a finished dataset: itself, its pictures, labels, and where each comes from.

    Args:
        folder: Of the dataset.
    """
    weighted = open_weighted_records(folder, open_records(folder).manifest)
    everything = np.arange(weighted.num_examples)
    images, labels, _ = next(iter(weighted.dataset_at(everything, batch_size=len(everything))))
    provenance = [read_provenance(record) for record in weighted.read(everything)]
    return weighted, images.numpy(), labels.numpy(), provenance
