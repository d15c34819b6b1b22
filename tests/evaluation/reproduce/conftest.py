"""A tiny experiment that several tests make: two networks of a few weights, one epoch, a few pictures."""

import dataclasses
import sys
import types

import keras
import pytest

from bioattack.evaluation.reproduce import config, registry, run
from bioattack.evaluation.reproduce.config import SCALES, ReproduceConfig
from bioattack.evaluation.reproduce.experiment import Experiment, Row, Variant
from bioattack.evaluation.reproduce.robustness import robustness_section
from bioattack.models.building import augment
from bioattack.models.layers.coarse_fixation import CoarseFixation
from bioattack.models.layers.fixations import FixationGazes, FoldFixations, MeanOverFixations, five_gazes
from bioattack.models.registry import MODELS
from bioattack.testing.small_records import write_small_records


def tiny_network(
    image_shape,
    num_classes,
    *,
    augmentation="none",
    when_tested="fixed",
    gaze_gradient="full",
    seed=None,
):
    """Looks at five crops and tells their mean colours apart; ``gaze_gradient`` has nothing to do here."""
    del gaze_gradient
    images = keras.Input(image_shape)
    seen = augment(images, augmentation, seed=seed)
    gazes = FixationGazes(
        fixed=five_gazes(2), lowest=-2, highest=2, when_tested=when_tested, seed=seed, name="gazes"
    )(seen)
    folded, gaze = FoldFixations()(seen, gazes)
    means = keras.layers.GlobalAveragePooling2D()(CoarseFixation(12)(folded, gaze))
    kernel = keras.initializers.GlorotUniform(seed=seed)
    logits = keras.layers.Dense(num_classes, kernel_initializer=kernel)(means)
    return keras.Model(images, MeanOverFixations()(logits, gazes))


ROWS = (
    Row(Variant("plain", "tiny_network"), "Plain", {0.0: 50.0, 0.01: 12.5}),
    Row(Variant("cropped", "tiny_network", {"augmentation": "crop"}), "Cropped"),
)
TINY = Experiment("tiny", "A tiny table", ("What it shows.",), robustness_section, rows=ROWS)


def install(set_item, set_attribute):
    """Makes the tiny network and the tiny experiment known, at two epsilons."""
    module = types.ModuleType("tiny_models")
    module.tiny_network, module.PRESETS = tiny_network, {"small": {}, "paper": {}}
    set_item(sys.modules, "tiny_models", module)
    set_item(MODELS, "tiny_network", "tiny_models:tiny_network")
    set_item(registry.EXPERIMENTS, "tiny", registry.Entry("tiny", "a tiny table", "nowhere:nothing"))
    scale = dataclasses.replace(SCALES["demo"], epsilons=(0.01, 0.2), num_restarts=1, num_draws=3)
    set_item(config.SCALES, "demo", scale)
    original = run.load_experiments
    set_attribute(
        run, "load_experiments", lambda name, scale: (TINY,) if name == "tiny" else original(name, scale)
    )


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    return write_small_records(tmp_path_factory.mktemp("records") / "small", num_train=32, num_test=12)


@pytest.fixture(scope="module")
def make_config(records):
    """Makes the configuration of a tiny reproduction in a folder; what is given replaces its defaults."""
    with pytest.MonkeyPatch.context() as patched:
        install(patched.setitem, patched.setattr)
        yield lambda output, **changes: ReproduceConfig(
            **{"name": "tiny", "output": output, "data": records, "epochs": 1, "limit": 8, "quiet": True}
            | changes
        )


@pytest.fixture
def configure(make_config, tmp_path):
    """The same in a folder of the test."""
    return lambda **changes: make_config(**{"output": tmp_path / "out"} | changes)
