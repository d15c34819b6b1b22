import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.models.registry import build_model
from bioattack.training.initial_weights import load_initial_weights


def network(size=16, num_classes=3, seed=0, name="small_cnn"):
    return build_model(name, image_shape=(size, size, 3), num_classes=num_classes, seed=seed)


def write_published(model, path):
    np.savez(
        path, **{variable.path.removeprefix("small_cnn/"): np.asarray(variable) for variable in model.weights}
    )


@pytest.mark.parametrize("kind", ["model.keras", "run", "model.weights.h5", "model.npz"])
def test_every_kind_of_file_gives_the_same_weights(tmp_path, kind):
    source, target = network(seed=1), network(seed=2)
    path = tmp_path / kind
    if kind == "run":
        path.mkdir()
        source.save(path / "model.keras")
    elif kind == "model.keras":
        source.save(path)
    elif kind == "model.npz":
        write_published(source, path)
    else:
        source.save_weights(path)
    load_initial_weights(target, path)
    for one, other in zip(source.weights, target.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("name", ["w.keras", "w.weights.h5", "w.npz", "folder"])
def test_missing_file(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"--initial-weights: there is no file .*; give a run folder"):
        load_initial_weights(network(), tmp_path / name)


def test_unknown_ending(tmp_path):
    (tmp_path / "w.pth").touch()
    with pytest.raises(InputError, match=r"w\.pth has another ending; give a run folder"):
        load_initial_weights(network(), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("w.keras", "damaged, for a .keras file is a"),
        ("w.weights.h5", "does not fit"),
        ("w.npz", "does not fit"),
    ],
)
def test_damaged_file(tmp_path, name, reason):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(InputError, match=rf"--initial-weights: .*{reason}"):
        load_initial_weights(network(), tmp_path / name)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"num_classes": 4}, "tells 4 classes apart, the records have 3; start from weights for as many"),
        (
            {"size": 20},
            r"takes images of shape \(20, 20, 3\), the records hold \(16, 16, 3\); build the records",
        ),
        ({"name": "resnet20"}, "does not fit the network to be trained: it has .* weights and not 10"),
    ],
)
def test_model_that_does_not_fit_is_named(tmp_path, other, message):
    network(**other).save(tmp_path / "w.keras")
    with pytest.raises(InputError, match=message):
        load_initial_weights(network(), tmp_path / "w.keras")


@pytest.mark.parametrize("kind", ["w.weights.h5", "w.npz"])
def test_weights_of_other_shapes_are_refused_in_one_sentence(tmp_path, kind):
    source = network(num_classes=4)
    source.save_weights(tmp_path / kind) if kind.endswith("h5") else write_published(source, tmp_path / kind)
    with pytest.raises(InputError, match=r"--initial-weights: .*does not fit") as caught:
        load_initial_weights(network(), tmp_path / kind)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    source = network()
    kernel = np.asarray(source.get_layer("dense1").kernel).copy()
    kernel[3, 4] = value
    source.get_layer("dense1").kernel.assign(kernel)
    source.save(tmp_path / "w.keras")
    with pytest.raises(InputError, match=r"holds NaN or infinite values in .*dense1/kernel"):
        load_initial_weights(network(), tmp_path / "w.keras")


def test_random_states_are_not_copied(tmp_path):
    options = {"image_shape": (16, 16, 3), "num_classes": 3, "options": {"augmentation": "paper"}}
    source, target = (build_model("small_cnn", seed=seed, **options) for seed in (1, 2))
    source(np.zeros((1, 16, 16, 3), "float32"), training=True)
    before = np.asarray(target.get_layer("augmentation").seed_generator.state)
    source.save(tmp_path / "w.keras")
    load_initial_weights(target, tmp_path / "w.keras")
    np.testing.assert_array_equal(np.asarray(target.get_layer("augmentation").seed_generator.state), before)
    assert isinstance(target, keras.Model)


def edit_archive(path, **edits):
    """Changes the JSON files of a ``.keras`` archive: each edit is a function from text to text."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    for name, edit in edits.items():
        contents[f"{name}.json"] = edit(contents[f"{name}.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def with_version(version):
    return lambda text: json.dumps(json.loads(text) | {"keras_version": version})


def without_pooling(text):
    assert '"MaxPooling2D"' in text
    return text.replace('"MaxPooling2D"', '"MaxPoolingOfOld"')


def test_file_of_another_keras_that_can_be_read_is_read(tmp_path):
    source, target = network(seed=1), network(seed=2)
    source.save(tmp_path / "w.keras")
    edit_archive(tmp_path / "w.keras", metadata=with_version("3.99"))
    load_initial_weights(target, tmp_path / "w.keras")
    np.testing.assert_array_equal(target.weights[0], source.weights[0])


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            "2.99",
            rf"w\.keras: Keras cannot read this file \(.*\); it was saved by Keras 2\.99 and this is Keras"
            rf" {keras.__version__}: save its weights there as a \.weights\.h5 file and start from those",
        ),
        (
            keras.__version__,
            r"w\.keras: Keras cannot read this file \(.*MaxPoolingOfOld.*\); give a run folder, a",
        ),
    ],
)
def test_file_that_keras_cannot_read_says_who_saved_it(tmp_path, version, message):
    network().save(tmp_path / "w.keras")
    edit_archive(tmp_path / "w.keras", metadata=with_version(version), config=without_pooling)
    with pytest.raises(InputError, match=message) as caught:
        load_initial_weights(network(), tmp_path / "w.keras")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("metadata", ["{", "[]", "{}"])
def test_file_without_a_version(tmp_path, metadata):
    network().save(tmp_path / "w.keras")
    edit_archive(tmp_path / "w.keras", metadata=lambda _: metadata, config=without_pooling)
    with pytest.raises(InputError, match=r"cannot read this file \(.*\); copy or save it again"):
        load_initial_weights(network(), tmp_path / "w.keras")


def test_starts_from_another_network_of_ours_with_the_same_weights(tmp_path):
    build_model("coarse", image_shape=(32, 32, 3), num_classes=3, seed=1).save(tmp_path / "coarse.keras")
    # A fresh process has imported the layers of the network it trains, not those of the one it starts from.
    code = """
import sys
from pathlib import Path
import numpy as np
from bioattack.models.registry import build_model
from bioattack.training.initial_weights import load_initial_weights
target = build_model("resnet18", image_shape=(32, 32, 3), num_classes=3, options={"width": 8})
assert "bioattack.models.layers.coarse_fixation" not in sys.modules
load_initial_weights(target, Path(sys.argv[1]))
print(repr(float(np.sum(target.weights[0]))))
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "coarse.keras")],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    source = keras.saving.load_model(tmp_path / "coarse.keras")
    assert float(result.stdout) == pytest.approx(float(np.sum(source.weights[0])))
