"""Whether two attacks find the same images, and where they do not, why."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bioattack.attacks.losses import cross_entropy_ascent
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.classifier import Classifier, load_classifier
from bioattack.testing.checking import require

#: Values of two images that differ by no more are the same. A float32 in [0.5, 1) is known to 6e-8, and each
#: of many steps may add an error of that size.
TOLERANCE = 1e-6
#: Two gradients that float32 computes in two ways agree to this fraction of the image's largest value.
ROUNDING = 1e-5
#: Of the images no more than this fraction may part, whatever the reason.
MOST_PARTED = 0.1


class Scene(NamedTuple):
    """What both attacks are given.

    Args:
        classifier: The classifier.
        images: ``(images, height, width, channels)``, float32, [0, 1]; the classifier is right about them.
        labels: ``(images,)``, int64.
        epsilon: Radius of the ball.
        norm: Its norm.
        num_steps: Steps to be made.
    """

    classifier: Classifier
    images: np.ndarray
    labels: np.ndarray
    epsilon: float
    norm: str
    num_steps: int = 20

    def ours(self, **settings: Any) -> Callable[[int], np.ndarray]:
        """Our attack as a function of the number of steps; ``settings`` are those of ``AttackRequest``."""

        def attack(num_steps: int) -> np.ndarray:
            how: dict[str, Any] = {"has_random_start": False, "judged": "last", "num_steps": num_steps}
            request = AttackRequest(norm=self.norm, epsilons=(self.epsilon,), **(how | settings))
            return attack_images(
                self.classifier, self.images, self.labels, request, batch_size=16
            ).adversarial_images[0]

        return attack


def made_up_scene(norm: str, *, reaches_bounds: bool = True) -> Scene:
    """Noise in the eyes of a small network without kinks, labelled as it sees it.

    Where a network has kinks (ReLU, maximum pooling), errors of rounding that decide on which side an image
    lies grow into differences between any two implementations; here nothing but the attacks can differ.

    Args:
        norm: ``"linf"`` or ``"l2"``.
        reaches_bounds: Whether pixels lie on 0 and 1; otherwise no perturbation gets there.
    """
    random = np.random.default_rng(0)
    kernels = [
        tf.constant(random.normal(0, 0.3, shape), tf.float32) for shape in ((5, 5, 1, 8), (5, 5, 8, 16))
    ]
    last = tf.constant(random.normal(0, 0.01, (49 * 16, 10)), tf.float32)

    def call(images: tf.Tensor) -> tf.Tensor:
        for kernel in kernels:
            images = tf.nn.elu(tf.nn.conv2d(images - 0.5, kernel, 2, "SAME"))
        return tf.reshape(images, (-1, 49 * 16)) @ last

    classifier = load_classifier(call, name="made-up", image_shape=(28, 28, 1))
    epsilon = {"linf": 0.1, "l2": 1.0}[norm]
    low, high = (-0.2, 1.2) if reaches_bounds else (0.4, 0.6)
    images = random.uniform(low, high, (24, 28, 28, 1)).clip(0, 1).astype(np.float32)
    return Scene(classifier, images, classifier.logits(images).numpy().argmax(1), epsilon, norm)


def check_parity(
    scene: Scene,
    ours: Callable[[int], np.ndarray],
    theirs: Callable[[int], np.ndarray],
    *,
    targets: np.ndarray | None = None,
) -> None:
    """Checks that two attacks, given as functions of the number of steps, find the same images.

    A few images may part, and only for one of two reasons. Either the first step that moved them differently
    did so in values whose gradient is 0 but for rounding, so that its sign is a matter of chance. (The usual
    gradient of the cross-entropy is the one of the log-odds times ``1 - p``, where ``p`` is the probability
    of the class in float32: what is known of it is worth ``1e-7 / (1 - p)``.) Or the network has a kink
    there: its gradient jumps between two iterates that are the same up to ``TOLERANCE``.

    Args:
        scene: What both were given.
        ours: Ours.
        theirs: Theirs.
        targets: ``(images,)``, the classes that were aimed at, if any.

    Raises:
        AssertionError: If images differ for any other reason.
    """
    ours, theirs = functools.cache(ours), functools.cache(theirs)

    def parts(place: int, num_steps: int) -> np.ndarray:
        """Where the image differs after so many steps."""
        return np.abs(ours(num_steps)[place] - theirs(num_steps)[place]) > TOLERANCE

    differing = [place for place in range(len(scene.images)) if parts(place, scene.num_steps).any()]
    require(len(differing) <= MOST_PARTED * len(scene.images), f"images {differing} differ")
    for place in differing:
        before, after = 0, scene.num_steps
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (before, middle) if parts(place, middle).any() else (middle, after)
        iterates = [attack(before)[place] if before else scene.images[place] for attack in (ours, theirs)]
        label = (scene.labels if targets is None else targets)[place]
        (gradient, rounding), (other, _) = (
            _relative_gradient(scene.classifier, iterate, label) for iterate in iterates
        )
        largest, jump = np.abs(gradient[parts(place, after)]).max(), np.abs(gradient - other).max()
        require(
            largest < rounding or jump > ROUNDING,
            f"image {place} parts at step {after} for no reason: of the largest gradient, {largest:.1e} is "
            f"there, {rounding:.1e} is rounding and {jump:.1e} a jump",
        )


def _relative_gradient(classifier: Classifier, image: np.ndarray, label: int) -> tuple[np.ndarray, float]:
    """The gradient of the log-odds over its largest value, and what a peer knows it to."""
    images = tf.constant(image[None])
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = cross_entropy_ascent(
            classifier.logits(images), tf.constant([label], tf.int32), tf.constant([-1])
        )
    gradient = tape.gradient(loss, images).numpy()[0]
    wrong_share = float(tf.sigmoid(tf.cast(loss, tf.float64))[0])
    return gradient / np.abs(gradient).max(), ROUNDING + float(np.finfo(np.float32).eps) / wrong_share
