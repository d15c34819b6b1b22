import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.fixations import five_gazes
from bioattack.models.layers.retinal_sampling import RetinalSampling
from bioattack.models.multi_gaze import multi_gaze
from bioattack.models.registry import build_model
from bioattack.testing.check_model import check_model

# Narrow, for 32 pixels.
SMALL = {
    "width": 16,
    "shared_weights": True,
    "stem_stride": 2,
    "pool_stride": None,
    "batch_norm_momentum": 0.9,
    "seed": 0,
}


def _images(num=3, size=32):
    return np.random.default_rng(0).random((num, size, size, 3), dtype="float32")


def _part(model, name, images):
    """The output of one layer."""
    return np.asarray(keras.Model(model.input, model.get_layer(name).output)(images))


# Sums of a gaze network with 10 outputs (11,200,458), one or five ResNet-18 (11,200,458) and a dense layer
# from 50 to 10.
@pytest.mark.parametrize(
    ("size", "shared_weights", "num_parameters"),
    [(320, False, 67_203_258), (320, True, 22_401_426), (64, True, 22_401_426), (32, True, 22_401_426)],
)
def test_parameters_of_the_published_network(size, shared_weights, num_parameters):
    model = build_model(
        "multi_gaze",
        image_shape=(size, size, 3),
        num_classes=10,
        preset="paper",
        options={"shared_weights": shared_weights},
    )
    assert model.count_params() == num_parameters
    assert model.get_layer("gazes").reach == size / 4
    assert model.learning_rate_factors == {"localisation": 0.1}


@pytest.mark.slow
def test_network_with_other_options_keeps_its_promises():
    options = {
        "eye": "cortical",
        "shared_weights": False,
        "num_gazes": 1,
        "merge": "mean",
        "gaze_gradient": "stop",
    }
    check_model(lambda: multi_gaze((32, 32, 3), 4, **{**SMALL, **options}))


@pytest.mark.parametrize(("num_gazes", "gaze_range", "reach"), [(1, 0.5, 16), (5, 0.25, 8), (9, 0.1, 3.2)])
def test_gazes_start_half_way_to_the_box(num_gazes, gaze_range, reach):
    model = multi_gaze((32, 32, 3), 4, num_gazes=num_gazes, gaze_range=gaze_range, **SMALL)
    gazes = _part(model, "gazes", _images())
    assert gazes.shape == (3, num_gazes, 2)
    start = np.array([*five_gazes(reach / 2), *((0, 0),) * 4])[:num_gazes]
    np.testing.assert_allclose(gazes[:, :5], np.tile(start[:5], (3, 1, 1)), atol=0.02 * reach)
    assert len(np.unique(np.round(gazes[0], 1), axis=0)) == num_gazes
    # The kernel is small, but not 0: images differ a little.
    assert 0 < np.ptp(gazes, axis=0).max() < 0.02 * reach


def test_views_are_the_image_seen_from_the_gazes():
    model = multi_gaze((32, 32, 3), 4, law="log", **SMALL)
    images = _images(2)
    gazes, views = (_part(model, name, images) for name in ("gazes", "views"))
    wanted = RetinalSampling(law="log")(np.repeat(images, 5, axis=0), np.reshape(gazes, (-1, 2)))
    np.testing.assert_allclose(views, wanted, atol=1e-5)


@pytest.mark.parametrize("merge", ["logits", "mean", "features"])
def test_distinct_classifiers_see_what_a_shared_one_sees(merge):
    options = {**SMALL, "num_gazes": 3, "merge": merge}
    shared = multi_gaze((32, 32, 3), 4, **options)
    distinct = multi_gaze((32, 32, 3), 4, **{**options, "shared_weights": False})
    for index in range(3):
        distinct.get_layer(f"classifier_{index}").set_weights(shared.get_layer("classifier").get_weights())
    for name in ("localisation", "logits"):
        distinct.get_layer(name).set_weights(shared.get_layer(name).get_weights())
    np.testing.assert_allclose(shared(_images()), distinct(_images()), atol=1e-5)
    num_merged = {"logits": 3 * 4 * 4 + 4, "mean": 0, "features": 3 * 128 * 4 + 4}[merge]
    assert shared.get_layer("logits").count_params() == num_merged


def test_cortical_eye_has_networks_of_stride_1():
    model = multi_gaze((64, 64, 3), 4, eye="cortical", **SMALL)
    assert [view.shape for view in model.get_layer("views").output] == [(None, 12, 12, 3)] * 4
    classifier = model.get_layer("classifier")
    for number in range(1, 5):
        scale = classifier.get_layer(f"classifier_scale_{number}")
        assert scale.get_layer(f"classifier_scale_{number}_pool").output.shape[1:3] == (12, 12)
    assert model.get_layer("localisation").get_layer("localisation_pool").output.shape[1:3] == (16, 16)


def test_merged_logits_start_as_their_mean():
    models = [multi_gaze((32, 32, 3), 4, merge=merge, **SMALL) for merge in ("logits", "mean")]
    np.testing.assert_allclose(models[0](_images()), models[1](_images()), atol=1e-6)


def test_distinct_classifiers_start_apart():
    model = multi_gaze((32, 32, 3), 4, **{**SMALL, "shared_weights": False, "num_gazes": 3})
    kernels = [model.get_layer(f"classifier_{index}").get_weights()[0] for index in range(3)]
    assert not np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[1], kernels[2])


def test_gradient_reaches_the_gaze_network_through_cortical_scales():
    model = multi_gaze((32, 32, 3), 4, num_gazes=3, eye="cortical", **SMALL)
    gaze_network = model.get_layer("localisation")

    @tf.function
    def gradients(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.nn.log_softmax(model(images, training=True))[:, 0])
        return tape.gradient(loss, [weight.value for weight in gaze_network.trainable_weights])

    found = gradients(tf.constant(_images()))
    assert all(part is not None and np.isfinite(part).all() for part in found)
    head = dict(zip((weight.path for weight in gaze_network.trainable_weights), found, strict=True))
    assert np.abs(head["localisation_outputs/bias"]).min() > 0


def test_stopped_gradient_is_another_one():
    images = tf.constant(_images())
    gradients = {}
    for mode in ("full", "stop"):
        model = multi_gaze((32, 32, 3), 4, gaze_gradient=mode, **SMALL)
        # A gaze network that hardly minds the image has hardly a gradient.
        head = model.get_layer("localisation").get_layer("localisation_outputs")
        head.kernel.assign(head.kernel * 300.0)
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = model(images)
        gradients[mode] = logits, tape.gradient(logits, images)
    np.testing.assert_array_equal(gradients["full"][0], gradients["stop"][0])
    full, stopped = (np.asarray(gradients[mode][1]) for mode in ("full", "stop"))
    assert np.abs(stopped).max() > 0
    assert np.abs(full - stopped).max() > 0.01 * np.abs(full).max()


def test_penalty_is_in_the_loss():
    plain, penalised = (multi_gaze((32, 32, 3), 4, gaze_l2=weight, **SMALL) for weight in (0.0, 0.01))
    images, labels = _images(4), np.arange(4)
    losses = []
    for model in (plain, penalised):
        model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        losses.append(model.evaluate(images, labels, batch_size=2, verbose=0))
    fractions = _part(penalised, "gazes", images) / 8
    penalty = 0.01 * np.mean(np.sum(fractions**2, axis=(1, 2)))
    assert losses[1] - losses[0] == pytest.approx(penalty, rel=1e-3)
    # Four gazes at (1/2, 1/2).
    assert penalty == pytest.approx(0.01 * 4 * 0.5, rel=0.05)


def test_it_trains():
    model = multi_gaze((32, 32, 3), 4, num_gazes=3, gaze_l2=0.01, **SMALL)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Two steps are done sooner than a graph is made of them.
    model.compile(keras.optimizers.Adam(1e-3), loss, run_eagerly=True)
    labels = np.arange(16) % 4
    images = _images(16) * 0.2 + labels[:, None, None, None] * 0.2
    before = [np.asarray(weight) for weight in model.trainable_weights]
    history = model.fit(images, labels, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for one, other in zip(before, model.trainable_weights, strict=True):
        assert not np.array_equal(one, other), other.path


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((32, 48, 3), {}, "images must be square, "),
        ((32, 32, 3), {"num_gazes": 4}, "num_gazes must be one of 1, 3, 5, 9. Received: num_gazes=4"),
        ((32, 32, 3), {"merge": "max"}, "merge must be one of logits, mean, features. Received: merge='max'"),
        ((32, 32, 3), {"eye": "coarse"}, "eye must be one of retinal, cortical. Received: eye='coarse'"),
        ((32, 32, 3), {"gaze_range": 0.6}, "gaze_range must be above 0 and at most 0.5. Received"),
        ((32, 32, 3), {"localisation_rate": 0}, "localisation_rate must be above 0 and at most 1. Received"),
        ((32, 32, 3), {"gaze_l2": -0.1}, "gaze_l2 must be 0 or more. Received: gaze_l2=-0.1"),
        ((32, 32, 3), {"gaze_gradient": "half"}, "gaze_gradient must be one of full, stop. Received"),
    ],
)
def test_what_does_not_fit_is_refused(image_shape, options, message):
    with pytest.raises(ValueError, match=message):
        multi_gaze(image_shape, 4, **{**SMALL, **options})
