"""The distances that attacked pictures are measured with, whatever the attacks went by."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from bioattack.attacks.measured_distance import check_distance_fits, choose_distance
from bioattack.distances import DISTANCES
from bioattack.errors import InputError
from bioattack.evaluation.results import COLUMNS

if TYPE_CHECKING:
    from bioattack.distances import Distance

# How many pictures are measured in one call.
_NUM_AT_ONCE = 16


class Judges:
    """Measures attacked pictures in several distances; each picture once.

    Args:
        distances: By the names that their columns will have, which are those of ``bioattack.distances``.
            Names that the long table has anyhow (``l2``, ...) are left out.
        image_shape: ``(height, width, channels)`` of the pictures.

    Raises:
        InputError: If a name is none of these, or a distance cannot measure such pictures.
    """

    def __init__(self, distances: Mapping[str, "Distance"], *, image_shape: Sequence[int]) -> None:
        if unknown := [name for name in distances if name not in DISTANCES]:
            raise InputError(
                f"judges are called as distances are: {', '.join(DISTANCES)}. Received: {unknown[0]!r}"
            )
        kept = {name: distance for name, distance in distances.items() if name not in COLUMNS}
        for distance in kept.values():
            check_distance_fits(distance, image_shape)
        images = tf.TensorSpec((None, *image_shape), tf.float32)
        self._functions = {
            name: tf.function(distance, input_signature=[images, images], autograph=False)
            for name, distance in kept.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they were given."""
        return tuple(self._functions)

    def measure(
        self,
        originals: np.ndarray,
        images: np.ndarray,
        *,
        known: tuple[np.ndarray, Mapping[str, np.ndarray]] | None = None,
    ) -> dict[str, np.ndarray]:
        """Measures a batch.

        Args:
            originals: ``(batch, height, width, channels)``, float32, [0, 1].
            images: The same shape: the pictures after the attack.
            known: Other images of these originals with what was measured of them: the same pictures are not
                measured again.

        Returns:
            For each name ``(batch,)``, float64; 0 where a picture is its original.
        """
        if not self._functions:
            return {}
        found = {name: np.zeros(len(images)) for name in self.names}
        is_open = _differs(images, originals)
        if known is not None:
            is_same = ~_differs(images, known[0])
            for name in self.names:
                found[name][is_same] = known[1][name][is_same]
            is_open &= ~is_same
        places = np.flatnonzero(is_open)
        for start in range(0, len(places), _NUM_AT_ONCE):
            some = places[start : start + _NUM_AT_ONCE]
            for name, function in self._functions.items():
                found[name][some] = function(originals[some], images[some]).numpy()
        return found


def make_judges(
    names: Sequence[str], options: Mapping[str, Sequence[tuple[str, Any]]], *, image_shape: Sequence[int]
) -> Judges:
    """Makes the judges that a command names.

    Args:
        names: Names of distances.
        options: For some of them, their arguments as ``(name, value)``.
        image_shape: ``(height, width, channels)`` of the pictures.

    Raises:
        InputError: If one cannot be made, or cannot measure such pictures.
    """
    distances = {name: choose_distance(name, options.get(name, ())) for name in names if name not in COLUMNS}
    return Judges(distances, image_shape=image_shape)


def _differs(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.asarray((images != others).reshape(len(images), -1).any(1))
