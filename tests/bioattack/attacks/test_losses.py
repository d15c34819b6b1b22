import functools
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.losses import LOSSES, build_loss, cross_entropy, is_fooled
from bioattack.errors import InputError

CLASSES = (2, 3, 4, 1000)
SIGNATURE = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.int32)]


def drawn(num_classes, *, num_images=12, scale=4.0):
    """Logits, labels, and targets other than the label, of which every third is -1."""
    random = np.random.default_rng(num_classes)
    logits = (scale * random.normal(size=(num_images, num_classes))).astype(np.float32)
    labels = random.integers(0, num_classes, num_images).astype(np.int32)
    targets = ((labels + random.integers(1, num_classes, num_images)) % num_classes).astype(np.int32)
    targets[::3] = -1
    return logits, labels, targets


# The definitions, one image at a time in float64.


def log_odds(logits, aim):
    others = np.delete(logits, aim)
    return others.max() + np.log(np.sum(np.exp(others - others.max()))) - logits[aim]


def reference_ce(logits, label, target):
    return log_odds(logits, label) if target < 0 else -log_odds(logits, target)


def reference_margin(logits, label, target):
    if target < 0:
        return np.delete(logits, label).max() - logits[label]
    return logits[target] - np.delete(logits, target).max()


def reference_dlr(logits, label, target):
    ascending = np.sort(logits)
    divisor = 1.0 if len(logits) == 2 else ascending[-1] - ascending[-3] + 1e-12
    return reference_margin(logits, label, target) / divisor


def reference_targeted_dlr(logits, label, target):
    ascending = np.sort(logits)
    target = target if target >= 0 else max(set(range(len(logits))) - {label}, key=lambda j: logits[j])
    subtracted = ascending[-3] if len(logits) == 3 else (ascending[-3] + ascending[-4]) / 2
    return -(logits[label] - logits[target]) / (ascending[-1] - subtracted + 1e-12)


REFERENCES = {
    "ce": reference_ce,
    "margin": reference_margin,
    "dlr": reference_dlr,
    "dlr-targeted": reference_targeted_dlr,
}
CASES = [
    (name, num_classes)
    for name in REFERENCES
    for num_classes in CLASSES
    if not (name == "dlr-targeted" and num_classes == 2)
]


def values_and_gradients(function, logits):
    logits = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = function(logits)
    return values.numpy(), tape.gradient(values, logits).numpy()


def differences(reference, logits):
    """Central differences of a function of one image's logits, in float64."""
    steps = 1e-6 * np.eye(len(logits))
    return np.array([(reference(logits + step) - reference(logits - step)) / 2e-6 for step in steps])


def test_every_loss_has_a_reference():
    assert set(REFERENCES) == set(LOSSES)


@pytest.mark.parametrize(("name", "num_classes"), CASES)
def test_values_are_those_of_the_definition(name, num_classes):
    logits, labels, targets = drawn(num_classes)
    losses = build_loss(name, num_classes=num_classes)(logits, labels, targets).numpy()
    expected = [
        REFERENCES[name](*image) for image in zip(logits.astype(np.float64), labels, targets, strict=True)
    ]
    assert losses.dtype == np.float32
    assert losses == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("name", "num_classes"), CASES)
def test_gradients_are_those_of_finite_differences(name, num_classes):
    logits, labels, targets = (array[:4] for array in drawn(num_classes))
    loss = build_loss(name, num_classes=num_classes)
    _, gradients = values_and_gradients(lambda z: loss(z, labels, targets), logits)
    for gradient, image, label, target in zip(gradients, logits, labels, targets, strict=True):
        reference = functools.partial(REFERENCES[name], label=label, target=target)
        assert gradient == pytest.approx(differences(reference, image.astype(np.float64)), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("name", "num_classes"), CASES)
def test_ties_and_dead_logits_give_finite_gradients(name, num_classes):
    logits = np.zeros((4, num_classes), np.float32)
    logits[1:, 0] = 5.0
    logits[2:, 1] = 5.0
    loss = build_loss(name, num_classes=num_classes)
    values, gradients = values_and_gradients(
        lambda z: loss(z, np.array([0, 1, 0, 1], np.int32), np.array([-1, -1, 1, 0], np.int32)), logits
    )
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()


@pytest.mark.parametrize("name", LOSSES)
def test_traced_once_for_every_batch_size(name):
    loss = build_loss(name, num_classes=5)
    traced = tf.function(
        loss, autograph=False, input_signature=[tf.TensorSpec([None, 5], tf.float32), *SIGNATURE]
    )
    for num_images in (0, 1, 7):
        arrays = drawn(5, num_images=num_images)
        assert traced(*arrays).numpy() == pytest.approx(loss(*arrays).numpy(), rel=1e-6)
    assert traced.experimental_get_tracing_count() == 1


class HandWorked(NamedTuple):
    """A value of Croce and Hein's formulas, worked out by hand for the logits 5, 3, 1, 0."""

    name: str
    label: int
    target: int
    value: float


HAND_WORKED = [
    HandWorked("dlr", 0, -1, -(5 - 3) / (5 - 1)),
    HandWorked("dlr", 1, -1, -(3 - 5) / (5 - 1)),
    HandWorked("dlr", 3, -1, -(0 - 5) / (5 - 1)),
    HandWorked("dlr", 0, 2, (1 - 5) / (5 - 1)),
    HandWorked("dlr-targeted", 0, 2, -(5 - 1) / (5 - (1 + 0) / 2)),
    HandWorked("dlr-targeted", 2, 0, -(1 - 5) / (5 - (1 + 0) / 2)),
    HandWorked("dlr-targeted", 0, -1, -(5 - 3) / (5 - (1 + 0) / 2)),
    HandWorked("margin", 0, -1, 3 - 5),
    HandWorked("margin", 0, 3, 0 - 5),
    HandWorked("margin", 3, 0, 5 - 3),
]


@pytest.mark.parametrize("case", HAND_WORKED)
def test_values_worked_out_by_hand(case):
    loss = build_loss(case.name, num_classes=4)
    assert loss([[5.0, 3.0, 1.0, 0.0]], [case.label], [case.target]).numpy() == pytest.approx([case.value])


@pytest.mark.parametrize("name", ["dlr", "dlr-targeted"])
@pytest.mark.parametrize("num_classes", [3, 4, 1000])
def test_dlr_does_not_see_shift_and_scale(name, num_classes):
    logits, labels, targets = drawn(num_classes)
    loss = build_loss(name, num_classes=num_classes)
    moved = loss(100.0 * logits + 64.0, labels, targets).numpy()
    assert moved == pytest.approx(loss(logits, labels, targets).numpy(), rel=1e-4, abs=1e-4)


def test_dlr_of_two_classes_keeps_a_gradient():
    loss = build_loss("dlr", num_classes=2)
    _, gradients = values_and_gradients(lambda z: loss(z, [0, 1], [-1, 0]), [[3.0, 1.0], [0.0, 1e4]])
    assert gradients.tolist() == [[-1.0, 1.0], [1.0, -1.0]]


class Saturated(NamedTuple):
    """Logits for which float32's softmax is exactly one-hot, and the gradient there should be."""

    label: int
    target: int
    gradient: list[float]


@pytest.mark.parametrize(
    "case",
    [
        Saturated(3, -1, [0, 0, 1, -1]),
        Saturated(0, -1, [-1, 0, 0, 1]),
        Saturated(3, 1, [0, 1, 0, -1]),
        Saturated(1, 3, [0, 0, -1, 1]),
    ],
)
@pytest.mark.parametrize("name", ["ce", "margin"])
def test_gradient_does_not_vanish_for_confident_logits(name, case):
    loss = build_loss(name, num_classes=4)
    _, gradients = values_and_gradients(
        lambda z: loss(z, [case.label], [case.target]), [[0.0, 60.0, 200.0, 1e4]]
    )
    assert gradients.tolist() == [case.gradient]


def test_the_usual_cross_entropy_does_vanish_there():
    """The reason for the loss; should this ever fail, the plain cross-entropy will do."""
    _, gradients = values_and_gradients(
        lambda z: tf.nn.sparse_softmax_cross_entropy_with_logits([3], z), [[0.0, 60.0, 200.0, 1e4]]
    )
    assert not gradients.any()


def test_ascent_has_the_direction_of_the_cross_entropy():
    logits, labels, targets = drawn(10)
    aims = np.where(targets < 0, labels, targets)
    _, gradients = values_and_gradients(
        lambda z: build_loss("ce", num_classes=10)(z, labels, targets), logits
    )
    _, true = values_and_gradients(lambda z: tf.nn.sparse_softmax_cross_entropy_with_logits(aims, z), logits)
    true[targets >= 0] *= -1

    def directions(values):
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    assert directions(gradients) == pytest.approx(directions(true), abs=1e-5)


@pytest.mark.parametrize("num_classes", CLASSES)
def test_cross_entropy_is_the_usual_one(num_classes):
    logits, labels, _ = drawn(num_classes)
    values, gradients = values_and_gradients(lambda z: cross_entropy(z, labels), logits)
    usual, usual_gradients = values_and_gradients(
        lambda z: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, z), logits
    )
    assert values == pytest.approx(usual, rel=1e-5, abs=1e-6)
    assert gradients == pytest.approx(usual_gradients, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("lead", [1.0, 20.0, 60.0, 86.0])
def test_cross_entropy_keeps_its_tiny_gradients(lead):
    values, gradients = values_and_gradients(lambda z: cross_entropy(z, [0]), [[lead, 0.0]])
    # float64: log(1 + exp(-lead)) and the sigmoid of -lead.
    assert values == pytest.approx([np.log1p(np.exp(-lead))], rel=1e-4, abs=0)
    slope = 1 / (1 + np.exp(lead))
    assert gradients[0] == pytest.approx([-slope, slope], rel=1e-4, abs=0)


def test_cross_entropy_of_extreme_logits_is_finite():
    values, gradients = values_and_gradients(lambda z: cross_entropy(z, [0, 1]), [[1e4, -1e4], [1e4, -1e4]])
    assert values.tolist() == [0.0, 2e4]
    assert gradients.tolist() == [[0.0, 0.0], [1.0, -1.0]]


@pytest.mark.parametrize("name", ["ce", "margin"])
def test_infinitely_unlikely_classes_do_no_harm(name):
    logits = [[2.0, -np.inf, 1.0], [2.0, -np.inf, -np.inf]]
    loss = build_loss(name, num_classes=3)
    _, gradients = values_and_gradients(lambda z: loss(z, [0, 0], [-1, -1]), logits)
    assert gradients[0].tolist() == [-1.0, 0.0, 1.0]
    assert np.isfinite(gradients[1]).all()


class Verdict(NamedTuple):
    """One image and whether it counts as fooled."""

    logits: list[float]
    label: int
    target: int
    is_fooled: bool


@pytest.mark.parametrize(
    "case",
    [
        Verdict([1.0, 2.0, 0.0], 0, -1, True),
        Verdict([1.0, 2.0, 0.0], 1, -1, False),
        Verdict([1.0, 2.0, 0.0], 0, 1, True),
        Verdict([1.0, 2.0, 0.0], 0, 2, False),
        Verdict([2.0, 2.0, 0.0], 0, -1, False),
        Verdict([2.0, 2.0, 0.0], 1, -1, True),
        Verdict([np.nan, 2.0, 0.0], 0, -1, False),
        Verdict([0.0, np.inf, 0.0], 0, -1, True),
    ],
)
def test_verdicts(case):
    assert is_fooled([case.logits], [case.label], [case.target]).numpy().tolist() == [case.is_fooled]


@pytest.mark.parametrize("name", ["ce", "margin", "dlr"])
@pytest.mark.parametrize("num_classes", CLASSES)
def test_loss_is_positive_only_where_the_aim_is_reached(name, num_classes):
    logits, labels, targets = drawn(num_classes, num_images=200, scale=1.0)
    losses = build_loss(name, num_classes=num_classes)(logits, labels, targets).numpy()
    reached = is_fooled(logits, labels, targets).numpy()
    # The log-odds pass 0 where the probability passes one half: later than the prediction, or earlier.
    if name != "ce" or num_classes == 2:
        assert ((losses > 0) == reached).all()
    else:
        assert (losses[reached & (targets < 0)] > 0).all()
        assert reached[(losses > 0) & (targets >= 0)].all()


def test_unknown_loss_is_refused():
    with pytest.raises(
        InputError, match=r"loss must be one of ce, margin, dlr, dlr-targeted\. Received: loss='cw'"
    ):
        build_loss("cw", num_classes=10)


def test_targeted_dlr_of_two_classes_is_refused_with_the_remedy():
    with pytest.raises(InputError, match="this model has two; use dlr, margin or ce"):
        build_loss("dlr-targeted", num_classes=2)


def test_one_class_is_refused():
    with pytest.raises(InputError, match=r"at least two classes\. Received: num_classes=1"):
        build_loss("ce", num_classes=1)
