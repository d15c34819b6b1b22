"""The masking audit: is a model's measured robustness real, or does its gradient lie?"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from bioattack.classifier import Classifier
from bioattack.errors import InputError
from bioattack.evaluation.audit_checks.evidence import Evidence, Sample
from bioattack.evaluation.audit_checks.finding import Finding
from bioattack.evaluation.audit_checks.registry import CHECKS, Check
from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS, UNDECIDED


def audit(
    classifier: Classifier,
    sample: Sample,
    *,
    batch_size: int = 32,
    seed: int = 0,
    surrogates: Sequence[Classifier] = (),
    checks: Sequence[str] | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Asks of one model whether its gradients can be believed.

    Args:
        classifier: The model.
        sample: Pictures it has not been trained on; about a hundred.
        batch_size: Pictures per call.
        seed: Of everything random.
        surrogates: Other models of the same pictures, whose adversarial pictures it is shown; a small copy
            of the model itself is learned where none is given.
        checks: Keys of the checks to make; all unless given.
        quiet: No progress on standard error.

    Returns:
        ``model``, ``num_images``, ``num_failed``, ``seconds`` and ``checks``: for each ``key``, ``title``,
        ``verdict`` (``"holds"``, ``"does not hold"`` or ``"not applicable"``), ``sentence``, ``num_images``
        and ``figures``, those that do not hold first.

    Raises:
        ValueError: If there is no such check.
    """
    unknown = sorted(set(checks or ()) - {check.key for check in CHECKS})
    if unknown:
        known = ", ".join(check.key for check in CHECKS)
        raise ValueError(f"checks must be among {known}. Received: {', '.join(unknown)}")
    evidence = Evidence(classifier, sample, batch_size=batch_size, seed=seed, surrogates=surrogates)
    chosen = [check for check in CHECKS if checks is None or check.key in checks]
    start = time.perf_counter()
    made = []
    with tqdm(chosen, unit="check", disable=quiet, desc=f"{classifier.name} audit") as progress:
        for check in progress:
            progress.set_postfix_str(check.key)
            made.append(_entry(check, _find(check, evidence)))
    order = (FAILS, UNDECIDED, HOLDS)
    return {
        "model": classifier.name,
        "num_images": evidence.num_images,
        "num_failed": sum(entry["verdict"] == FAILS for entry in made),
        "seconds": round(time.perf_counter() - start, 1),
        "checks": sorted(made, key=lambda entry: order.index(entry["verdict"])),
    }


def failed_checks(content: Mapping[str, Any] | None) -> list[str]:
    """Names the checks that do not hold, one line each.

    >>> entry = {"key": "randomness", "verdict": "does not hold", "sentence": "It draws random numbers."}
    >>> failed_checks({"models": [{"model": "m", "checks": [entry]}]})
    ['m: randomness does not hold: It draws random numbers.']
    """
    models: Iterable[Mapping[str, Any]] = (content or {}).get("models", ())
    return [
        f"{model['model']}: {entry['key']} {FAILS}: {entry['sentence']}"
        for model in models
        for entry in model["checks"]
        if entry["verdict"] == FAILS
    ]


def _find(check: Check, evidence: Evidence) -> Finding:
    try:
        return check.load()(evidence)
    except InputError as error:
        # An attack refuses a model that gives NaN or has no gradient; the checks for these say so.
        return Finding(UNDECIDED, f"The attack cannot be run: {error}.", 0)


def _entry(check: Check, finding: Finding) -> dict[str, Any]:
    return {
        "key": check.key,
        "title": check.title,
        "verdict": finding.verdict,
        "sentence": finding.sentence,
        "num_images": finding.num_images,
        "figures": finding.figures,
    }
