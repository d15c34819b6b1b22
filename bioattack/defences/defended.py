"""A classifier that sees its pictures through a defence, and is a classifier again."""

import dataclasses
import hashlib
import importlib
from typing import Any

import tensorflow as tf

from bioattack.classifier import Classifier
from bioattack.defences.defence import Defence
from bioattack.defences.registry import DEFENCES, read_defence
from bioattack.errors import InputError


def parse_defence(name: str) -> Defence:
    """Makes the defence of a name.

    Args:
        name: As ``read_defence`` takes it.

    Raises:
        InputError: If there is no such defence.

    >>> parse_defence("bits:4").name
    'bits:4'
    """
    kind, number = read_defence(name)
    module, _, attribute = DEFENCES[kind].target.partition(":")
    made: Defence = getattr(importlib.import_module(module), attribute)(number)
    return made


def defend(classifier: Classifier, defence: str | Defence, *, gradient: str | None = None) -> Classifier:
    """Puts a defence in front of a classifier; every attack can attack the two as one.

    Args:
        classifier: The classifier.
        defence: A defence, or its name, such as ``"jpeg:75"``.
        gradient: How a gradient passes the defence: ``"none"``, ``"straight-through"`` (as unless given, but
            for the median), or ``"smooth"`` for JPEG and the median. The logits are those of the exact
            defence whichever it is.

    Returns:
        A classifier called ``NAME+jpeg:75``.

    Raises:
        InputError: If there is no such defence, or it has no such gradient.

    >>> from bioattack.classifier import load_classifier
    >>> classifier = load_classifier(lambda images: tf.reduce_mean(images, (1, 2)), name="brightest channel")
    >>> defend(classifier, "jpeg:75").name
    'brightest channel+jpeg:75'
    """
    made = parse_defence(defence) if isinstance(defence, str) else defence
    gradient = made.usual_gradient if gradient is None else gradient
    if gradient not in made.gradients:
        raise InputError(
            f"gradient of {made.name} must be one of {', '.join(made.gradients)}. "
            f"Received: gradient={gradient!r}"
        )

    def call(images: Any) -> tf.Tensor:
        return classifier.logits(made(images, gradient=gradient))

    endpoint = dataclasses.replace(classifier.endpoint, call=call, owner=classifier, dtype=tf.float32)
    fingerprint = None
    if classifier.fingerprint is not None:
        words = (
            f"{classifier.fingerprint}/{classifier.outputs}/{classifier.input_range}/{made.name}/{gradient}"
        )
        fingerprint = hashlib.sha256(words.encode()).hexdigest()
    return Classifier(
        endpoint,
        name=f"{classifier.name}+{made.name}",
        source=classifier.source,
        card=classifier.card,
        fingerprint=fingerprint,
    )
