"""Whether attacked pictures still fool once they have been compressed or have fewer bits per channel."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from bioattack.classifier import Classifier
from bioattack.defences import parse_defence
from bioattack.errors import InputError

#: The sweeps of Hua et al. 2022, Figure 3.5.
JPEG_SWEEP = tuple(f"jpeg:{quality}" for quality in (100, 95, 90, 80, 70, 60, 50, 40, 30, 20, 10))
BITS_SWEEP = tuple(f"bits:{bits}" for bits in (8, 7, 6, 5, 4, 3, 2))


def success_after_defences(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    is_correct: np.ndarray,
    image_ids: Sequence[str],
    defences: Sequence[str] = (*JPEG_SWEEP, *BITS_SWEEP),
    batch_size: int = 32,
) -> pd.DataFrame:
    """Puts attacked pictures through defences that the attack did not know of, and classifies them again.

    A picture counts as a success of the attack if it was right as it was, undefended, and is wrong after the
    defence. So defences that spoil pictures count for the attack; to see by how much, give the originals in
    place of the attacked pictures.

    Args:
        classifier: Without a defence.
        images: ``(pictures, height, width, channels)``, float, [0, 1].
        labels: ``(pictures,)``, true classes.
        is_correct: ``(pictures,)``: whether the undefended original is right.
        image_ids: A name for each picture.
        defences: Names, such as ``"jpeg:75"`` and ``"bits:3"``.
        batch_size: Pictures per call.

    Returns:
        One row for each defence and picture: ``defence, kind, strength, image_id, correct_clean, success``.

    Raises:
        InputError: If there is no such defence, or the arrays are not equally long.
    """
    if not len(images) == len(labels) == len(is_correct) == len(image_ids):
        raise InputError(
            "images, labels, is_correct and image_ids must be equally many. Received: "
            f"{len(images)}, {len(labels)}, {len(is_correct)} and {len(image_ids)}"
        )
    made = [parse_defence(name) for name in defences]
    tables = []
    for defence in made:
        predicted = [
            classifier.logits(defence(images[start : start + batch_size])).numpy().argmax(1)
            for start in range(0, len(images), batch_size)
        ]
        is_wrong = np.concatenate(predicted) != labels if predicted else np.zeros(0, bool)
        facts = {"defence": defence.name, "kind": defence.kind, "strength": defence.strength}
        outcomes = {"correct_clean": is_correct, "success": is_correct & is_wrong}
        tables.append(pd.DataFrame({"image_id": list(image_ids), **facts, **outcomes}))
    columns = ["defence", "kind", "strength", "image_id", "correct_clean", "success"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def sweep_table(results: pd.DataFrame) -> pd.DataFrame:
    """Computes the success rate after each defence, over the pictures that were right before the attack.

    Args:
        results: Rows of ``success_after_defences``, with a column ``attack`` before them.

    Returns:
        One row for each attack and defence: ``attack, defence, kind, strength, num_images, num_success, rate,
        low, high``; the last two are the ends of the 95 % Wilson interval.
    """
    attacked = results[results["correct_clean"].astype(bool)]
    grouped = attacked.groupby(["attack", "defence", "kind", "strength"], sort=False)["success"]
    table = grouped.agg(num_images="size", num_success="sum").reset_index()
    return table.assign(**with_wilson(table["num_success"].to_numpy(), table["num_images"].to_numpy()))


def with_wilson(num_success: np.ndarray, num_images: np.ndarray) -> dict[str, np.ndarray]:
    """Gives ``rate``, ``low`` and ``high``, the ends of the 95 % Wilson interval.

    >>> {name: value.round(3).tolist() for name, value in with_wilson(np.array([3]), np.array([4])).items()}
    {'rate': [0.75], 'low': [0.301], 'high': [0.954]}
    """
    rate = num_success.astype(float) / num_images
    low, high = proportion_confint(num_success.astype(float), num_images, alpha=0.05, method="wilson")
    # Rounding puts an end a hair beyond 0, 1 or the rate itself.
    return {"rate": rate, "low": np.clip(low, 0, rate), "high": np.clip(high, rate, 1)}
