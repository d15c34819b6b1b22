"""A classifier that sees its pictures through a defence, and is a classifier again."""

import dataclasses
import hashlib
from typing import Any

import tensorflow as tf

from bioattack.classifier import Classifier
from bioattack.defences.bit_depth import BitDepth
from bioattack.defences.defence import Defence
from bioattack.defences.jpeg import JpegCompression
from bioattack.defences.median import MedianSmoothing
from bioattack.errors import InputError

_KINDS: dict[str, type[BitDepth | JpegCompression | MedianSmoothing]] = {
    "jpeg": JpegCompression,
    "bits": BitDepth,
    "median": MedianSmoothing,
}


def parse_defence(name: str) -> Defence:
    """Makes the defence of a name.

    Args:
        name: ``"jpeg:QUALITY"``, 1 to 100, ``"bits:NUMBER"``, 1 to 8, or ``"median:SIZE"``, 2 to 9.

    Raises:
        InputError: If there is no such defence.

    >>> parse_defence("bits:4").name
    'bits:4'
    """
    kind, _, strength = name.partition(":")
    if kind not in _KINDS or not strength.isascii() or not strength.isdecimal():
        raise InputError(
            f"there is no defence {name!r}; there are jpeg:QUALITY (1 to 100), bits:NUMBER (1 to 8) and"
            " median:SIZE (2 to 9)"
        )
    return _KINDS[kind](int(strength))


def defend(
    classifier: Classifier, defence: str | Defence, *, gradient: str = "straight-through"
) -> Classifier:
    """Puts a defence in front of a classifier; every attack can attack the two as one.

    Args:
        classifier: The classifier.
        defence: A defence, or its name, such as ``"jpeg:75"``.
        gradient: How a gradient passes the defence: ``"none"``, ``"straight-through"``, or ``"smooth"`` for
            JPEG and the median. The logits are those of the exact defence whichever it is.

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
