"""Published networks whose weights lie in the folder of real data."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from bioattack.classifier import Classifier, load_classifier


def published_mnist_network(path: Path) -> Classifier:
    """An MNIST network that withstands attacks, as its layers are described beside its weights.

    Two convolutions and a maximum pooling, twice, then two dense layers; 210,650 parameters.

    Args:
        path: ``mnist_cnn.npz``.

    Source:
        F. Croce and M. Hein, AutoAttack, ``examples/tf_model.weight.h5``.
    """
    with np.load(path) as archive:
        weights = {name: tf.constant(archive[name], tf.float32) for name in archive.files}

    def convolve(images: tf.Tensor, name: str) -> tf.Tensor:
        return tf.nn.relu(
            tf.nn.conv2d(images, weights[f"{name}/kernel"], 1, "SAME") + weights[f"{name}/bias"]
        )

    def call(images: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.max_pool2d(convolve(convolve(images, "c1"), "c2"), 2, 2, "VALID")
        hidden = tf.nn.max_pool2d(convolve(convolve(hidden, "c3"), "c4"), 2, 2, "VALID")
        hidden = tf.reshape(hidden, (-1, weights["d1/kernel"].shape[0]))
        hidden = tf.nn.relu(hidden @ weights["d1/kernel"] + weights["d1/bias"])
        return hidden @ weights["d2/kernel"] + weights["d2/bias"]

    return load_classifier(call, name="published MNIST network", image_shape=(28, 28, 1))


def mnist_test_images(folder: Path, number: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first test images of MNIST, ``(number, 28, 28, 1)`` float32 in [0, 1], and their labels, int64.

    Args:
        folder: The folder of real data.
        number: How many; None for all 10,000.
    """
    with np.load(folder / "mnist" / "mnist.npz") as archive:
        images, labels = archive["x_test"][:number], archive["y_test"][:number]
    return images[..., None] / np.float32(255), labels.astype(np.int64)
