"""The harness every attack passes: bounds, budget, no change where already wrong, same seed same result."""

from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from bioattack.attacks.foolbox_bridge import AttackBatch, AttackOutcome, BridgedModel
from bioattack.classifier import Classifier, load_classifier
from bioattack.errors import InputError
from bioattack.testing.checking import require

# Sums of float32 squares over an image stay within this fraction of the true norm.
_RELATIVE_SLACK = 1e-5


class Attack(Protocol):
    """What the harness needs of an attack."""

    norm: str

    def attack(
        self, model: BridgedModel, batch: AttackBatch, *, epsilon: float, seed: int = 0
    ) -> AttackOutcome:
        """Attacks a batch of images."""


class AttackCase(NamedTuple):
    """One row of the table of attacks under test.

    Args:
        attack: The attack.
        epsilon: A budget at which it fools some, not necessarily all, images of ``made_up_batch``.
        needs_gradient: Whether it must refuse a classifier without a gradient.
    """

    attack: Attack
    epsilon: float
    needs_gradient: bool


def norm_of(perturbation: np.ndarray, norm: str) -> np.ndarray:
    """Measures each image's perturbation, ``(batch, ...)`` to ``(batch,)``, in double precision."""
    flat = np.abs(np.asarray(perturbation, np.float64).reshape(len(perturbation), -1))
    return flat.max(1) if norm == "linf" else np.sqrt((flat**2).sum(1))


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
        case: The attack, a budget, and whether it needs a gradient.

    Raises:
        AssertionError: If the attack leaves [0, 1] or its budget, touches an image that is wrong already,
            reports other logits than the model gives, depends on batch mates, or does not repeat itself.
    """
    classifier = made_up_classifier()
    model, batch = BridgedModel(classifier), made_up_batch(classifier)
    images = np.asarray(batch.images)
    outcome = case.attack.attack(model, batch, epsilon=case.epsilon, seed=7)
    adversarial_images = outcome.adversarial_images

    _hold(adversarial_images.dtype == np.float32, "adversarial images are float32")
    _hold(bool((adversarial_images >= 0).all() and (adversarial_images <= 1).all()), "they lie in [0, 1]")
    size = norm_of(adversarial_images - images, case.attack.norm)
    _hold(bool((size <= case.epsilon * (1 + _RELATIVE_SLACK) + 1e-7).all()), f"within {case.epsilon}: {size}")
    _hold(bool((size[~batch.is_attacked] == 0).all()), "images that are wrong already are not touched")
    _hold(bool((outcome.num_steps[~batch.is_attacked] == 0).all()), "nor counted as steps")
    _hold(bool((size[batch.is_attacked] > 0).any()), "something is changed elsewhere")
    fallen = outcome.logits.argmax(1) != batch.labels
    _hold(bool(fallen[batch.is_attacked].any()), f"epsilon {case.epsilon} fools at least one image")
    np.testing.assert_allclose(
        outcome.logits[batch.is_attacked],
        classifier.logits(adversarial_images).numpy()[batch.is_attacked],
        atol=1e-4,
        err_msg="the logits are those of the adversarial images",
    )
    _check_repeats(case, model, batch, outcome)
    nothing = case.attack.attack(model, batch, epsilon=0.0, seed=7)
    np.testing.assert_array_equal(nothing.adversarial_images, images, err_msg="epsilon 0 changes nothing")
    _check_needs_gradient(case, batch)


def _check_repeats(case: AttackCase, model: BridgedModel, batch: AttackBatch, outcome: AttackOutcome) -> None:
    again = case.attack.attack(model, batch, epsilon=case.epsilon, seed=7)
    np.testing.assert_array_equal(
        again.adversarial_images, outcome.adversarial_images, err_msg="same seed, same result"
    )
    order = np.arange(len(batch.image_ids))[::-1]
    mirrored = AttackBatch(
        batch.images[order],
        batch.labels[order],
        [batch.image_ids[i] for i in order],
        batch.is_attacked[order],
    )
    turned = case.attack.attack(model, mirrored, epsilon=case.epsilon, seed=7).adversarial_images[order]
    # The libraries' last bits, magnified by the sign, may turn single pixels; batch mates may not do more.
    share = np.mean(np.abs(turned - outcome.adversarial_images) > 1e-4 * case.epsilon)
    _hold(share < 0.01, f"the result does not depend on batch mates (differs in {share:.1%} of pixels)")


def _check_needs_gradient(case: AttackCase, batch: AttackBatch) -> None:
    smooth = made_up_classifier()
    stepped = load_classifier(
        lambda images: smooth.logits(tf.round(images * 8) / 8), name="stepped", image_shape=(8, 8, 3)
    )
    try:
        case.attack.attack(BridgedModel(stepped), batch, epsilon=case.epsilon)
        is_refused = False
    except InputError:
        is_refused = True
    _hold(is_refused == case.needs_gradient, f"without a gradient it is refused: {is_refused}")


def _hold(is_true: bool, statement: str) -> None:
    require(is_true, f"does not hold: {statement}")
