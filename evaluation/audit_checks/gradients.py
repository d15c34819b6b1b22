"""Checks of the gradient: whether there is one, whether it is finite, and whether it is the model's own."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.evaluation.audit_checks.evidence import LADDER, AttackRun, Evidence
from bioattack.evaluation.audit_checks.finding import FEWEST_PICTURES, MARGIN, Finding, is_more_than, share
from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS, UNDECIDED

# What is smaller has no square in float32, and so no length.
_VANISHED = float(np.sqrt(np.finfo(np.float32).tiny))

_NUM_PROBED, _NUM_DIRECTIONS = 32, 4

# Below half an 8-bit step, where pictures of files lie in the middle of what rounding would flatten.
_STEPS = tuple(step / 255 for step in (0.05, 0.2, 0.45))

# Half of all differences agree with the gradient better than this, at the step where they do so best.
# Measured: trained networks 0.0001 to 0.04, a gradient of noise or of nothing 1, one of the wrong sign 2.
_DISAGREEMENT = 0.3

# The same at the largest step, along random directions. Measured: a small network 0.006, the published robust
# MNIST network 0.02, ResNet-20 on CIFAR-10 0.12; a rippled surface 0.7 to 0.9.
_SHATTERED = 0.5

# So many times the rounding error of float32 logits must lie in a difference for it to be looked at.
_RESOLUTION = 32 * float(np.finfo(np.float32).eps)

# Beginnings of the same way: equal steps, more and more of them, the last as the other checks take it.
_PATH = tuple(AttackRun(0.0, num_steps=steps, relative_step=0.125, judged="last") for steps in (2, 6, 20))
_TOLERATED_FALLS = 0.1


def check_finite(evidence: Evidence) -> Finding:
    """Looks for NaN and infinity at the pictures, beside them, on an attack's way and in the corners."""
    num_bad = {name: _num_bad(evidence, images) for name, images in _places(evidence)}
    if not any(num_bad.values()):
        num_bad["adversarial pictures"] = _num_bad_when_attacked(evidence)
    figures = {"num_bad": num_bad}
    if any(num_bad.values()):
        where = ", ".join(f"{number} of {name}" for name, number in num_bad.items() if number)
        sentence = (
            f"Scores or gradients are NaN or infinite ({where}), and an attack that meets one stops there, "
            "which counts as robust: look for a root, a logarithm or a division at zero in the model."
        )
        return Finding(FAILS, sentence, evidence.num_images, figures)
    sentence = "No attack can be stopped by a number that is none."
    return Finding(HOLDS, sentence, evidence.num_images, figures)


def _num_bad(evidence: Evidence, images: np.ndarray) -> int:
    is_bad = ~np.isfinite(evidence.logits_of(images)).all(1)
    for loss in ("cross-entropy", "margin"):
        is_bad |= ~np.isfinite(evidence.gradients(images, loss=loss)).all((1, 2, 3))
    return int(is_bad.sum())


def _num_bad_when_attacked(evidence: Evidence) -> int:
    try:
        return _num_bad(evidence, evidence.attack(AttackRun(evidence.middle_epsilon)).images)
    except InputError as error:
        # No attack refuses because of NaN but where it met one.
        return evidence.num_images if "NaN" in str(error) else 0


def _places(evidence: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """Places an attack can come to without being made, by name."""
    images, random = evidence.images, np.random.default_rng(evidence.seed)
    yield "the pictures themselves", images
    yield "black, white and grey", np.stack([np.full_like(images[0], level) for level in (0, 1, 0.5)])
    yield "the corners of the pixel range", (images > 0.5).astype(np.float32)
    yield "random corners", np.asarray(random.integers(0, 2, images.shape), np.float32)
    direction: np.ndarray = np.sign(np.nan_to_num(evidence.gradients(images, loss="cross-entropy")))
    for epsilon in (LADDER[5], LADDER[7]):
        step = np.float32(epsilon)
        yield f"one step of {epsilon:.2g}", np.clip(images + step * direction, 0, 1)
        noise = np.asarray(random.uniform(-step, step, images.shape), np.float32)
        yield f"noise of {epsilon:.2g}", np.clip(images + noise, 0, 1)


def check_zero_gradient(evidence: Evidence) -> Finding:
    """Counts pictures at which the cross-entropy, or even the margin, has no gradient left in float32."""
    is_zero = {
        loss: np.abs(evidence.gradients(evidence.images, loss=loss)).max((1, 2, 3)) < _VANISHED
        for loss in ("cross-entropy", "margin")
    }
    none, only = is_zero["margin"], is_zero["cross-entropy"] & ~is_zero["margin"]
    figures = {"num_without_any": int(none.sum()), "num_without_cross_entropy_only": int(only.sum())}
    total = evidence.num_images
    if is_more_than(int(none.sum()), total, tolerated=MARGIN):
        sentence = (
            f"At {share(int(none.sum()), total)} of the pictures the gradient is lost on its way to the "
            "input, so that an attack along it finds nothing, which is not robustness: look for rounding, "
            "casts or stopped gradients, and attack through a differentiable stand-in or without gradients."
        )
        return Finding(FAILS, sentence, total, figures)
    if is_more_than(int((none | only).sum()), total, tolerated=MARGIN):
        sentence = (
            f"At {share(int((none | only).sum()), total)} of the pictures the model is so sure that float32 "
            "loses the gradient of the plain cross-entropy: use an attack on the margin of the logits, "
            "or divide the logits by a constant."
        )
        return Finding(FAILS, sentence, total, figures)
    sentence = "The gradient of the loss reaches the pictures, so an attack has a way to go."
    return Finding(HOLDS, sentence, total, figures)


class _Disagreement(NamedTuple):
    """Of finite differences with the gradient, for each picture and direction; NaN where none can be told."""

    along: np.ndarray
    across: np.ndarray


def check_finite_differences(evidence: Evidence) -> Finding:
    """Compares the gradient with central differences along itself and along random directions."""
    images = evidence.images[:_NUM_PROBED]
    # Inside the pixel range, so that a model that clips its input is not asked at its kinks.
    images = np.clip(images, 1 / 255, 254 / 255)
    found = [_disagreement(evidence, images, step=step) for step in _STEPS]
    medians = {name: [_median(getattr(one, name)) for one in found] for name in _Disagreement._fields}
    figures = {"steps": list(_STEPS)} | {f"median_{name}": values for name, values in medians.items()}
    # A kink spoils large steps, rounding small ones: the best of them counts.
    best = {
        name: min((value for value in values if value is not None), default=None)
        for name, values in medians.items()
    }
    told = [value for value in best.values() if value is not None]
    if not told:
        sentence = "The scores change too little, or by NaN, to be compared with the gradient."
        return Finding(UNDECIDED, sentence, len(images), figures)
    if max(told) > _DISAGREEMENT:
        sentence = (
            f"The gradient is not that of the model (half of the finite differences are off by at least "
            f"{share(max(told), 1)}), so following it says nothing of robustness: look for a stand-in "
            "gradient, rounding or random numbers, and believe only attacks that need no gradient."
        )
        return Finding(FAILS, sentence, len(images), figures)
    farthest = medians["across"][-1]
    if farthest is not None and farthest > _SHATTERED:
        sentence = (
            f"Half an 8-bit step away the gradient no longer holds (half of the differences are off by "
            f"at least {share(farthest, 1)}), so an attack that follows it goes at random: average the "
            "gradient over noise, or attack without gradients."
        )
        return Finding(FAILS, sentence, len(images), figures)
    sentence = "Where the gradient points, the scores really change, and by as much as it says."
    return Finding(HOLDS, sentence, len(images), figures)


def _disagreement(evidence: Evidence, images: np.ndarray, *, step: float) -> _Disagreement:
    logits = evidence.logits_of(images)
    order = np.argsort(-np.nan_to_num(logits), axis=1)
    # Between two fixed classes: a maximum over classes would have kinks of its own.
    weights = np.zeros_like(logits)
    places = np.arange(len(images))
    weights[places, order[:, 0]], weights[places, order[:, 1]] = 1.0, -1.0
    gradients = _weighted_gradients(evidence, images, weights)
    random = np.random.default_rng(evidence.seed)

    def scores(points: np.ndarray) -> np.ndarray:
        return (evidence.logits_of(points).astype(np.float64) * weights).sum(1)

    def off(direction: np.ndarray, scale: np.ndarray) -> np.ndarray:
        move = np.float32(step) * direction.astype(np.float32)
        differences = (scores(images + move) - scores(images - move)) / (2 * step)
        claimed = (gradients * direction).sum((1, 2, 3))
        largest = np.maximum(np.maximum(np.abs(differences), np.abs(claimed)), scale)
        is_told = largest > _RESOLUTION * np.abs(logits).max(1) / step
        off_by = np.full(len(images), np.nan)
        return np.divide(np.abs(differences - claimed), largest, out=off_by, where=is_told)

    length = np.sqrt((gradients**2).sum((1, 2, 3)))
    directions = random.choice([-1.0, 1.0], (_NUM_DIRECTIONS, *images.shape))
    across = np.stack([off(direction, length) for direction in directions])
    return _Disagreement(off(np.sign(gradients), np.abs(gradients).sum((1, 2, 3))), across)


def _weighted_gradients(evidence: Evidence, images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    parts = []
    for start in range(0, len(images), evidence.batch_size):
        chosen = slice(start, start + evidence.batch_size)
        batch = tf.constant(images[chosen])
        with tf.GradientTape() as tape:
            tape.watch(batch)
            total = tf.reduce_sum(evidence.classifier.logits(batch) * weights[chosen])
        gradient = tape.gradient(total, batch)
        parts.append(np.zeros_like(images[chosen]) if gradient is None else gradient.numpy())
    return np.nan_to_num(np.concatenate(parts).astype(np.float64))


def _median(values: np.ndarray) -> float | None:
    told = values[np.isfinite(values)]
    return float(np.median(told)) if 2 * len(told) > values.size else None


def check_rising_loss(evidence: Evidence) -> Finding:
    """Follows the attack and asks whether the loss at its end is above that at its start."""
    attacked = evidence.is_right
    total = int(attacked.sum())
    if total < FEWEST_PICTURES:
        return Finding(UNDECIDED, f"Only {total} pictures are right and can be attacked.", total)
    runs = [dataclasses.replace(run, epsilon=evidence.middle_epsilon) for run in _PATH]
    path = [_loss(evidence.logits, evidence.labels)]
    path += [_loss(evidence.logits_of(evidence.attack(run).images), evidence.labels) for run in runs]
    num_risen = int(np.sum(path[-1][attacked] > path[0][attacked]))
    figures = {
        "epsilon": evidence.middle_epsilon,
        "steps": [0, *(run.num_steps for run in _PATH)],
        "median_loss": [float(np.median(loss[attacked])) for loss in path],
        "num_risen": num_risen,
    }
    if is_more_than(total - num_risen, total, tolerated=_TOLERATED_FALLS):
        sentence = (
            f"At {share(total - num_risen, total)} of the pictures {_PATH[-1].num_steps} steps do not raise "
            "the loss, so the attack is led astray and its failure is not robustness: look for "
            "rounding, random numbers or a gradient that shatters, and take smaller steps."
        )
        return Finding(FAILS, sentence, total, figures)
    sentence = "Following the gradient does raise the loss, so the attack does what it is meant to do."
    return Finding(HOLDS, sentence, total, figures)


def _loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What rises exactly when the cross-entropy does, without ever rounding to 0.

    It is ``logsumexp`` over the other classes minus the true logit; the cross-entropy is its softplus.
    """
    logits = logits.astype(np.float64)
    is_true = np.arange(logits.shape[1]) == labels[:, None]
    others = np.where(is_true, -np.inf, logits)
    return np.logaddexp.reduce(others, axis=1) - logits[is_true]
