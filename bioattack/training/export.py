"""A trained classifier as files: ``model.keras`` to go on with, a SavedModel to evaluate."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bioattack.files import replacing

# Graph rewriting fuses convolution, bias and activation: the same numbers up to float32 rounding.
_TOLERANCE = 1e-4
# In mixed precision they are rounded at other places: sixteen times the rounding of one number.
_TOLERANCE_IN_HALF = {"float16": 16 * 2**-11, "bfloat16": 16 * 2**-8}


def write_keras(classifier: keras.Model, path: Path) -> None:
    """Writes a classifier as ``.keras``, whole or not at all.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    with replacing(path) as partial:
        # Keras insists on the ending.
        named = partial.with_name(f"{partial.name}.keras")
        try:
            classifier.save(named)
            named.replace(partial)
        finally:
            named.unlink(missing_ok=True)


def write_saved_model(classifier: keras.Model, path: Path, *, images: np.ndarray) -> None:
    """Writes a SavedModel from float32 images ``[batch, height, width, channels]`` to logits, and tries it.

    Args:
        classifier: Built network.
        path: Folder to write, whole or not at all.
        images: A few images ``(batch, height, width, channels)`` on which the reloaded SavedModel must repeat
            the classifier's logits and, on half of them at least, their gradient with respect to the image:
            where a ReLU or a maximum is all but tied, rounding alone can turn the gradient.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
        RuntimeError: If the SavedModel computes something else than the classifier.
    """
    with replacing(path) as partial:
        classifier.export(partial, format="tf_saved_model", verbose=False)
        reloaded = tf.saved_model.load(str(partial))
        if is_random(classifier, images=images):
            # Two calls of the classifier itself differ: only the shape can be held against it.
            if reloaded.serve(tf.constant(images)).shape != classifier(images).shape:
                raise RuntimeError("the SavedModel gives logits of another shape than the classifier")
        else:
            _check_same(
                _logits_and_gradient(classifier, images),
                _logits_and_gradient(reloaded.serve, images),
                tolerance=_tolerance(classifier),
            )


def is_random(classifier: keras.Model, *, images: np.ndarray) -> bool:
    """Tells whether two calls with the same images give different logits, as random fixations do."""
    once, again = (np.asarray(classifier(images, training=False)) for _ in range(2))
    return not np.array_equal(once, again)


def _logits_and_gradient(classifier: Any, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pictures = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        logits = classifier(pictures)
        loss = tf.reduce_sum(tf.nn.log_softmax(logits)[:, 0])
    gradient = tape.gradient(loss, pictures)
    if gradient is None:
        raise RuntimeError("there is no gradient from the logits to the images")
    return logits.numpy(), tf.convert_to_tensor(gradient).numpy()


def _tolerance(classifier: keras.Model) -> float:
    kinds = {layer.compute_dtype for layer in classifier._flatten_layers()}
    return max(_TOLERANCE, *(_TOLERANCE_IN_HALF.get(kind, 0.0) for kind in kinds))


def _check_same(expected: tuple[np.ndarray, ...], found: tuple[np.ndarray, ...], *, tolerance: float) -> None:
    for name, share, one, other in zip(("logits", "gradient"), (1.0, 0.5), expected, found, strict=True):
        each = np.abs(one - other).reshape(len(one), -1).max(axis=1)
        difference = float(np.quantile(each, share, method="lower"))
        if not difference <= tolerance * max(1.0, float(np.max(np.abs(one)))):
            raise RuntimeError(f"the SavedModel's {name} differ from the classifier's by {difference}")
