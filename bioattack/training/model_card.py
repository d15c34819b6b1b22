"""``model_card.json``: what a trained model is, on what it was trained, and how good it is."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bioattack.files import replacing
from bioattack.provenance import git_commit, versions
from bioattack.tfrecords_builder.reading import Records
from bioattack.training.auxiliary import auxiliary_features
from bioattack.training.config import TrainPlan
from bioattack.training.export import is_random

FORMAT_VERSION = 1

# Enough for the training accuracy to be known within two or three per cent.
MOST_TRAIN_IMAGES = 1000

_RANDOM = (
    "This network draws random numbers when it classifies, so it can answer the same picture differently from"
    " call to call: an attack that sees a single draw overstates its robustness; attack the mean of several."
)


def make_card(
    classifier: keras.Model,
    *,
    plan: TrainPlan,
    records: Records,
    images: np.ndarray,
    accuracy: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measures a trained classifier and describes it.

    Args:
        classifier: Built network.
        plan: The settings it was trained with.
        records: The records it was trained on.
        images: A few images, to find out whether the network draws at random when it is used.
        accuracy: As ``measure_accuracy`` gives it, where it has been measured already.
    """
    config = plan.config
    has_random_layers = is_random(classifier, images=images)
    return {
        "format_version": FORMAT_VERSION,
        "model": config.model,
        "model_options": dict(config.model_options),
        "preset": config.preset,
        "training": config.training,
        "training_options": plan.training_settings(),
        "class_names": list(records.class_names),
        "image_shape": list(records.input_shape),
        "input_range": [0.0, 1.0] if records.table is None else None,
        "table": None if records.table is None else dataclasses.asdict(records.table),
        "outputs": "logits",
        "num_parameters": classifier.count_params(),
        "has_random_layers": has_random_layers,
        "notes": [_RANDOM] if has_random_layers else [],
        "seed": config.seed,
        "epochs": plan.epochs,
        "batch_size": plan.batch_size,
        "learning_rate": config.learning_rate,
        "learning_rate_factors": dict(getattr(classifier, "learning_rate_factors", {})),
        "auxiliary_features": list(auxiliary_features(classifier)),
        "schedule": plan.schedule,
        "initial_weights": describe_file(config.initial_weights),
        "data": {
            "path": str(config.data),
            "kind": records.manifest.kind,
            "fingerprint": records.manifest.fingerprint,
            "splits": {split: records.num_examples(split) for split in records.splits},
            "limit": config.limit,
            "left_out": list(config.leave_out),
            "balanced": config.balance,
        },
        "accuracy": accuracy or measure_accuracy(classifier, records=records, plan=plan),
        "versions": versions(),
        "git_commit": git_commit(),
        "weights_sha256": weights_sha256(classifier),
    }


def write_card(card: dict[str, Any], path: Path) -> None:
    """Writes a card, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(card, indent=2) + "\n")


def measure_accuracy(classifier: keras.Model, *, records: Records, plan: TrainPlan) -> dict[str, Any]:
    """Counts right answers on the whole test split and on the first training images.

    Returns:
        ``train``, ``num_train``, ``test``, ``num_test``; the last two are None and 0 without a test split.
    """
    limit = min(plan.config.limit or MOST_TRAIN_IMAGES, MOST_TRAIN_IMAGES)
    train = records.dataset("train", batch_size=plan.batch_size, limit=limit)
    right_train, num_train = _count_right(classifier, train)
    right_test, num_test = 0, 0
    if "test" in records.splits:
        right_test, num_test = _count_right(classifier, records.dataset("test", batch_size=plan.batch_size))
    return {
        "train": right_train / num_train,
        "num_train": num_train,
        "test": right_test / num_test if num_test else None,
        "num_test": num_test,
    }


def _count_right(classifier: keras.Model, dataset: tf.data.Dataset) -> tuple[int, int]:
    @tf.function(reduce_retracing=True)
    def predict(images: tf.Tensor) -> tf.Tensor:
        return tf.argmax(classifier(images, training=False), axis=-1, output_type=tf.int32)

    right = total = 0
    for images, labels in dataset:
        right += int(tf.math.count_nonzero(predict(images) == tf.cast(labels, tf.int32)))
        total += int(labels.shape[0])
    return right, total


def weights_sha256(classifier: keras.Model) -> str:
    """Returns a checksum of the weights alone: equal for equal runs, whatever the file around them."""
    digest = hashlib.sha256()
    for variable in classifier.weights:
        digest.update(np.ascontiguousarray(np.asarray(variable)).tobytes())
    return digest.hexdigest()


def describe_file(path: Path | None) -> dict[str, str] | None:
    """Returns name and checksum of a file (or of the model in a run folder), or ``None`` for none."""
    if path is None:
        return None
    file = path / "model.keras" if path.is_dir() else path
    with file.open("rb") as content:
        return {"name": path.name, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}
