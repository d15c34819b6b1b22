"""The one shape in which every model is attacked and measured."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.errors import InputError

OUTPUTS = ("logits", "probabilities")

# Below this a probability says nothing in float32; 1 / 1e-30 is still far from overflowing.
_LEAST_PROBABILITY = 1e-30


def _no_weights() -> Iterable[tuple[str, np.ndarray]]:
    return ()


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """What is called, and what is known of it before it is called.

    Args:
        call: One batch of images in, one batch of class scores out (or a dict or list that holds just those).
        owner: The loaded object; its variables are freed with it, so it is kept as long as the endpoint.
        dtype: Floating dtype that ``call`` takes.
        image_shape: ``(height, width, channels)``, ``None`` where it is not fixed; ``(features,)`` of a
            model of rows of a table.
        num_classes: Number of scores, or ``None`` where only a call tells.
        weights: Gives ``(name, values)`` of every floating-point weight, for the search for NaN.
    """

    call: Callable[[Any], Any]
    owner: Any
    dtype: tf.DType = tf.float32
    image_shape: tuple[int | None, ...] = (None, None, None)
    num_classes: int | None = None
    weights: Callable[[], Iterable[tuple[str, np.ndarray]]] = _no_weights


class Classifier:
    """A differentiable function from images in [0, 1] to logits, kept alive with the object it came from.

    It may take rows of a table instead, ``(batch, features)``: then there is no common range, every attribute
    comes on its own scale, and the model itself encodes and standardises.

    Args:
        endpoint: What is called.
        name: How tables and figures call it.
        outputs: ``"logits"``, or ``"probabilities"``, of which the logarithm is then taken.
        input_range: ``(low, high)`` of the pixels that the endpoint itself expects; images in [0, 1] are
            rescaled to it inside, so that an epsilon still means a fraction of the pixel range. Of a model
            of rows it is (0, 1) and means nothing.
        source: File or folder it came from, or ``None``.
        card: The run's ``model_card.json``, or ``None``.
        fingerprint: sha256 over the source's files, or ``None``.

    Raises:
        InputError: If ``outputs`` or ``input_range`` makes no sense, or rows are to be rescaled.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        name: str,
        outputs: str = "logits",
        input_range: tuple[float, float] = (0.0, 1.0),
        source: Path | None = None,
        card: dict[str, Any] | None = None,
        fingerprint: str | None = None,
    ) -> None:
        if outputs not in OUTPUTS:
            raise InputError(f"outputs must be one of {', '.join(OUTPUTS)}. Received: outputs={outputs!r}")
        if len(input_range) != 2 or not -np.inf < input_range[0] < input_range[1] < np.inf:
            raise InputError(
                "input_range must be two numbers, the lower first, such as 0 255. "
                f"Received: input_range={' '.join(map(str, input_range))}"
            )
        if len(endpoint.image_shape) == 1 and tuple(input_range) != (0.0, 1.0):
            raise InputError(
                f"model {name} takes rows of a table, each attribute on its own scale: leave input_range "
                "(--input-range) out"
            )
        self.endpoint = endpoint
        self.name = name
        self.outputs = outputs
        self.input_range = (float(input_range[0]), float(input_range[1]))
        self.source = source
        self.card = card
        self.fingerprint = fingerprint
        #: What attacks have compiled for this classifier, by their own keys.
        self.compiled_attacks: dict[Any, Any] = {}
        # Traced once for all batch sizes. Without AutoGraph errors keep their one sentence.
        spec = tf.TensorSpec((None, *endpoint.image_shape), tf.float32)
        self._compiled_logits = tf.function(self._logits, input_signature=[spec], autograph=False)
        self._compiled_raw = tf.function(self._raw, input_signature=[spec], autograph=False)

    @property
    def image_shape(self) -> tuple[int | None, ...]:
        """Height, width and channels of the images it takes; ``None`` where any will do or nothing says.

        Of a model of rows ``(features,)``.
        """
        return self.endpoint.image_shape

    @property
    def takes_rows(self) -> bool:
        """Whether it takes rows of a table, and no images."""
        return len(self.image_shape) == 1

    @property
    def num_classes(self) -> int | None:
        """Number of logits, or ``None`` where only a call tells."""
        return self.endpoint.num_classes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Class names from the model card, or ``None`` without one."""
        names = (self.card or {}).get("class_names")
        return None if names is None else tuple(map(str, names))

    def logits(self, images: Any) -> tf.Tensor:
        """Classifies a batch of images.

        Args:
            images: ``(batch, height, width, channels)``, float, [0, 1]; or ``(batch, features)``, the rows
                of a table on their own scales.

        Returns:
            ``(batch, classes)``, float32 logits.

        Raises:
            ValueError: If the images are not floating-point.

        Gradient:
            With respect to the images.
        """
        images = tf.convert_to_tensor(images)
        if not images.dtype.is_floating:
            raise ValueError(f"images must be float32 in [0, 1]. Received: dtype={images.dtype.name}")
        return self._compiled_logits(tf.cast(images, tf.float32))

    def raw_outputs(self, inputs: Any) -> tf.Tensor:
        """Calls the model itself: no rescaling before, no logarithm after; float32 in and out."""
        return self._compiled_raw(tf.cast(inputs, tf.float32))

    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        low, high = self.input_range
        outputs = self._raw(images if (low, high) == (0.0, 1.0) else images * (high - low) + low)
        if self.outputs == "logits":
            return outputs
        return tf.math.log(tf.maximum(outputs, _LEAST_PROBABILITY))

    def _raw(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = self.endpoint.call(tf.cast(inputs, self.endpoint.dtype))
        return tf.cast(_only_tensor(outputs, self.name), tf.float32)


def _only_tensor(outputs: Any, name: str) -> tf.Tensor:
    """Takes the class scores out of a dict or list of outputs."""
    if isinstance(outputs, dict):
        if "logits" in outputs:
            return outputs["logits"]
        outputs = list(outputs.values())
    if isinstance(outputs, list | tuple):
        if len(outputs) != 1:
            raise InputError(
                f"model {name} gives {len(outputs)} outputs and none is named logits; "
                "save one that gives the logits only"
            )
        outputs = outputs[0]
    scores = tf.convert_to_tensor(outputs)
    if scores.shape.rank != 2 or scores.shape[1] == 1:
        raise InputError(
            f"model {name} gives an output of shape {tuple(scores.shape)}; "
            "a classifier gives one score for each of at least two classes, of shape (batch, classes)"
        )
    return scores


def first_line(error: BaseException) -> str:
    """Keeps the first line of a library's message, short enough to stand inside one sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
