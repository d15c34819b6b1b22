"""A defended classifier: the same logits as by hand, and open to every attack."""

import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.classifier import load_classifier
from bioattack.defences import BitDepth, JpegCompression, defend, parse_defence
from bioattack.errors import InputError
from bioattack.testing.tiny_models import save_tint_model


def brightest_channel(**how):
    return load_classifier(lambda images: 40 * tf.reduce_mean(images, (1, 2)), name="channels", **how)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 16, 16, 3), dtype=np.float32)


@pytest.mark.parametrize("name", ["jpeg:20", "bits:2"])
def test_its_logits_are_those_of_the_defended_pictures(name, images):
    classifier = brightest_channel(image_shape=(16, 16, 3))
    defended = defend(classifier, name)
    assert (defended.name, defended.num_classes) == (f"channels+{name}", 3)
    np.testing.assert_array_equal(
        defended.logits(images), classifier.logits(parse_defence(name)(images).numpy())
    )


def test_input_range_and_probabilities_of_the_classifier_are_kept(images):
    def model(values):
        return tf.nn.softmax(tf.reduce_mean(values, (1, 2)) / 255)

    classifier = load_classifier(model, name="m", outputs="probabilities", input_range=(0, 255))
    by_hand = tf.math.log(model(255 * BitDepth(3)(images)))
    np.testing.assert_allclose(defend(classifier, "bits:3").logits(images), by_hand, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "gradient"),
    [("jpeg:50", "smooth"), ("jpeg:50", "straight-through"), ("bits:3", "straight-through")],
)
def test_an_attack_that_knows_the_defence_gets_through_it(name, gradient):
    # Red is ahead by 0.02 in the mean, which a budget of 0.1 can turn.
    images = np.full((2, 16, 16, 3), 0.5, np.float32)
    images += np.random.default_rng(0).uniform(-0.1, 0.1, images.shape).astype(np.float32)
    images[..., 0] += 0.08
    defended = defend(brightest_channel(), name, gradient=gradient)
    request = AttackRequest("bim", "linf", (0.1,))
    attacked = attack_images(defended, images, np.array([0, 0]), request)
    assert attacked.is_correct.all()
    assert attacked.is_fooled.all()
    after = parse_defence(name)(attacked.adversarial_images[0])
    assert (np.mean(after, axis=(1, 2)).argmax(1) != 0).all()


def test_without_a_gradient_a_gradient_attack_has_nothing_to_go_by(images):
    defended = defend(brightest_channel(), "bits:3", gradient="none")
    with pytest.raises(InputError, match="no gradient with respect to the pictures"):
        attack_images(
            defended, images, defended.logits(images).numpy().argmax(1), AttackRequest("bim", "linf", (0.1,))
        )


def test_fingerprints_tell_defences_apart(tmp_path):
    classifier = load_classifier(save_tint_model(tmp_path / "model"))
    defended = [defend(classifier, name) for name in ("jpeg:50", "jpeg:51", "bits:2")]
    defended.append(defend(classifier, JpegCompression(50), gradient="smooth"))
    assert len({one.fingerprint for one in [classifier, *defended]}) == 5


@pytest.mark.parametrize("name", ["blur:3", "jpeg", "jpeg:", "jpeg:-1", "jpeg:7.5", "bits:²", ""])
def test_an_unknown_defence_is_refused(name):
    with pytest.raises(InputError, match=r"there is no defence .*; there are jpeg:QUALITY"):
        parse_defence(name)


@pytest.mark.parametrize("name", ["jpeg:0", "jpeg:101", "bits:0", "bits:9"])
def test_a_strength_out_of_range_is_refused(name):
    with pytest.raises(InputError, match="must be a whole number from 1 to"):
        defend(brightest_channel(), name)


def test_an_unknown_gradient_is_refused_at_once():
    with pytest.raises(InputError, match="gradient of bits:2 must be one of none, straight-through"):
        defend(brightest_channel(), "bits:2", gradient="smooth")
