"""Rows of a table through request, engine, search and attack, beside plain NumPy."""

import dataclasses
import hashlib

import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.registry import ROW_ATTACKS
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.row_bounds import row_bounds
from bioattack.attacks.run import attack_images
from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.models.adult_mlp import adult_mlp
from bioattack.testing.small_tables import SMALL_TABLE, THRESHOLD, WEIGHTS, small_rows
from bioattack.tfrecords_builder.adult import AdultOptions
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.reading import open_records

BOUNDS = row_bounds(SMALL_TABLE)
ALL = row_bounds(SMALL_TABLE, perturb="all")
ROWS, LABELS = small_rows(40)
NAMES = [f"row {place}" for place in range(len(ROWS))]
LINEAR = np.stack([np.zeros(4), WEIGHTS], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def linear():
    offset = tf.constant([THRESHOLD, 0.0])
    return load_classifier(lambda rows: rows @ tf.constant(LINEAR) + offset, name="linear", image_shape=(4,))


@pytest.fixture(scope="module")
def network():
    """A network of one hidden layer, and its loss' gradient written out in NumPy."""
    random = np.random.default_rng(5)
    first, second = random.normal(size=(4, 6)), random.normal(size=(6, 2))
    middle, scale = np.array([50.0, 0.5, 2.5, 1.0]), np.array([20.0, 0.5, 1.5, 0.8])

    def logits(rows):
        hidden = tf.tanh(
            (rows - middle.astype("float32")) / scale.astype("float32") @ first.astype("float32")
        )
        return hidden @ second.astype("float32")

    def gradient(rows, labels):
        hidden = np.tanh((rows - middle) / scale @ first)
        outputs = hidden @ second
        shares = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
        wrong = shares - np.eye(2)[labels]
        return ((wrong @ second.T) * (1 - hidden**2)) @ first.T / scale

    return load_classifier(logits, name="network", image_shape=(4,)), gradient


def attack(classifier, request, **changes):
    arguments = {"image_ids": NAMES, "batch_size": 16, "seed": 3} | changes
    return attack_images(classifier, ROWS, LABELS, request, **arguments)


def check_valid(attacked, epsilons, bounds):
    for rows, epsilon in zip(attacked.adversarial_images.astype(np.float64), epsilons, strict=True):
        assert np.abs(rows - ROWS).max() <= epsilon * (1 + 1e-6)
        assert (rows >= bounds.lowest).all()
        assert (rows <= bounds.highest).all()
        for column in range(4):
            if not bounds.is_moved[column]:
                assert (rows[:, column] == ROWS[:, column]).all()
            elif bounds.is_whole[column]:
                assert (rows[:, column] == np.round(rows[:, column])).all()


@pytest.mark.parametrize("name", ROW_ATTACKS)
def test_every_attack_keeps_rows_valid_and_finds_the_same(name, network):
    classifier, _ = network
    epsilons = (1.5, 6.0, 20.0)
    request = AttackRequest(name, epsilons=epsilons, bounds=BOUNDS)
    attacked = attack(classifier, request)
    check_valid(attacked, epsilons, BOUNDS)
    accuracy = attacked.adversarial_accuracy()
    assert attacked.is_correct.mean() > accuracy[0] >= accuracy[2]
    assert attacked.is_fooled[2].any()
    # What is reported is what the model makes of the row that is reported.
    np.testing.assert_allclose(
        classifier.logits(attacked.adversarial_images[2]), attacked.logits[2], rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(attacked.logits_8bit, attacked.logits)
    again = attack(classifier, request)
    np.testing.assert_array_equal(again.adversarial_images, attacked.adversarial_images)
    elsewhere = attack(classifier, request, batch_size=7)
    assert (elsewhere.is_fooled == attacked.is_fooled).mean() >= 0.99


def test_another_seed_starts_elsewhere(network):
    classifier, _ = network
    request = AttackRequest("pgd", epsilons=(6.0,), num_steps=1, judged="last", bounds=BOUNDS)
    first, second = (attack(classifier, request, seed=seed).adversarial_images for seed in (1, 2))
    assert (first != second).any()
    assert (first[..., [1, 3]] == second[..., [1, 3]]).all()


def test_all_moves_codes_as_real_numbers_within_their_ranges(network):
    classifier, _ = network
    attacked = attack(classifier, AttackRequest("pgd", epsilons=(10.0,), bounds=ALL))
    check_valid(attacked, (10.0,), ALL)
    codes = attacked.adversarial_images[0][attacked.is_correct][:, [1, 3]]
    assert (codes != np.round(codes)).any()
    kept = attack(classifier, AttackRequest("pgd", epsilons=(10.0,), bounds=BOUNDS))
    assert attacked.adversarial_accuracy() <= kept.adversarial_accuracy()


def splitmix(key, place):
    """Number ``place + 1`` of the sequence of Steele, Lea and Flood 2014, in Python's own integers."""
    mask = 2**64 - 1
    state = ((int(key[0]) & 0xFFFFFFFF) << 32) + (int(key[1]) & 0xFFFFFFFF)
    bits = (state + (place + 1) * 0x9E3779B97F4A7C15) & mask
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & mask
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
    return ((bits ^ (bits >> 31)) >> 40) * 2.0**-24


def numpy_iterates(gradient, *, epsilon, num_steps, relative_step, seed):
    """Projected gradient descent on rows, written down again: the rounded iterate after every step."""
    is_moved, is_whole = np.array(BOUNDS.is_moved), np.array(BOUNDS.is_whole)
    low, high = (
        np.maximum(ROWS - epsilon * is_moved, BOUNDS.lowest),
        np.minimum(ROWS + epsilon * is_moved, BOUNDS.highest),
    )
    start = np.zeros(ROWS.shape)
    for row, name in enumerate(NAMES):
        key = np.frombuffer(hashlib.sha256(f"{seed}/linf/0/-1/{name}".encode()).digest()[:8], np.int32)
        start[row] = [2 * splitmix(key, place) - 1 for place in range(4)]
    iterate = np.clip(ROWS + epsilon * start * is_moved, low, high)
    rounded = []
    for _ in range(num_steps + 1):
        nearest = np.where(is_whole, np.round(iterate), iterate)
        shown = np.clip(
            nearest, np.where(is_whole, np.ceil(low), low), np.where(is_whole, np.floor(high), high)
        )
        rounded.append(shown)
        step = relative_step * epsilon * np.sign(gradient(shown, LABELS))
        iterate = np.clip(iterate + step, low, high)
    return rounded


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7])
def test_every_step_is_that_of_numpy(network, num_steps):
    classifier, gradient = network
    request = AttackRequest(
        "pgd", epsilons=(9.5,), num_steps=num_steps, relative_step=0.15, judged="last", bounds=BOUNDS
    )
    attacked = attack(classifier, request)
    expected = numpy_iterates(gradient, epsilon=9.5, num_steps=7, relative_step=0.15, seed=3)[num_steps]
    is_attacked = attacked.is_correct
    assert is_attacked.sum() > 10
    np.testing.assert_allclose(attacked.adversarial_images[0][is_attacked], expected[is_attacked], atol=2e-5)
    np.testing.assert_array_equal(attacked.adversarial_images[0][~is_attacked], ROWS[~is_attacked])


def least_by_hand(row, label):
    """The least epsilon of the linear model, by going up: age in whole years, the rate in thousandths."""
    margin = float(row @ np.array(WEIGHTS) - THRESHOLD)
    for epsilon in np.arange(0, 40, 0.001):
        whole = np.floor(epsilon + 1e-9)
        side = 1 if label == 0 else -1
        room_age = 90 - row[0] if side > 0 else row[0] - 17
        room_rate = 5 - row[2] if side > 0 else row[2]
        gain = WEIGHTS[0] * min(whole, room_age) + WEIGHTS[2] * min(epsilon, room_rate)
        moved = margin + side * gain
        if (moved > 0) != (label == 1):
            return epsilon
    return np.inf


def test_least_epsilon_is_that_of_the_linear_model(linear):
    attacked = attack(linear, AttackRequest("pgd", epsilons=(40.0,), least_epsilon_width=0.02, bounds=BOUNDS))
    places = np.flatnonzero(attacked.is_correct)
    assert len(places) > 25
    for place in places:
        least = least_by_hand(ROWS[place].astype(np.float64), LABELS[place])
        low, high = attacked.epsilon_low[place], attacked.epsilon_high[place]
        assert low - 2e-3 <= least <= high + 2e-3
        assert np.isinf(high) or high - low <= 0.02 + 1e-6


def test_least_epsilon_of_whole_numbers_is_exact_to_one(linear):
    bounds = dataclasses.replace(BOUNDS, is_moved=(True, False, False, False))
    attacked = attack(linear, AttackRequest("pgd", epsilons=(64.0,), least_epsilon_width=1.0, bounds=bounds))
    margins = np.abs(ROWS @ np.array(WEIGHTS, np.float32) - THRESHOLD).astype(np.float64)
    steps = np.floor(margins / WEIGHTS[0]) + 1
    room = np.where(LABELS == 0, 90 - ROWS[:, 0], ROWS[:, 0] - 17)
    expected = np.where(steps <= np.minimum(room, 64), steps, np.inf)
    np.testing.assert_array_equal(attacked.epsilon_high[attacked.is_correct], expected[attacked.is_correct])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.astype(np.float64), "rows must be float32, on the attributes' own scales"),
        (lambda rows: rows[:, :3], r"rows must be \(batch, 4\), with one image_id each"),
        (lambda rows: rows * [1, np.nan, 1, 1], "row row 0 holds NaN or infinity for sex: nan"),
        (lambda rows: rows - np.array([0.5, 0, 0, 0]), "row row 0 holds no whole number for age: "),
    ],
)
def test_rows_that_cannot_be_attacked_are_refused(linear, change, message):
    rows = change(ROWS)
    rows = rows if "float32" in message else rows.astype(np.float32)
    with pytest.raises(InputError, match=message):
        attack_images(linear, rows, LABELS, AttackRequest("pgd", bounds=BOUNDS), image_ids=NAMES)


def test_rows_without_bounds_are_refused(linear):
    with pytest.raises(InputError, match=r"these are rows of a table, .*bounds=row_bounds"):
        attack_images(linear, ROWS, LABELS, AttackRequest("pgd"), image_ids=NAMES)


def test_8_bits_are_refused(linear):
    with pytest.raises(InputError, match="rows of a table are not saved with 8 bits"):
        attack(linear, AttackRequest("pgd", bounds=BOUNDS, is_quantised=True))


@pytest.mark.realdata
def test_rows_of_the_census_stay_rows_of_the_census(realdata, tmp_path):
    options = AdultOptions(output=tmp_path / "adult", source=realdata / "adult" / "adult.zip", quiet=True)
    build("adult", options)
    records = open_records(options.output)
    rows, _ = next(iter(records.dataset("test", batch_size=3000).as_numpy_iterator()))
    table = records.table
    model = adult_mlp(records.input_shape, 2, mean=table.mean, std=table.std, seed=0)
    classifier = load_classifier(model)
    labels = classifier.logits(rows).numpy().argmax(1)
    request = AttackRequest("pgd", epsilons=(10.0, 20.0), bounds=row_bounds(table))
    attacked = attack_images(classifier, rows, labels, request, batch_size=1024)
    assert 0 < attacked.adversarial_accuracy()[1] < attacked.adversarial_accuracy()[0] < 1
    for adversarial, epsilon in zip(attacked.adversarial_images, (10, 20), strict=True):
        # Everything is a whole number, final weights of a million and more too.
        assert (adversarial == np.round(adversarial)).all()
        assert np.abs(adversarial.astype(np.float64) - rows).max() == epsilon
        for column, attribute in enumerate(table.attributes):
            values = adversarial[:, column]
            assert attribute.minimum <= values.min() <= values.max() <= attribute.maximum
            if attribute.categories:
                assert (values == rows[:, column]).all()
