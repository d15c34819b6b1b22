"""What the harnesses of this folder share."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

Arrays = tuple[np.ndarray[Any, Any], ...]


def random_states(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The states of the random generators: variables that are no weights."""
    weights = {id(weight) for weight in layer.weights}
    return [variable for variable in layer.variables if id(variable) not in weights]


def compare(
    what: str,
    found: Sequence[np.ndarray[Any, Any]],
    wanted: Sequence[np.ndarray[Any, Any]],
    tolerance: float = 0.0,
) -> None:
    """Raises AssertionError unless all outputs agree."""
    require(len(found) == len(wanted), f"{what} has {len(found)} outputs, not {len(wanted)}")
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(
            one, other, rtol=tolerance, atol=tolerance, err_msg=f"{what} gives something else"
        )


def require(condition: bool, message: str) -> None:
    """Raises AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)
