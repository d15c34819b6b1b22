import itertools

import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots
from bioattack.attacks.balls import get_ball
from bioattack.attacks.random_numbers import random_numbers
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.attacks.square import SquareAttack
from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.testing.check_attack import AttackCase, check_attack

SIZE, CHANNELS, NUM_CLASSES = 10, 2, 3
EPSILONS = {"linf": 0.25, "l2": 3.0}


class SmallNetwork:
    """A convolution of two channels and a dense layer, trained on noisy versions of three images."""

    def __init__(self):
        random = np.random.default_rng(0)
        images, labels = made_up_images(random, 300)
        self.weights = [
            tf.Variable(random.normal(0, 0.3, (3, 3, CHANNELS, 8)), dtype=tf.float32),
            tf.Variable(random.normal(0, 0.1, (SIZE * SIZE * 2, NUM_CLASSES)), dtype=tf.float32),
        ]
        images, labels = tf.constant(images), tf.constant(labels)

        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, self(images)))
            gradients = tape.gradient(loss, self.weights)
            for weight, gradient in zip(self.weights, gradients, strict=True):
                weight.assign_sub(0.3 * gradient)

        for _ in range(60):
            step()

    def __call__(self, images):
        hidden = tf.nn.relu(tf.nn.conv2d(images - 0.5, self.weights[0], 2, "SAME"))
        return tf.reshape(hidden, (-1, SIZE * SIZE * 2)) @ self.weights[1]


def made_up_images(random, number):
    prototypes = np.random.default_rng(77).uniform(0.25, 0.75, (NUM_CLASSES, SIZE, SIZE, CHANNELS))
    labels = random.integers(0, NUM_CLASSES, number)
    images = np.clip(prototypes[labels] + random.normal(0, 0.2, (number, SIZE, SIZE, CHANNELS)), 0, 1)
    return (np.round(images * 255) / 255).astype(np.float32), labels


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(SmallNetwork(), name="small", image_shape=(SIZE, SIZE, CHANNELS))


def predictor(classifier):
    compiled = tf.function(classifier.logits, autograph=False)
    return lambda image: compiled(tf.constant(image[None], tf.float32)).numpy()[0].astype(np.float64)


class Drawn:
    """Numbers in [0, 1) one by one, from SplitMix64 at one key or from NumPy."""

    def __init__(self, source):
        self.source = source

    @classmethod
    def by_key(cls, key, most):
        numbers = random_numbers(key[None], np.arange(most)[None]).numpy()[0]
        return cls(iter(numbers.tolist()).__next__)

    def sign(self, number):
        return np.array([-1.0 if self.source() < 0.5 else 1.0 for _ in range(number)])

    def place(self, last):
        return int(self.source() * (last + 1))

    def is_turned(self):
        return self.source() < 0.5


def reference_share(queries_before):
    # The schedule of Croce and Hein's program, whose count leaves the start out.
    number = queries_before - 1
    for threshold, divisor in ((8000, 512), (6000, 256), (4000, 128), (2000, 64), (1000, 32), (500, 16)):
        if number > threshold:
            return 0.8 / divisor
    return 0.8 / (8 if number > 200 else 4 if number > 50 else 2 if number > 10 else 1)


def reference_pyramid(height, width):
    # Loops as in the authors' program.
    values = np.zeros((height, width))
    top, left = height // 2, width // 2
    for counter in range(max(height // 2 + 1, width // 2 + 1)):
        rows = slice(max(top, 0), min(top + 2 * counter + 1, height))
        columns = slice(max(left, 0), min(left + 2 * counter + 1, width))
        values[rows, columns] += 1 / (counter + 1) ** 2
        top, left = top - 1, left - 1
    return values / np.linalg.norm(values)


def reference_bump(side, drawn):
    values = np.zeros((side, side))
    values[: side // 2] = reference_pyramid(side // 2, side)
    values[side // 2 :] = -reference_pyramid(side - side // 2, side)
    values /= np.linalg.norm(values)
    return values.T if drawn.is_turned() else values


def reference_linf_start(original, epsilon, drawn):
    stripes = drawn.sign(SIZE * CHANNELS).reshape(1, SIZE, CHANNELS)
    return np.clip(original + epsilon * stripes, 0, 1)


def reference_linf_change(image, original, epsilon, share, drawn):
    side = max(round(np.sqrt(share * SIZE * SIZE)), 1)
    top, left = drawn.place(SIZE - side), drawn.place(SIZE - side)
    image = image.copy()
    image[top : top + side, left : left + side] += 2 * epsilon * drawn.sign(CHANNELS)
    return np.clip(np.clip(image, original - epsilon, original + epsilon), 0, 1)


def reference_l2_start(original, epsilon, drawn):
    perturbation, side = np.zeros_like(original), SIZE // 5
    for top in range(0, SIZE, side):
        for left in range(0, SIZE, side):
            bump = reference_bump(side, drawn)[..., None]
            perturbation[top : top + side, left : left + side] = bump * drawn.sign(CHANNELS)
    return np.clip(original + epsilon * perturbation / np.linalg.norm(perturbation), 0, 1)


def reference_l2_change(image, original, epsilon, share, drawn):
    # Algorithm 3 of Andriushchenko et al. 2020.
    side = max(round(np.sqrt(share * SIZE * SIZE)), 3)
    side += side % 2 == 0
    windows = []
    for _ in range(2):
        top, left = drawn.place(SIZE - side), drawn.place(SIZE - side)
        windows.append((slice(top, top + side), slice(left, left + side)))
    perturbation = image - original
    is_in_either = np.zeros((SIZE, SIZE, 1))
    for window in windows:
        is_in_either[window] = 1
    unused = max(epsilon**2 - np.sum(perturbation**2), 0)
    available = np.sqrt(unused / CHANNELS + np.sum((perturbation * is_in_either) ** 2, axis=(0, 1)))
    held = perturbation[windows[0]]
    held = held / np.maximum(np.sqrt(np.sum(held**2, axis=(0, 1))), 1e-12)
    changed = held + reference_bump(side, drawn)[..., None] * drawn.sign(CHANNELS)
    changed = changed / np.maximum(np.sqrt(np.sum(changed**2, axis=(0, 1))), 1e-12) * available
    perturbation[windows[1]] = 0
    perturbation[windows[0]] = changed
    return np.clip(original + perturbation / np.linalg.norm(perturbation) * epsilon, 0, 1)


REFERENCES = {
    "linf": (reference_linf_start, reference_linf_change),
    "l2": (reference_l2_start, reference_l2_change),
}


def reference(predict, original, label, *, norm, num_queries, drawn):
    """The attack on one image, as its authors describe it: all points kept, and whether the last fools."""
    start, change = REFERENCES[norm]
    original, kept, lowest, points = original.astype(np.float64), None, np.inf, []
    for number in range(num_queries):
        if kept is None:
            candidate = start(original, EPSILONS[norm], drawn)
        else:
            candidate = change(kept, original, EPSILONS[norm], reference_share(number), drawn)
        logits = predict(candidate)
        margin = logits[label] - np.delete(logits, label).max()
        if margin < lowest:
            kept, lowest = candidate, margin
        points.append(kept)
        if margin < 0:
            return points, True
    return points, False


def make(norm="linf", **overrides):
    return SquareAttack.make(norm=norm, num_classes=NUM_CLASSES, overrides=overrides)


def made_up_slots(number, *, norm):
    random = np.random.default_rng(8)
    images, labels = made_up_images(random, number)
    return Slots(
        originals=tf.constant(images),
        labels=tf.constant(labels, tf.int32),
        targets=tf.fill((number,), -1),
        epsilons=tf.fill((number,), EPSILONS.get(norm, EPSILONS["l2"] / float(np.sqrt(images[0].size)))),
        keys=tf.constant(random.integers(-(2**31), 2**31, (number, 2)), tf.int32),
    )


def run(attack, classifier, slots, number):
    """Images, losses and states after each of so many passes."""
    model = AttackedModel(classifier)
    advance = tf.function(lambda state: attack.advance(model, slots, dict(state)), autograph=False)
    state, states = attack.start(model, slots), []
    for _ in range(number):
        state = advance(state)
        states.append(state)
    return states


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_points_of_the_reference_from_the_same_numbers(classifier, norm):
    number = 60
    slots = made_up_slots(8, norm=norm)
    states = run(make(norm, num_steps=number), classifier, slots, number)
    num_moved = 0
    for place in range(8):
        points, is_fooled = reference(
            predictor(classifier),
            slots.originals[place].numpy(),
            int(slots.labels[place]),
            norm=norm,
            num_queries=number,
            drawn=Drawn.by_key(slots.keys[place].numpy(), 2000),
        )
        assert bool(states[-1]["is_fooled"][place]) == is_fooled
        assert int(states[-1]["num_steps"][place]) == len(points)
        found = [state["adversarial_images"][place].numpy() for state in states[: len(points)]]
        np.testing.assert_allclose(found, points, atol=2e-5)
        num_moved += len({point.tobytes() for point in points})
    assert num_moved > 24


def test_fools_as_many_as_the_reference_does_with_other_numbers(classifier):
    images, labels = made_up_images(np.random.default_rng(21), 60)
    request = AttackRequest("square", epsilons=(EPSILONS["linf"],), num_steps=60)
    attacked = attack_images(classifier, images, labels, request, batch_size=30)
    is_correct = attacked.is_correct
    predict, drawn = predictor(classifier), Drawn(np.random.default_rng(4).random)
    expected = [
        reference(predict, image, label, norm="linf", num_queries=60, drawn=drawn)[1]
        for image, label in zip(images[is_correct], labels[is_correct], strict=True)
    ]
    assert is_correct.sum() > 50
    assert 0.2 < np.mean(expected) < 0.8
    # Only images near the edge of what 60 queries can do fall by chance: at most a tenth of them, either way.
    assert attacked.is_fooled[0][is_correct].mean() == pytest.approx(np.mean(expected), abs=0.1)


@pytest.mark.parametrize("is_quantised", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
def test_stays_in_the_ball_and_never_loses_ground(classifier, norm, is_quantised):
    slots = made_up_slots(12, norm=norm)
    attack = make(norm, num_steps=30, is_quantised=is_quantised)
    states = run(attack, classifier, slots, 30)
    for before, after in itertools.pairwise(states):
        assert (after["best_losses"].numpy() >= before["best_losses"].numpy()).all()
    for state in states:
        images = state["adversarial_images"].numpy()
        assert ((images >= 0) & (images <= 1)).all()
        lengths = get_ball(norm).length(images - slots.originals).numpy()
        assert (lengths <= slots.epsilons.numpy() * (1 + 1e-5)).all()
        np.testing.assert_allclose(state["logits"], classifier.logits(images), atol=1e-4)
        if is_quantised:
            np.testing.assert_array_equal(images, np.round(images * 255).astype(np.float32) / np.float32(255))
    assert states[-1]["is_over"].numpy().all()
    is_fooled = states[-1]["is_fooled"].numpy()
    np.testing.assert_array_equal(states[-1]["logits"].numpy().argmax(1) != slots.labels, is_fooled)
    assert (states[-1]["num_steps"].numpy()[~is_fooled] == 30).all()


def test_breaks_what_descent_breaks(classifier):
    images, labels = made_up_images(np.random.default_rng(33), 24)
    fooled = {}
    for name, num_steps in (("pgd", 40), ("square", 2000)):
        request = AttackRequest(name, epsilons=(0.12,), num_steps=num_steps)
        fooled[name] = attack_images(classifier, images, labels, request, batch_size=24).is_fooled[0]
    assert 0.7 < fooled["pgd"].mean() < 1
    assert fooled["square"][fooled["pgd"]].mean() > 0.9


def test_needs_no_gradient(classifier):
    network = classifier.logits
    images, labels = made_up_images(np.random.default_rng(33), 20)
    request = AttackRequest("square", epsilons=(0.3,), num_steps=250)

    def outside(pictures):
        logits = tf.numpy_function(lambda values: network(values).numpy(), [pictures], tf.float32)
        return tf.ensure_shape(tf.stop_gradient(logits), (None, NUM_CLASSES))

    rounded = load_classifier(
        lambda pictures: network(tf.round(pictures * 32) / 32), name="rounded", image_shape=images.shape[1:]
    )
    outer = load_classifier(outside, name="outside", image_shape=images.shape[1:])
    assert attack_images(outer, images, labels, request).is_fooled.mean() > 0.8
    assert attack_images(rounded, images, labels, request).is_fooled.mean() > 0.8
    with pytest.raises(InputError, match="model rounded has no gradient"):
        attack_images(rounded, images, labels, AttackRequest("bim", epsilons=(0.3,)))


def test_root_mean_square_is_the_same_search_as_l2(classifier):
    slots = made_up_slots(4, norm="l2")
    states = run(make("l2", num_steps=20), classifier, slots, 20)
    root = float(np.sqrt(SIZE * SIZE * CHANNELS))
    states_rms = run(
        make("rms", num_steps=20), classifier, slots._replace(epsilons=slots.epsilons / root), 20
    )
    for one, other in zip(states, states_rms, strict=True):
        np.testing.assert_allclose(one["adversarial_images"], other["adversarial_images"], atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (7, 24, 3)])
def test_any_shape(norm, shape):
    classifier = load_classifier(
        lambda images: tf.stack([tf.reduce_sum(images, (1, 2, 3)), tf.fill(tf.shape(images)[:1], -1.0)], 1),
        name="never fooled",
        image_shape=shape,
    )
    images = np.random.default_rng(0).uniform(0.4, 0.6, (3, *shape)).astype(np.float32)
    request = AttackRequest("square", norm=norm, epsilons=(0.05,), num_steps=30)
    attacked = attack_images(classifier, images, np.zeros(3, int), request)
    assert not attacked.is_fooled.any()
    assert (attacked.num_steps == 30).all()
    lengths = get_ball(norm).length(attacked.adversarial_images[0] - images).numpy()
    np.testing.assert_allclose(lengths, 0.05, rtol=1e-4)


def test_reaches_every_pixel():
    # Nothing is left of the start's stripes: the search makes the picture as dark as it may, edges included.
    classifier = load_classifier(
        lambda images: tf.stack([tf.reduce_sum(images, (1, 2, 3)), tf.fill(tf.shape(images)[:1], -1.0)], 1),
        name="never fooled",
        image_shape=(6, 6, 1),
    )
    images = np.full((2, 6, 6, 1), 0.5, np.float32)
    request = AttackRequest("square", epsilons=(0.1,), num_steps=1500)
    attacked = attack_images(classifier, images, np.zeros(2, int), request)
    np.testing.assert_allclose(attacked.adversarial_images[0], 0.4, atol=1e-6)


def test_broken_logits_are_seen():
    # The first candidate is sound, and a later one makes a NaN.
    def call(images):
        total = tf.reduce_sum(images, (1, 2, 3))
        return tf.stack([total, tf.where(total < 2.0, np.nan, -1.0)], 1)

    classifier = load_classifier(call, name="broken", image_shape=(3, 3, 1))
    request = AttackRequest("square", epsilons=(0.4,), num_steps=500)
    with pytest.raises(InputError, match="model broken gives NaN or infinite logits on the way"):
        attack_images(classifier, np.full((1, 3, 3, 1), 0.5, np.float32), np.zeros(1, int), request)


@pytest.mark.parametrize(
    ("name", "norm", "epsilon"), [("square", "linf", 0.1), ("square-ce", "l2", 0.8), ("square", "rms", 0.06)]
)
def test_attack_keeps_its_promises(name, norm, epsilon):
    request = AttackRequest(name, norm, (epsilon,), num_steps=60)
    check_attack(AttackCase(request, needs_gradient=False))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"norm": "l1"}, "has no norm 'l1'; it has linf, l2, rms"),
        ({"relative_step": 0.1}, "leave relative_step out"),
        ({"judged": "last"}, "judges any candidate"),
        ({"has_random_start": False}, "starts at random"),
        ({"loss": "dlr-targeted"}, "use dlr or margin"),
    ],
)
def test_what_it_refuses(overrides, sentence):
    with pytest.raises(InputError, match=sentence):
        make(**overrides)
