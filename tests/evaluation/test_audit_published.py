"""Published networks, one robust and one not, are sound: no check may accuse them."""

import numpy as np
import pytest

from bioattack.classifier import load_classifier
from bioattack.evaluation.audit import audit, failed_checks
from bioattack.evaluation.audit_checks.evidence import Sample
from bioattack.models.resnet20 import resnet20
from bioattack.models.weights import load_published_weights
from bioattack.testing.published_networks import mnist_test_images, published_mnist_network

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def _failed(classifier, images, labels, *, num_images):
    further = images[num_images : num_images + 512]
    sample = Sample(images[:num_images], labels[:num_images], further_images=further)
    return failed_checks({"models": [audit(classifier, sample)]})


def test_the_robust_mnist_network_is_sound(realdata):
    classifier = published_mnist_network(realdata / "weights" / "mnist_cnn.npz")
    images, labels = mnist_test_images(realdata, 640)
    assert _failed(classifier, images, labels, num_images=128) == []


def test_resnet20_is_sound(realdata):
    model = resnet20(
        (32, 32, 3),
        10,
        num_blocks=3,
        shortcut="pad",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    load_published_weights(model, realdata / "weights" / "resnet20_cifar10.npz")
    with np.load(realdata / "cifar10" / "cifar10_20k_5k.npz") as archive:
        images, labels = archive["x_test"].astype("float32") / 255, archive["y_test"].astype("int32")
    order = np.random.default_rng(0).permutation(len(images))
    classifier = load_classifier(model, name="resnet20")
    assert _failed(classifier, images[order], labels[order], num_images=64) == []
