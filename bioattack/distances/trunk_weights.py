"""Makes trunks from files of weights and from Keras models."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np

from bioattack.distances.keras_trunk import KerasTrunk
from bioattack.distances.numpy_files import read_numpy_archive
from bioattack.distances.torch_files import read_torch_file
from bioattack.distances.trunks import (
    TORCHVISION_COLOURS,
    TRUNKS,
    Colours,
    ConvolutionTrunk,
    Pooling,
    Trunk,
)

TrunkWeights: TypeAlias = str | Path | keras.Model | Mapping[str, np.ndarray]

# What networks that were trained in Caffe want: blue, green, red from 0 to 255, less a mean.
_KERAS_VGG_COLOURS = Colours(255.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), is_reversed=True)
_CAFFE_SQUEEZENET_COLOURS = Colours(255.0, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), is_reversed=True)
# Fire modules of SqueezeNet 1.0, in torchvision's and in Caffe's numbering.
_FIRES = dict(zip((3, 4, 5, 7, 8, 9, 10, 12), range(2, 10), strict=True))
_FIRE_PARTS = {"squeeze": "conv1x1_1", "expand1x1": "conv1x1_2", "expand3x3": "conv3x3_2"}


def make_trunk(
    trunk: str | Trunk | keras.Model,
    weights: TrunkWeights | None = None,
    *,
    pooling: Pooling | None = None,
) -> Trunk:
    """Makes a trunk.

    Args:
        trunk: A trunk; a Keras model, whose stages are compared; or a name, ``"vgg16"``, ``"alexnet"``,
            ``"squeezenet-1.0"`` or ``"squeezenet-1.1"``.
        weights: For a name: torchvision's ``.pth`` or arrays of the same names; an ``.npz`` of SqueezeNet 1.0
            from Caffe (``conv1/kernel``, ``fire2/conv1x1_1/kernel``, ...); or
            ``keras.applications.VGG16``, whose weights are not torchvision's.
        pooling: In place of maximum pooling, for a name.

    Returns:
        The trunk; its name says where the weights come from, unless from torchvision.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such trunk, or the weights are missing or of another network.

    >>> make_trunk("vgg19")
    Traceback (most recent call last):
    ...
    ValueError: trunk must be one of vgg16, alexnet, squeezenet-1.0, squeezenet-1.1. Received: trunk='vgg19'
    """
    if isinstance(trunk, Trunk):
        return trunk
    if isinstance(trunk, keras.Model):
        return KerasTrunk(trunk)
    if trunk not in TRUNKS:
        raise ValueError(f"trunk must be one of {', '.join(TRUNKS)}. Received: trunk={trunk!r}")
    name, arrays, colours = _read(trunk, weights)
    return ConvolutionTrunk(name, TRUNKS[trunk], arrays=arrays, colours=colours, pooling=pooling)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Reads arrays by name from an ``.npz`` or a PyTorch file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind.
    """
    return read_numpy_archive(path) if Path(path).suffix == ".npz" else read_torch_file(path)


def _read(trunk: str, weights: TrunkWeights | None) -> tuple[str, dict[str, np.ndarray], Colours]:
    if weights is None:
        raise ValueError(
            f"trunk {trunk} needs weights: the .pth file of torchvision's {trunk} (BSD-3), from "
            f"https://download.pytorch.org/models. Received: weights=None"
        )
    if isinstance(weights, keras.Model):
        return f"{trunk}-keras", _from_keras(trunk, weights), _KERAS_VGG_COLOURS
    arrays = read_arrays(weights) if isinstance(weights, (str, Path)) else dict(weights)
    if trunk == "squeezenet-1.0" and "fire2/conv1x1_1/kernel" in arrays:
        return trunk, _from_caffe(arrays), _CAFFE_SQUEEZENET_COLOURS
    return trunk, _from_torchvision(trunk, arrays), TORCHVISION_COLOURS


def _from_torchvision(trunk: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {}
    for layer in TRUNKS[trunk].shapes():
        if f"{layer}.weight" in arrays and f"{layer}.bias" in arrays:
            kernel = np.asarray(arrays[f"{layer}.weight"])
            found[f"{layer}/kernel"] = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel
            found[f"{layer}/bias"] = np.asarray(arrays[f"{layer}.bias"])
    return found


def _from_caffe(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {}
    for layer in TRUNKS["squeezenet-1.0"].shapes():
        _, number, *part = layer.split(".")
        source = f"fire{_FIRES[int(number)]}/{_FIRE_PARTS[part[0]]}" if part else "conv1"
        for kind in ("kernel", "bias"):
            if f"{source}/{kind}" in arrays:
                found[f"{layer}/{kind}"] = arrays[f"{source}/{kind}"]
    return found


def _from_keras(trunk: str, model: keras.Model) -> dict[str, np.ndarray]:
    if trunk != "vgg16":
        raise ValueError(f"weights of {trunk} must come from a file; a Keras model is taken for vgg16 only")
    places = [f"block{block}_conv{place}" for block in range(1, 6) for place in range(1, 3 + (block > 2))]
    known = {layer.name: layer for layer in model.layers}
    found: dict[str, np.ndarray] = {}
    for layer, place in zip(TRUNKS[trunk].shapes(), places, strict=True):
        if place in known:
            kernel, bias = known[place].get_weights()
            found |= {f"{layer}/kernel": kernel, f"{layer}/bias": bias}
    return found
