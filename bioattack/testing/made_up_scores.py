"""A results table with known unequal models, for the tests of what is scored from it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


@dataclasses.dataclass(frozen=True)
class MadeUpScores:
    """What the table holds.

    Args:
        models: Names; each later one is less accurate in the last classes.
        num_images: A model.
        num_classes: Labels go round.
        epsilons: Of the attack; empty leaves it out.
        groups: Values of the column ``race``, in parts of 5 : 2 : 1.
        has_search: Whether the least epsilon was searched too.
        has_probabilities: Whether there are columns ``p0, p1, ...``.
        seed: Of all random numbers.
    """

    models: Sequence[str] = ("standard", "robust")
    num_images: int = 400
    num_classes: int = 4
    epsilons: Sequence[float] = (0.01, 0.02)
    groups: Sequence[str] = ("White", "Black", "Other")
    has_search: bool = True
    has_probabilities: bool = True
    seed: int = 0


def write_results(path: Path, made_up: MadeUpScores | None = None) -> pd.DataFrame:
    """Writes ``results.csv.gz`` as an evaluation does, with the columns that scores need.

    Args:
        path: The file; its folder is made.
        made_up: What it holds.

    Returns:
        The table, from which a test computes what it expects.
    """
    made_up = made_up or MadeUpScores()
    parts = [_of_model(place, name, made_up) for place, name in enumerate(made_up.models)]
    table = pd.concat(parts, ignore_index=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return table


def _of_model(place: int, name: str, made_up: MadeUpScores) -> pd.DataFrame:
    number, num_classes = made_up.num_images, made_up.num_classes
    shared, own = np.random.default_rng(made_up.seed), np.random.default_rng(made_up.seed + 1 + place)
    weights = np.array([5, 2, 1, *[1] * len(made_up.groups)])[: len(made_up.groups)]
    races = shared.choice(list(made_up.groups), number, p=weights / weights.sum())
    labels = np.arange(number) % num_classes
    right = own.random(number) < np.linspace(0.9, 0.8 - 0.25 * place, num_classes)[labels]
    predicted = np.where(right, labels, (labels + 1) % num_classes)
    least = np.where(right, own.exponential(0.01 * (1 + place * labels), number), 0.0)
    rows: dict[str, Any] = {
        "image_id": [f"test/{index:05d}.png" for index in range(number)],
        "label": labels,
        "model": name,
        "race": races,
        "predicted_clean": predicted,
        "correct_clean": right,
    }
    if made_up.has_probabilities:
        logits = own.normal(size=(number, num_classes)) + 3 * np.eye(num_classes)[predicted]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        rows |= {f"p{index}": column for index, column in enumerate(probabilities.T)}
    none = {"epsilon_low": np.nan, "epsilon_high": np.nan}
    still = {"predicted_adversarial": predicted, "success": False}
    frames = [pd.DataFrame(rows | {"attack": "none", "norm": "none", "epsilon": 0.0} | still | none)]
    attack = {"attack": "pgd", "norm": "linf"}
    for epsilon in made_up.epsilons:
        fooled = right & (least <= epsilon)
        fallen = {"predicted_adversarial": np.where(fooled, (labels + 1) % num_classes, predicted)}
        frames.append(pd.DataFrame(rows | attack | fallen | {"epsilon": epsilon, "success": fooled} | none))
    if made_up.has_search:
        frames.append(pd.DataFrame(rows | attack | _search(right, least, predicted, num_classes)))
    return pd.concat(frames, ignore_index=True)


def _search(right: np.ndarray, least: np.ndarray, predicted: np.ndarray, num_classes: int) -> dict[str, Any]:
    largest = 0.04
    withstood = least > largest
    return {
        "predicted_adversarial": np.where(right & ~withstood, (predicted + 1) % num_classes, predicted),
        "success": right & ~withstood,
        "epsilon": np.where(withstood, largest, least),
        "epsilon_low": np.where(withstood, largest, 0.99 * least),
        "epsilon_high": np.where(withstood, np.inf, least),
    }
