"""Rows of the long table, from what the models made of a batch of pictures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bioattack.attacks.lengths import lengths
from bioattack.attacks.tasks import ImageResult

Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class AttackedBatch:
    """A batch under one attack at one epsilon; one entry per picture, in NumPy arrays.

    Args:
        adversarial_images: ``(batch, height, width, channels)``; the picture itself where not attacked.
        logits: ``(batch, classes)`` of these.
        logits_8bit: The same once they are rounded to 8 bits per channel.
        is_fooled: Whether the attack succeeded.
        num_steps: Steps that it took.
        seconds: Time that it took.
        has_zero_gradient: Whether the attack had no gradient to start with.
        epsilon: Radius of the ball.
        epsilon_low: Where the least epsilon was searched, the largest one withstood; else NaN.
        epsilon_high: The least one that fooled; else NaN.
        is_new: False where an earlier attack of the same list has fooled the picture already, in 8 bits too.
    """

    adversarial_images: np.ndarray
    logits: np.ndarray
    logits_8bit: np.ndarray
    is_fooled: np.ndarray
    num_steps: np.ndarray
    seconds: np.ndarray
    has_zero_gradient: np.ndarray
    epsilon: np.ndarray
    epsilon_low: np.ndarray
    epsilon_high: np.ndarray
    is_new: np.ndarray


def clean_rows(
    batch: Batch,
    logits: np.ndarray,
    *,
    seconds: float,
    facts: Mapping[str, Any],
    judges: Sequence[str] = (),
    probabilities: Sequence[str] = (),
) -> pd.DataFrame:
    """Makes the rows of pictures as they are.

    Args:
        batch: ``image``, ``label``, ``image_id`` and ``group_NAME`` for each group.
        logits: ``(batch, classes)``.
        seconds: Time for each picture.
        facts: The columns that are the same in all rows.
        judges: Columns of more distances, which are 0 here.
        probabilities: Columns of the classes' probabilities, in the order of the classes.
    """
    number = len(logits)
    nothing, nowhere = np.zeros(number), np.full(number, np.nan)
    attacked = AttackedBatch(
        np.asarray(batch["image"]),
        logits,
        logits,
        is_fooled=nothing > 0,
        num_steps=nothing.astype(np.int64),
        seconds=np.full(number, seconds),
        has_zero_gradient=nothing > 0,
        epsilon=nothing,
        epsilon_low=nowhere,
        epsilon_high=nowhere,
        is_new=nothing == 0,
    )
    return attacked_rows(
        batch,
        logits,
        attacked,
        facts=facts,
        judged=dict.fromkeys(judges, nothing),
        probabilities=probabilities,
    )


def attacked_rows(
    batch: Batch,
    clean_logits: np.ndarray,
    attacked: AttackedBatch,
    *,
    facts: Mapping[str, Any],
    target: int | None = None,
    judged: Mapping[str, np.ndarray] | None = None,
    probabilities: Sequence[str] = (),
    has_probabilities: bool = True,
) -> pd.DataFrame:
    """Makes the rows of attacked pictures, with the columns that ``bioattack.evaluation.results`` describes.

    Args:
        batch: ``image``, ``label``, ``image_id`` and ``group_NAME`` for each group.
        clean_logits: ``(batch, classes)`` of the pictures as they are.
        attacked: What came of the attack.
        facts: The columns that are the same in all rows.
        target: The class that success is to reach, or None where it is to leave the true one.
        judged: More distances of each picture from its original, ``(batch,)`` by the names of their columns.
        probabilities: Columns of the classes' probabilities, in the order of the classes.
        has_probabilities: Whether they are filled in, and not left empty.
    """
    labels = np.asarray(batch["label"])
    predicted_clean = clean_logits.argmax(1)
    is_correct = predicted_clean == labels
    predicted_8bit = attacked.logits_8bit.argmax(1)
    is_fooled_8bit = predicted_8bit != labels if target is None else predicted_8bit == target
    if target is not None:
        is_fooled_8bit &= labels != target
    distances = [
        lengths(adversarial.astype(np.float64) - original)
        for adversarial, original in zip(attacked.adversarial_images, np.asarray(batch["image"]), strict=True)
    ]
    table = {
        "image_id": batch["image_id"],
        "origin_id": batch["image_id"],
        "label": labels,
        **facts,
        "epsilon": attacked.epsilon,
        "predicted_clean": predicted_clean,
        "predicted_adversarial": attacked.logits.argmax(1),
        "correct_clean": is_correct,
        "success": is_correct & attacked.is_fooled,
        "success_8bit": is_correct & is_fooled_8bit,
        "steps": attacked.num_steps,
        "seconds": attacked.seconds,
        **{norm: [distance[norm] for distance in distances] for norm in ("l1", "l2", "linf", "rms")},
        "margin_clean": margins(clean_logits, labels),
        "margin_adversarial": margins(attacked.logits, labels),
        "has_zero_gradient": attacked.has_zero_gradient,
        "epsilon_low": attacked.epsilon_low,
        "epsilon_high": attacked.epsilon_high,
        **(judged or {}),
        **_probabilities(attacked.logits, probabilities, is_known=has_probabilities),
    } | {name.removeprefix("group_"): batch[name] for name in batch if name.startswith("group_")}
    return pd.DataFrame(table)


def _probabilities(logits: np.ndarray, columns: Sequence[str], *, is_known: bool) -> dict[str, np.ndarray]:
    """The softmax of the logits, a column for each class; NaN where it is not asked for."""
    if not is_known:
        return dict.fromkeys(columns, np.full(len(logits), np.nan))
    shares = softmax(logits).astype(np.float32)
    return {name: shares[:, label] for label, name in enumerate(columns)}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Gives the probabilities of logits ``(batch, classes)``, in float64.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def better_rows(
    before: pd.DataFrame, after: pd.DataFrame, *, is_new: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray]:
    """Takes, picture by picture, the stronger of two attacks that were run one after the other.

    Args:
        before: Rows of the first attack.
        after: Rows of the second one, for the same pictures.
        is_new: ``(pictures,)``: whether the second one was run on the picture.

    Returns:
        The rows, with the steps and the time of both; and which of them are the second one's: those where it
        fooled and the first one did not, in 8 bits rather than not, or, neither having fooled, came closer.
    """
    first, second = (2 * table["success"].astype(int) + table["success_8bit"] for table in (before, after))
    is_closer = after["margin_adversarial"].astype("float32") < before["margin_adversarial"].astype("float32")
    is_better = (second > first) | ((second == first) & ~before["success"] & is_closer)
    is_after = is_new & is_better.to_numpy()
    summed = {name: before[name] + after[name] for name in ("steps", "seconds")}
    chosen = {
        name: np.where(is_after, after[name].to_numpy(), before[name].to_numpy()) for name in before.columns
    }
    return pd.DataFrame(chosen).assign(**summed), is_after


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logit of the true class minus the largest other one."""
    is_true = np.arange(logits.shape[1]) == labels[:, None]
    others = np.where(is_true, -np.inf, logits).max(1)
    return (logits[is_true] - others).astype(np.float32)


def batch_of(results: Sequence[ImageResult]) -> tuple[Batch, np.ndarray]:
    """Puts the pictures of an engine's results into a batch again, with their clean logits."""
    images = [result.image for result in results]
    batch = {
        "image": np.stack([image.pixels for image in images]),
        "label": np.array([image.label for image in images], np.int32),
        "image_id": np.array([image.image_id for image in images]),
        **{
            name: np.array([image.extra[name] for image in images])
            for name in images[0].extra
            if name.startswith("group_")
        },
    }
    return batch, np.stack([image.clean_logits for image in images])


def attacked_batch(
    results: Sequence[ImageResult], place: int, *, epsilon: float, is_search: bool
) -> AttackedBatch:
    """Puts one outcome of each of an engine's results into arrays.

    Args:
        results: The results.
        place: Which outcome, counted in the search's epsilons.
        epsilon: What to write where there is none, the picture having been wrong before it was attacked.
        is_search: Whether the least epsilon was searched; it is 0 for these pictures.
    """
    unattacked = 0.0 if is_search else np.nan
    columns: dict[str, list[Any]] = {field.name: [] for field in dataclasses.fields(AttackedBatch)}
    for result in results:
        image = result.image
        outcome = result.outcomes[place] if place < len(result.outcomes) else None
        finding = outcome.finding if outcome else None
        row = {
            "adversarial_images": finding.required_image() if finding else image.pixels,
            "logits": finding.logits if finding else image.clean_logits,
            "logits_8bit": finding.logits_8bit if finding else image.clean_logits,
            "is_fooled": outcome.is_fooled if outcome else False,
            "num_steps": outcome.num_steps if outcome else 0,
            "seconds": outcome.seconds if outcome else 0.0,
            "has_zero_gradient": finding.has_zero_gradient if finding else False,
            "epsilon": outcome.epsilon if outcome else epsilon,
            "epsilon_low": outcome.epsilon_low if outcome else unattacked,
            "epsilon_high": outcome.epsilon_high if outcome else unattacked,
            "is_new": outcome is not None or not image.is_correct,
        }
        for name, value in row.items():
            columns[name].append(value)
    return AttackedBatch(**{name: np.stack(values) for name, values in columns.items()})
