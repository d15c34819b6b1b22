"""The harness every attack passes: bounds, budget, no change where already wrong, same seed same result."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bioattack.attacks.foolbox_bridge import AttackBatch
from bioattack.attacks.lengths import lengths
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import AttackedImages, attack_images
from bioattack.classifier import Classifier, load_classifier
from bioattack.distances import Distance
from bioattack.errors import InputError
from bioattack.testing.checking import require

# Sums of float32 squares over an image stay within this fraction of the true norm.
_RELATIVE_SLACK = 1e-5
# Fewer slots than images, so that they come and go.
_NUM_SLOTS = 5


class AttackCase(NamedTuple):
    """One row of the table of attacks under test.

    Args:
        request: The attack, with one epsilon at which it fools some images of ``made_up_batch``; an attack
            that keeps to a radius in a distance has that distance itself, not its name.
        needs_gradient: Whether it must refuse a classifier without a gradient.
        slack: What the order of the images may change in a value, as a share of epsilon; more only where the
            attack magnifies the last bits by more than a sign.
    """

    request: AttackRequest
    needs_gradient: bool = True
    slack: float = 1e-4


def norm_of(perturbation: np.ndarray, norm: str) -> np.ndarray:
    """Measures each image's perturbation, ``(batch, ...)`` to ``(batch,)``, in double precision."""
    return np.array([lengths(one)[norm] for one in np.asarray(perturbation)])


def made_up_classifier() -> Classifier:
    """A small fixed network with a bend in it, on images of 8 x 8 x 3 and four classes."""
    generator = np.random.default_rng(0)
    first = tf.constant(generator.normal(0, 0.2, (3, 3, 3, 8)), tf.float32)
    last = tf.constant(generator.normal(0, 0.3, (8 * 36, 4)), tf.float32)

    def call(images: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.softplus(tf.nn.conv2d(images - 0.5, first, 1, "VALID"))
        return tf.reshape(hidden, (-1, 8 * 36)) @ last

    grey = call(tf.fill((1, 8, 8, 3), 0.5))
    return load_classifier(lambda images: call(images) - grey, name="made-up", image_shape=(8, 8, 3))


def made_up_batch(classifier: Classifier, *, num_images: int = 12) -> AttackBatch:
    """Random images with the classifier's own labels, except that the first quarter is labelled wrongly."""
    images = np.random.default_rng(1).uniform(0, 1, (num_images, 8, 8, 3)).astype(np.float32)
    images[:, 0] = np.round(images[:, 0])  # some pixels lie on the bounds
    labels = classifier.logits(images).numpy().argmax(1)
    is_correct = np.arange(num_images) >= num_images // 4
    names = [f"image {place}" for place in range(num_images)]
    return AttackBatch(images, np.where(is_correct, labels, (labels + 1) % 4), names, is_correct)


def check_attack(case: AttackCase) -> None:
    """Checks one attack.

    Args:
        case: The attack, its budget, and whether it needs a gradient.

    Raises:
        AssertionError: If the attack leaves [0, 1] or its budget, touches an image that is wrong already,
            reports other logits than the model gives, depends on batch mates, or does not repeat itself.
    """
    classifier = made_up_classifier()
    batch, request, epsilon = made_up_batch(classifier), case.request, case.request.epsilons[-1]
    images, is_attacked = np.asarray(batch.images), batch.is_attacked
    outcome = _attack(classifier, batch, request)
    adversarial_images = outcome.adversarial_images[-1]

    _hold(adversarial_images.dtype == np.float32, "adversarial images are float32")
    _hold(bool((adversarial_images >= 0).all() and (adversarial_images <= 1).all()), "they lie in [0, 1]")
    size = _sizes(request, images, adversarial_images)
    _hold(bool((size <= epsilon * (1 + _RELATIVE_SLACK) + 1e-7).all()), f"within {epsilon}: {size}")
    _hold(bool((size[~is_attacked] == 0).all()), "images that are wrong already are not touched")
    _hold(bool((outcome.num_steps[-1][~is_attacked] == 0).all()), "nor counted as steps")
    _hold(bool((size[is_attacked] > 0).any()), "something is changed elsewhere")
    fallen = outcome.logits[-1].argmax(1) != batch.labels
    _hold(bool(outcome.is_fooled[-1].any()), f"epsilon {epsilon} fools at least one image")
    _hold(bool((fallen & is_attacked == outcome.is_fooled[-1]).all()), "fooled is what the model gets wrong")
    np.testing.assert_allclose(
        outcome.logits[-1],
        classifier.logits(adversarial_images).numpy(),
        atol=1e-4,
        err_msg="the logits are those of the adversarial images",
    )
    _check_repeats(case, classifier, batch, outcome)
    if request.has_radius:
        nothing = _attack(classifier, batch, dataclasses.replace(request, epsilons=(0.0,)))
        np.testing.assert_array_equal(
            nothing.adversarial_images[0], images, err_msg="epsilon 0 changes nothing"
        )
    _check_needs_gradient(case, batch)


def _sizes(request: AttackRequest, images: np.ndarray, adversarial_images: np.ndarray) -> np.ndarray:
    """Measures the perturbations in what the radius is in; in L2 where there is no radius."""
    if request.has_radius and isinstance(request.distance, Distance):
        return np.asarray(request.distance(images, adversarial_images))
    return norm_of(adversarial_images - images, request.norm if request.has_radius else "l2")


def _attack(classifier: Classifier, batch: AttackBatch, request: AttackRequest) -> AttackedImages:
    return attack_images(
        classifier,
        batch.images,
        batch.labels,
        request,
        image_ids=batch.image_ids,
        batch_size=_NUM_SLOTS,
        seed=7,
    )


def _check_repeats(
    case: AttackCase, classifier: Classifier, batch: AttackBatch, outcome: AttackedImages
) -> None:
    again = _attack(classifier, batch, case.request)
    np.testing.assert_array_equal(
        again.adversarial_images, outcome.adversarial_images, err_msg="same seed, same result"
    )
    order = np.arange(len(batch.image_ids))[::-1]
    mirrored = AttackBatch(batch.images[order], batch.labels[order], [batch.image_ids[i] for i in order])
    turned = _attack(classifier, mirrored, case.request).adversarial_images[:, order]
    # The libraries' last bits, magnified by the sign, may turn single pixels; batch mates may not do more.
    slack = case.slack * min(1.0, case.request.epsilons[-1])
    share = np.mean(np.abs(turned - outcome.adversarial_images) > slack)
    _hold(share < 0.01, f"the result does not depend on batch mates (differs in {share:.1%} of pixels)")


def _check_needs_gradient(case: AttackCase, batch: AttackBatch) -> None:
    smooth = made_up_classifier()
    stepped = load_classifier(
        lambda images: smooth.logits(tf.round(images * 8) / 8), name="stepped", image_shape=(8, 8, 3)
    )
    try:
        _attack(stepped, batch, case.request)
        is_refused = False
    except InputError:
        is_refused = True
    _hold(is_refused == case.needs_gradient, f"without a gradient it is refused: {is_refused}")


def _hold(is_true: bool, statement: str) -> None:
    require(is_true, f"does not hold: {statement}")
