import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images, make_attack
from bioattack.errors import InputError
from bioattack.testing.bare_attack import run_bare
from bioattack.testing.check_attack import AttackCase, check_attack, made_up_batch, made_up_classifier
from bioattack.testing.made_up_distances import MadeUpFeatures

DISTANCE = MadeUpFeatures()
CASES = {
    # Differences in place of derivatives magnify the last bits: by up to 8e-4 of epsilon here.
    "five steps": AttackCase(AttackRequest("ppgd", distance=DISTANCE, epsilons=(0.2,)), slack=1e-3),
    "three radii": AttackCase(AttackRequest("ppgd", distance=DISTANCE, epsilons=(0.05, 0.1, 0.3))),
    "nine steps": AttackCase(AttackRequest("ppgd", distance=DISTANCE, epsilons=(0.2,), num_steps=9)),
}


@pytest.mark.parametrize("case", CASES)
def test_attack_keeps_its_promises(case):
    check_attack(CASES[case])


def by_hand(classifier, image, label, start, *, bound, num_steps):
    """The authors' loop for one image, with the Jacobian itself in place of finite differences, in float64.

    With one image a batch's rules are the image's own. The way back is Newton's alone, gradients not summed.
    """
    original = DISTANCE.features(image[None]).numpy()[0].astype(np.float64)
    moved = start.astype(np.float64)
    for _ in range(num_steps):
        gradient = margin_gradient(classifier, moved, label)
        if np.linalg.norm(gradient) >= 1e-4:
            jacobian, _ = jacobian_of(moved)
            direction = solved(jacobian, gradient.ravel())
            step = 2 * bound / num_steps / np.linalg.norm(jacobian @ direction)
            moved = np.clip(moved + step * direction.reshape(image.shape), 0, 1)
        for _ in range(10):
            jacobian, features = jacobian_of(moved)
            distance = np.linalg.norm(features - original)
            if distance <= bound:
                moved = np.clip(moved, 0, 1)
                break
            ascent = jacobian.T @ (features - original) / distance
            moved -= (distance - bound + 0.1) * 1.1 * (ascent / (ascent @ ascent)).reshape(image.shape)
            moved = np.clip(moved, 0, 1)
    return moved


def margin_gradient(classifier, image, label):
    images = tf.constant(image[None], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = classifier.logits(images)[0]
        others = tf.concat([logits[:label], logits[label + 1 :]], 0)
        loss = tf.minimum(tf.reduce_max(others) - logits[label], 1.0)
    return tape.gradient(loss, images).numpy()[0].astype(np.float64)


def jacobian_of(image):
    jacobian, features = compiled_jacobian(tf.constant(image[None], tf.float32))
    return jacobian.numpy().astype(np.float64), features.numpy().astype(np.float64)


@tf.function
def compiled_jacobian(images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        features = DISTANCE.features(images)
    return tf.reshape(tape.jacobian(features, images), (tf.size(features), -1)), features[0]


def solved(jacobian, gradient):
    """Five steps of conjugate gradients on ``J^T J d = g``, as the textbooks have them."""
    direction, residual, search = np.zeros_like(gradient), gradient, gradient
    for number in range(5):
        squares = residual @ residual
        if squares < 0.1 and number:
            break
        product = jacobian.T @ (jacobian @ search)
        share = squares / (search @ product)
        direction, residual = direction + share * search, residual - share * product
        search = residual + residual @ residual / squares * search
    return direction


@pytest.mark.parametrize(("bound", "num_steps"), [(0.3, 1), (0.2, 3), (0.4, 2)])
def test_it_is_the_authors_loop(bound, num_steps):
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier(), num_images=12)
    images, labels = batch.images[batch.is_attacked], batch.labels[batch.is_attacked]
    attack = make_attack(AttackRequest("ppgd", distance=DISTANCE, num_steps=num_steps), num_classes=4)
    first, last = run_bare(attack, classifier, images, labels, epsilon=bound)
    starts = first["adversarial_images"].numpy()
    # Noise of a hundredth, another for each image.
    assert np.std(starts - images) == pytest.approx(0.01, rel=0.1)
    assert abs(np.corrcoef((starts - images)[0].ravel(), (starts - images)[1].ravel())[0, 1]) < 0.3
    expected = np.stack(
        [
            by_hand(classifier, *one, bound=bound, num_steps=num_steps)
            for one in zip(images, labels, starts, strict=True)
        ]
    )
    found = last["adversarial_images"].numpy()
    lengths = np.linalg.norm((expected - images).reshape(len(images), -1), axis=1)
    errors = np.linalg.norm((found - expected).reshape(len(images), -1), axis=1)
    # J v is a finite difference in float32 over 0.001, for which an image may take one more step back.
    assert np.mean(errors < 0.05 * lengths) > 0.85
    assert np.median(errors / lengths) < 0.01


def test_a_step_has_its_length_in_features():
    # One step of 2 * epsilon, where Newton's way back has not begun: twice as far as the radius.
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier())
    attack = make_attack(AttackRequest("ppgd", distance=DISTANCE, num_steps=1), num_classes=4)
    images = tf.constant(batch.images * 0.5 + 0.25)
    gradients = tf.random.stateless_normal(images.shape, [1, 2])
    model = type("Model", (), {"classifier": classifier})()
    moved = attack._stepped(model, images, gradients, tf.fill([12], 0.02))
    np.testing.assert_allclose(DISTANCE(images, moved), 0.02, rtol=0.05)


def test_it_stops_where_the_lead_is_enough():
    classifier, batch = made_up_classifier(), made_up_batch(made_up_classifier())
    request = AttackRequest("ppgd", distance=DISTANCE, epsilons=(1.0,), num_steps=40)
    attacked = attack_images(classifier, batch.images, batch.labels, request)
    stopped = batch.is_attacked & (attacked.num_steps[0] < 40)
    assert stopped.sum() > 4
    logits, labels = attacked.logits[0, stopped], batch.labels[stopped]
    assert (logits.max(1) - logits[np.arange(len(labels)), labels] >= 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distance": "l2"}, "goes by features, which the distance l2 does not show; take nptm"),
        (
            {"distance": "nptm"},
            "nptm takes the features of the attacked model itself, and made-up shows none",
        ),
        ({"attack": "ppgd-ce"}, "ascend the margin. Received: loss='ce'"),
        ({"step_length": 0.1}, "ppgd has no step_length"),
        ({"is_quantised": True}, "ppgd has no is_quantised"),
    ],
)
def test_misuse_is_one_sentence(changes, message):
    batch = made_up_batch(made_up_classifier())
    request = AttackRequest(**({"attack": "ppgd", "distance": DISTANCE} | changes))
    with pytest.raises(InputError, match=message):
        attack_images(made_up_classifier(), batch.images, batch.labels, request)
