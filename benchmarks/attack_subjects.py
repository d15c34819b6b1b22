"""The networks that the attacks' benchmark attacks, and the pictures that they get right."""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.classifier import Classifier, load_classifier
from bioattack.models.registry import build_model
from bioattack.models.resnet20 import resnet20
from bioattack.models.weights import load_published_weights
from bioattack.testing.published_networks import mnist_test_images, published_mnist_network
from bioattack.tfrecords_builder.synthetic_objects import DRAWERS
from bioattack.tfrecords_builder.synthetic_scene import draw_scene

BATCH_SIZE = 64
# Of colour pictures, and of grey ones, which classifiers withstand more of.
EPSILON, GREY_EPSILON = 8 / 255, 0.1
DRAWN_SIZE, NUM_CLASSES = 64, len(DRAWERS)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network and pictures that it gets right.

    Args:
        name: How the table calls it.
        network: Called with images, it gives logits; a Keras model where there is one.
        classifier: The same for our attacks.
        images: ``(images, height, width, channels)``, float32, [0, 1].
        labels: ``(images,)``, int64.
        epsilon: Radius of the ball.
    """

    name: str
    network: Callable[..., Any]
    classifier: Classifier
    images: np.ndarray
    labels: np.ndarray
    epsilon: float

    def part(self, num_images: int) -> "Subject":
        """The same with the first images only."""
        return dataclasses.replace(self, images=self.images[:num_images], labels=self.labels[:num_images])


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network comes to know the drawn pictures.

    Args:
        name: How the table calls it; one that begins with "robust" is trained on pictures that one step of
            ascent has changed.
        network: Its name in the registry.
        shape: ``(height, width, channels)``.
        num_epochs: Passes over the pictures.
    """

    name: str
    network: str
    shape: tuple[int, int, int]
    num_epochs: int


def make_subjects(arguments: argparse.Namespace, num_images: int) -> Iterator[Subject]:
    """Makes one after the other.

    Args:
        arguments: ``realdata``, ``keep``, ``only`` and ``quick`` of the command line.
        num_images: Pictures of each.
    """
    makers: dict[str, Callable[[], Subject]] = {}
    for name, network, shape, num_epochs in (
        ("small_cnn 28 x 28 x 1", "small_cnn", (28, 28, 1), 15),
        ("resnet20 32 x 32 x 3", "resnet20", (32, 32, 3), 8),
        ("resnet18 64 x 64 x 3", "resnet18", (64, 64, 3), 6),
        ("robust small_cnn 28 x 28 x 1", "small_cnn", (28, 28, 1), 15),
    ):
        training = Training(name, network, shape, 1 if arguments.quick else num_epochs)
        makers[name] = functools.partial(_trained, training, arguments, num_images)
    if arguments.realdata:
        for name, make in (("published MNIST", _published_mnist), ("published CIFAR-10", _published_cifar10)):
            makers[name] = functools.partial(make, arguments.realdata, num_images)
    for name, make in makers.items():
        if arguments.only is None or name.startswith(arguments.only):
            yield dataclasses.replace(make(), name=name)


@functools.cache
def _drawn(number: int, keep: Path | None) -> tuple[np.ndarray, np.ndarray]:
    names = tuple(DRAWERS)
    labels = np.arange(number) % NUM_CLASSES
    path = None if keep is None else keep / f"drawn-{number}.npy"
    if path is not None and path.exists():
        return np.load(path), labels
    pictures = [draw_scene(names[labels[i]], DRAWN_SIZE, np.random.default_rng(i)) for i in range(number)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.stack(pictures))
    return np.stack(pictures), labels


def _resized(
    pictures: np.ndarray, labels: np.ndarray, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    images = tf.image.resize(pictures / np.float32(255), shape[:2], method="area")
    images = tf.image.rgb_to_grayscale(images) if shape[2] == 1 else images
    return np.round(images.numpy() * 255).astype(np.float32) / np.float32(255), labels


def _trained(training: Training, arguments: argparse.Namespace, num_images: int) -> Subject:
    """Trains on half of the pictures; what it gets right of the rest, over and over, is attacked."""
    drawn = _drawn(200 if arguments.quick else 3000, arguments.keep)
    images, labels = _resized(*drawn, training.shape)
    half = len(images) // 2
    keras.utils.set_random_seed(0)
    network = build_model(training.network, image_shape=training.shape, num_classes=NUM_CLASSES, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-3), loss)
    path = (
        arguments.keep and arguments.keep / f"{training.name}-{training.num_epochs}-{len(images)}.weights.h5"
    )
    if path and path.exists():
        network.load_weights(path)
    else:
        for _ in range(training.num_epochs):
            is_robust = training.name.startswith("robust")
            seen = _disturbed(network, images[:half], labels[:half]) if is_robust else images[:half]
            network.fit(seen, labels[:half], batch_size=32, verbose=0)
        if path:
            network.save_weights(path)
    classifier = load_classifier(network, name=training.network)
    return _right_ones(training.name, network, classifier, (images[half:], labels[half:]), num_images)


def _disturbed(network: keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What one step of ascent makes of the pictures: training on it withstands small perturbations."""
    request = AttackRequest("fgsm", epsilons=(GREY_EPSILON if images.shape[3] == 1 else EPSILON,))
    return attack_images(load_classifier(network), images, labels, request).adversarial_images[0]


def _right_ones(
    name: str,
    network: Any,
    classifier: Classifier,
    data: tuple[np.ndarray, np.ndarray],
    num_images: int,
    *,
    epsilon: float | None = None,
) -> Subject:
    """Keeps what the network gets right; where that is too little, once more."""
    images, labels = data
    predicted = np.concatenate([classifier.logits(some).numpy().argmax(1) for some in batches(images)])
    right = np.flatnonzero(predicted == labels)
    print(f"{name}: {len(right) / len(labels):.1%} of {len(labels)} pictures right", file=sys.stderr)
    right = np.resize(right, num_images)
    epsilon = epsilon or (GREY_EPSILON if images.shape[3] == 1 else EPSILON)
    return Subject(name, network, classifier, images[right], labels[right].astype(np.int64), epsilon)


def _published_mnist(folder: Path, num_images: int) -> Subject:
    images, labels = mnist_test_images(folder, 2 * num_images)
    classifier = published_mnist_network(folder / "weights" / "mnist_cnn.npz")
    return _right_ones("", classifier.logits, classifier, (images, labels), num_images, epsilon=0.3)


def _published_cifar10(folder: Path, num_images: int) -> Subject:
    with np.load(folder / "cifar10" / "cifar10_20k_5k.npz") as archive:
        images, labels = archive["x_test"] / np.float32(255), archive["y_test"].astype(np.int64)
    # The mean and spread of the training pictures, with which it was published.
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    network = resnet20((32, 32, 3), 10, shortcut="pad", mean=mean, std=std)
    load_published_weights(network, folder / "weights" / "resnet20_cifar10.npz")
    order = np.random.default_rng(0).permutation(len(images))[: 2 * num_images]
    return _right_ones("", network, load_classifier(network), (images[order], labels[order]), num_images)


def batches(images: np.ndarray) -> Iterator[np.ndarray]:
    """Cuts an array into full batches and a rest."""
    return (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))
