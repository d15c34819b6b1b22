import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.models.layers.retinal_sampling import RetinalSampling
from bioattack.models.layers.transforms import initial_windows
from bioattack.models.registry import build_model, model_options
from bioattack.models.stn import PRESETS, stn

SMALL = {"width": 2, "stem_stride": None, "pool_stride": None, "augmentation": "none", "seed": 0}
# Two networks instead of six: nearly all the time of these tests goes into building them.
SHARED = {**SMALL, "shared_weights": True}


def _images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def _part(model, name):
    """The model up to one of its layers."""
    return keras.Model(model.input, model.get_layer(name).output)


# Counted by hand from ResNet-18 (11,195,328 parameters and its head), the published architecture.
@pytest.mark.parametrize(
    ("options", "num_parameters"),
    [
        ({"transform": "affine"}, 67_213_518),
        ({"transform": "affine", "shared_weights": True}, 22_411_686),
        ({"transform": "attention"}, 67_208_388),
        ({"transform": "attention", "shared_weights": True}, 22_406_556),
    ],
)
def test_published_sizes(options, num_parameters):
    assert stn((320, 320, 3), 10, **options).count_params() == num_parameters


def test_presets_are_the_published_network_and_a_narrow_one():
    assert PRESETS["paper"] == {}
    assert not model_options("stn")["shared_weights"]
    assert model_options("stn")["transform"] == "attention"
    small = build_model("stn", image_shape=(64, 64, 3), num_classes=10)
    assert small.count_params() == 359_692
    assert [layer.name for layer in small.layers if layer.name.startswith("classifier")] == ["classifier"]
    assert small.get_layer("classifier").get_layer("classifier_bn1").momentum == 0.9
    assert small.learning_rate_factors == {"localisation": 1.0}


@pytest.mark.parametrize(
    ("image_shape", "num_branches"),
    [((320, 320, 3), 5), ((64, 64, 3), 9), ((32, 32, 3), 3), ((48, 64, 3), 1), ((28, 28, 1), 5)],
)
def test_every_size_can_be_built(image_shape, num_branches):
    model = stn(image_shape, 3, **SHARED, num_branches=num_branches)
    assert model.output_shape == (None, 3)
    assert model.get_layer("transforms").output.shape == (None, num_branches, 2, 3)
    assert model.get_layer("views").output.shape == (None, *image_shape)
    assert np.isfinite(model(_images(1, *image_shape))).all()


# The small preset, with shared weights, is held to more than this among all the models.
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_distinct_classifiers_are_saved_and_give_float32(policy, tmp_path):
    options = {"transform": "attention_isotropic", "merge": "mean", "align_corners": False, "num_branches": 3}
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = stn((16, 16, 3), 3, **SMALL, **options)
    finally:
        keras.config.set_dtype_policy(usual)
    images = _images(2, 16, 16, 3)
    assert model.output_names == ["logits"]
    assert model(images).dtype == _part(model, "transforms")(images).dtype == "float32"
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(images), model(images))


def test_a_retinal_eye_magnifies_the_middle_of_each_window():
    model = stn((32, 32, 3), 3, **SHARED, eye="retinal", backbone="resnet20")
    images = _images(2, 32, 32, 3)
    views = _part(model, "views")(images)
    seen = _part(model, "retinal_views")(images)
    np.testing.assert_allclose(seen, RetinalSampling()(views, np.zeros((10, 2), "float32")), atol=1e-6)
    rebuilt = keras.Model.from_config(model.get_config())
    rebuilt.set_weights(model.get_weights())
    np.testing.assert_allclose(rebuilt(images), model(images), rtol=0, atol=1e-6)
    gradient, kernel, _ = _gradients(model, images, training=False)
    assert np.any(gradient)
    assert np.any(kernel)


def test_windows_start_apart_and_a_little_different_for_each_image():
    matrices = np.asarray(_part(stn((32, 32, 3), 3, **SHARED), "transforms")(_images(4, 32, 32, 3)))
    for branch, (scale, x, y) in enumerate(initial_windows(5)):
        wanted = [[scale, 0, 0.9 * x], [0, scale, 0.9 * y]]
        np.testing.assert_allclose(matrices[:, branch], np.broadcast_to(wanted, (4, 2, 3)), rtol=0, atol=5e-3)
    assert len(np.unique(matrices, axis=0)) == 4


@pytest.mark.parametrize("align_corners", [True, False])
def test_one_affine_branch_starts_with_the_whole_image(align_corners):
    options = {"transform": "affine", "num_branches": 1, "align_corners": align_corners}
    images = np.asarray(keras.ops.image.resize(_images(2, 4, 4, 3), (32, 32)))
    views = _part(stn((32, 32, 3), 3, **SHARED, **options), "views")(images)
    np.testing.assert_allclose(views[:, 1:-1, 1:-1], images[:, 1:-1, 1:-1], rtol=0, atol=0.02)


# The centre of a window is what its view shows in the middle.
def test_views_are_the_windows_of_each_image_in_turn():
    side = 33
    ramp = np.linspace(-1, 1, side, dtype="float32")
    picture = np.stack([*np.meshgrid(ramp, ramp, indexing="xy"), np.zeros((side, side))], axis=-1)
    images = np.stack([picture, -picture]).astype("float32")
    model = stn((side, side, 3), 3, **SHARED)
    views = np.asarray(_part(model, "views")(images)).reshape(2, 5, side, side, 3)
    matrices = np.asarray(_part(model, "transforms")(images))
    for image, sign in ((0, 1), (1, -1)):
        for branch in range(5):
            x, y = views[image, branch, side // 2, side // 2, :2]
            np.testing.assert_allclose([sign * x, sign * y], matrices[image, branch, :, 2], rtol=0, atol=1e-5)
            width = views[image, branch, 0, -1, 0] - views[image, branch, 0, 0, 0]
            assert sign * width / 2 == pytest.approx(matrices[image, branch, 0, 0], abs=1e-5)


def _set_classifier_outputs(model, kernels):
    """Makes the classifiers constant: kernels of their last layers 0, biases as given."""
    for layer, bias in kernels:
        outputs = model.get_layer(layer).get_layer(f"{layer}_outputs")
        outputs.kernel.assign(np.zeros(outputs.kernel.shape))
        outputs.bias.assign(bias)


@pytest.mark.parametrize("merge", ["logits", "mean"])
def test_distinct_classifiers_are_merged_in_order(merge):
    model = stn((16, 16, 3), 3, **SMALL, num_branches=3, merge=merge)
    logits = np.random.default_rng(1).normal(size=(3, 3)).astype("float32")
    _set_classifier_outputs(model, [(f"classifier_{index}", row) for index, row in enumerate(logits)])
    images = _images(2, 16, 16, 3)
    # Both begin as the mean of the branches.
    np.testing.assert_allclose(model(images), np.tile(logits.mean(axis=0), (2, 1)), rtol=0, atol=1e-5)
    if merge == "logits":
        kernel = np.random.default_rng(2).normal(size=(9, 3))
        model.get_layer("logits").kernel.assign(kernel)
        np.testing.assert_allclose(model(images), np.tile(logits.ravel() @ kernel, (2, 1)), rtol=0, atol=1e-5)


def test_a_shared_classifier_gives_what_single_calls_give():
    model = stn((16, 16, 3), 3, **SHARED)
    kernel = np.random.default_rng(2).normal(size=(15, 3))
    model.get_layer("logits").kernel.assign(kernel)
    images = _images(2, 16, 16, 3)
    views = np.asarray(_part(model, "views")(images)).reshape(2, 5, 16, 16, 3)
    branches = [np.asarray(model.get_layer("classifier")(views[:, branch])) for branch in range(5)]
    np.testing.assert_allclose(model(images), np.concatenate(branches, axis=1) @ kernel, rtol=0, atol=1e-4)


def _gradients(model, images, *, training):
    """Of the first logit: with respect to the images and to the weights that choose the windows."""
    tensor = tf.constant(images)
    chooser = model.get_layer("localisation").get_layer("localisation_outputs")
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        objective = tf.reduce_sum(model(tensor, training=training)[:, 0])
    return tape.gradient(objective, [tensor, chooser.kernel.value, chooser.bias.value])


@pytest.mark.parametrize("transform", ["affine", "attention", "attention_isotropic"])
def test_the_choice_of_windows_is_learned(transform):
    model = stn((32, 32, 3), 3, **SHARED, transform=transform)
    _, kernel, bias = _gradients(model, _images(2, 32, 32, 3), training=True)
    # Every number of every branch but those of affine's that the kernel cannot do without.
    assert np.count_nonzero(kernel) > 0.9 * np.size(kernel)
    assert np.count_nonzero(bias) == np.size(bias)


def test_stop_cuts_the_gradient_outside_training_alone():
    images = _images(2, 32, 32, 3)
    full, stop = (stn((32, 32, 3), 3, **SHARED, gaze_gradient=mode) for mode in ("full", "stop"))
    for model in (full, stop):
        # Windows that depend on the image more than at the start.
        kernel = model.get_layer("localisation").get_layer("localisation_outputs").kernel
        kernel.assign(kernel * 300)
    np.testing.assert_array_equal(full(images), stop(images))
    whole, kernel, _ = _gradients(full, images, training=False)
    assert np.any(kernel)
    cut, *none = _gradients(stop, images, training=False)
    assert none == [None, None]
    # What is cut is the chain from the images over the windows to the logits, which is no small part.
    chain = _gradient_through_windows(full, images)
    scale = np.abs(whole).max()
    assert np.abs(chain).max() > 0.01 * scale
    np.testing.assert_allclose(np.asarray(cut) + chain, whole, rtol=0, atol=1e-5 * scale)
    for trained in _gradients(stop, images, training=True)[1:]:
        assert np.any(trained)


def _gradient_through_windows(model, images):
    """Of the first logit with respect to the images, by way of the matrices alone."""
    both = keras.Model(model.input, [model.get_layer("transforms").output, model.output])
    tensor = tf.constant(images)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tensor)
        matrices, logits = both(tensor)
        objective = tf.reduce_sum(logits[:, 0])
    upstream = tape.gradient(objective, matrices)
    return np.asarray(tape.gradient(matrices, tensor, output_gradients=upstream))


def test_the_seed_alone_decides_the_weights():
    first, second, other = (stn((16, 16, 3), 3, **(SHARED | {"seed": seed})) for seed in (7, 7, 8))
    for one, two in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    chooser = ("localisation", "localisation_outputs")
    start, different = (model.get_layer(chooser[0]).get_layer(chooser[1]).kernel for model in (first, other))
    assert not np.allclose(start, different)
    assert np.std(start) == pytest.approx(1e-3, rel=0.2)


def test_distinct_classifiers_start_apart():
    model = stn((16, 16, 3), 3, **SMALL, num_branches=3)
    names = [f"classifier_{index}" for index in range(3)]
    kernels = [model.get_layer(name).get_layer(f"{name}_conv1").kernel for name in names]
    assert all(not np.allclose(kernels[0], kernel) for kernel in kernels[1:])


# As an evaluation meets it: from files, in a process that built nothing.
@pytest.mark.slow
def test_a_fresh_process_finds_the_same_logits_and_gradients(tmp_path):
    model = stn((16, 16, 3), 3, **(SHARED | {"augmentation": "paper"}), transform="affine", merge="features")
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "saved_model", verbose=False)
    images = _images(3, 16, 16, 3)
    gradient, *_ = _gradients(model, images, training=False)
    np.savez(tmp_path / "wanted.npz", images=images, logits=model(images), gradient=gradient)
    lines = [
        "import sys, numpy as np, tensorflow as tf",
        "folder = sys.argv[1]",
        "wanted = np.load(folder + '/wanted.npz')",
        "def check(function):",
        "    images = tf.constant(wanted['images'])",
        "    with tf.GradientTape() as tape:",
        "        tape.watch(images)",
        "        logits = function(images)",
        "        objective = tf.reduce_sum(logits[:, 0])",
        "    np.testing.assert_allclose(logits, wanted['logits'], rtol=0, atol=1e-5)",
        "    scale = np.abs(wanted['gradient']).max()",
        "    found = tape.gradient(objective, images)",
        "    np.testing.assert_allclose(found, wanted['gradient'], rtol=0, atol=1e-4 * scale)",
        "loaded = tf.saved_model.load(folder + '/saved_model')",
        "check(loaded.serve)",
        "import keras, bioattack.models.stn",
        "check(keras.saving.load_model(folder + '/model.keras'))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"transform": "attention_shear"},
            "rotation and shear are part of affine alone. Received: transform=",
        ),
        ({"num_branches": 4}, "num_branches must be one of 1, 3, 5, 9. Received: num_branches=4"),
        ({"merge": "max"}, "merge must be one of logits, mean, features. Received: merge='max'"),
        ({"eye": "cortical"}, "eye must be one of none, retinal. Received: eye='cortical'"),
        ({"gaze_gradient": "half"}, "mode must be one of full, stop. Received: mode='half'"),
        ({"localisation_rate": 2.0}, "localisation_rate must be above 0 and at most 1. Received"),
        ({"backbone": "vgg"}, "backbone must be one of resnet18, resnet20. Received: backbone='vgg'"),
        ({"width": 0}, "width must be an integer of 1 or more. Received: width=0"),
        ({"augmentation": "mixup"}, "augmentation must be one of"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        stn((32, 32, 3), 10, **(SMALL | options))


def test_a_retinal_eye_needs_square_images():
    with pytest.raises(ValueError, match="images must be square"):
        stn((16, 24, 3), 3, **SMALL, eye="retinal")
