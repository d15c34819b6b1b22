import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.fixations import five_gazes
from bioattack.models.layers.retinal_sampling import RetinalSampling
from bioattack.models.multi_gaze import multi_gaze
from bioattack.models.registry import build_model
from bioattack.models.retinal import retinal

# Narrow, for 32 pixels.
SMALL = {"width": 16, "stem_stride": 2, "pool_stride": None, "batch_norm_momentum": 0.9, "seed": 0}


def _images(num=3, size=32):
    return np.random.default_rng(0).random((num, size, size, 3), dtype="float32")


# 11,200,458 and 274,442: the networks of Vuyyuru et al. 2020, whose retina has no weights.
@pytest.mark.parametrize(
    ("size", "preset", "options", "num_parameters"),
    [
        (320, "paper", {}, 11_200_458),
        (64, "paper", {}, 11_200_458),
        (32, "paper", {"backbone": "resnet20", "width": 16}, 274_442),
        (320, "small", {"width": 16}, 707_322),
        (32, "small", {"width": 16}, 707_322),
    ],
)
def test_network_is_that_of_the_baseline(size, preset, options, num_parameters):
    model = build_model(
        "retinal", image_shape=(size, size, 3), num_classes=10, preset=preset, options=options
    )
    assert model.count_params() == num_parameters
    gazes = model.get_layer("gazes")
    assert gazes.fixed == [list(gaze) for gaze in five_gazes(size / 4)]
    # The upper end is exclusive in the reference code.
    assert (gazes.lowest, gazes.highest, gazes.per_batch) == (-size // 4, size // 4 - 1, False)
    views = model.get_layer("views")
    assert views.output.shape == (None, size, size, 3)
    published = ("nearest", "quadratic", "reference")
    assert (views.mode, views.law, views.frame) == (
        published if preset == "paper" else ("bilinear", "quadratic", "centered")
    )


@pytest.mark.parametrize("num_fixations", [1, 3, 5, 9])
def test_logits_are_the_mean_over_the_fixations(num_fixations):
    model = retinal((32, 32, 3), 4, num_fixations=num_fixations, **SMALL)
    images = _images(2)
    parts = [model.get_layer(name).output for name in ("gazes", "views", "classifier")]
    gazes, views, by_gaze = (np.asarray(part) for part in keras.Model(model.input, parts)(images))
    assert gazes.shape == (2, num_fixations, 2)
    np.testing.assert_allclose(
        np.asarray(model(images)), by_gaze.reshape(2, num_fixations, 4).mean(axis=1), atol=1e-6
    )
    for image, of_image, seen in zip(images, gazes, views.reshape(2, num_fixations, 32, 32, 3), strict=True):
        wanted = RetinalSampling()(np.tile(image, (num_fixations, 1, 1, 1)), of_image)
        np.testing.assert_allclose(seen, wanted, atol=1e-6)
    if num_fixations > 1:
        assert np.ptp(by_gaze[:num_fixations], axis=0).max() > 1e-3


def test_training_sees_each_image_once_from_a_random_point():
    model = retinal((32, 32, 3), 4, augmentation="none", **SMALL)
    parts = keras.Model(model.input, [model.get_layer(name).output for name in ("gazes", "views")])
    gazes, views = parts(_images(6), training=True)
    assert gazes.shape == (6, 1, 2)
    assert views.shape == (6, 32, 32, 3)
    assert len(np.unique(gazes)) > 3
    assert -8 <= np.min(gazes) <= np.max(gazes) <= 7


def test_it_trains():
    model = retinal((32, 32, 3), 4, **SMALL)
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


def test_random_gazes_in_the_test():
    model = retinal((32, 32, 3), 4, when_tested="random", **SMALL)
    assert not np.array_equal(model(_images()), model(_images()))
    fixed = retinal((32, 32, 3), 4, **SMALL)
    np.testing.assert_array_equal(fixed(_images()), fixed(_images()))


def test_grey_images_are_seen():
    assert retinal((28, 28, 1), 3, **SMALL)(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 3)


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((32, 48, 3), {}, r"images must be square, .*Received: images_shape=\(None, 32, 48, 3\)"),
        ((32, 32, 3), {"num_fixations": 4}, "num_fixations must be one of 1, 3, 5, 9. Received: num_fixat"),
        ((32, 32, 3), {"mode": "cubic"}, "mode must be one of nearest, floor, bilinear. Received"),
        ((32, 32, 3), {"when_tested": "never"}, "when_tested must be one of fixed, random. Received"),
    ],
)
def test_what_does_not_fit_is_refused(image_shape, options, message):
    with pytest.raises(ValueError, match=message):
        retinal(image_shape, 4, **{**SMALL, **options})


_RELOAD = """
    import sys
    import numpy as np
    import tensorflow as tf
    from bioattack.models.registry import MODELS  # as whoever loads a file has it imported
    from bioattack.models.layers import fixations, gaze, padded_shortcut, paper_augmentation, retinal_sampling
    import keras

    for folder in sys.argv[1:]:
        wanted = np.load(f"{folder}/wanted.npz")
        loaded = tf.saved_model.load(f"{folder}/saved_model")
        for function in (loaded.serve, keras.saving.load_model(f"{folder}/model.keras")):
            images = tf.constant(wanted["images"])
            with tf.GradientTape() as tape:
                tape.watch(images)
                logits = function(images)
                loss = tf.reduce_sum(tf.nn.log_softmax(logits)[:, 0])
            gradient = tape.gradient(loss, images)
            np.testing.assert_allclose(logits, wanted["logits"], rtol=0, atol=1e-5)
            limit = 1e-4 * np.abs(wanted["gradient"]).max()
            np.testing.assert_allclose(gradient, wanted["gradient"], rtol=0, atol=limit)
"""


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_logits_and_gradients(tmp_path):
    builders = {"retinal": retinal, "multi_gaze": multi_gaze}
    for name, build in builders.items():
        options = {"shared_weights": True, "gaze_l2": 0.01} if name == "multi_gaze" else {"mode": "nearest"}
        model = build((32, 32, 3), 4, **SMALL, **options)
        images = tf.constant(_images())
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = model(images)
            loss = tf.reduce_sum(tf.nn.log_softmax(logits)[:, 0])
        gradient = tape.gradient(loss, images)
        assert np.abs(gradient).max() > 1e-5
        model.export(tmp_path / name / "saved_model", verbose=False)
        model.save(tmp_path / name / "model.keras")
        np.savez(tmp_path / name / "wanted.npz", images=images, logits=logits, gradient=gradient)
    folders = [str(tmp_path / name) for name in builders]
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_RELOAD), *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
