"""Checks against attacks that do not use the model's own gradient, which must not be stronger than it."""

import numpy as np

from bioattack.classifier import Classifier
from bioattack.evaluation.audit_checks.evidence import AttackRun, Evidence
from bioattack.evaluation.audit_checks.finding import Finding
from bioattack.evaluation.audit_checks.strength import judge_strength
from bioattack.evaluation.audit_checks.surrogate import learn_surrogate

_NUM_QUERIES = 500


def check_black_box(evidence: Evidence) -> Finding:
    """Compares a search that only asks for scores with the descent along the gradient."""
    epsilon = evidence.middle_epsilon
    left = {
        "the search without gradient": evidence.attack(
            AttackRun(epsilon, attack="square", num_steps=_NUM_QUERIES, num_restarts=1)
        ).is_left,
        "the descent along the gradient": evidence.attack(AttackRun(epsilon)).is_left,
    }
    return judge_strength(
        evidence,
        list(left.values()),
        names=list(left),
        figures={"epsilon": epsilon, "num_left": {name: int(one.sum()) for name, one in left.items()}},
        meaning="Who sees only the scores finds no more than who sees the gradient, as it must be.",
        remedy=(
            "the gradient hides what is there to be found (masked gradients), so report the worst of both "
            "and repair or go round what breaks the gradient"
        ),
    )


def check_transfer(evidence: Evidence) -> Finding:
    """Attacks other models and shows the result to this one."""
    epsilon = evidence.middle_epsilon
    surrogates = evidence.surrogates or (learn_surrogate(evidence, epsilon=epsilon),)
    own = evidence.attack(AttackRun(epsilon)).is_left
    left = {
        f"a change made for {surrogate.name}": _left_by_transfer(evidence, surrogate, epsilon=epsilon)
        for surrogate in surrogates
    }
    # The strongest of them, against which the model's own gradient has to hold.
    name = min(left, key=lambda one: int(left[one].sum()))
    counts = {key: int(one.sum()) for key, one in left.items()}
    return judge_strength(
        evidence,
        [left[name], own],
        names=[name, "one made along its own gradient"],
        figures={"epsilon": epsilon, "num_left": counts | {"its own gradient": int(own.sum())}},
        meaning="Nothing made for another model hurts more than what this model's own gradient finds.",
        remedy=(
            "its own gradient hides what is there to be found (masked gradients), so report the worst of "
            "both and repair or go round what breaks the gradient"
        ),
    )


def _left_by_transfer(evidence: Evidence, surrogate: Classifier, *, epsilon: float) -> np.ndarray:
    """Attacks a surrogate up to the last step, whether it falls or not, and asks the model."""
    attacked = evidence.attack(AttackRun(epsilon, judged="last"), classifier=surrogate)
    logits = evidence.logits_of(attacked.images)
    return evidence.is_right & (logits.argmax(1) == evidence.labels)
