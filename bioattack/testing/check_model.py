"""One call that tells whether a network can be trained, saved, exported and attacked."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from bioattack.testing.checking import require


def check_model(build: Callable[[], keras.Model]) -> None:
    """Checks everything that an image classifier of this project promises.

    - it takes float32 images of any batch size and returns finite float32 logits in an output named
      ``logits``, under mixed_bfloat16 too;
    - the gradient of a logit with respect to the images is finite and not 0;
    - a ``.keras`` file and a SavedModel give the same logits, the SavedModel also the same gradient, and
      nothing in the SavedModel is random.

    Args:
        build: Makes the model; called under the global float32 and the global mixed_bfloat16 policy.

    Raises:
        AssertionError: If a promise is not kept; the message says which.

    >>> from bioattack.models.small_cnn import small_cnn
    >>> check_model(lambda: small_cnn((8, 8, 3), 2, seed=0))
    """
    model = build()
    images = np.random.default_rng(0).random((3, *model.input_shape[1:]), dtype="float32")
    _check_logits(model, images)
    with tempfile.TemporaryDirectory() as folder:
        _check_keras_file(model, images, path=Path(folder) / "model.keras")
        _check_export(model, images, path=Path(folder) / "saved_model")
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = build()
    finally:
        keras.config.set_dtype_policy(policy)
    _check_logits(mixed, images)
    require(
        all(weight.dtype == "float32" for weight in mixed.weights),
        "mixed_bfloat16 makes weights that are not float32",
    )


def _check_logits(model: keras.Model, images: np.ndarray) -> None:
    """Names, shapes and types of the output, for two batch sizes, and its gradient."""
    require(model.output_names == ["logits"], f"the outputs must be 'logits' alone, not {model.output_names}")
    for size in (1, len(images)):
        logits = model(images[:size])
        require(logits.dtype == tf.float32, f"logits must be float32, not {logits.dtype.name}")
        require(logits.shape == (size, model.output_shape[1]), f"the shape of the logits is {logits.shape}")
        require(bool(np.isfinite(logits).all()), "some logits are not finite")
    gradient = _gradient(model, images)
    require(bool(np.isfinite(gradient).all()), "the gradient with respect to the images is not finite")
    for index, part in enumerate(gradient):
        require(bool(np.any(part)), f"the gradient with respect to image {index} is 0")


def _check_keras_file(model: keras.Model, images: np.ndarray, *, path: Path) -> None:
    """The model in a ``.keras`` file comes back whole."""
    model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(loaded(images), model(images), "the .keras file gives other logits")


def _check_export(model: keras.Model, images: np.ndarray, *, path: Path) -> None:
    """The SavedModel gives the same logits and gradient, and draws no random numbers."""
    model.export(path, verbose=False)
    loaded = tf.saved_model.load(path)
    scale = float(np.abs(model(images)).max())
    np.testing.assert_allclose(
        loaded.serve(images), model(images), rtol=0, atol=1e-5 * scale, err_msg="the SavedModel differs"
    )
    wanted = _gradient(model, images)
    np.testing.assert_allclose(
        _gradient(loaded.serve, images),
        wanted,
        rtol=0,
        atol=1e-4 * float(np.abs(wanted).max()),
        err_msg="the gradient through the SavedModel differs",
    )
    graph = loaded.signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    random = sorted({node.op for node in nodes if "Random" in node.op})
    require(not random, f"the SavedModel draws random numbers: {', '.join(random)}")


def _gradient(function: Callable[[tf.Tensor], tf.Tensor], images: np.ndarray) -> np.ndarray:
    """Of the first logit of each image."""
    tensor = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        logits = function(tensor)[:, 0]
    gradient = tape.gradient(logits, tensor)
    require(gradient is not None, "no gradient reaches the images")
    return np.asarray(gradient)
