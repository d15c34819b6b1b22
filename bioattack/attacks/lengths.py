"""The lengths of a perturbation, in double precision."""

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
    values = np.abs(perturbation.astype(np.float64))
    l2 = float(np.sqrt(np.sum(values**2)))
    return {
        "l1": float(values.sum()),
        "l2": l2,
        "linf": float(values.max(initial=0.0)),
        "rms": l2 / float(np.sqrt(max(1, values.size))),
    }
