"""What gradient attacks ascend: functions of the logits that grow as a classifier comes to err.

Every loss takes ``logits`` ``(batch, classes)`` float32, ``labels`` ``(batch,)`` int32 and ``targets``
``(batch,)`` int32, where -1 stands for "any wrong class", and gives ``(batch,)`` float32 to be ascended, for
targeted images too. They can be traced with an unknown batch size.
"""

from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from bioattack.errors import InputError

# TensorFlow ships no annotations that mypy could follow: the three arguments and the result are tensors.
Loss = Callable[[Any, Any, Any], Any]

# Croce and Hein 2020 add it to the divisor, so that equal logits do not divide by zero.
_DLR_MARGIN: Final = 1e-12


def is_fooled(logits: Any, labels: Any, targets: Any) -> Any:
    """Says of each image whether the attack has reached its aim.

    Args:
        logits: ``(batch, classes)`` float32. Of several largest logits the first one is the prediction.
        labels: ``(batch,)`` int32, the true classes.
        targets: ``(batch,)`` int32, the class each image should be taken for, or -1 for any wrong class.

    Returns:
        ``(batch,)`` bool: the prediction is the target or, without a target, not the label. False where a
        logit is NaN: there a classifier predicts nothing, and a broken output is no success of an attack.

    >>> is_fooled([[0.0, 1.0], [2.0, 1.0]], [0, 0], [-1, -1]).numpy().tolist()
    [True, False]
    """
    logits = tf.convert_to_tensor(logits)
    predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    is_aim = tf.where(_is_targeted(targets), tf.equal(predicted, targets), tf.not_equal(predicted, labels))
    return is_aim & ~tf.reduce_any(tf.math.is_nan(logits), axis=-1)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The cross-entropy of each image, with a gradient that does not vanish before float32 itself does.

    It is ``softplus(L)`` of ``L = logsumexp_{j != y} z_j - z_y``. The usual gradient at the label,
    ``softmax(z)_y - 1``, is 0 in float32 from ``L < -17`` on; ``-sigmoid(L)``, the same number, is right
    down to ``L = -87``.

    Args:
        logits: ``(batch, classes)`` float32, at least two classes.
        labels: ``(batch,)`` int32.

    Returns:
        ``(batch,)`` float32, at least 0.

    Gradient:
        With respect to the logits; finite wherever they are.

    >>> print(cross_entropy([[0.0, 0.0]], [1]).numpy().round(4))
    [0.6931]
    """
    return tf.math.softplus(_log_odds_of_error(logits, labels))


def cross_entropy_ascent(logits: Any, labels: Any, targets: Any) -> Any:
    """The log-odds of an error, which grow exactly where the cross-entropy does and never saturate.

    Without a target it is ``L = logsumexp_{j != y} z_j - z_y = log((1 - p_y) / p_y)``. The cross-entropy is
    ``softplus(L)``, so it orders images and steps as ``L`` does, and its gradient is that of ``L`` times
    ``1 - p_y``: every step of normalised length or by the sign is the same. For a confident classifier that
    factor is 0 in float32, and an attack on the cross-entropy stands still, which looks like robustness
    (Carlini and Wagner 2017, Croce and Hein 2020). With a target it is
    ``z_t - logsumexp_{j != t} z_j``, whose ascent is the descent of the cross-entropy of the target.

    An average over several evaluations (a model that draws random numbers) averages the log-odds: there the
    cross-entropy would weight each evaluation by ``1 - p_y``.

    Args:
        logits: ``(batch, classes)`` float32, at least two classes.
        labels: ``(batch,)`` int32.
        targets: ``(batch,)`` int32, -1 where there is none.

    Returns:
        ``(batch,)`` float32, above 0 where the probability of the label is below one half or, with a target,
        where that of the target is above one half.

    Gradient:
        With respect to the logits: -1 at the label, and 1 in all over the other classes.

    >>> cross_entropy_ascent([[0.0, 200.0]], [1], [-1]).numpy().tolist()
    [-200.0]
    """
    aims, sign = _aims(labels, targets)
    return sign * _log_odds_of_error(logits, aims)


def margin(logits: Any, labels: Any, targets: Any) -> Any:
    """The lead of the strongest wrong logit: ``max_{j != y} z_j - z_y``.

    With a target it is ``z_t - max_{j != t} z_j``.

    Args:
        logits: ``(batch, classes)`` float32, at least two classes.
        labels: ``(batch,)`` int32.
        targets: ``(batch,)`` int32, -1 where there is none.

    Returns:
        ``(batch,)`` float32, above 0 only where the aim is reached, below 0 only where it is not.

    Gradient:
        With respect to the logits; classes that tie for the strongest share it equally.

    Source:
        Carlini and Wagner 2017, f_6 without its bound.

    >>> margin([[3.0, 1.0, 2.0]], [0], [-1]).numpy().tolist()
    [-1.0]
    """
    aims, sign = _aims(labels, targets)
    strongest_other = tf.reduce_max(_without(logits, aims), axis=-1)
    return sign * (strongest_other - _at(logits, aims))


def difference_of_logits_ratio(logits: Any, labels: Any, targets: Any) -> Any:
    """The margin in units of the spread of the leading logits (DLR), free of the logits' shift and scale.

    ``-(z_y - max_{j != y} z_j) / (z_(1) - z_(3) + 1e-12)``, where ``z_(k)`` is the k-th largest logit. With a
    target the numerator is the targeted ``margin``. Two classes have no third logit, and ``z_(1) - z_(2)`` in
    its place would make the ratio 1 or -1 everywhere, without gradient: there it is the margin itself, whose
    gradient has the same direction at every scale and whose values still order the steps.

    Args:
        logits: ``(batch, classes)`` float32, at least two classes.
        labels: ``(batch,)`` int32.
        targets: ``(batch,)`` int32, -1 where there is none.

    Returns:
        ``(batch,)`` float32; with three classes or more and no target in [-1, 0] where the image is rightly
        classified.

    Gradient:
        With respect to the logits, through numerator and divisor; finite at ties.

    Source:
        Croce and Hein 2020 (AutoAttack), section 4; the form for two classes is ours.

    >>> difference_of_logits_ratio([[4.0, 2.0, 0.0]], [0], [-1]).numpy().tolist()
    [-0.5]
    """
    lead = margin(logits, labels, targets)
    if _num_classes(logits) < 3:
        return lead
    largest = tf.math.top_k(logits, k=3).values
    return lead / (largest[:, 0] - largest[:, 2] + _DLR_MARGIN)


def targeted_difference_of_logits_ratio(logits: Any, labels: Any, targets: Any) -> Any:
    """The lead of the target over the label in units of the spread of the leading logits.

    ``-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2 + 1e-12)``. With three classes there is no fourth logit, and
    the divisor is that of the untargeted ratio, ``z_(1) - z_(3)``. Where no target is given (-1), the
    strongest wrong class of the moment stands in for it.

    Args:
        logits: ``(batch, classes)`` float32, at least three classes.
        labels: ``(batch,)`` int32.
        targets: ``(batch,)`` int32, other than the label; -1 where there is none.

    Returns:
        ``(batch,)`` float32, above 0 where the target's logit is above the label's. That makes the image
        wrong, not yet taken for the target: a third class may lead.

    Gradient:
        With respect to the logits, through numerator and divisor; finite at ties.

    Source:
        Croce and Hein 2020 (AutoAttack), section 4; the form for three classes is ours.

    >>> targeted_difference_of_logits_ratio([[4.0, 1.0, 0.0, 0.0]], [0], [1]).numpy().tolist()
    [-0.75]
    """
    own = _at(logits, labels)
    strongest_other = tf.reduce_max(_without(logits, labels), axis=-1)
    aimed_at = tf.where(_is_targeted(targets), _at(logits, targets), strongest_other)
    largest = tf.math.top_k(logits, k=min(4, _num_classes(logits))).values
    spread = largest[:, 0] - tf.reduce_mean(largest[:, 2:], axis=-1)
    return (aimed_at - own) / (spread + _DLR_MARGIN)


LOSSES: Final[dict[str, Loss]] = {
    "ce": cross_entropy_ascent,
    "margin": margin,
    "dlr": difference_of_logits_ratio,
    "dlr-targeted": targeted_difference_of_logits_ratio,
}


def build_loss(name: str, *, num_classes: int) -> Loss:
    """Gives the loss of that name, once it is known to be defined for so many classes.

    Args:
        name: ``"ce"``, ``"margin"``, ``"dlr"`` or ``"dlr-targeted"``.
        num_classes: How many classes the classifier tells apart, at least 2.

    Returns:
        A function of ``logits``, ``labels`` and ``targets``; see the module.

    Raises:
        InputError: If there is no such loss, or none for so few classes.

    >>> build_loss("margin", num_classes=2)([[3.0, 1.0]], [0], [-1]).numpy().tolist()
    [-2.0]
    """
    if name not in LOSSES:
        raise InputError(f"loss must be one of {', '.join(LOSSES)}. Received: loss={name!r}")
    if num_classes < 2:
        raise InputError(f"an attack needs at least two classes. Received: num_classes={num_classes}")
    if name == "dlr-targeted" and num_classes < 3:
        raise InputError(
            "the loss dlr-targeted compares at least three logits and this model has two; "
            "use dlr, margin or ce, which with two classes are targeted already"
        )
    return LOSSES[name]


def _aims(labels: Any, targets: Any) -> tuple[Any, Any]:
    """The class each image should leave or reach, and 1.0 for leaving, -1.0 for reaching."""
    is_targeted = _is_targeted(targets)
    return tf.where(is_targeted, targets, labels), tf.where(is_targeted, -1.0, 1.0)


def _is_targeted(targets: Any) -> Any:
    return tf.greater_equal(targets, 0)


def _log_odds_of_error(logits: Any, labels: Any) -> Any:
    return tf.reduce_logsumexp(_without(logits, labels), axis=-1) - _at(logits, labels)


def _is_class(logits: Any, classes: Any) -> Any:
    return tf.range(tf.shape(logits)[-1])[tf.newaxis] == tf.expand_dims(classes, -1)


def _at(logits: Any, classes: Any) -> Any:
    """The logit of one class per image; 0 for class -1.

    Selecting and summing has a dense gradient and, unlike a product with a one-hot vector, makes no NaN of an
    infinite logit elsewhere.
    """
    return tf.reduce_sum(tf.where(_is_class(logits, classes), logits, 0.0), axis=-1)


def _without(logits: Any, classes: Any) -> Any:
    """The logits with that of one class per image too small to matter.

    It is the smallest finite number, not -inf: where all others are -inf, the logarithm of a sum of zeros
    would have a NaN gradient.
    """
    return tf.where(_is_class(logits, classes), tf.float32.min, logits)


def _num_classes(logits: Any) -> int:
    return int(tf.convert_to_tensor(logits).shape[-1])
