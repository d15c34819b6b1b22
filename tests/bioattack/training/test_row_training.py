"""Training against attacks on rows of a table: what they may move, and what of pictures stays as it was."""

import keras
import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.testing.small_tables import SMALL_TABLE, WEIGHTS, small_rows, write_small_table
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.registry import training_class
from bioattack.training.run import train

NAMES = ("pgd", "trades")
EPSILON = 5.5
AGE, SEX, RATE, JOB = range(4)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_small_table(tmp_path_factory.mktemp("records") / "table")


def linear_rule():
    """A model of rows that is almost sure of nothing, so that its gradient is not lost in float32."""
    rows = keras.Input((4,))
    layer = keras.layers.Dense(2)
    model = keras.Model(rows, layer(rows))
    layer.set_weights([np.stack([np.zeros(4), 0.1 * np.array(WEIGHTS)], axis=1), np.array([0.6, 0.0])])
    return model


def make_training(name, data, classifier, *, output="run", **options):
    plan = make_plan(
        TrainConfig(model="adult_mlp", data=data, output=output, training=name, training_options=options)
    )
    return training_class(name)(classifier, plan)


def attack(name, table, **options):
    rows, labels = small_rows(30, seed=4)
    training = make_training(name, table, linear_rule(), epsilon=EPSILON, num_steps=8, **options)
    training.compile_for(steps_per_epoch=1)
    return rows, labels, training.adversarial_images(rows, labels).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_rows_stay_valid(name, table):
    rows, _, attacked = attack(name, table)
    np.testing.assert_array_equal(attacked[:, [SEX, JOB]], rows[:, [SEX, JOB]])
    np.testing.assert_array_equal(attacked[:, AGE], np.round(attacked[:, AGE]))
    assert np.abs(attacked - rows).max() <= EPSILON
    for place in (AGE, RATE):
        attribute = SMALL_TABLE.attributes[place]
        assert attribute.minimum <= attacked[:, place].min() <= attacked[:, place].max() <= attribute.maximum
        assert np.any(attacked[:, place] != rows[:, place])


def test_attack_finds_the_worst_valid_row(table):
    rows, labels, attacked = attack("pgd", table)
    # Both weights are above 0: up makes a row "yes", down makes it "no".
    sign = np.where(labels == 0, 1.0, -1.0)
    np.testing.assert_array_equal(attacked[:, AGE], np.clip(rows[:, AGE] + 5 * sign, 17, 90))
    np.testing.assert_allclose(attacked[:, RATE], np.clip(rows[:, RATE] + EPSILON * sign, 0, 5), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_moved_where_that_is_asked_for(name, table):
    rows, _, attacked = attack(name, table, perturb="all")
    assert (np.abs(attacked - rows).max(axis=0) > 0).all()
    assert np.any(attacked[:, AGE] != np.round(attacked[:, AGE]))
    assert np.all((attacked >= [17, 0, 0, 0]) & (attacked <= [90, 1, 5, 2]))


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_rows_is_trained(name, table, tmp_path):
    result = train(
        TrainConfig(
            model="adult_mlp",
            data=table,
            output=tmp_path / "run",
            training=name,
            training_options={"epsilon": EPSILON, "num_steps": 2},
            epochs=1,
            quiet=True,
        )
    )
    assert result.details["training_options"]["perturb"] == "valid"
    assert 0 <= result.details["accuracy"]["test"] <= 1


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_go_together_is_refused(name, table, small_records):
    with pytest.raises(InputError, match="rows of a table are attacked in linf"):
        make_training(name, table, linear_rule(), norm="l2")
    with pytest.raises(InputError, match=r"takes rows of a table, and .* holds pictures"):
        make_training(name, small_records, linear_rule())
    pictures = keras.Input((2, 2, 1))
    model = keras.Model(pictures, keras.layers.Dense(2)(keras.layers.Flatten()(pictures)))
    with pytest.raises(InputError, match=r"epsilon is in the unit of the pictures, which is .0, 1.: 0.0314"):
        make_training(name, small_records, model, epsilon=8)
    with pytest.raises(InputError, match="perturb all is of rows of a table"):
        make_training(name, small_records, model, perturb="all")


def test_a_price_of_distance_is_of_pictures(table):
    with pytest.raises(InputError, match="--training wasserstein attacks pictures"):
        make_training("wasserstein", table, linear_rule())
