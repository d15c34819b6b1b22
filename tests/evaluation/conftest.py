"""Pictures and sound models that several tests of evaluations share, made once."""

import pytest

from bioattack.classifier import load_classifier
from bioattack.evaluation.audit_checks.evidence import Evidence, Sample
from bioattack.testing.healthy_models import SIZE, draw_pictures, train_convolutional, train_linear


@pytest.fixture(scope="session")
def pictures():
    """64 pictures that no model of these tests has seen."""
    return draw_pictures(64, seed=2)


@pytest.fixture(scope="session")
def convolutional():
    return train_convolutional(draw_pictures(1500, seed=1))


@pytest.fixture(scope="session")
def linear():
    return train_linear(draw_pictures(1500, seed=1))


@pytest.fixture(scope="session")
def sample(pictures):
    return Sample(pictures.images, pictures.labels)


@pytest.fixture(scope="session")
def evidence_on(sample):
    """Makes evidence of any function of the pictures, from all or from the first few of them."""

    def make(model, num_images=None, **how):
        classifier = load_classifier(model, name="m", image_shape=(SIZE, SIZE, 3))
        some = Sample(sample.images[:num_images], sample.labels[:num_images])
        return Evidence(classifier, some, **how)

    return make


@pytest.fixture(scope="session")
def sound(convolutional):
    """The sound convolutional network as a function from images to logits."""
    return lambda images: convolutional(images, training=False)


@pytest.fixture(scope="session")
def sound_evidence(evidence_on, sound):
    return evidence_on(sound)
