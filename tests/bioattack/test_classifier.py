"""Loading: every form a model comes in gives the same logits and gradient; every unfit one is refused."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.classifier import check_against_records, check_with_pictures, display_names, load_classifier
from bioattack.errors import InputError

SHAPE, CLASSES = (6, 6, 3), 4


@pytest.fixture(scope="module")
def pictures():
    """Pictures whose mean brightness tells the class, and their labels."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % CLASSES
    images = np.clip(labels[:, None, None, None] / 4 + 0.1 + generator.normal(0, 0.02, (60, *SHAPE)), 0, 1)
    return images.astype("float32"), labels


def brightness_model(*, scale=1.0, offset=0.0, softmax=False, dtype="float32"):
    """Classifies by mean brightness: the logit of class k is -100 (mean - level_k)**2, up to a constant."""
    levels = np.arange(CLASSES) / 4 + 0.1
    inputs = keras.Input(SHAPE, dtype=dtype)
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense(CLASSES, activation="softmax" if softmax else None, name="scores")
    model = keras.Model(inputs, dense(mean), name="brightness")
    # -(m - l)**2 = 2 m l - l**2 - m**2; the last term is the same for all classes; m = (x - offset) / scale.
    kernel = np.repeat(200 * levels[None] / scale / 3, 3, 0)
    dense.set_weights([kernel, -100 * levels**2 - 200 * levels * offset / scale])
    return model


class Plain(tf.Module):
    """The same function as `brightness_model`, without Keras."""

    def __init__(self, weights):
        self.kernel, self.bias = tf.Variable(weights[0]), tf.Variable(weights[1])

    def __call__(self, pictures):
        return tf.reduce_mean(pictures, axis=[1, 2]) @ self.kernel + self.bias


class Called(Plain):
    @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32)])
    def __call__(self, pictures):
        return super().__call__(pictures)


def save_plain(folder, *, form, dtype=tf.float32, batch=None):
    """Saves the function as TensorFlow does without Keras; `form` is where the loader has to look for it."""
    weights = brightness_model().get_weights()
    module = Called(weights) if form == "call" else Plain(weights)

    def scores(pictures):
        return {"scores": Plain.__call__(module, tf.cast(pictures, tf.float32))}

    traced = tf.function(scores, input_signature=[tf.TensorSpec((batch, *SHAPE), dtype, name="pictures")])
    if form == "serve":
        module.serve = traced
    name = "serving_default" if form == "signature" else "other"
    tf.saved_model.save(module, folder, signatures={name: traced.get_concrete_function()})
    return folder


CARD = {
    "model": "brightness",
    "model_options": {},
    "preset": "small",
    "training": "standard",
    "class_names": list("abcd"),
    "num_parameters": 16,
    "has_random_layers": False,
    "seed": 0,
    "epochs": 1,
    "data": {},
    "accuracy": {},
}


def save_run(folder, *, card=None):
    brightness_model().export(folder / "saved_model", verbose=False)
    (folder / "model_card.json").write_text(json.dumps(CARD if card is None else card))
    return folder


SOURCES = {
    "run folder": lambda folder: save_run(folder),
    "keras file": lambda folder: brightness_model().save(folder / "m.keras") or folder / "m.keras",
    "keras export": lambda folder: brightness_model().export(folder / "m", verbose=False) or folder / "m",
    "keras model": lambda _: brightness_model(),
    "signature with keyword and dict": lambda folder: save_plain(folder / "m", form="signature"),
    "serve": lambda folder: save_plain(folder / "m", form="serve"),
    "__call__": lambda folder: save_plain(folder / "m", form="call"),
    "callable": lambda _: Plain(brightness_model().get_weights()),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_logits_and_gradient(source, tmp_path, pictures):
    images, labels = tf.constant(pictures[0][:8]), pictures[1]
    classifier = load_classifier(SOURCES[source](tmp_path), image_shape=SHAPE)
    kernel, bias = brightness_model().get_weights()
    expected = images.numpy().mean((1, 2)) @ kernel + bias
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = classifier.logits(images)
        of_first_class = tf.reduce_sum(logits[:, 0])
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-4)
    # d logit / d pixel of a mean over 36 pixels.
    np.testing.assert_allclose(
        tape.gradient(of_first_class, images)[0, 2, 3], kernel[:, 0] / 36, rtol=1e-5, atol=1e-6
    )
    assert classifier.num_classes == CLASSES
    assert check_with_pictures(classifier, images=pictures[0], labels=labels) == []
    if source == "run folder":
        assert classifier.class_names == ("a", "b", "c", "d")
        assert classifier.name == tmp_path.name
    if source not in ("callable", "keras model"):
        assert classifier.image_shape == SHAPE
        assert len(classifier.fingerprint) == 64


def test_probabilities_become_logits_with_the_same_gradient(pictures):
    images, labels = tf.constant(pictures[0]), tf.constant(pictures[1])
    gradients = []
    for classifier in (
        load_classifier(brightness_model()),
        load_classifier(brightness_model(softmax=True), outputs="probabilities"),
    ):
        check_with_pictures(classifier, images=images, labels=labels)
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, classifier.logits(images))
        gradients.append(tape.gradient(loss, images))
    np.testing.assert_allclose(*gradients, rtol=1e-2, atol=1e-4)


def test_probabilities_of_exactly_zero_have_a_finite_gradient():
    kernel = tf.constant(np.eye(4, CLASSES) * 1e4, tf.float32)
    classifier = load_classifier(
        lambda images: tf.nn.softmax(images[:, 0, 0] @ kernel), outputs="probabilities"
    )
    images = tf.constant([[[[0.9, 0.1, 0.0, 0.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits([1], classifier.logits(images))
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, images)).all()


def test_input_range_rescales_inside(pictures):
    model = brightness_model(scale=255)
    with pytest.raises(InputError, match=r"looks as if it wanted other pixel values.*--input-range 0 255"):
        check_with_pictures(load_classifier(model), images=pictures[0], labels=pictures[1])
    classifier = load_classifier(model, input_range=(0, 255))
    check_with_pictures(classifier, images=pictures[0], labels=pictures[1])
    np.testing.assert_allclose(
        classifier.logits(pictures[0]), load_classifier(brightness_model()).logits(pictures[0]), atol=1e-3
    )


def test_symmetric_input_range_is_recognised(pictures):
    with pytest.raises(InputError, match=r"--input-range -1 1"):
        check_with_pictures(
            load_classifier(brightness_model(scale=2, offset=-1)), images=pictures[0], labels=pictures[1]
        )


def test_wrongly_given_input_range_is_recognised(pictures):
    classifier = load_classifier(brightness_model(), input_range=(0, 255))
    with pytest.raises(InputError, match=r"in \[0, 255\] but 100% when they are in \[0, 1\]"):
        check_with_pictures(classifier, images=pictures[0], labels=pictures[1])


def test_standardised_input_is_recognised(pictures):
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    model = brightness_model()
    classifier = load_classifier(lambda images: model(images * deviation + mean), image_shape=SHAPE)
    with pytest.raises(InputError, match="put the standardisation into the model"):
        check_with_pictures(classifier, images=pictures[0], labels=pictures[1])


def test_noise_that_vanishes_at_a_larger_scale_is_noted_as_noise():
    labels = np.arange(60) % CLASSES
    images = np.float32(0.4 + 0.2 * np.eye(CLASSES)[labels])[:, None, None] * np.ones((1, 6, 6, 1), "float32")

    def with_noise(images):
        means = tf.reduce_mean(images, (1, 2))
        return 40 * tf.nn.relu(means + tf.random.normal(tf.shape(means), stddev=0.3))

    model = load_classifier(with_noise, name="dice")
    keras.utils.set_random_seed(0)
    randomness, scale = check_with_pictures(model, images=images, labels=labels, batch_size=60)
    assert "Model dice draws random numbers (the same pictures get other logits in a second" in randomness
    assert "on another scale cannot be told" in scale
    # Where it does as well as it can, there is nothing to be said of the scale.
    calm = load_classifier(lambda images: model.logits(images) + 200 * tf.one_hot(labels, CLASSES))
    assert len(check_with_pictures(calm, images=images, labels=labels, batch_size=60)) == 1


UNFIT = {
    "gives probabilities .*--outputs probabilities": lambda model: (
        lambda images: tf.nn.softmax(model(images))
    ),
    "gives its decision .*so that it gives logits": lambda model: (
        lambda images: tf.one_hot(tf.argmax(model(images), axis=1), CLASSES)
    ),
    r"no gradient with respect to the pictures \(something": lambda model: (
        lambda images: model(tf.round(images * 255) / 255)
    ),
    "casts to integers or cuts the gradient": lambda model: lambda images: tf.stop_gradient(model(images)),
    "NaN or infinite gradient for 32 of 32": lambda model: (
        lambda images: (
            model(images) + tf.norm(images - tf.stop_gradient(images), axis=(1, 2)) @ tf.eye(3, CLASSES)
        )
    ),
}


@pytest.mark.parametrize("message", UNFIT)
def test_unfit_function_is_refused_with_the_reason(message, pictures):
    classifier = load_classifier(UNFIT[message](brightness_model()))
    with pytest.raises(InputError, match=message):
        check_with_pictures(classifier, images=pictures[0], labels=pictures[1])


def test_taking_the_logarithm_of_logits_is_refused(pictures):
    classifier = load_classifier(brightness_model(), outputs="probabilities")
    with pytest.raises(InputError, match="does not give probabilities"):
        check_with_pictures(classifier, images=pictures[0], labels=pictures[1])


@pytest.mark.parametrize("form", ["keras", "saved model"])
def test_nan_weights_are_named(form, tmp_path, pictures):
    model = brightness_model()
    kernel, bias = model.get_weights()
    model.get_layer("scores").set_weights([kernel * np.nan, bias])
    if form == "saved model":
        model.export(tmp_path / "m", verbose=False)
    classifier = load_classifier(tmp_path / "m" if form == "saved model" else model)
    with pytest.raises(InputError, match=r"is broken: its weights .*\w+ hold NaN"):
        check_with_pictures(classifier, images=pictures[0], labels=pictures[1])


def test_nan_weights_behind_sound_logits_are_refused(pictures):
    model = brightness_model()
    before = keras.layers.Dense(CLASSES, name="before")
    model = keras.Model(model.input, model.output + keras.ops.nan_to_num(before(model.output)))
    before.set_weights([before.get_weights()[0], np.array([0, 0, 0, np.nan], "float32")])
    assert np.isfinite(model(pictures[0])).all()
    with pytest.raises(InputError, match=r"its weights before/bias hold NaN"):
        check_with_pictures(load_classifier(model), images=pictures[0], labels=pictures[1])


def test_nan_from_elsewhere_than_the_weights_is_said(tmp_path, pictures):
    class Dividing(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32)])
        def __call__(self, pictures):
            return pictures[:, 0, 0, :] / 0 * 0

    tf.saved_model.save(Dividing(), tmp_path / "m")
    with pytest.raises(InputError, match="60 of 60 pictures: its weights are finite, so look at its input"):
        check_with_pictures(load_classifier(tmp_path / "m"), images=pictures[0], labels=pictures[1])


def test_chance_level_is_noted(pictures):
    generator = np.random.default_rng(0)
    notes = check_with_pictures(
        load_classifier(brightness_model()), images=pictures[0], labels=generator.permutation(pictures[1])
    )
    assert len(notes) == 1
    assert "no better than chance (25%)" in notes[0]


def test_other_records_are_refused(tmp_path):
    classifier = load_classifier(save_run(tmp_path))
    good = {"image_shape": SHAPE, "class_names": list("abcd"), "records": "DIR"}
    check_against_records(classifier, **good)
    with pytest.raises(InputError, match=r"takes images of 6 x 6 x 3, the records in DIR hold 8 x 8 x 3"):
        check_against_records(classifier, **good | {"image_shape": (8, 8, 3)})
    with pytest.raises(InputError, match=r"tells 4 classes apart, the records in DIR have 3 \(a, b, c"):
        check_against_records(classifier, **good | {"class_names": list("abc")})
    with pytest.raises(InputError, match="class 1 is b, that of the records in DIR is c"):
        check_against_records(classifier, **good | {"class_names": list("acbd")})


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def damaged_saved_model(folder, *, member):
    brightness_model().export(folder / "m", verbose=False)
    truncate(folder / "m" / member)
    return folder / "m"


def hdf5(folder):
    (folder / "m.h5").write_bytes(b"\x89HDF\r\n")
    return folder / "m.h5"


def empty_archive(folder):
    zipfile.ZipFile(folder / "m.keras", "w").close()
    return folder / "m.keras"


def unfinished(folder):
    (folder / "checkpoints").mkdir()
    return folder


UNREADABLE = {
    "there is no such file": lambda folder: folder / "missing",
    "HDF5 files are not read": hdf5,
    "neither a run folder": lambda folder: folder,
    "this run has not finished": unfinished,
    r"TensorFlow cannot read this SavedModel \(": lambda folder: damaged_saved_model(
        folder, member="saved_model.pb"
    ),
    "cannot read this SavedModel": lambda folder: damaged_saved_model(
        folder, member="variables/variables.data-00000-of-00001"
    ),
    "damaged, for a .keras file is a zip archive": lambda folder: truncate(SOURCES["keras file"](folder)),
    "Keras cannot read this file": empty_archive,
    "takes uint8 inputs, with respect to which there is no gradient": lambda folder: save_plain(
        folder / "m", form="signature", dtype=tf.uint8
    ),
    "takes batches of exactly 5": lambda folder: save_plain(folder / "m", form="signature", batch=5),
    "has neither serve, serving_default nor __call__": lambda folder: save_plain(folder / "m", form="other"),
    r"output of shape \(None, 6, 6, 3\)": lambda _: keras.Sequential(
        [keras.Input(SHAPE), keras.layers.ReLU()]
    ),
    "gives 2 outputs": lambda _: lambda images: (images[:, 0, 0], images[:, 0, 1]),
    "cannot be called on images": lambda _: lambda images: images.numpy(),
    "a int is no classifier": lambda _: 3,
}


@pytest.mark.parametrize("message", UNREADABLE)
def test_unreadable_model_is_refused(message, tmp_path):
    source = UNREADABLE[message](tmp_path)
    with pytest.raises(InputError, match=message):
        load_classifier(source, image_shape=SHAPE)


def test_damaged_card_is_refused(tmp_path):
    truncate(save_run(tmp_path) / "model_card.json")
    with pytest.raises(InputError, match="is damaged"):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    ("card", "unfit"),
    [
        ({}, ", ".join(CARD)),
        (
            {name: value for name, value in CARD.items() if name not in ("model", "model_options")},
            r"model, mod",
        ),
        (CARD | {"class_names": 5, "data": None}, r"class_names, data\)"),
    ],
)
def test_card_without_what_the_report_takes_from_it_is_refused(tmp_path, card, unfit):
    save_run(tmp_path, card=card)
    with pytest.raises(InputError, match=rf"missing or of the wrong type: {unfit}.*; train again, or give"):
        load_classifier(tmp_path)
    assert load_classifier(tmp_path / "saved_model").class_names is None


def test_card_of_another_version_is_refused(tmp_path):
    save_run(tmp_path, card=CARD | {"format_version": 2})
    with pytest.raises(InputError, match="is of version 2, and this program knows version 1"):
        load_classifier(tmp_path)
    assert load_classifier(tmp_path / "saved_model").class_names is None


def test_one_of_many_models_is_taken_without_its_export(tmp_path):
    (tmp_path / "model_card.json").write_text(json.dumps(CARD))
    model = brightness_model()
    model.save(tmp_path / "model.keras")
    classifier = load_classifier(tmp_path)
    images = np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)
    np.testing.assert_array_equal(classifier.logits(images), model(images))
    assert list(classifier.class_names) == CARD["class_names"]
    assert classifier.fingerprint == load_classifier(tmp_path / "model.keras").fingerprint


def test_integer_images_are_refused():
    with pytest.raises(ValueError, match=r"images must be float32 in \[0, 1\]\. Received: dtype=uint8"):
        load_classifier(brightness_model()).logits(np.zeros((1, *SHAPE), "uint8"))


@pytest.mark.parametrize("options", [{"outputs": "softmax"}, {"input_range": (1, 0)}])
def test_senseless_options_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        load_classifier(brightness_model(), **options)


def test_display_names_are_distinct():
    paths = map(Path, ["a/run", "b/run", "a/run/saved_model", "c/other.keras", "c/other"])
    assert display_names(list(paths)) == ["a-run", "b-run", "a-run-2", "c-other", "c-other-2"]


@pytest.mark.realdata
def test_a_published_network_that_wants_standardised_pictures_is_recognised(realdata):
    from bioattack.models.resnet20 import resnet20
    from bioattack.models.weights import load_published_weights

    with np.load(realdata / "cifar10" / "cifar10_20k_5k.npz") as archive:
        images, labels = archive["x_test"][:128] / np.float32(255), archive["y_test"][:128]
    statistics = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    fit = resnet20((32, 32, 3), 10, shortcut="pad", **statistics)
    unfit = resnet20((32, 32, 3), 10, shortcut="pad")
    for model in (fit, unfit):
        load_published_weights(model, realdata / "weights" / "resnet20_cifar10.npz")
    assert check_with_pictures(load_classifier(fit), images=images, labels=labels) == []
    with pytest.raises(
        InputError, match="when they are standardised; put the standardisation into the model"
    ):
        check_with_pictures(load_classifier(unfit), images=images, labels=labels)
