import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks import foolbox_bridge, foolbox_by_name, foolbox_names
from bioattack.attacks.foolbox_bridge import AttackBatch, WatchedModel
from bioattack.attacks.foolbox_by_name import into_ball, lengths_in, run_foolbox
from bioattack.attacks.foolbox_names import foolbox_attack_names, foolbox_options
from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.testing.check_attack import made_up_batch, made_up_classifier

# In each norm a small budget, and one at which every attack of Foolbox fools some picture of the batch.
EPSILONS = {"linf": (0.02, 0.5), "l2": (0.3, 9.5), "l1": (2.0, 120.0), "l0": (5.0, 190.0)}

# Quick settings for whichever of these an attack has.
QUICK = {
    "steps": 10,
    "binary_search_steps": 3,
    "directions": 20,
    "population": 4,
    "repeats": 5,
    "initial_gradient_eval_steps": 5,
    "max_gradient_eval_steps": 10,
}


class Case(NamedTuple):
    """One attack under test, with the settings that make it quick."""

    class_name: str
    norm: str
    options: dict


CASES = {
    name: Case(name, norm, {key: value for key, value in QUICK.items() if key in foolbox_options(name)})
    for name, norm in foolbox_attack_names().items()
    # The first needs a model that rounds; the others need numba, and a minute to compile.
    if name != "BinarizationRefinementAttack" and "BrendelBethge" not in name
}


@pytest.fixture(scope="module")
def classifier():
    return made_up_classifier()


@pytest.fixture(scope="module")
def batch(classifier):
    return made_up_batch(classifier, num_images=8)


def run(classifier, batch, class_name, *, epsilons, options=None, seed=0):
    return run_foolbox(
        classifier, batch, class_name=class_name, options=options or {}, epsilons=epsilons, seed=seed
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_attack_keeps_our_promises(case, classifier, batch):
    epsilons = (0.0, *EPSILONS[case.norm])
    outcomes = run(classifier, batch, case.class_name, epsilons=epsilons, options=case.options)
    again = run(classifier, batch, case.class_name, epsilons=epsilons, options=case.options)
    for epsilon, outcome, repeated in zip(epsilons, outcomes, again, strict=True):
        adversarial_images = outcome.adversarial_images
        assert adversarial_images.dtype == np.float32
        assert adversarial_images.min() >= 0
        assert adversarial_images.max() <= 1
        distances = lengths_in(adversarial_images.astype(np.float64) - batch.images, case.norm)
        assert (distances <= epsilon).all()
        np.testing.assert_array_equal(distances[~batch.is_attacked], 0)
        np.testing.assert_array_equal(adversarial_images, repeated.adversarial_images)
        expected = classifier.logits(adversarial_images).numpy()
        np.testing.assert_allclose(outcome.logits, expected, atol=1e-5)
        is_fooled = (outcome.logits.argmax(1) != batch.labels) & batch.is_attacked
        if outcome.least_distance is not None:
            np.testing.assert_array_equal(is_fooled, outcome.least_distance <= epsilon)
            assert np.isnan(outcome.least_distance[~batch.is_attacked]).all()
    assert is_fooled.any()
    assert not outcome.num_steps[~batch.is_attacked].any()


def test_the_table_covers_both_kinds_and_all_norms():
    assert {case.norm for case in CASES.values()} == set(EPSILONS)
    assert len(CASES) > 45


def test_a_model_that_rounds_gets_the_refinement_made_for_it(batch, classifier):
    smooth = classifier
    rounding = load_classifier(
        lambda images: smooth.logits(tf.cast(images >= 0.5, tf.float32)),
        name="rounding",
        image_shape=(8, 8, 3),
    )
    labels = rounding.logits(batch.images).numpy().argmax(1)
    attacked = dataclasses.replace(batch, labels=labels, is_attacked=None)
    # Where noise finds no start, a batch mate of another class is one.
    assert len(set(labels)) > 1
    outcome = run(rounding, attacked, "BinarizationRefinementAttack", epsilons=[math.inf])[0]
    is_fooled = outcome.logits.argmax(1) != labels
    assert is_fooled.all()
    # A refined picture differs from the original only where the rounded value does.
    differs = outcome.adversarial_images != batch.images
    np.testing.assert_array_equal(differs, (outcome.adversarial_images >= 0.5) != (batch.images >= 0.5))


def linear_classifier(weight, scale=1.0):
    kernel = tf.constant(np.stack([np.zeros(weight.size), scale * weight.ravel()], 1), tf.float32)
    return load_classifier(
        lambda images: tf.reshape(images - 0.5, (-1, weight.size)) @ kernel + [0.0, 1.0],
        name="linear",
        image_shape=weight.shape,
    )


# On a linear model with margin m the nearest wrong picture is m / |w| away, in the dual norm of the attack's.
@pytest.mark.parametrize(
    ("class_name", "options", "dual", "tolerance"),
    [
        ("L2DeepFoolAttack", {"overshoot": "0.001"}, 2, 0.002),
        # Foolbox goes 1e-4 beyond the boundary.
        ("LinfDeepFoolAttack", {"overshoot": "0.001"}, 1, 0.005),
        ("L2CarliniWagnerAttack", {"steps": 60, "stepsize": "0.02", "binary_search_steps": 5}, 2, 0.1),
        ("LInfFMNAttack", {"steps": 50}, 1, 0.1),
    ],
)
def test_the_least_distance_on_a_linear_model_is_the_known_one(class_name, options, dual, tolerance):
    weight = np.random.default_rng(0).normal(size=(4, 4, 3))
    images = np.full((2, 4, 4, 3), 0.5, np.float32)
    batch = AttackBatch(images, np.array([1, 0]), ["a", "b"])
    known = 1 / np.linalg.norm(weight.ravel(), dual)
    outcomes = run(
        linear_classifier(weight), batch, class_name, epsilons=[0.9 * known, 1.2 * known], options=options
    )
    assert outcomes[0].least_distance[0] == pytest.approx(known, rel=tolerance)
    assert math.isnan(outcomes[0].least_distance[1])  # labelled wrongly
    np.testing.assert_array_equal(outcomes[0].adversarial_images, images)
    assert outcomes[1].logits[0].argmax() == 0


@pytest.mark.parametrize(
    "class_name", ["LinfFastGradientAttack", "L2BasicIterativeAttack", "L1FastGradientAttack"]
)
def test_an_attack_at_a_fixed_epsilon_is_foolboxs_own(class_name, classifier, batch):
    import foolbox

    norm = foolbox_attack_names()[class_name]
    epsilon = EPSILONS[norm][0]
    outcome = run(classifier, batch, class_name, epsilons=[epsilon])[0]
    places = np.flatnonzero(batch.is_attacked)
    plain = foolbox.TensorFlowModel(tf.function(classifier.logits), bounds=(0, 1), device="/CPU:0")
    _, expected, success = getattr(foolbox.attacks, class_name)()(
        plain,
        tf.constant(batch.images[places]),
        tf.constant(batch.labels[places], tf.int64),
        epsilons=epsilon,
    )
    np.testing.assert_allclose(outcome.adversarial_images[places], expected, atol=1e-5)
    np.testing.assert_array_equal(outcome.logits[places].argmax(1) != batch.labels[places], success)


class Lying:
    """An attack that returns what it is told to, whatever the budget."""

    class distance:  # noqa: N801 - as Foolbox calls it
        p = math.inf

    def __init__(self, found):
        self.found = found

    def run(self, model, inputs, criterion, *, epsilon):  # noqa: ARG002
        return tf.constant(self.found(inputs.numpy()), tf.float32)


def outside(images):
    return images + 7.0


def not_a_number(images):
    return np.where(np.arange(images.shape[1])[:, None, None] == 0, np.nan, images + 0.5)


@pytest.mark.parametrize("found", [outside, not_a_number])
def test_what_foolbox_returns_is_not_believed(found, classifier, batch, monkeypatch):
    monkeypatch.setattr(foolbox_by_name, "build_foolbox_attack", lambda *_: Lying(found))
    outcome = run(classifier, batch, "any", epsilons=[0.25])[0]
    np.testing.assert_allclose(outcome.logits, classifier.logits(outcome.adversarial_images), atol=1e-5)
    expected = np.clip(batch.images + np.float32(0.25), 0, 1) if found is outside else batch.images
    expected = np.where(batch.is_attacked[:, None, None, None], expected, batch.images)
    np.testing.assert_allclose(outcome.adversarial_images, expected, atol=1e-6)
    assert lengths_in(outcome.adversarial_images.astype(np.float64) - batch.images, "linf").max() <= 0.25


def test_draws_follow_the_seed_and_leave_numpys_generator_alone(classifier, batch):
    epsilon = EPSILONS["l2"][1]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = (
        run(classifier, batch, "L2AdditiveGaussianNoiseAttack", epsilons=[epsilon], seed=seed)[0]
        for seed in (0, 1)
    )
    assert (one.adversarial_images != other.adversarial_images)[batch.is_attacked].any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_images_that_are_wrong_are_left_alone_whoever_asks(classifier, batch):
    everything = dataclasses.replace(batch, is_attacked=None)
    outcome = run(classifier, everything, "LinfFastGradientAttack", epsilons=[0.5])[0]
    np.testing.assert_array_equal(
        (outcome.adversarial_images != batch.images).any(axis=(1, 2, 3)), batch.is_attacked
    )
    nobody = dataclasses.replace(batch, is_attacked=np.zeros(8, bool))
    for class_name in ("LinfFastGradientAttack", "L2DeepFoolAttack", "BoundaryAttack"):
        outcome = run(classifier, nobody, class_name, epsilons=[0.5])[0]
        np.testing.assert_array_equal(outcome.adversarial_images, batch.images)


@pytest.mark.parametrize(
    "class_name", ["LinfFastGradientAttack", "L2CarliniWagnerAttack", "L2DeepFoolAttack"]
)
def test_a_model_without_a_gradient_is_refused(class_name, classifier, batch):
    smooth = classifier
    stepped = load_classifier(
        lambda images: smooth.logits(tf.round(images * 64) / 64), name="stepped", image_shape=(8, 8, 3)
    )
    with pytest.raises(InputError, match=r"fails on stepped: the model has no gradient .* HopSkipJumpAttack"):
        run(stepped, batch, class_name, epsilons=[0.5])
    outcome = run(stepped, batch, "BoundaryAttack", epsilons=[math.inf], options={"steps": 5})[0]
    assert np.isfinite(outcome.least_distance[batch.is_attacked]).any()


def test_vanishing_gradients_are_told():
    # So certain that the float32 cross-entropy is exactly 0: the attack cannot move, which is not robustness.
    classifier = linear_classifier(np.full((4, 4, 3), 1.0), scale=1e4)
    batch = AttackBatch(np.full((2, 4, 4, 3), 0.6, np.float32), np.ones(2, int), ["a", "b"], [True, False])
    outcome = run(classifier, batch, "LinfBasicIterativeAttack", epsilons=[0.05])[0]
    np.testing.assert_array_equal(outcome.has_zero_gradient, [True, False])
    # Its loss is the difference of two logits, whose gradient does not vanish.
    outcome = run(classifier, batch, "L2DeepFoolAttack", epsilons=[1.0])[0]
    assert not outcome.has_zero_gradient.any()
    assert outcome.logits[0].argmax() == 0


def test_one_image_alone_can_be_attacked(classifier, batch):
    alone = AttackBatch(batch.images[-1:], batch.labels[-1:], ["only"])
    for class_name in ("DatasetAttack", "BoundaryAttack", "GenAttack"):
        options = {"steps": 5} if class_name != "DatasetAttack" else {}
        outcome = run(classifier, alone, class_name, epsilons=[0.5], options=options)[0]
        assert outcome.logits.shape == (1, 4)


def test_an_attack_that_asks_about_nothing_but_nan_is_stopped(classifier, monkeypatch):
    monkeypatch.setattr(foolbox_bridge, "_MOST_CALLS_WITH_NAN", 5)
    model = WatchedModel(classifier, num_images=1)
    pictures = tf.fill((1, 8, 8, 3), np.nan)
    for _ in range(5):
        model(pictures)
    with pytest.raises(InputError, match="goes on asking about pictures that are NaN"):
        model(pictures)


@pytest.mark.parametrize(
    ("change", "class_name", "epsilon", "message"),
    [
        (
            {"images": lambda images: images * 255},
            "FGSM",
            0.1,
            "must lie in .0, 1.; these span 0 to 255: divide",
        ),
        ({"images": lambda images: images - 1}, "FGSM", 0.1, "must lie in .0, 1.; these span -1 to 0"),
        (
            {"images": lambda images: images * np.nan},
            "FGSM",
            0.1,
            "must lie in .0, 1.; these span nan to nan",
        ),
        ({}, "FGSM", -0.1, "an epsilon of Foolbox's FGSM must be 0 or larger. Received: -0.1"),
        ({}, "FGSM", math.nan, "must be 0 or larger. Received: nan"),
        ({}, "FGSM", math.inf, "must be 0 or larger. Received: inf"),
        ({}, "BinarizationRefinementAttack", 1, "fails on made-up .The specified threshold does not match"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, class_name, epsilon, message, classifier, batch):
    changed = {name: apply(getattr(batch, name)) for name, apply in change.items()}
    with pytest.raises(InputError, match=message):
        run(classifier, dataclasses.replace(batch, **changed), class_name, epsilons=[epsilon])


@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
def test_the_ball_holds_in_double_precision(norm):
    random = np.random.default_rng(0)
    images = random.random((50, 9, 9, 3), dtype=np.float32)
    found = np.clip(images + random.normal(0, 0.3, images.shape), 0, 1).astype(np.float32)
    found[:10] = images[:10]
    for epsilon in (1e-3, 0.03, 3.0, 500.0):
        moved = into_ball(images, found, epsilon=epsilon, norm=norm)
        assert moved.dtype == np.float32
        sizes = lengths_in(moved.astype(np.float64) - images, norm)
        assert (sizes <= epsilon).all()
        wanted = np.minimum(lengths_in(found.astype(np.float64) - images, norm), epsilon)
        if norm == "l0":
            wanted[wanted >= epsilon] = 0
        # What rounding towards the image costs: less than 1e-7 a pixel.
        np.testing.assert_allclose(sizes, wanted, rtol=1e-3, atol=1e-7 * images[0].size)
    assert foolbox_names.attack_norm(Lying(None)) == "linf"


@pytest.mark.parametrize("class_name", ["L2CarliniWagnerAttack", "LinfPGD"])
def test_every_call_of_the_model_is_told(class_name, classifier, batch):
    told = []
    options = {"steps": 3} | ({"binary_search_steps": 2} if "Carlini" in class_name else {})
    (outcome,) = run_foolbox(
        classifier, batch, class_name=class_name, options=options, epsilons=(0.1,), seed=0, tell=told.append
    )
    assert told == list(range(1, outcome.num_steps.max() + 1))
    assert len(told) >= 3
