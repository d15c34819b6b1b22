"""Reading weights that others published, from NumPy archives."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

PUBLISHED_NAMES: Mapping[str, str] = {"linear": "logits", "predictions": "logits"}


def load_published_weights(
    model: "keras.Model", path: str | Path, *, names: Mapping[str, str] = PUBLISHED_NAMES
) -> None:
    """Fills a model with the weights of a NumPy archive.

    The array ``layer1/0/conv1/kernel`` belongs to the weight ``kernel`` of the layer ``layer1_0_conv1``: a
    slash in the layer's part of the name stands for an underscore. Float16 arrays are cast. Every array must
    find its weight and every weight its array; nothing is changed unless all of them do.

    Args:
        model: A built model whose layers carry the archive's names.
        path: An ``.npz`` file of float arrays. Pickled objects are refused.
        names: Layers of the archive (their slashes replaced) that have another name in the model.

    Raises:
        ValueError: If the file is no such archive, or for the first array that does not fit.
        OSError: If the file cannot be read.
    """
    arrays = _read_archive(Path(path))
    weights = _weights_by_name(model)
    matched: dict[str, np.ndarray[Any, Any]] = {}
    for key, array in arrays.items():
        name = _weight_name(key, names=names)
        if name not in weights:
            raise ValueError(f"{path}: array {key} has no place in {model.name}: it has no weight {name}")
        if name in matched:
            raise ValueError(f"{path}: array {key} is the second one for the weight {name} of {model.name}")
        shape = tuple(weights[name].shape)
        if array.shape != shape:
            raise ValueError(f"{path}: array {key} has shape {array.shape}, {model.name} wants {shape}")
        matched[name] = array
    for name in weights:
        if name not in matched:
            raise ValueError(f"{path}: no array for the weight {name} of {model.name}")
    for name, array in matched.items():
        weights[name].assign(array.astype("float32"))


def _read_archive(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of an archive, each checked to be finite numbers."""
    try:
        # Opened here, because NumPy leaves a damaged archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a NumPy archive (.npz) of plain arrays ({error})") from error
    for key, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(f"{path}: array {key} must hold floating-point numbers, not {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: array {key} holds values that are not finite")
    return arrays


def _weight_name(key: str, *, names: Mapping[str, str]) -> str:
    """The model's name of an array: layer/weight."""
    layer, _, weight = key.rpartition("/")
    layer = layer.replace("/", "_")
    return f"{names.get(layer, layer)}/{weight}"


def _weights_by_name(model: "keras.Model") -> dict[str, Any]:
    """The weights of a model and of the models inside it, by layer/weight."""
    weights: dict[str, Any] = {}
    for layer in _leaf_layers(model):
        for weight in layer.weights:
            name = f"{layer.name}/{weight.name}"
            if name in weights and weights[name] is not weight:
                raise ValueError(f"model must not name two weights {name}: give each branch a prefix")
            weights[name] = weight
    return weights


def _leaf_layers(model: "keras.Model") -> Iterator["keras.layers.Layer"]:
    """The layers of a model, those of models inside it in their place."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaf_layers(layer)
        else:
            yield layer
