import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from bioattack.classifier import (
    Classifier,
    Endpoint,
    check_against_records,
    check_with_pictures,
    load_classifier,
)
from bioattack.errors import InputError
from bioattack.testing.small_tables import (
    CLASS_NAMES,
    SMALL_TABLE,
    THRESHOLD,
    WEIGHTS,
    save_row_model,
    small_rows,
)
from bioattack.tfrecords_builder.table import Table

ROWS, LABELS = small_rows(100)


def linear(rows):
    kernel = tf.constant(np.stack([np.zeros(4), WEIGHTS], axis=1), tf.float32)
    return rows @ kernel + tf.constant([THRESHOLD, 0.0])


def save_rows(folder):
    module = tf.Module()
    module.__call__ = tf.function(linear, input_signature=[tf.TensorSpec((None, 4), tf.float32)])
    tf.saved_model.save(module, folder)
    return folder


@pytest.mark.parametrize("form", ["keras file", "saved model", "keras model", "callable"])
def test_every_form_of_a_model_of_rows_is_read(form, tmp_path):
    source = {
        "keras file": lambda: save_row_model(tmp_path / "rows.keras"),
        "saved model": lambda: save_rows(tmp_path / "rows"),
        "keras model": lambda: keras.saving.load_model(save_row_model(tmp_path / "rows.keras")),
        "callable": lambda: linear,
    }[form]()
    classifier = load_classifier(source, image_shape=(4,))
    assert (classifier.image_shape, classifier.takes_rows, classifier.num_classes) == ((4,), True, 2)
    expected = ROWS.astype(np.float64) @ np.array(WEIGHTS)
    np.testing.assert_allclose(classifier.logits(ROWS)[:, 1], expected, rtol=1e-5)


def test_rows_are_not_rescaled():
    with pytest.raises(
        InputError, match=r"model m takes rows of a table, .* leave input_range \(--input-range\) out"
    ):
        Classifier(Endpoint(linear, linear, image_shape=(4,)), name="m", input_range=(0, 255))


def test_other_shapes_are_refused():
    model = keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(InputError, match=r"neither image batches .* nor rows of a table \(batch, features\)"):
        load_classifier(model)


def check(card=None, *, table=SMALL_TABLE, num_features=4):
    classifier = Classifier(Endpoint(linear, linear, image_shape=(num_features,)), name="m", card=card)
    check_against_records(
        classifier, image_shape=(4,), class_names=CLASS_NAMES, records="records", table=table
    )


def test_model_is_held_against_the_attributes_of_the_records():
    check()
    check({"table": dataclasses.asdict(SMALL_TABLE)})
    # What JSON makes of it.
    content = dataclasses.asdict(SMALL_TABLE)
    content["attributes"] = [one | {"categories": list(one["categories"])} for one in content["attributes"]]
    check({"table": content})
    first, second, *others = SMALL_TABLE.attributes
    swapped = {"table": dataclasses.asdict(Table((second, first, *others)))}
    with pytest.raises(InputError, match="its attribute 0 is sex, that of the records in records is age"):
        check(swapped)
    shorter = {"table": dataclasses.asdict(Table((first, second)))}
    with pytest.raises(InputError, match="its attribute 2 is none, that of the records in records is rate"):
        check(shorter)
    recoded = dataclasses.replace(second, categories=("Male", "Female"))
    with pytest.raises(InputError, match="was trained on other codes of sex"):
        check({"table": dataclasses.asdict(Table((first, recoded, *others)))})
    with pytest.raises(InputError, match="model card of m is damaged"):
        check({"table": {"attributes": [{"name": "age"}]}})
    with pytest.raises(
        InputError, match="takes images of 7 attributes, the records in records hold 4 attributes"
    ):
        check(num_features=7)


def test_pictures_and_rows_are_told_apart():
    rows = Classifier(Endpoint(linear, linear, image_shape=(4,)), name="m")
    with pytest.raises(InputError, match="model m takes rows of a table, the records in r hold pictures"):
        check_against_records(rows, image_shape=(8, 8, 3), class_names=("a", "b"), records="r")
    pictures = Classifier(Endpoint(linear, linear), name="m")
    with pytest.raises(InputError, match="model m takes pictures, the records in r hold rows of a table"):
        check_against_records(
            pictures, image_shape=(4,), class_names=CLASS_NAMES, records="r", table=SMALL_TABLE
        )


def tried(function, **changes):
    classifier = load_classifier(function, image_shape=(4,), name="m")
    return check_with_pictures(
        classifier, **({"images": ROWS, "labels": LABELS, "table": SMALL_TABLE} | changes)
    )


def test_a_sound_model_passes():
    assert tried(linear) == []
    (note,) = tried(linear, labels=1 - LABELS)
    assert "of the first 100 rows, no better than chance" in note


def test_a_model_of_standardised_rows_is_found_out():
    mean, deviation = (np.array(values, np.float32) for values in (SMALL_TABLE.mean, SMALL_TABLE.std))
    message = (
        r"it gets \d+% right as they are but 9\d% when they are standardised; put the standardisation into"
    )
    with pytest.raises(InputError, match=message):
        tried(lambda rows: linear(rows * deviation + mean))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rows: linear(tf.round(rows)), "has no gradient with respect to the rows"),
        (lambda rows: linear(rows) * np.inf, "NaN or infinite logits for 100 of 100 rows"),
        (lambda rows: tf.nn.softmax(linear(rows)), "gives probabilities"),
    ],
)
def test_models_that_cannot_be_attacked_are_refused(function, message):
    with pytest.raises(InputError, match=message):
        tried(function)
