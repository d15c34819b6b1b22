"""Checks of what a model answers: twice, alone, on the card, and beside the grid of 8 bits."""

from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from bioattack.evaluation.audit_checks.evidence import Evidence
from bioattack.evaluation.audit_checks.finding import MARGIN, SIGNIFICANCE, Finding, is_more_than, share
from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS, UNDECIDED

# Differences of the last bits, by which one machine may differ from itself, relative to the largest logit.
_REPEAT_TOLERANCE, _COMPANION_TOLERANCE = 1e-4, 1e-3
_NUM_REPEATS, _NUM_ALONE = 4, 16

# Rows of float16 probabilities add up to 1 within this.
_SUM_TOLERANCE = 2e-3

# Accuracies on two samples must differ by so much to matter.
_CARD_MARGIN = 0.05

# Of an 8-bit step: anything below a half is rounded away.
_BESIDE_THE_GRID = 0.45


def check_randomness(evidence: Evidence) -> Finding:
    """Classifies the same batches several times."""
    answers = [evidence.logits, *(evidence.logits_of(evidence.images) for _ in range(_NUM_REPEATS))]
    difference = max(_difference(answers[0], other) for other in answers[1:])
    changed = int(sum(np.any([other.argmax(1) != answers[0].argmax(1) for other in answers[1:]], axis=0)))
    figures = {"largest_relative_difference": difference, "num_changed_answers": changed}
    if difference <= _REPEAT_TOLERANCE:
        sentence = "The model draws no random numbers, so one gradient is the gradient."
        return Finding(HOLDS, sentence, evidence.num_images, figures)
    sentence = (
        f"The model draws random numbers (of {_NUM_REPEATS + 1} answers to a picture not all agree), so an "
        "attack that sees one draw at a time makes it look more robust than it is: attack the mean over many "
        "draws (expectation over transformations), or fix the draw."
    )
    return Finding(FAILS, sentence, evidence.num_images, figures)


def check_companions(evidence: Evidence) -> Finding:
    """Classifies pictures alone and beside others."""
    images = evidence.images[:_NUM_ALONE]
    alone = np.concatenate([evidence.logits_of(image[None]) for image in images])
    again = [evidence.logits_of(images) for _ in range(2)]
    difference = _difference(again[0], alone)
    figures = {"largest_relative_difference": difference}
    if _difference(*again) > _REPEAT_TOLERANCE:
        sentence = "The model draws random numbers, so that its batch cannot be told from its dice."
        return Finding(UNDECIDED, sentence, len(images), figures)
    if difference <= _COMPANION_TOLERANCE:
        sentence = "Each picture is judged by itself, so that attacks on a batch are attacks on its pictures."
        return Finding(HOLDS, sentence, len(images), figures)
    sentence = (
        "The same picture gets another answer beside other pictures, so no result for a single picture means "
        "anything: save the model in inference mode (batch normalisation with its moving averages)."
    )
    return Finding(FAILS, sentence, len(images), figures)


def check_probabilities(evidence: Evidence) -> Finding:
    """Looks whether the scores lie in [0, 1] and add up to 1."""
    logits = evidence.logits.astype(np.float64)
    off = float(np.abs(logits.sum(1) - 1).max())
    figures = {"lowest": float(logits.min()), "highest": float(logits.max()), "largest_distance_of_sum": off}
    if logits.min() >= 0 and logits.max() <= 1 and off <= _SUM_TOLERANCE:
        sentence = (
            "The scores are probabilities, and a second softmax in the loss flattens its gradient: save the "
            "model without its softmax, or give --outputs probabilities to take their logarithm."
        )
        return Finding(FAILS, sentence, evidence.num_images, figures)
    sentence = "The scores are no probabilities, so the loss of an attack sees how sure the model is."
    return Finding(HOLDS, sentence, evidence.num_images, figures)


def check_card_accuracy(evidence: Evidence) -> Finding:
    """Holds the accuracy on the sample against that of the model card."""
    card, sample = evidence.classifier.card or {}, evidence.sample
    claimed: dict[str, Any] = card.get("accuracy") or {}
    accuracy, num_claimed = claimed.get("test"), claimed.get("num_test")
    num_right = int(evidence.is_right.sum())
    figures: dict[str, Any] = {"accuracy": num_right / evidence.num_images}
    if not isinstance(accuracy, int | float) or not isinstance(num_claimed, int) or num_claimed < 1:
        return Finding(UNDECIDED, "The model has no card that claims an accuracy.", 0, figures)
    if sample.split != "test" or sample.fingerprint != (card.get("data") or {}).get("fingerprint"):
        sentence = "The card's accuracy is that of its own test pictures, and these are others."
        return Finding(UNDECIDED, sentence, 0, figures)
    # Both are samples of the same kind of pictures; Fisher's exact test of the two shares.
    counts = [[num_right, evidence.num_images - num_right]]
    counts += [[round(accuracy * num_claimed), num_claimed - round(accuracy * num_claimed)]]
    p_value = float(fisher_exact(counts).pvalue)
    figures |= {"accuracy_on_card": accuracy, "num_images_of_card": num_claimed, "p_value": p_value}
    here, there = share(num_right, evidence.num_images), share(accuracy, 1)
    if p_value < SIGNIFICANCE and abs(figures["accuracy"] - accuracy) > _CARD_MARGIN:
        sentence = (
            f"The model gets {here} of these pictures right where its card says {there}: another pixel "
            "range, other pictures or other weights than those of the card are under test, so find out which "
            "before you attack."
        )
        return Finding(FAILS, sentence, evidence.num_images, figures)
    sentence = f"{here} right here agrees with {there} on the card: this is the model that was trained."
    return Finding(HOLDS, sentence, evidence.num_images, figures)


def check_quantisation(evidence: Evidence) -> Finding:
    """Compares the answers to pictures on the 8-bit grid with those right beside it."""
    random = np.random.default_rng(evidence.seed)
    on_grid = np.round(evidence.images * 255)
    beside = on_grid + random.uniform(-_BESIDE_THE_GRID, _BESIDE_THE_GRID, on_grid.shape)
    rounded = evidence.logits_of((on_grid / 255).astype(np.float32))
    moved = evidence.logits_of(np.clip(beside / 255, 0, 1).astype(np.float32))
    by_rounding = int(np.sum(rounded.argmax(1) != evidence.logits.argmax(1)))
    by_noise = int(np.sum(rounded.argmax(1) != moved.argmax(1)))
    figures = {"num_changed_by_rounding": by_rounding, "num_changed_beside_the_grid": by_noise}
    worst = max(by_rounding, by_noise)
    if is_more_than(worst, evidence.num_images, tolerated=MARGIN):
        sentence = (
            f"{share(worst, evidence.num_images)} of the answers change by less than an 8-bit step, so what "
            "is measured on unrounded pictures does not hold of saved ones: judge by the figures after "
            "rounding to 8 bits, and search on the 8-bit grid."
        )
        return Finding(FAILS, sentence, evidence.num_images, figures)
    sentence = "Saving a picture in 8 bits does not change what the model makes of it."
    return Finding(HOLDS, sentence, evidence.num_images, figures)


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference of two sets of finite logits, relative to the largest of them."""
    is_finite = np.isfinite(first) & np.isfinite(second)
    if not is_finite.any():
        return 0.0
    scale = max(float(np.abs(first[is_finite]).max()), 1e-12)
    return float(np.abs(first[is_finite].astype(np.float64) - second[is_finite]).max()) / scale
