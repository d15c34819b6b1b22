"""Trained networks with other options at test time: random gazes, or no gradient through their choice."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bioattack.classifier import load_classifier
from bioattack.evaluation.config import default_batch_size
from bioattack.evaluation.reproduce.experiment import Variant
from bioattack.evaluation.reproduce.workplace import REBUILT, Workplace
from bioattack.models.registry import build_model, model_options
from bioattack.training.export import write_keras
from bioattack.training.initial_weights import load_initial_weights
from bioattack.training.run_folder import MODEL

RANDOM_GAZE = {"when_tested": "random"}
STOPPED_GRADIENT = {"gaze_gradient": "stop"}


def has_option(variant: Variant, changes: Mapping[str, Any]) -> bool:
    """Tells whether a network understands these options."""
    return set(changes) <= set(model_options(variant.model))


def rebuild(workplace: Workplace, variant: Variant, seed: int, *, changes: Mapping[str, Any]) -> Path:
    """Builds a trained network again with other options and the same weights, once.

    Args:
        workplace: Where it is trained.
        variant: The network.
        seed: Of its training.
        changes: Options that change no weights.

    Returns:
        A ``.keras`` file in ``rebuilt/``.
    """
    suffix = "-".join(str(value) for value in changes.values())
    path = workplace.output / REBUILT / f"{variant.label}-seed{seed}-{suffix}.keras"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        write_keras(build_trained(workplace, variant, seed, changes=changes), path)
    return path


def build_trained(
    workplace: Workplace, variant: Variant, seed: int, *, changes: Mapping[str, Any] | None = None
) -> keras.Model:
    """Builds a network with the weights of its run, with other options where they change no weights."""
    keras.utils.clear_session(free_memory=True)
    model = build_model(
        variant.model,
        image_shape=workplace.pictures.image_shape,
        num_classes=workplace.pictures.num_classes,
        preset=workplace.scale.model_preset,
        options={**variant.options_at(workplace.scale), **(changes or {})},
        seed=seed,
    )
    load_initial_weights(model, workplace.run_folder(variant, seed) / MODEL)
    return model


def measure_random_gaze(workplace: Workplace, variant: Variant, seed: int) -> dict[str, Any] | None:
    """Measures the accuracy of a network that looks at random points instead of its fixed ones.

    Args:
        workplace: Where it is trained.
        variant: The network.
        seed: Of its training.

    Returns:
        ``accuracies``, one for each of the scale's draws, and ``num_images``; None for a network without
        fixed gazes.
    """
    if not has_option(variant, RANDOM_GAZE):
        return None
    return workplace.remember(
        f"random-gaze-{variant.label}-seed{seed}", lambda: _draw_accuracies(workplace, variant, seed)
    )


def _draw_accuracies(workplace: Workplace, variant: Variant, seed: int) -> dict[str, Any]:
    path = rebuild(workplace, variant, seed, changes=RANDOM_GAZE)
    classifier = load_classifier(path, image_shape=workplace.pictures.image_shape)
    batch_size = default_batch_size(workplace.pictures.image_shape)
    dataset = workplace.pictures.dataset("test", batch_size=batch_size, limit=workplace.scale.test_limit)
    accuracies = []
    for _ in range(workplace.scale.num_draws):
        is_right = [
            np.asarray(classifier.logits(images)).argmax(1) == np.asarray(labels)
            for images, labels in dataset
        ]
        accuracies.append(float(np.mean(np.concatenate(is_right))))
    return {"accuracies": accuracies, "num_images": sum(map(len, is_right))}


def random_gaze_words(workplace: Workplace, variant: Variant) -> str:
    """Says the accuracy with random gazes, mean and deviation over the draws; empty without fixed gazes."""
    found = [measure_random_gaze(workplace, variant, seed) for seed in workplace.config.all_seeds]
    drawn = [one["accuracies"] for one in found if one]
    if not drawn:
        return ""
    within = math.sqrt(float(np.mean([np.var(accuracies, ddof=1) for accuracies in drawn])))
    return f"{100 * np.mean(drawn):.1f} ± {100 * within:.1f}"
