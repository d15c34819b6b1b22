import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.apgd import AutoProjectedGradientDescent
from bioattack.attacks.apgd_steps import period_ends
from bioattack.attacks.attack import AttackedModel, Slots
from bioattack.attacks.balls import get_ball
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.testing.check_attack import AttackCase, check_attack
from bioattack.testing.published_networks import mnist_test_images, published_mnist_network

SHAPE = (5, 4, 2)
NUM_CLASSES = 4


def smooth_classifier(*, bias=0.0):
    """Two smooth layers on SHAPE; a bias above 0 makes class 0 win everywhere near."""
    random = np.random.default_rng(5)
    first = tf.constant(random.normal(size=(np.prod(SHAPE), 12)), tf.float32)
    second = tf.constant(random.normal(size=(12, NUM_CLASSES)), tf.float32)
    biases = tf.constant([bias, 0.0, 0.0, 0.0])

    def call(images):
        hidden = tf.sin(0.4 * tf.reshape(images, (-1, np.prod(SHAPE))) @ first)
        return hidden @ second + biases

    return load_classifier(call, name="smooth", image_shape=SHAPE)


def made_up_slots(number, *, epsilon, label=0, seed=3):
    random = np.random.default_rng(seed)
    return Slots(
        originals=tf.constant(random.random((number, *SHAPE)), tf.float32),
        labels=tf.fill((number,), label),
        targets=tf.fill((number,), -1),
        epsilons=tf.fill((number,), epsilon),
        keys=tf.constant(random.integers(-(2**31), 2**31, (number, 2)), tf.int32),
    )


def row(slots, place):
    return Slots(*(value[place : place + 1] for value in slots))


def make(norm="linf", **overrides):
    return AutoProjectedGradientDescent.make(norm=norm, num_classes=NUM_CLASSES, overrides=overrides)


def euclidean_length(values):
    return np.sqrt(np.square(values).sum())


def unit(norm, values):
    if norm == "linf":
        return np.sign(values)
    length = euclidean_length(values)
    return values / (length if norm == "l2" else length / np.sqrt(values.size))


def into_ball(norm, image, original, epsilon):
    if norm == "linf":
        return np.clip(image, np.maximum(original - epsilon, 0), np.minimum(original + epsilon, 1))
    radius = epsilon if norm == "l2" else epsilon * np.sqrt(image.size)
    change = image - original
    return np.clip(original + change * min(1, radius / max(1e-30, euclidean_length(change))), 0, 1)


def reference(evaluate, start, original, *, norm, epsilon, num_steps, ends):
    """Algorithm 1 of Croce and Hein 2020 for one image, in their order of operations and in float64.

    Returns all iterates after the start, the step of each, and the best point.
    """
    now, before = start.astype(np.float64), start.astype(np.float64)
    loss, gradient = evaluate(now)
    best, best_loss, best_gradient = now, loss, gradient
    step, rises, checked_loss, was_halved, last_end = 2 * epsilon, 0, loss, True, 0
    iterates, steps, restarts = [], [], 0
    for number in range(num_steps):
        share = 0.75 if number else 1.0
        ahead = into_ball(norm, now + step * unit(norm, gradient), original, epsilon)
        moved = now + share * (ahead - now) + (1 - share) * (now - before)
        now, before = into_ball(norm, moved, original, epsilon), now
        iterates.append(now)
        steps.append(step)
        last_loss = loss
        loss, gradient = evaluate(now)
        rises += loss > last_loss
        if loss > best_loss:
            best, best_loss, best_gradient = now, loss, gradient
        if number + 1 in ends:
            is_stuck = not was_halved and checked_loss == best_loss
            was_halved = bool(rises <= 0.75 * (number + 1 - last_end) or is_stuck)
            if was_halved:
                step, now, gradient = step / 2, best, best_gradient
                restarts += 1
            rises, checked_loss, last_end = 0, best_loss, number + 1
    return iterates, steps, best, restarts


def evaluator(classifier, attack, label):
    @tf.function(autograph=False)
    def losses_and_gradients(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            losses = attack.loss(classifier.logits(images), tf.constant([label]), tf.constant([-1]))
        return losses, tape.gradient(losses, images)

    def evaluate(image):
        losses, gradients = losses_and_gradients(tf.constant(image[None], tf.float32))
        return float(losses[0]), gradients.numpy()[0].astype(np.float64)

    return evaluate


@pytest.mark.parametrize(
    ("num_steps", "ends"),
    [
        # Croce and Hein 2020, section 3: 22, 41, 57, 70, 80, 87 and every 6 from there.
        (100, [22, 41, 57, 70, 80, 87, 93, 99]),
        (1, [1]),
        (7, [1, 2, 3, 4, 5, 6, 7]),
        # 22 % of 50 is 11, 3 % rounded down 1, 6 % 3.
        (50, [11, 21, 30, 38, 45]),
    ],
)
def test_schedule(num_steps, ends):
    assert period_ends(num_steps) == ends


@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
def test_iterates_of_the_reference(norm, loss):
    # Epsilon is large enough for the loss to oscillate, which restarts from the best point.
    epsilon, num_steps, number = {"linf": 0.3, "l2": 1.5, "rms": 0.3}[norm], 30, 4
    classifier = smooth_classifier(bias=60.0)
    attack = make(norm, loss=loss, num_steps=num_steps)
    slots = made_up_slots(number, epsilon=epsilon)
    model = AttackedModel(classifier)
    state = attack.start(model, slots)
    advance = tf.function(lambda state: attack.advance(model, slots, dict(state)), autograph=False)
    starts, iterates, steps = state["adversarial_images"].numpy(), [], []
    for _ in range(num_steps):
        state = advance(state)
        iterates.append(state["adversarial_images"].numpy())
        steps.append(state["relative_steps"].numpy() * epsilon)
    state = advance(state)
    assert state["is_over"].numpy().all()
    assert not state["is_fooled"].numpy().any()
    restarts = 0
    evaluate = evaluator(classifier, attack, 0)
    for place in range(number):
        expected, expected_steps, best, restarts_here = reference(
            evaluate,
            starts[place],
            slots.originals[place].numpy(),
            norm=norm,
            epsilon=epsilon,
            num_steps=num_steps,
            ends=[6, 11, 15, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30],
        )
        restarts += restarts_here
        np.testing.assert_allclose([step[place] for step in steps], expected_steps, rtol=1e-5)
        np.testing.assert_allclose([images[place] for images in iterates], expected, atol=2e-4)
        np.testing.assert_allclose(state["adversarial_images"][place], best, atol=2e-4)
    assert restarts > number


def into_l1_ball(image, original, epsilon):
    change = image - original
    sizes, room = np.abs(change), np.where(change > 0, 1 - original, original)
    low, high = 0.0, sizes.max()
    if np.minimum(sizes, room).sum() <= epsilon:
        return np.clip(image, 0, 1)
    for _ in range(100):
        amount = (low + high) / 2
        is_too_long = np.minimum(np.maximum(sizes - amount, 0), room).sum() > epsilon
        low, high = (amount, high) if is_too_long else (low, amount)
    return original + np.sign(change) * np.minimum(np.maximum(sizes - high, 0), room)


def reference_l1(evaluate, start, original, *, epsilon, num_steps):
    """Algorithm 1 of Croce and Hein 2021 for one image and one radius, in float64."""
    now = start.astype(np.float64)
    loss, gradient = evaluate(now)
    best, best_loss, best_gradient = now, loss, gradient
    step, share, num_changed, period = epsilon, 0.2, original.size, max(1, int(0.04 * num_steps))
    iterates, shares = [], []
    for number in range(1, num_steps + 1):
        sizes = np.abs(gradient)
        is_moving = sizes >= np.sort(sizes.ravel())[int((1 - share) * sizes.size + 1e-9)]
        now = into_l1_ball(now + step * np.sign(gradient) * is_moving / is_moving.sum(), original, epsilon)
        iterates.append(now)
        shares.append(is_moving.sum())
        loss, gradient = evaluate(now)
        if loss > best_loss:
            best, best_loss, best_gradient = now, loss, gradient
        if number % period == 0:
            changed_before, num_changed = num_changed, np.count_nonzero(best != original)
            share = num_changed / original.size / 1.5
            if num_changed / changed_before < 0.95:
                step, now, gradient = epsilon, best, best_gradient
            else:
                step = max(step / 1.5, epsilon / 10)
    return iterates, best, shares


def test_iterates_of_the_reference_in_l1():
    epsilon, num_steps, number = 3.0, 50, 4
    classifier = smooth_classifier(bias=60.0)
    attack = make("l1", num_steps=num_steps)
    slots, model = made_up_slots(number, epsilon=epsilon), AttackedModel(classifier)
    advance = tf.function(lambda state: attack.advance(model, slots, dict(state)), autograph=False)
    state = attack.start(model, slots)
    starts, found = state["adversarial_images"].numpy(), []
    np.testing.assert_allclose(np.abs(starts - slots.originals).sum((1, 2, 3)), epsilon, rtol=1e-5)
    for _ in range(num_steps):
        state = advance(state)
        found.append(state["adversarial_images"].numpy())
    state = advance(state)
    evaluate = evaluator(classifier, attack, 0)
    for place in range(number):
        iterates, best, shares = reference_l1(
            evaluate,
            starts[place],
            slots.originals[place].numpy().astype(np.float64),
            epsilon=epsilon,
            num_steps=num_steps,
        )
        assert len(set(shares)) > 2
        np.testing.assert_allclose([images[place] for images in found], iterates, atol=2e-4)
        np.testing.assert_allclose(state["adversarial_images"][place], best, atol=2e-4)


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
def test_starts_on_the_sphere_by_the_key_alone(norm):
    slots = made_up_slots(4, epsilon=0.1)
    # Nothing is clipped at the middle of the range.
    slots = slots._replace(originals=tf.fill(slots.originals.shape, 0.5))
    attack, model = make(norm), AttackedModel(smooth_classifier())
    starts = attack.start(model, slots)["adversarial_images"]
    np.testing.assert_allclose(attack.ball.length(starts - slots.originals), 0.1, rtol=1e-5)
    assert len(np.unique(starts.numpy().reshape(4, -1), axis=0)) == 4
    alone = attack.start(model, row(slots, 2))["adversarial_images"]
    np.testing.assert_array_equal(alone[0], starts[2])


def test_every_image_has_its_own_count_of_moves():
    # One image comes in 5 moves after the other three; what happens to it must not depend on that.
    attack, model = make(num_steps=20), AttackedModel(smooth_classifier(bias=60.0))
    advance = tf.function(lambda slots, state: attack.advance(model, slots, dict(state)), autograph=False)
    slots = made_up_slots(4, epsilon=0.3)
    state, late = attack.start(model, slots), attack.start(model, row(slots, 3))
    for _ in range(5):
        state = advance(slots, state)
    state = {name: tf.concat([value[:3], late[name]], 0) for name, value in state.items()}
    for _ in range(21):
        state, late = advance(slots, state), advance(row(slots, 3), late)
    assert state["is_over"].numpy().all()
    assert state["num_steps"].numpy().tolist() == [20] * 4
    np.testing.assert_allclose(state["adversarial_images"][3], late["adversarial_images"][0], atol=1e-4)
    np.testing.assert_allclose(state["logits"][3], late["logits"][0], atol=1e-2)


@pytest.mark.parametrize("is_quantised", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2", "rms", "l1"])
def test_what_is_reported(norm, is_quantised):
    # Some images fall and some do not.
    classifier = smooth_classifier(bias=0.5)
    random = np.random.default_rng(1)
    images = np.round(255 * random.random((24, *SHAPE))).astype(np.float32) / np.float32(255)
    labels = classifier.logits(images).numpy().argmax(1)
    epsilon = {"linf": 8.2 / 255, "l2": 0.1, "rms": 0.02, "l1": 0.5}[norm]
    request = AttackRequest("apgd", norm=norm, epsilons=(epsilon,), num_steps=15, is_quantised=is_quantised)
    attacked = attack_images(classifier, images, labels, request, batch_size=7)
    assert 0 < attacked.is_fooled.sum() < 24
    found = attacked.adversarial_images[0]
    assert ((found >= 0) & (found <= 1)).all()
    assert (get_ball(norm).length(found - images).numpy() <= epsilon * (1 + 1e-5)).all()
    np.testing.assert_allclose(attacked.logits[0], classifier.logits(found), atol=1e-4)
    np.testing.assert_array_equal(attacked.logits[0].argmax(1) != labels, attacked.is_fooled[0])
    is_stopped = attacked.num_steps[0] < 15
    assert attacked.is_fooled[0][is_stopped].all()
    if is_quantised:
        np.testing.assert_array_equal(found, np.round(found * 255).astype(np.float32) / np.float32(255))


def test_a_look_ends_as_a_move_does():
    attack, model = make(num_steps=12), AttackedModel(smooth_classifier(bias=60.0))
    slots = made_up_slots(6, epsilon=0.3)
    state = attack.start(model, slots)
    for _ in range(12):
        state = attack.advance(model, slots, state)
    looked, moved = (act(model, slots, dict(state)) for act in (attack.look, attack.advance))
    assert looked["is_over"].numpy().all()
    for name in ("adversarial_images", "logits", "is_over", "is_fooled", "num_steps"):
        np.testing.assert_array_equal(looked[name], moved[name])
    # Of some the last point is not the best one.
    is_last = np.all(looked["adversarial_images"] == state["adversarial_images"], axis=(1, 2, 3))
    assert 0 < is_last.sum() < 6


def test_targets():
    classifier = smooth_classifier()
    random = np.random.default_rng(2)
    images = random.random((12, *SHAPE)).astype(np.float32)
    labels = classifier.logits(images).numpy().argmax(1)
    aimed = AttackRequest("apgd-dlr-targeted", epsilons=(0.3,), num_steps=10)
    attacked = attack_images(classifier, images, labels, aimed)
    assert attacked.is_fooled.all()
    reached = AttackRequest("apgd", epsilons=(0.3,), num_steps=30, target=2)
    attacked = attack_images(classifier, images, labels, reached)
    is_aimed = attacked.is_correct & (labels != 2)
    assert is_aimed.any()
    np.testing.assert_array_equal(
        attacked.logits[0].argmax(1)[is_aimed] == 2, attacked.is_fooled[0][is_aimed]
    )
    assert attacked.is_fooled[0][is_aimed].mean() > 0.5


@pytest.mark.parametrize(
    ("name", "norm", "epsilon"),
    [
        ("apgd", "linf", 0.1),
        ("apgd-dlr", "l2", 0.8),
        ("apgd-margin", "rms", 0.06),
        ("apgd-dlr-targeted", "linf", 0.1),
        ("apgd", "l1", 6.0),
    ],
)
def test_attack_keeps_its_promises(name, norm, epsilon):
    check_attack(AttackCase(AttackRequest(name, norm, (epsilon,), num_steps=10)))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"judged": "last"}, "apgd judges any iterate"),
        ({"norm": "l0"}, "has no norm 'l0'; it has linf, l2, rms, l1"),
        ({"loss": "hinge"}, "loss must be one of"),
    ],
)
def test_what_it_refuses(overrides, sentence):
    with pytest.raises(InputError, match=sentence):
        make(**overrides)


@pytest.mark.realdata
@pytest.mark.slow
def test_adversarial_accuracy_of_a_published_robust_network(realdata):
    # Measured over the first 300 test images, of which 295 are right before: 287 withstand 100 steps of a
    # thirtieth of epsilon, 282 AutoPGD on the cross-entropy, 277 on the ratio of logits, 274 on nine targets.
    classifier = published_mnist_network(realdata / "weights" / "mnist_cnn.npz")
    images, labels = mnist_test_images(realdata, 200)
    standing = {}
    for name, relative_step in (("pgd", 1 / 30), ("apgd-ce", None), ("apgd-dlr", None)):
        request = AttackRequest(name, epsilons=(0.3,), num_steps=100, relative_step=relative_step)
        attacked = attack_images(classifier, images, labels, request)
        standing[name] = int((attacked.is_correct & ~attacked.is_fooled[0]).sum())
    # One image more may stand by chance.
    assert standing["apgd-ce"] <= standing["pgd"] + 1
    assert standing["apgd-dlr"] < standing["pgd"]
