import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import bioattack.models
from bioattack.models.registry import (
    MODELS,
    PRESET_NAMES,
    build_model,
    model_names,
    model_options,
    register_model,
)
from bioattack.testing.check_model import check_model

# It is checked in its own test.
TABLE_ONLY = ("adult_mlp",)
IMAGE_NETWORKS = tuple(name for name in model_names() if name not in TABLE_ONLY)
# Several networks or gazes in one: tracing them takes most of a minute.
SLOW = ("branched", "cortical", "multi_gaze")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in IMAGE_NETWORKS],
)
def test_every_network_keeps_its_promises(name):
    check_model(lambda: build_model(name, image_shape=(32, 32, 3), num_classes=10, seed=0))


def test_the_pad_form_keeps_its_promises():
    options = {"shortcut": "pad", "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
    check_model(
        lambda: build_model("resnet20", image_shape=(32, 32, 3), num_classes=10, options=options, seed=0)
    )


# The retinal law is that of a square.
SQUARE_ONLY = ("retinal", "multi_gaze")


@pytest.mark.parametrize(("image_shape", "preset"), [((28, 28, 1), "small"), ((48, 64, 3), "paper")])
@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_every_network_takes_grey_images_and_oblong_ones_or_says_why_not(name, image_shape, preset):
    if name in SQUARE_ONLY and image_shape[0] != image_shape[1]:
        with pytest.raises(ValueError, match="images must be square"):
            build_model(name, image_shape=image_shape, num_classes=3, preset=preset)
        return
    model = build_model(name, image_shape=image_shape, num_classes=3, preset=preset)
    assert model.input_shape == (None, *image_shape)
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize("name", model_names())
def test_presets_name_options_that_exist(name):
    _, presets = _module_of(name)
    assert tuple(presets) == PRESET_NAMES
    for preset in presets.values():
        assert set(preset) <= set(model_options(name))


@pytest.mark.parametrize("name", model_names())
def test_every_option_is_documented(name):
    builder, _ = _module_of(name)
    for option in model_options(name):
        assert f"    {option}: " in inspect.getdoc(builder)


def _module_of(name):
    module_name, function_name = MODELS[name].split(":")
    module = importlib.import_module(module_name)
    return getattr(module, function_name), module.PRESETS


def test_options_replace_those_of_the_preset():
    model = build_model("resnet18", image_shape=(32, 32, 3), num_classes=10, options={"width": 4})
    assert model.get_layer("conv1").filters == 4
    assert model.get_layer("bn1").momentum == 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "vgg"},
            "model must be one of adult_mlp, blur, branched, .*, squeezenet, stn. Received: model='vgg'",
        ),
        ({"preset": "large"}, "preset must be one of small, paper. Received: preset='large'"),
        (
            {"options": {"depth": 3}},
            "an option of small_cnn must be one of augmentation. Received: option 'depth'",
        ),
        (
            {"name": "cortical", "options": {"whole": "maybe"}},
            "whole of cortical must be true or false. Received: whole='maybe'",
        ),
        (
            {"options": {"seed": 3}},
            "an option of small_cnn must be one of augmentation. Received: option 'seed'",
        ),
        ({"num_classes": 1}, "num_classes must be an integer of 2 or more. Received: num_classes=1"),
    ],
)
def test_what_does_not_exist_is_refused(arguments, message):
    arguments = {"name": "small_cnn", "image_shape": (32, 32, 3), "num_classes": 10, **arguments}
    with pytest.raises(ValueError, match=message):
        build_model(arguments.pop("name"), **arguments)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match=r"name must not be registered already. Received: name='resnet18'"):
        register_model("resnet18", "somewhere.else:resnet18")
    with pytest.raises(
        ValueError, match=r"target must look like 'module:function'. Received: target='nowhere'"
    ):
        register_model("new", "nowhere")
    assert "new" not in MODELS


def test_names_are_listed_without_keras():
    code = (
        "import sys; from bioattack.models.registry import model_names; assert len(model_names()) > 2\n"
        "assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(bioattack.models.__file__).parents[1])


def test_models_need_no_particular_backend():
    folder = Path(bioattack.models.__file__).parent
    # The one helper that puts XLA around the warp imports TensorFlow where that is the backend.
    for path in sorted(set(folder.rglob("*.py")) - {folder / "layers" / "xla.py"}):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in {"tensorflow", "jax", "torch"}, f"{path} imports {name}"
