"""An attack from beginning to end: from a name to an engine, and from arrays to arrays."""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bioattack.attacks.attack import AttackedModel, StreamedAttack
from bioattack.attacks.engine import Engine
from bioattack.attacks.registry import JUDGED, attack_class, find_attack
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.searches import Attempts, EpsilonLadder, LeastEpsilon, NoRadius, Search
from bioattack.attacks.stream import check_inputs
from bioattack.attacks.tasks import ImageResult, Statistics
from bioattack.classifier import Classifier
from bioattack.classifier.checks import size_words
from bioattack.classifier.classifier import first_line
from bioattack.errors import InputError


class ZeroGradientWarning(UserWarning):
    """No image had a gradient that an attack could have begun with."""


@dataclasses.dataclass(frozen=True)
class AttackedImages:
    """What came of an attack on arrays; first axis the epsilons, second the images.

    Args:
        epsilons: ``(epsilons,)``; infinite where the attack keeps to no radius.
        adversarial_images: ``(epsilons, images, height, width, channels)``, float32, [0, 1]; the image itself
            where it was wrong before.
        logits: ``(epsilons, images, classes)`` of these.
        logits_8bit: The same of these images rounded to 8 bits per channel.
        is_fooled: ``(epsilons, images)``: right before and wrong after (or at its target).
        num_steps: ``(epsilons, images)``.
        has_zero_gradient: ``(epsilons, images)``: the attack had no gradient to start with.
        clean_logits: ``(images, classes)``.
        is_correct: ``(images,)``: right before.
        epsilon_low: ``(images,)``: where the least epsilon was searched, the largest one withstood; else NaN.
        epsilon_high: ``(images,)``: the least one that fooled, infinite where none did; else NaN.
        statistics: What the engine did.
    """

    epsilons: np.ndarray
    adversarial_images: np.ndarray
    logits: np.ndarray
    logits_8bit: np.ndarray
    is_fooled: np.ndarray
    num_steps: np.ndarray
    has_zero_gradient: np.ndarray
    clean_logits: np.ndarray
    is_correct: np.ndarray
    epsilon_low: np.ndarray
    epsilon_high: np.ndarray
    statistics: Statistics

    def adversarial_accuracy(self) -> np.ndarray:
        """Gives ``1 - (M + A) / N`` for each epsilon: M wrong before, A attacked with success, N in all."""
        return np.asarray(np.mean(self.is_correct & ~self.is_fooled, axis=1))


def make_attack(request: AttackRequest, *, num_classes: int) -> StreamedAttack:
    """Makes the attack that is asked for, which shows whether there is one.

    Args:
        request: What is asked.
        num_classes: Number of the model's logits.

    Raises:
        InputError: If the attack does not go with the norm, the settings or the number of classes, or has
            no such setting.
    """
    if request.target is not None and request.target >= num_classes:
        raise InputError(
            f"target must be a class from 0 to {num_classes - 1}. Received: target={request.target}"
        )
    name, loss = find_attack(request.attack)
    overrides = request.overrides() | ({} if loss is None else {"loss": loss})
    its_class = attack_class(name)
    defaults = next(iter(its_class.defaults.values()))
    own = {field.name for field in dataclasses.fields(defaults)}
    if defaults.judged not in JUDGED:
        own.discard("judged")
    if unknown := [setting for setting in overrides if setting not in own]:
        raise InputError(f"{name} has no {' and no '.join(unknown)}: leave that out")
    made: StreamedAttack = its_class.make(norm=request.norm, num_classes=num_classes, overrides=overrides)
    return made


def make_engine(
    classifier: Classifier,
    request: AttackRequest,
    *,
    num_classes: int,
    batch_size: int,
    seed: int,
    attacks_all: bool = False,
) -> Engine:
    """Makes the engine that does what is asked.

    Args:
        classifier: The classifier.
        request: What is asked.
        num_classes: Number of its logits.
        batch_size: Number of slots.
        seed: With each image's name, the source of all that is random.
        attacks_all: Whether images that are wrong already are attacked, too.

    Raises:
        InputError: If the attack does not go with the norm, the settings or the number of classes.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1. Received: batch_size={batch_size}")
    attack = make_attack(request, num_classes=num_classes)
    num_targets = attack.num_targets if request.target is None else 0
    return Engine(
        AttackedModel(classifier, num_draws=request.num_draws),
        attack,
        search=make_search(request),
        attempts=Attempts(request.num_restarts, num_targets, request.target),
        batch_size=batch_size,
        seed=seed,
        attacks_all=attacks_all,
    )


def attack_images(
    classifier: Classifier,
    images: Any,
    labels: Any,
    request: AttackRequest,
    *,
    image_ids: Sequence[str] | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> AttackedImages:
    """Attacks images that are in memory.

    Args:
        classifier: The classifier.
        images: ``(images, height, width, channels)``, float32, [0, 1].
        labels: ``(images,)``, integer true classes.
        request: What is asked.
        image_ids: A name for each image, from which what is random is drawn; their places by default.
        batch_size: Number of slots.
        seed: The other source of what is random.

    Raises:
        InputError: If something cannot be attacked; the sentence says what.

    Warns:
        ZeroGradientWarning: If nothing fell and every image that was attacked had a gradient of exactly 0.

    >>> import tensorflow as tf
    >>> from bioattack.classifier import load_classifier
    >>> classifier = load_classifier(lambda images: tf.reduce_mean(images, (1, 2)), name="brightest channel")
    >>> images = np.full((1, 4, 4, 3), (0.5, 0.45, 0.4), "float32")
    >>> request = AttackRequest("bim", epsilons=(0.01, 0.1))
    >>> attacked = attack_images(classifier, images, np.array([0]), request)
    >>> attacked.is_fooled[:, 0]
    array([False,  True])
    """
    images, labels = np.asarray(images), np.asarray(labels)
    names = list(image_ids) if image_ids is not None else [str(place) for place in range(len(images))]
    if not len(labels) == len(names) == len(images):
        raise InputError(
            "images, labels and image_ids must be equally many. "
            f"Received: {len(images)}, {len(labels)} and {len(names)}"
        )

    def stream() -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(images), batch_size):
            some = slice(start, start + batch_size)
            yield {"image": images[some], "label": labels[some], "image_id": names[some]}

    num_classes = classifier.num_classes or _asked_num_classes(classifier, images, names, request)
    engine = make_engine(classifier, request, num_classes=num_classes, batch_size=batch_size, seed=seed)
    results = [result for complete in engine.run(stream()) for result in complete]
    _warn_without_gradient(results, classifier)
    return _gather(results, engine.search, engine.statistics)


def _warn_without_gradient(results: Sequence[ImageResult], classifier: Classifier) -> None:
    outcomes = [outcome for result in results for outcome in result.outcomes if outcome.finding]
    has_none = bool(outcomes) and all(
        outcome.finding is not None and outcome.finding.has_zero_gradient and not outcome.is_fooled
        for outcome in outcomes
    )
    if has_none:
        warnings.warn(
            f"model {classifier.name} has a gradient of exactly 0 at every attacked image, so the attack "
            "could not begin, and that nothing fell is no robustness: try the loss margin (pgd-margin), and "
            "ask an audit (bioattack.evaluation.audit, or bioattack-evaluate --audit) what is wrong",
            ZeroGradientWarning,
            stacklevel=3,
        )


def _asked_num_classes(
    classifier: Classifier, images: np.ndarray, names: list[str], request: AttackRequest
) -> int:
    """Calls a model that does not say how many classes it tells apart."""
    check_inputs(images, names, classifier, bounds=request.bounds)
    try:
        return int(classifier.logits(images[:1]).shape[1])
    except InputError:
        raise
    except Exception as error:  # whatever a foreign function raises
        raise InputError(
            f"model {classifier.name} cannot be called on inputs of {size_words(images.shape[1:])} "
            f"({first_line(error)})"
        ) from error


def make_search(request: AttackRequest) -> Search:
    """Makes what decides at which radius each image is attacked next.

    Args:
        request: What is asked.

    >>> make_search(AttackRequest("pgd-unbounded")).reported_epsilons
    (inf,)
    """
    if not request.has_radius:
        return NoRadius()
    if request.least_epsilon_width is None:
        return EpsilonLadder(request.epsilons, is_independent=request.is_independent)
    return LeastEpsilon(max(request.epsilons), request.least_epsilon_width)


def _gather(results: Sequence[ImageResult], search: Search, statistics: Statistics) -> AttackedImages:
    def each(value: Any, of_unattacked: Any) -> np.ndarray:
        """One value for each outcome, first axis the epsilons."""
        like = np.asarray(of_unattacked(results[0]))
        values = np.empty((search.num_outcomes, len(results), *like.shape), like.dtype)
        for place, result in enumerate(results):
            if not result.outcomes:
                values[:, place] = of_unattacked(result)
            for row, outcome in enumerate(result.outcomes):
                values[row, place] = value(result, outcome)
        return values

    def of_finding(name: str, otherwise: Any) -> np.ndarray:
        return each(
            lambda result, outcome: getattr(outcome.finding, name) if outcome.finding else otherwise(result),
            otherwise,
        )

    return AttackedImages(
        epsilons=np.asarray(search.reported_epsilons),
        adversarial_images=of_finding("adversarial_image", lambda result: result.image.pixels),
        logits=of_finding("logits", lambda result: result.image.clean_logits),
        logits_8bit=of_finding("logits_8bit", lambda result: result.image.clean_logits),
        is_fooled=each(lambda _, outcome: outcome.is_fooled, lambda _: False),
        num_steps=each(lambda _, outcome: outcome.num_steps, lambda _: 0),
        has_zero_gradient=of_finding("has_zero_gradient", lambda _: False),
        clean_logits=np.stack([result.image.clean_logits for result in results]),
        is_correct=np.array([result.image.is_correct for result in results]),
        epsilon_low=each(lambda _, outcome: outcome.epsilon_low, lambda _: np.nan)[0],
        epsilon_high=each(lambda _, outcome: outcome.epsilon_high, lambda _: np.nan)[0],
        statistics=statistics,
    )
