import keras
import numpy as np
import pytest

from bioattack.training.adam import LayerwiseAdam

RATE = 0.125


def network(seed=0):
    """A model with another one inside, called twice, as networks that find out where to look have it."""
    keras.utils.set_random_seed(seed)
    inner_images = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2D(4, 3, name="localisation_conv")(inner_images)
    outputs = keras.layers.GlobalAveragePooling2D()(outputs)
    inner = keras.Model(
        inner_images, keras.layers.Dense(2, name="localisation_outputs")(outputs), name="localisation"
    )
    images = keras.Input((8, 8, 3))
    both = [inner(images), inner(keras.layers.Rescaling(2.0)(images))]
    outputs = keras.layers.Dense(5, name="hidden", activation="tanh")(keras.layers.Concatenate()(both))
    return keras.Model(images, keras.layers.Dense(3, name="logits")(outputs))


def trained(optimizer, *, num_steps, **how):
    """The weights by path, before and after steps in graph mode."""
    model = network()
    before = {weight.path: weight.numpy() for weight in model.weights}
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **how)
    random = np.random.default_rng(0)
    for _ in range(num_steps):
        images = random.normal(size=(6, 8, 8, 3)).astype("float32")
        model.train_on_batch(images, np.arange(6) % 3)
    return before, {weight.path: weight.numpy() for weight in model.weights}


@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}], ids=["graph", "eager"])
def test_layers_of_an_inner_model_move_a_tenth_as_far(how):
    before, plain = trained(keras.optimizers.Adam(RATE), num_steps=1, **how)
    _, slowed = trained(LayerwiseAdam(RATE, learning_rate_factors={"localisation": 0.1}), num_steps=1, **how)
    assert sum(path.startswith("localisation") for path in before) == 4
    for path, start in before.items():
        move = plain[path] - start
        assert np.abs(move).max() > 0.9 * RATE
        if path.startswith("localisation"):
            np.testing.assert_allclose(slowed[path] - start, 0.1 * move, rtol=1e-4, atol=1e-6)
        else:
            np.testing.assert_array_equal(slowed[path], plain[path])


@pytest.mark.parametrize("factors", [None, {"localisation": 1.0, "logits": 1.0}])
def test_without_factors_it_is_the_adam_of_keras_bit_for_bit(factors):
    schedule = keras.optimizers.schedules.CosineDecay(RATE, 5)
    _, plain = trained(keras.optimizers.Adam(schedule), num_steps=4)
    _, ours = trained(LayerwiseAdam(schedule, learning_rate_factors=factors), num_steps=4)
    for path, weights in plain.items():
        assert weights.tobytes() == ours[path].tobytes(), path


def test_longer_beginning_counts():
    factors = {"localisation": 0.5, "localisation_outputs": 0.25}
    before, moved = trained(LayerwiseAdam(RATE, learning_rate_factors=factors), num_steps=1)
    for name, factor in (("localisation_conv", 0.5), ("localisation_outputs", 0.25), ("hidden", 1.0)):
        moves = np.abs(moved[f"{name}/kernel"] - before[f"{name}/kernel"])
        # The first step of Adam is as long as the learning rate wherever the gradient is far above 1e-7.
        assert moves.max() == pytest.approx(factor * RATE, rel=1e-3)


def test_layer_inside_a_layer_is_found():
    variables = [keras.Variable(np.ones(2, "float32"), name="kernel")]
    with keras.name_scope("outer"), keras.name_scope("slow_inner"):
        variables.append(keras.Variable(np.ones(2, "float32"), name="kernel"))
    optimizer = LayerwiseAdam(RATE, learning_rate_factors={"slow": 0.5})
    optimizer.apply([np.ones(2, "float32")] * 2, variables)
    np.testing.assert_allclose(variables[0].numpy(), 1 - RATE, rtol=1e-5)
    np.testing.assert_allclose(variables[1].numpy(), 1 - 0.5 * RATE, rtol=1e-5)


def test_config_round_trip():
    optimizer = LayerwiseAdam(
        keras.optimizers.schedules.CosineDecay(RATE, 7), beta_1=0.8, learning_rate_factors={"logits": 0.5}
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, LayerwiseAdam)
    assert again.get_config() == optimizer.get_config()
    assert again.learning_rate_factors == {"logits": 0.5}
    assert again.beta_1 == 0.8


@pytest.mark.parametrize("factor", [0.0, -0.1, float("nan"), float("inf")])
def test_factor_that_is_not_above_zero(factor):
    with pytest.raises(ValueError, match=r"learning_rate_factors must give numbers above 0 .* 'conv'"):
        LayerwiseAdam(learning_rate_factors={"conv": factor})


def test_empty_beginning_would_be_every_layer():
    with pytest.raises(ValueError, match="beginnings of layer names"):
        LayerwiseAdam(learning_rate_factors={"": 0.5})


def test_name_of_no_layer():
    optimizer = LayerwiseAdam(learning_rate_factors={"localization": 0.1})
    with pytest.raises(ValueError, match="Received: 'localization', with which the name of none begins"):
        optimizer.build(network().trainable_variables)
