"""Any attack class of Foolbox on a batch, in the form in which the engine's results are written."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bioattack.attacks.engine import rounded_to_8_bits
from bioattack.attacks.foolbox_bridge import AttackBatch, tell_nobody
from bioattack.attacks.foolbox_by_name import run_foolbox
from bioattack.attacks.request import FoolboxRequest
from bioattack.classifier import Classifier
from bioattack.evaluation.rows import AttackedBatch


def attack_batch(
    classifier: Classifier,
    batch: Mapping[str, Any],
    request: FoolboxRequest,
    *,
    clean_logits: np.ndarray,
    seed: int,
    tell: Callable[[int], None] = tell_nobody,
) -> list[AttackedBatch]:
    """Attacks a batch and gives one entry for each epsilon; the correctly classified pictures alone.

    Args:
        classifier: The classifier.
        batch: ``image``, ``label`` and ``image_id``.
        request: Class, options and epsilons.
        clean_logits: ``(batch, classes)``.
        seed: Foolbox's generators are seeded with it and the names of the pictures.
        tell: Is told at each call of the model how many there were.

    Raises:
        InputError: If the attack does not go with the model; the sentence says why.
    """
    labels = np.asarray(batch["label"])
    is_correct = clean_logits.argmax(1) == labels
    start = time.perf_counter()
    outcomes = run_foolbox(
        classifier,
        AttackBatch(batch["image"], labels, list(batch["image_id"]), is_correct),
        class_name=request.class_name,
        options=dict(request.options),
        epsilons=request.epsilons,
        seed=seed,
        tell=tell,
    )
    seconds = (time.perf_counter() - start) / max(1, int(is_correct.sum())) / len(outcomes)
    attacked = []
    for epsilon, outcome in zip(request.epsilons, outcomes, strict=True):
        is_moved = is_correct & (epsilon > 0)
        images = np.where(is_moved[:, None, None, None], outcome.adversarial_images, batch["image"])
        logits = np.where(is_moved[:, None], outcome.logits, clean_logits)
        attacked.append(
            AttackedBatch(
                adversarial_images=images,
                logits=logits,
                logits_8bit=np.asarray(classifier.logits(rounded_to_8_bits(images))),
                is_fooled=is_moved & (logits.argmax(1) != labels),
                num_steps=np.where(is_moved, outcome.num_steps, 0),
                seconds=np.where(is_moved, seconds, 0.0),
                has_zero_gradient=outcome.has_zero_gradient & is_moved,
                epsilon=np.full(len(labels), epsilon),
                epsilon_low=np.full(len(labels), math.nan),
                epsilon_high=np.full(len(labels), math.nan),
                is_new=np.ones(len(labels), bool),
            )
        )
    return attacked
