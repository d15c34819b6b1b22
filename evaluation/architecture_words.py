"""What the boxes of an architecture diagram say, read off the layers' own arguments."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from bioattack.evaluation.findings import TIMES


@dataclasses.dataclass(frozen=True)
class Words:
    """What a box says.

    Args:
        title: What it is.
        kind: ``"network"`` (it has weights), ``"look"`` (it says where to look), ``"see"`` (it makes the
            views) or ``"other"``.
        details: Further lines.
    """

    title: str
    kind: str
    details: tuple[str, ...] = ()


def describe_network(operations: Sequence[Any]) -> Words:
    """Describes a run of layers as one network, named as the beginning of its layers' names is."""
    letters = zip(*(operation.name for operation in operations), strict=False)
    beginning = "".join(
        letter for letter, *_ in itertools.takewhile(lambda column: len(set(column)) == 1, letters)
    )
    prefix = beginning.rpartition("_")[0]
    return Words(_spaced(prefix) or "network", "network", _what_is_inside(operations))


def describe_step(operation: Any) -> Words:
    """Describes a single layer, operation or model within the model."""
    if isinstance(operation, keras.Model):
        return Words(_spaced(operation.name), "network", _what_is_inside([operation]))
    name = type(operation).__name__
    if name in KINDS:
        return KINDS[name](operation)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z])(?=\d)", " ", name).lower()
    kind = "network" if getattr(operation, "weights", ()) else "other"
    return Words(_MERGES.get(name, words), kind)


def _spaced(name: str) -> str:
    return name.strip("_").replace("_", " ")


def _what_is_inside(operations: Iterable[Any]) -> tuple[str, ...]:
    """How many convolutions there are; nothing is said of networks without any."""
    number = sum(isinstance(layer, _CONVOLUTIONS) for layer in _all_layers(operations))
    return (f"{number} convolutions",) if number > 1 else ("1 convolution",) if number else ()


def _all_layers(operations: Iterable[Any]) -> list[Any]:
    found = []
    for operation in operations:
        found += _all_layers(operation.layers) if isinstance(operation, keras.Model) else [operation]
    return found


_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.DepthwiseConv2D)
_MERGES = {
    "Concatenate": "side by side",
    "Stack": "side by side",
    "Average": "mean",
    "GlobalAveragePooling1D": "mean",
    "Maximum": "greatest",
    "Add": "sum",
    "Dense": "dense layer",
}


def _fixation_gazes(layer: Any) -> Words:
    number = len(layer.fixed)
    gazes = f"{number} {layer.when_tested} gaze{'s' if number > 1 else ''}"
    return Words(gazes, "look", ("training: 1 random",))


def _retinal_sampling(layer: Any) -> Words:
    return Words("retinal sampling", "see", (layer.mode,))


def _coarse_fixation(layer: Any) -> Words:
    details = [f"{layer.crop} {TIMES} {layer.crop} pixels"]
    details += [f"upsampled {layer.upsample} {TIMES}"] if layer.upsample > 1 else []
    details += [f"blurred by {layer.sigma:.3g}"] if layer.sigma is not None else []
    return Words("crop", "see", tuple(details))


def _cortical_fixation(layer: Any) -> Words:
    sides = ", ".join(map(str, layer.crops))
    still = ("the widest does not move",) if layer.num_still else ()
    return Words(f"crops at {len(layer.crops)} scales", "see", (f"{sides} pixels", *still))


def _transforms(layer: Any) -> Words:
    number = layer.num_branches
    details = (f"{number} window{'s' if number > 1 else ''}",)
    return Words(f"{_spaced(layer.kind)} transforms", "look", details)


def _noise_words(when_tested: str) -> str:
    return {"none": "in training only", "fixed": "the same in every test", "random": "always"}[when_tested]


KINDS: dict[str, Callable[[Any], Words]] = {
    "InputLayer": lambda layer: Words(_spaced(layer.name), "other"),
    "PaperAugmentation": lambda _: Words("augmentation", "other", ("in training only",)),
    "FixationGazes": _fixation_gazes,
    "BoundedGazes": lambda layer: Words("gazes", "look", (f"at most {layer.reach:.3g} pixels off",)),
    "Transforms": _transforms,
    "GazeGradient": lambda _: Words("no gradient", "look", ("but in training",)),
    "FoldFixations": lambda _: Words("a copy for each look", "other"),
    "RetinalSampling": _retinal_sampling,
    "CoarseFixation": _coarse_fixation,
    "CorticalFixation": _cortical_fixation,
    "AffineSampling": lambda _: Words("windows", "see", ("read bilinearly",)),
    "GaussianBlur": lambda layer: Words("blur", "see", (f"by {layer.sigma:.3g} pixels",)),
    "EccentricBlur": lambda layer: Words(
        "blur around the gaze", "see", (f"up to {layer.blur:.3g} of the side",)
    ),
    "PixelNoise": lambda layer: Words("noise", "other", (_noise_words(layer.when_tested),)),
    "MeanOverFixations": lambda _: Words("mean over the looks", "other"),
}
