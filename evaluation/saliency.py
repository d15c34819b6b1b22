"""Maps of what draws the eye, from a classical method or any model, and how far an attack shifts them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import tensorflow as tf

from bioattack.classifier.classifier import first_line
from bioattack.distances import make_distance
from bioattack.errors import InputError
from bioattack.evaluation.minimum_barrier import minimum_barrier_saliency

MINIMUM_BARRIER = "minimum-barrier"
#: How tables call the default.
MINIMUM_BARRIER_WORDS = "minimum barrier distance (Zhang et al. 2015), without trained weights"
#: Distances of two maps; the last is ``1 - SSIM``.
SHIFTS = ("l1", "l2", "linf", "ssim")

# A sigmoid in float32 may end a hair beyond its range.
_SLACK = 1e-5

SaliencyFunction: TypeAlias = Callable[[Any], Any]


class SaliencyModel:
    """A function from pictures to maps, whose maps are looked at before anything is made of them.

    Args:
        function: Images ``(batch, height, width, channels)``, float32, [0, 1], to maps ``(batch, height,
            width)``, or with one channel more, in [0, 1].
        name: How tables and figures call it.

    Call arguments:
        images: ``(batch, height, width, channels)``, float, [0, 1].

    Returns:
        ``(batch, height, width)``, float32, [0, 1].

    Raises:
        InputError: If the maps have another size than the pictures, or values that are not in [0, 1].

    >>> model = SaliencyModel(lambda images: images.mean(-1), name="brightness")
    >>> model(np.full((2, 4, 4, 3), 0.5, "float32")).shape
    (2, 4, 4)
    """

    def __init__(self, function: SaliencyFunction, *, name: str) -> None:
        self.function = function
        self.name = name

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the maps."""
        images = np.asarray(images, np.float32)
        maps = np.asarray(_only_output(self.function(images), self.name))
        expected = images.shape[:3]
        if maps.shape not in (expected, (*expected, 1)):
            raise InputError(
                f"saliency model {self.name} must give maps of shape {expected}, one value for each pixel. "
                f"Received: shape {maps.shape}"
            )
        if not np.issubdtype(maps.dtype, np.floating):
            raise InputError(f"saliency model {self.name} must give maps of floats. Received: {maps.dtype}")
        maps = maps.reshape(expected).astype(np.float32)
        if not (np.isfinite(maps).all() and maps.min() >= -_SLACK and maps.max() <= 1 + _SLACK):
            raise InputError(
                f"saliency model {self.name} must give values in [0, 1]. "
                f"Received: values from {maps.min():g} to {maps.max():g}"
            )
        return np.clip(maps, 0, 1)


def load_saliency(source: str | Path | SaliencyFunction | None = None) -> SaliencyModel:
    """Makes a saliency model of a name, a SavedModel folder or a callable.

    Args:
        source: ``"minimum-barrier"`` or None for the classical default; a SavedModel folder with a signature
            ``serving_default`` from pictures to maps; or a callable.

    Raises:
        InputError: If the folder cannot be read.

    >>> load_saliency().name
    'minimum barrier distance (Zhang et al. 2015), without trained weights'
    """
    if source is None or source == MINIMUM_BARRIER:
        return SaliencyModel(minimum_barrier_saliency, name=MINIMUM_BARRIER_WORDS)
    if isinstance(source, str | Path):
        return SaliencyModel(_load_saved_model(Path(source)), name=Path(source).name)
    return SaliencyModel(source, name=getattr(source, "__name__", type(source).__name__))


def saliency_shift(maps: np.ndarray, attacked_maps: np.ndarray) -> pd.DataFrame:
    """Measures how far maps have moved.

    Args:
        maps: ``(pictures, height, width)``, [0, 1], of the originals.
        attacked_maps: Of the attacked pictures, in the same order.

    Returns:
        One row for each picture: ``l1``, ``l2``, ``linf`` over all pixels, and ``ssim``, which is 1 - SSIM.

    >>> maps = np.zeros((1, 16, 16), "float32")
    >>> saliency_shift(maps, maps + 0.5)["l2"].tolist()
    [8.0]
    """
    before, after = (np.asarray(one, np.float64)[..., None] for one in (maps, attacked_maps))
    return pd.DataFrame({name: make_distance(name)(before, after).numpy() for name in SHIFTS})


def _load_saved_model(path: Path) -> SaliencyFunction:
    if not (path / "saved_model.pb").is_file():
        raise InputError(f"saliency model {path}: no SavedModel folder (with saved_model.pb)")
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # whatever a damaged folder raises
        raise InputError(f"saliency model {path}: TensorFlow cannot read this SavedModel") from error
    signature = loaded.signatures.get("serving_default")
    names = list(signature.structured_input_signature[1]) if signature is not None else []
    if len(names) != 1:
        raise InputError(
            f"saliency model {path}: needs a signature serving_default that takes one batch of pictures"
        )

    def call(images: np.ndarray, owner: Any = loaded) -> Any:
        # The loaded object is kept: its variables are freed with it.
        try:
            return owner.signatures["serving_default"](**{names[0]: tf.constant(images)})
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise InputError(
                f"saliency model {path} cannot be shown pictures of shape {images.shape[1:]} "
                f"({first_line(error)})"
            ) from error

    return call


def _only_output(outputs: Any, name: str) -> Any:
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, list | tuple):
        if len(outputs) != 1:
            raise InputError(f"saliency model {name} must give one batch of maps. Received: {len(outputs)}")
        outputs = outputs[0]
    return outputs
