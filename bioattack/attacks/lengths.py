"""The lengths of a perturbation, in double precision."""

import math

import numpy as np


def lengths(perturbation: np.ndarray) -> dict[str, float]:
    """Measures a perturbation in every norm that attacks know.

    Args:
        perturbation: ``(height, width, channels)``, the adversarial image less the original.

    Returns:
        ``l1``, ``l2``, ``linf`` over all values, and ``rms``, their root mean square.

    >>> lengths(np.array([[[0.3, -0.4]]]))["l2"]
    0.5
    """
    return {norm: length(perturbation, norm) for norm in ("l1", "l2", "linf", "rms")}


def length(perturbation: np.ndarray, norm: str) -> float:
    """Measures a perturbation, shaped as for ``lengths``, in one of its norms; NaN in what is none of them.

    >>> length(np.array([[[0.3, -0.4]]]), "linf")
    0.4
    """
    if norm == "linf":
        return float(np.abs(perturbation).max(initial=0.0))
    values = perturbation.astype(np.float64).ravel()
    if norm == "l1":
        return float(np.abs(values).sum())
    if norm not in ("l2", "rms"):
        return math.nan
    l2 = float(np.sqrt(np.dot(values, values)))
    return l2 if norm == "l2" else l2 / float(np.sqrt(max(1, values.size)))
