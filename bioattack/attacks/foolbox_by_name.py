"""Runs any attack class of Foolbox on a batch, and judges itself what comes of it.

Foolbox counts images that were wrong before as successes, shrinks what its attacks found to each epsilon (and
so loses pictures that lie inside it, and judges others than were found), and takes no seed. Here only
correctly classified images are attacked, and an image counts as fooled when our own look at what Foolbox
returned says so: inside [0, 1], inside the ball, predicted as another class.
"""

import dataclasses
import hashlib
import inspect
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.attacks import foolbox_bridge as bridge
from bioattack.attacks.foolbox_bridge import BOUNDS, AttackBatch, AttackOutcome, WatchedModel
from bioattack.attacks.foolbox_names import attack_norm, build_foolbox_attack
from bioattack.classifier import Classifier
from bioattack.errors import InputError

# Attacks that a targeted criterion alone suits; their target is the runner-up.
_TARGETED_ONLY = frozenset({"GenAttack"})

# These begin at the image itself unless they are told where.
_NEEDS_NO_START = frozenset({"L0FMNAttack", "L1FMNAttack", "L2FMNAttack", "LInfFMNAttack"})

# Where a decision-based attack begins unless it is told: Foolbox's own choice, but for the number of random
# pictures tried, 1,000 there. Where they do not help, a picture of the same batch does.
_START = "LinearSearchBlendedUniformNoiseAttack"
_START_OPTIONS = {"steps": 50, "directions": 50}


def run_foolbox(
    classifier: Classifier,
    batch: AttackBatch,
    *,
    class_name: str,
    options: Mapping[str, Any],
    epsilons: Sequence[float],
    seed: int,
    tell: Callable[[int], None] = bridge.tell_nobody,
) -> list[AttackOutcome]:
    """Attacks the correctly classified images of a batch with a class of Foolbox.

    An attack at a fixed epsilon is run once for each epsilon, apart from the others, and what it returns is
    brought into the ball before it is judged. An attack that searches for the nearest fooling image is run
    once; at each epsilon its image counts where its distance is no larger, and is left as it was otherwise.

    Foolbox takes no seed and draws from the global generators of TensorFlow and NumPy. Both are set, before
    each run, from the seed and the names of the attacked images: the same call gives the same images, but
    what an attack draws for an image depends on who shares the batch, and for a decision-based attack that
    finds no start in noise, a batch mate of another class is the start. NumPy's generator is put back
    afterwards; TensorFlow's cannot be.

    Args:
        classifier: The classifier.
        batch: The images; of those in ``is_attacked``, the misclassified are left alone all the same.
        class_name: As ``foolbox_attack_names`` lists them.
        options: Of the class' constructor, see ``build_foolbox_attack``.
        epsilons: Radii in the attack's norm (``foolbox_norm``), 0 or larger; ``math.inf`` only for attacks
            that search for the nearest image.
        seed: From which, with the images' names, the global generators are seeded.
        tell: Is told at each call of the model how many there were since the attack began.

    Returns:
        One outcome for each epsilon. ``logits`` are those of the images returned, attacked or not;
        ``num_steps`` is how often the attack asked the model, whole batches at a time.

    Raises:
        InputError: If the attack or an option is unknown, images leave [0, 1], an epsilon is unfit, the model
            has no gradient for an attack that needs one, or the attack fails.
    """
    images, labels = _checked(batch.images), np.asarray(batch.labels, np.int64)
    attack = build_foolbox_attack(class_name, options)
    is_minimal = isinstance(attack, bridge.MinimizationAttack)
    for epsilon in epsilons:
        if not epsilon >= 0 or (np.isinf(epsilon) and not is_minimal):
            raise InputError(f"an epsilon of Foolbox's {class_name} must be 0 or larger. Received: {epsilon}")
    logits = classifier.logits(images).numpy()
    is_attacked = logits.argmax(1) == labels
    if batch.is_attacked is not None:
        is_attacked &= np.asarray(batch.is_attacked, bool)
    places = np.flatnonzero(is_attacked)
    key = _key(seed, [batch.image_ids[int(place)] for place in places])
    trial = _Trial(classifier, attack, images[places], labels[places], key=key, tell=tell)
    nothing = np.zeros(len(images), bool)
    untouched = AttackOutcome(images, logits, nothing.astype(np.int32), nothing)
    if is_minimal:
        return _judge_nearest(trial, untouched, places, epsilons=epsilons)
    return [_judge_at(trial, untouched, places, epsilon=epsilon) for epsilon in epsilons]


class _Trial:
    """One attack on images that are all classified correctly.

    Args:
        classifier: The classifier.
        attack: Foolbox's attack.
        images: ``(n, height, width, channels)``, float32.
        labels: ``(n,)``, int64.
        key: Seeds the global generators.
        tell: Is told how often the model has been called.
    """

    def __init__(
        self,
        classifier: Classifier,
        attack: Any,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        key: int,
        tell: Callable[[int], None],
    ) -> None:
        self.classifier = classifier
        self.attack = attack
        self.images = images
        self.labels = labels
        self.key = key
        self.tell = tell
        self.norm = attack_norm(attack)
        self.class_name = type(attack).__name__

    def run(self, **arguments: float) -> tuple[np.ndarray, WatchedModel]:
        """Returns what Foolbox makes of the images, brought into [0, 1], and the model it asked."""
        model = WatchedModel(self.classifier, num_images=len(self.images), tell=self.tell)
        if not len(self.images) or arguments.get("epsilon") == 0:
            return self.images.copy(), model
        with _seeded(self.key), self._explained():
            found = self._run(model, arguments)
            model.check_gradient()
        # A picture that is no number fools nobody, whatever the model makes of it.
        is_number = np.isfinite(found).all(axis=(1, 2, 3), keepdims=True)
        return np.clip(np.where(is_number, found, self.images), *BOUNDS).astype(np.float32), model

    def _run(self, model: WatchedModel, arguments: Mapping[str, float]) -> np.ndarray:
        inputs, labels = tf.constant(self.images), tf.constant(self.labels)
        if self.class_name in _TARGETED_ONLY:
            criterion = bridge.TargetedMisclassification(self._runners_up())
        else:
            criterion = bridge.Misclassification(labels)
        if hasattr(self.attack, "feed"):  # draws from pictures it is given: those of the batch
            self.attack.feed(model, inputs)
        parameters = inspect.signature(self.attack.run).parameters
        init_attack = getattr(self.attack, "init_attack", None)
        if "starting_points" not in parameters or (
            self.class_name in _NEEDS_NO_START and init_attack is None
        ):
            return np.asarray(self.attack.run(model, inputs, criterion, **arguments))
        starts, has_start = self._starts(model, init_attack)
        found = self.images.copy()
        if has_start.any():
            criterion = bridge.Misclassification(labels[has_start])
            found[has_start] = self.attack.run(
                model,
                inputs[has_start],
                criterion,
                starting_points=tf.constant(starts[has_start]),
                **arguments,
            )
        return found

    def _runners_up(self) -> tf.Tensor:
        logits = self.classifier.logits(self.images).numpy()
        logits[np.arange(len(logits)), self.labels] = -np.inf
        return tf.constant(logits.argmax(1), tf.int64)

    def _starts(self, model: WatchedModel, init_attack: Any) -> tuple[np.ndarray, np.ndarray]:
        """Finds a misclassified picture for each image, and tells which have one."""
        if init_attack is None:
            init_attack = build_foolbox_attack(_START, _START_OPTIONS)
        criterion = bridge.Misclassification(tf.constant(self.labels))
        starts = np.asarray(init_attack.run(model, tf.constant(self.images), criterion)).copy()
        has_start = self.predict(starts) != self.labels
        for place in np.flatnonzero(~has_start):
            mates = np.flatnonzero(self.labels != self.labels[place])
            if len(mates):
                gaps = lengths_in(self.images[mates] - self.images[place], "l2")
                starts[place], has_start[place] = self.images[mates[gaps.argmin()]], True
        return starts, has_start

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Returns the class of each image."""
        return self.classifier.logits(images).numpy().argmax(1) if len(images) else self.labels

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns whatever an attack raises into one sentence."""
        try:
            yield
        except InputError as error:
            raise InputError(
                f"Foolbox's {self.class_name} fails on {self.classifier.name}: {error}"
            ) from error
        except Exception as error:  # Foolbox raises whatever it meets, bare assertions among it
            reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
            raise InputError(
                f"Foolbox's {self.class_name} fails on {self.classifier.name} ({reason}); try other "
                "options, or another attack"
            ) from error


def _judge_at(
    trial: _Trial, untouched: AttackOutcome, places: np.ndarray, *, epsilon: float
) -> AttackOutcome:
    """Runs an attack at one epsilon."""
    found, model = trial.run(epsilon=float(epsilon))
    kept = into_ball(trial.images, found, epsilon=float(epsilon), norm=trial.norm)
    return _outcome(trial, untouched, places, found=kept, model=model)


def _judge_nearest(
    trial: _Trial, untouched: AttackOutcome, places: np.ndarray, *, epsilons: Sequence[float]
) -> list[AttackOutcome]:
    """Runs an attack that searches for the nearest fooling image, and asks of it at each epsilon."""
    found, model = trial.run()
    least = lengths_in(found - trial.images, trial.norm)
    least[trial.predict(found) == trial.labels] = np.inf
    distances = np.full(len(untouched.logits), np.nan)
    distances[places] = least
    outcomes = []
    for epsilon in epsilons:
        is_inside = (least <= epsilon) & np.isfinite(least)
        kept = np.where(is_inside[:, None, None, None], found, trial.images)
        outcome = _outcome(trial, untouched, places, found=kept, model=model)
        outcomes.append(dataclasses.replace(outcome, least_distance=distances))
    return outcomes


def _outcome(
    trial: _Trial, untouched: AttackOutcome, places: np.ndarray, *, found: np.ndarray, model: WatchedModel
) -> AttackOutcome:
    """Puts what was found for the attacked images beside the images that were not."""
    images, logits = untouched.adversarial_images.copy(), untouched.logits.copy()
    num_steps, has_zero_gradient = untouched.num_steps.copy(), untouched.has_zero_gradient.copy()
    if len(places):
        images[places] = found
        logits[places] = trial.classifier.logits(found).numpy()
        num_steps[places] = model.num_calls
        has_zero_gradient[places] = model.has_zero_gradient
    return AttackOutcome(images, logits, num_steps, has_zero_gradient)


def lengths_in(perturbations: np.ndarray, norm: str) -> np.ndarray:
    """Measures perturbations ``(n, ...)`` in ``l0``, ``l1``, ``l2`` or ``linf``: ``(n,)``, float64.

    >>> lengths_in(np.array([[0.0, 3.0, -4.0]]), "l0"), lengths_in(np.array([[0.0, 3.0, -4.0]]), "l2")
    (array([2.]), array([5.]))
    """
    flat = np.abs(
        np.asarray(perturbations, np.float64).reshape(len(perturbations), math.prod(perturbations.shape[1:]))
    )
    lengths: dict[str, Callable[[], np.ndarray]] = {
        "l0": lambda: np.count_nonzero(flat, axis=1).astype(np.float64),
        "l1": lambda: flat.sum(1),
        "l2": lambda: np.sqrt((flat**2).sum(1)),
        "linf": lambda: flat.max(1, initial=0.0),
    }
    return lengths[norm]()


def into_ball(images: np.ndarray, found: np.ndarray, *, epsilon: float, norm: str) -> np.ndarray:
    """Brings what an attack found into the ball around the images.

    Args:
        images: ``(n, ...)``, float32.
        found: As ``images``.
        epsilon: Radius, finite.
        norm: ``"l1"``, ``"l2"`` (scaled down), ``"linf"`` (clipped) or ``"l0"`` (left where it is too far).

    Returns:
        As ``images``, float32; measured in double precision they lie inside the ball, rounding included.
    """
    perturbations = found.astype(np.float64) - images
    sizes = lengths_in(perturbations, norm)
    is_outside = (sizes > epsilon).reshape(-1, *[1] * (images.ndim - 1))
    if norm == "l0":
        return np.where(is_outside, images, found)
    if norm == "linf":
        shortened = np.clip(perturbations, -epsilon, epsilon)
    else:
        factors = (1 - 1e-12) * epsilon / np.maximum(sizes, 1e-300)
        shortened = perturbations * factors.reshape(is_outside.shape)
    moved = (images + shortened).astype(np.float32)
    # Where rounding to float32 leads away from the image, one float32 back.
    is_beyond = np.abs(moved.astype(np.float64) - images) > np.abs(shortened)
    return np.where(is_outside, np.where(is_beyond, np.nextafter(moved, images), moved), found)


def _checked(images: Any) -> np.ndarray:
    images = np.asarray(images, np.float32)
    if images.size and not (images.min() >= BOUNDS[0] and images.max() <= BOUNDS[1]):
        raise InputError(
            f"images must lie in [0, 1]; these span {images.min():g} to {images.max():g}: divide them by "
            "255, or undo their standardisation"
        )
    return images


def _key(seed: int, names: Sequence[str]) -> int:
    digest = hashlib.sha256("\0".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:4], "big")


@contextmanager
def _seeded(key: int) -> Iterator[None]:
    """Seeds the global generators that Foolbox draws from, and puts back those that can be put back."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - Foolbox draws from it
    np.random.seed(key)  # noqa: NPY002
    random.seed(key)
    tf.random.set_seed(key)
    try:
        with warnings.catch_warnings():
            # What an attack warns of, a start not found or a division by zero, is judged here by its result.
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
