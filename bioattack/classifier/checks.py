"""Refuses, with the reason, a classifier on which an attack would measure something else than robustness."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.classifier.classifier import Classifier, first_line
from bioattack.errors import InputError, UnfitModelError
from bioattack.tfrecords_builder.table import Table, table_from_json

# Rows of float16 probabilities add up to 1 within this; rows of logits do not on a whole set of pictures.
_SUM_TOLERANCE = 2e-3
# Other input ranges must win by this much accuracy, and by this many standard errors of a paired comparison.
_BETTER_BY, _STANDARD_ERRORS = 0.2, 3.0
# Two calls of a model without dice may differ in the last bits, relative to the largest logit.
_REPEAT_TOLERANCE = 1e-4

# The usual standardisation: channel means and standard deviations of ImageNet in [0, 1].
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def check_against_records(
    classifier: Classifier,
    *,
    image_shape: tuple[int, ...],
    class_names: Sequence[str],
    records: str,
    table: Table | None = None,
) -> None:
    """Refuses a classifier made for other pictures, rows or classes than the records hold.

    Args:
        classifier: The classifier.
        image_shape: ``(height, width, channels)`` of the records, or ``(features,)``.
        class_names: The records' class names, by label.
        records: How the message names the records.
        table: Where the records hold rows of a table, its attributes; they are held against the card's
            ``"table"`` (the content of the manifest's), if it has one.

    Raises:
        InputError: If image size, attributes, number of classes or the card's class names differ.
    """
    taken = classifier.image_shape
    if len(taken) != len(image_shape):
        takes, holds = (
            "rows of a table" if len(shape) == 1 else "pictures" for shape in (taken, image_shape)
        )
        raise InputError(
            f"model {classifier.name} takes {takes}, the records in {records} hold {holds}; give a model "
            "that was trained on such records"
        )
    if table is not None:
        _check_attributes(classifier, table, records)
    if any(size not in (None, held) for size, held in zip(taken, image_shape, strict=True)):
        raise InputError(
            f"model {classifier.name} takes images of {size_words(taken)}, the records in {records} hold "
            f"{size_words(image_shape)}; build records of the model's size, or train a model on these"
        )
    if classifier.num_classes not in (None, len(class_names)):
        raise InputError(
            f"model {classifier.name} tells {classifier.num_classes} classes apart, the records in {records} "
            f"have {len(class_names)} ({', '.join(class_names[:3])}, ...); evaluate it on the classes it was "
            "trained on"
        )
    known = classifier.class_names
    if known is not None and known != tuple(class_names):
        pairs = itertools.zip_longest(known, class_names, fillvalue="missing")
        place, (ours, theirs) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        raise InputError(
            f"model {classifier.name} was trained on other classes: its class {place} is {ours}, that of the "
            f"records in {records} is {theirs}; where only the spelling differs, give the run's saved_model "
            "folder itself, which carries no names"
        )


def size_words(shape: Sequence[int | None]) -> str:
    """Says the size of images or rows.

    >>> size_words((8, None, 3)), size_words((14,))
    ('8 x any x 3', '14 attributes')
    """
    if len(shape) == 1:
        return f"{shape[0]} attributes"
    return " x ".join("any" if size is None else str(size) for size in shape)


def _check_attributes(classifier: Classifier, table: Table, records: str) -> None:
    """Holds the attributes that a model was trained on, and what their codes mean, against the records'."""
    known = (classifier.card or {}).get("table")
    if known is None:
        return
    try:
        theirs = table_from_json(known)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"model card of {classifier.name} is damaged (table: {first_line(error)}); train again"
        ) from error
    for number, (ours, other) in enumerate(
        itertools.zip_longest(theirs.attributes, table.attributes, fillvalue=None)
    ):
        if ours is None or other is None or ours.name != other.name:
            names = [one.name if one else "none" for one in (ours, other)]
            raise InputError(
                f"model {classifier.name} was trained on other attributes: its attribute {number} is "
                f"{names[0]}, that of the records in {records} is {names[1]}; train it on these records"
            )
        if (ours.kind, ours.categories) != (other.kind, other.categories):
            raise InputError(
                f"model {classifier.name} was trained on other codes of {ours.name} than the records in "
                f"{records} hold; train it on these records"
            )


def check_with_pictures(
    classifier: Classifier,
    *,
    images: Any,
    labels: Any,
    batch_size: int = 32,
    needs_gradient: bool = True,
    table: Table | None = None,
) -> list[str]:
    """Tries a classifier on real pictures, or rows of a table, before anything is measured.

    Args:
        classifier: The classifier.
        images: ``(n, height, width, channels)``, float32, [0, 1], or ``(n, features)``; a hundred are plenty.
        labels: ``(n,)``, integer class indices.
        batch_size: Images per call.
        needs_gradient: Whether a model without a gradient is refused.
        table: Where the images are rows, what their attributes are.

    Returns:
        Notes: one sentence for each thing a reader should know and that is no reason to refuse.

    Raises:
        InputError: If the weights or the logits hold NaN, or if the logits are probabilities, come from
            another input range (of a model that draws random numbers this cannot be told, and a note says
            so), or have no gradient with respect to the pictures where one is needed. It is an
            ``UnfitModelError`` for what an audit finds, too.
    """
    trial = _Trial(
        classifier, np.asarray(images, np.float32), np.asarray(labels, np.int64), batch_size=batch_size
    )
    _check_weights(classifier)
    logits = trial.outputs(classifier.logits, trial.images)
    _check_finite(classifier, logits)
    _check_not_probabilities(classifier, logits)
    is_random = _is_random(trial, logits)
    wanted_range = _wanted_range(trial, logits, table)
    if wanted_range is not None and not is_random:
        raise InputError(wanted_range)
    if needs_gradient:
        _check_gradient(trial)
    return [
        *(_randomness_notes(classifier, is_range_unknown=wanted_range is not None) if is_random else []),
        *_chance_notes(trial, logits),
    ]


@dataclasses.dataclass(frozen=True)
class _Trial:
    """A classifier with the pictures on which it is tried, called in batches."""

    classifier: Classifier
    images: np.ndarray
    labels: np.ndarray
    batch_size: int

    def outputs(self, function: Callable[[np.ndarray], tf.Tensor], images: np.ndarray) -> np.ndarray:
        try:
            outputs = [
                function(images[start : start + self.batch_size]).numpy()
                for start in range(0, len(images), self.batch_size)
            ]
        except InputError:
            raise
        except Exception as error:  # whatever a foreign function raises
            raise InputError(
                f"model {self.classifier.name} fails on {_inputs_word(self.classifier)} of shape "
                f"{images.shape[1:]} "
                f"({first_line(error)})"
            ) from error
        return np.concatenate(outputs)


def _check_weights(classifier: Classifier) -> None:
    """Looks at the weights themselves: a ReLU or a maximum can turn NaN into a number that looks sound."""
    for name, values in classifier.endpoint.weights():
        if np.isnan(values).any():
            raise UnfitModelError(
                f"model {classifier.name} is broken: its weights {name} hold NaN; train it again with a "
                "lower learning rate, or take an earlier state of it"
            )


def _check_finite(classifier: Classifier, logits: np.ndarray) -> None:
    num_bad = int(np.sum(~np.isfinite(logits).all(1)))
    if not num_bad:
        return
    where = next(
        (
            f"its weights {name} hold infinity"
            for name, values in classifier.endpoint.weights()
            if not np.isfinite(values).all()
        ),
        "its weights are finite, so look at its input range and preprocessing",
    )
    raise UnfitModelError(
        f"model {classifier.name} gives NaN or infinite logits for {num_bad} of {len(logits)} "
        f"{_inputs_word(classifier)}: {where}"
    )


def _check_not_probabilities(classifier: Classifier, logits: np.ndarray) -> None:
    if classifier.outputs == "probabilities":
        total = np.exp(logits.astype(np.float64)).sum(1)
        if np.abs(total - 1).max() > _SUM_TOLERANCE:
            raise InputError(
                f"model {classifier.name} does not give probabilities (a row adds up to "
                f"{total[np.abs(total - 1).argmax()]:.3g}); leave out --outputs probabilities"
            )
    elif logits.min() >= 0 and logits.max() <= 1 and np.abs(logits.sum(1) - 1).max() <= _SUM_TOLERANCE:
        if np.isin(logits, (0, 1)).all():
            raise UnfitModelError(
                f"model {classifier.name} gives its decision (1 for one class and 0 for the others), which "
                "has no gradient to attack by; save the model so that it gives logits"
            )
        raise UnfitModelError(
            f"model {classifier.name} gives probabilities (every row lies in [0, 1] and adds up to 1), and a "
            "softmax before the loss weakens every attack; save the model without its softmax, or give "
            "--outputs probabilities to take their logarithm"
        )


def _is_random(trial: _Trial, logits: np.ndarray) -> bool:
    """Asks a second time: the noise that a model adds vanishes beside pixels of 255 times the scale."""
    again = trial.outputs(trial.classifier.logits, trial.images)
    return bool(np.abs(again - logits).max() > _REPEAT_TOLERANCE * np.abs(logits).max())


def _randomness_notes(classifier: Classifier, *, is_range_unknown: bool) -> list[str]:
    inputs = _inputs_word(classifier)
    notes = [
        f"Model {classifier.name} draws random numbers (the same {inputs} get other logits in a second "
        "call), and looks more robust than it is to an attack that sees one draw at a time: give "
        "bioattack-attack --draws to attack the mean over many, and bioattack-evaluate --audit for what "
        "else it hides."
    ]
    if is_range_unknown:
        notes.append(
            f"Whether model {classifier.name} wants its {inputs} on another scale cannot be told: it does "
            "better on one, but there the noise that it adds may only count for less."
        )
    return notes


def _chance_notes(trial: _Trial, logits: np.ndarray) -> list[str]:
    classifier, labels = trial.classifier, trial.labels
    accuracy, chance = float(np.mean(logits.argmax(1) == labels)), 1 / logits.shape[1]
    if accuracy > chance + 2 * np.sqrt(chance * (1 - chance) / len(labels)):
        return []
    return [
        f"Model {classifier.name} is right on {accuracy:.0%} of the first {len(labels)} "
        f"{_inputs_word(classifier)}, no "
        f"better than chance ({chance:.0%}): are these the classes, in this order, it was trained on?"
    ]


def _wanted_range(trial: _Trial, logits: np.ndarray, table: Table | None) -> str | None:
    """Says if the same pictures are classified far better in another pixel range, or rows standardised."""
    classifier, labels = trial.classifier, trial.labels
    is_correct = logits.argmax(1) == labels
    found = [
        (trial.outputs(classifier.raw_outputs, scaled).argmax(1) == labels, words, remedy)
        for scaled, words, remedy in (
            _standardised_rows(trial, table) if classifier.takes_rows else _other_ranges(trial)
        )
    ]
    if not found:
        return None
    is_correct_there, words, remedy = max(found, key=lambda one: one[0].sum())
    if classifier.takes_rows and is_correct_there.mean() <= _without_looking(labels):
        return None
    gained, lost = np.sum(is_correct_there & ~is_correct), np.sum(is_correct & ~is_correct_there)
    if gained - lost < max(1, _BETTER_BY * len(labels), _STANDARD_ERRORS * np.sqrt(float(gained + lost))):
        return None
    low, high = classifier.input_range
    what = ("attribute", "rows", "as they are") if classifier.takes_rows else ("pixel", "images", "")
    return (
        f"model {classifier.name} looks as if it wanted other {what[0]} values: of {len(labels)} "
        f"{what[1]} it gets {is_correct.mean():.0%} right {what[2] or f'in [{low:g}, {high:g}]'} but "
        f"{is_correct_there.mean():.0%} when they are {words}; {remedy}"
    )


def _without_looking(labels: np.ndarray) -> float:
    """The accuracy that naming the commonest class may reach by chance: tables are seldom balanced."""
    share = np.bincount(labels).max() / len(labels)
    return float(share + 2 * np.sqrt(share * (1 - share) / len(labels)))


def _standardised_rows(trial: _Trial, table: Table | None) -> list[tuple[np.ndarray, str, str]]:
    if table is None:
        return []
    # An attribute that never varies has no deviation to be divided by.
    deviation = np.array([std or 1.0 for std in table.std], np.float32)
    standardised = (trial.images - np.array(table.mean, np.float32)) / deviation
    return [(standardised, "standardised", "put the standardisation into the model and save it again")]


def _other_ranges(trial: _Trial) -> list[tuple[np.ndarray, str, str]]:
    """The pictures in the other usual ranges, with what a message says of each."""
    classifier, images = trial.classifier, trial.images
    ranges = [pair for pair in ((0.0, 255.0), (-1.0, 1.0), (0.0, 1.0)) if pair != classifier.input_range]
    candidates = [
        (
            images * np.float32(high - low) + np.float32(low),
            f"in [{low:g}, {high:g}]",
            f"--input-range {low:g} {high:g} rescales inside the classifier",
        )
        for low, high in ranges
    ]
    if images.shape[-1] == 3:
        standardised = (images - _MEAN) / _DEVIATION
        candidates.append(
            (standardised, "standardised", "put the standardisation into the model and save it again")
        )
    return candidates


def _inputs_word(classifier: Classifier) -> str:
    return "rows" if classifier.takes_rows else "pictures"


def _check_gradient(trial: _Trial) -> None:
    classifier = trial.classifier
    batch, labels = tf.constant(trial.images[: trial.batch_size]), trial.labels[: trial.batch_size]
    try:
        with tf.GradientTape() as tape:
            tape.watch(batch)
            logits = classifier.logits(batch)
            # The margin, unlike the cross-entropy, has a gradient where the model is certain.
            is_true = tf.one_hot(labels, logits.shape[1])
            others = tf.reduce_max(logits - 1e9 * is_true, axis=1)
            margin = tf.reduce_sum(logits * is_true, axis=1) - others
        gradient = tape.gradient(margin, batch)
    except Exception as error:  # a SavedModel may hold operations without a gradient
        raise InputError(f"model {classifier.name} cannot be differentiated ({first_line(error)})") from error
    if gradient is None or not tf.reduce_any(gradient != 0):
        raise UnfitModelError(
            f"model {classifier.name} has no gradient with respect to the {_inputs_word(classifier)} "
            "(something in it rounds, casts to integers or cuts the gradient): a gradient attack would find "
            "nothing and call it robust"
        )
    num_bad = int(np.sum(~np.isfinite(gradient.numpy()).reshape(len(gradient), -1).all(1)))
    if num_bad:
        raise UnfitModelError(
            f"model {classifier.name} has a NaN or infinite gradient for {num_bad} of {len(labels)} "
            f"{_inputs_word(classifier)}; look for a root, a logarithm or a division at zero in it"
        )
