"""From a run folder, a ``.keras`` file, a SavedModel folder, a Keras model or a callable to a Classifier."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from bioattack.classifier.classifier import Classifier, Endpoint, first_line
from bioattack.classifier.keras_file import read_keras_file
from bioattack.errors import InputError

CARD = "model_card.json"
MODEL_FILE = "model.keras"

# What tables, figures and the report take from the card of a run.
# Of cards that are understood; later ones may mean other things by the same names.
_CARD_VERSION = 1
_CARD_FIELDS = {
    "model": str,
    "model_options": dict,
    "preset": str,
    "training": str,
    "class_names": list,
    "num_parameters": int,
    "has_random_layers": bool,
    "seed": int,
    "epochs": int,
    "data": dict,
    "accuracy": dict,
}
Source: TypeAlias = str | Path | keras.Model | Callable[[Any], Any]


def load_classifier(
    source: Source,
    *,
    outputs: str = "logits",
    input_range: tuple[float, float] = (0.0, 1.0),
    name: str | None = None,
    image_shape: tuple[int, ...] | None = None,
) -> Classifier:
    """Makes a classifier of nearly anything that TensorFlow can differentiate.

    Args:
        source: A run folder (its ``saved_model/`` and model card are read), a ``.keras`` file, a SavedModel
            folder (Keras or not: ``serve``, the signature ``serving_default``, or ``__call__``), a Keras
            model, or a callable from images to class scores.
        outputs: ``"logits"``, or ``"probabilities"`` for a model that ends in a softmax.
        input_range: The pixel range that the model itself expects, such as ``(0, 255)``.
        name: How tables call it; the folder's or file's name by default.
        image_shape: ``(height, width, channels)`` to try a callable with that does not say what it takes, or
            ``(features,)`` where that is rows of a table.

    Returns:
        The classifier; it keeps the loaded object alive.

    Raises:
        InputError: If the source cannot be read or called, takes integers, or gives no class scores.

    >>> images = np.zeros((2, 4, 4, 3), "float32")
    >>> classifier = load_classifier(lambda images: tf.reshape(images, (-1, 48))[:, :10], name="first pixels")
    >>> classifier.logits(images).shape
    TensorShape([2, 10])
    """
    if keras.config.backend() != "tensorflow":
        raise InputError(
            f"attacks need Keras on TensorFlow; set KERAS_BACKEND=tensorflow (it is {keras.config.backend()})"
        )
    card = path = None
    if isinstance(source, str | Path):
        path = Path(source)
        endpoint, card = _read_path(path)
    elif isinstance(source, keras.Model):
        endpoint = _keras_endpoint(source, str(source.name))
    elif callable(source):
        endpoint = Endpoint(source, source)
    else:
        raise InputError(
            f"a {type(source).__name__} is no classifier; give a path, a Keras model or a callable"
        )
    if image_shape is not None and len(image_shape) == 1 and endpoint.image_shape == (None, None, None):
        endpoint = dataclasses.replace(endpoint, image_shape=tuple(image_shape))
    classifier = Classifier(
        endpoint,
        name=name or (_path_name(path) if path else getattr(source, "name", None) or "classifier"),
        outputs=outputs,
        input_range=input_range,
        source=path,
        card=card,
        fingerprint=_fingerprint(path) if path else None,
    )
    return _probe(classifier, image_shape)


def display_names(paths: Sequence[Path]) -> list[str]:
    """Names models after their folders, telling equal names apart by their parents', then by a number.

    >>> display_names([Path("a/run"), Path("b/run"), Path("resnet.keras")])
    ['a-run', 'b-run', 'resnet']
    """
    names = [_path_name(path) for path in paths]
    named = [
        f"{_run_folder(path).parent.name}-{name}"
        if names.count(name) > 1 and _run_folder(path).parent.name
        else name
        for path, name in zip(map(Path.absolute, paths), names, strict=True)
    ]
    return [
        f"{name}-{named[:place].count(name) + 1}" if name in named[:place] else name
        for place, name in enumerate(named)
    ]


def _run_folder(path: Path) -> Path:
    return path.parent if path.name == "saved_model" else path


def _path_name(path: Path) -> str:
    folder = _run_folder(path.absolute())
    return folder.stem if folder.suffix == ".keras" else folder.name


def _read_path(path: Path) -> tuple[Endpoint, dict[str, Any] | None]:
    """Decides what lies at a path and reads it."""
    if not path.exists():
        raise InputError(f"model {path}: there is no such file or folder")
    if path.is_file():
        if path.suffix != ".keras":
            hint = (
                "HDF5 files are not read; load it in Keras and save it as .keras"
                if path.suffix
                in (
                    ".h5",
                    ".hdf5",
                )
                else "give a run folder, a .keras file or a SavedModel folder"
            )
            raise InputError(f"model {path}: not a .keras file; {hint}")
        return _file_endpoint(path), None
    if (path / "saved_model.pb").exists():
        return _saved_model_endpoint(path), None
    if (path / CARD).exists() and (path / "saved_model" / "saved_model.pb").exists():
        return _saved_model_endpoint(path / "saved_model"), read_card(path / CARD)
    if _is_member(path):
        return _file_endpoint(path / MODEL_FILE), read_card(path / CARD)
    if (path / "saved_model").exists() or (path / "checkpoints").exists():
        raise InputError(
            f"model {path}: this run has not finished ({CARD} or saved_model/ is missing); "
            "give the same bioattack-train command again"
        )
    raise InputError(
        f"model {path}: neither a run folder (with {CARD} and saved_model/) nor a SavedModel folder "
        "(with saved_model.pb)"
    )


def _file_endpoint(path: Path) -> Endpoint:
    model = read_keras_file(
        path,
        subject=f"model {path}:",
        if_unfit="give a file whose layers are Keras' own or bioattack's, or a SavedModel folder",
        if_other_version="export the model there with model.export() and give that folder",
    )
    return _keras_endpoint(model, str(path))


def _is_member(path: Path) -> bool:
    """Whether it is one of the models that were trained in one go, which are not exported."""
    has_files = (path / CARD).is_file() and (path / MODEL_FILE).is_file()
    return has_files and not (path / "saved_model").exists()


def read_card(path: Path) -> dict[str, Any]:
    """Reads a run's model card.

    Raises:
        InputError: If it is damaged: no JSON, or without what is taken from it; or of another version.
    """
    try:
        card = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"model card {path} is damaged ({first_line(error)}); train again") from error
    if not isinstance(card, dict):
        raise InputError(f"model card {path} is damaged (not a JSON object); train again")
    if card.get("format_version", _CARD_VERSION) != _CARD_VERSION:
        raise InputError(
            f"model card {path} is of version {card['format_version']!r}, and this program knows version"
            f" {_CARD_VERSION}; use the version of bioattack that wrote it, or give"
            f" {path.parent / 'saved_model'} itself, which needs no card"
        )
    unfit = [name for name, kind in _CARD_FIELDS.items() if not isinstance(card.get(name), kind)]
    if unfit:
        raise InputError(
            f"model card {path} is damaged (missing or of the wrong type: {', '.join(unfit)}); train again, "
            f"or give {path.parent / 'saved_model'} itself, which needs no card"
        )
    return card


def _keras_endpoint(model: keras.Model, name: str) -> Endpoint:
    # A Sequential model that has seen no images yet has no inputs at all.
    inputs = getattr(model, "inputs", None)
    if inputs and len(inputs) != 1:
        raise InputError(f"model {name}: takes {len(inputs)} inputs; a classifier takes one image batch")
    dtype = tf.float32
    image_shape: tuple[int | None, ...] = (None, None, None)
    if inputs:
        dtype = _floating(tf.as_dtype(inputs[0].dtype), name)
        image_shape = _image_shape(inputs[0].shape, name)

    def weights() -> Iterable[tuple[str, np.ndarray]]:
        return ((weight.path, keras.ops.convert_to_numpy(weight)) for weight in model.weights)

    return Endpoint(
        lambda images: model(images, training=False),
        model,
        dtype=dtype,
        image_shape=image_shape,
        weights=weights,
    )


def _saved_model_endpoint(path: Path) -> Endpoint:
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # whatever a damaged folder raises
        raise InputError(
            f"model {path}: TensorFlow cannot read this SavedModel ({first_line(error)}); save it again"
        ) from error
    call, spec, is_keyword = _find_endpoint(loaded, path)

    def weights() -> Iterable[tuple[str, np.ndarray]]:
        if not (path / "variables" / "variables.index").exists():
            return
        reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
        for name, dtype in reader.get_variable_to_dtype_map().items():
            if dtype.is_floating:  # beside the weights lies the graph of objects, as a string
                yield name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"), reader.get_tensor(name)

    return Endpoint(
        (lambda images: call(**{spec.name: images})) if is_keyword else call,
        loaded,
        dtype=_floating(spec.dtype, str(path)),
        image_shape=_image_shape(spec.shape, str(path)),
        weights=weights,
    )


def _find_endpoint(loaded: Any, path: Path) -> tuple[Callable[..., Any], tf.TensorSpec, bool]:
    """Finds the function to call: Keras' ``serve``, then ``serving_default``, then ``__call__``."""
    signatures = getattr(loaded, "signatures", {})
    serve, call = (
        function if getattr(function, "concrete_functions", None) else None
        for function in (getattr(loaded, name, None) for name in ("serve", "__call__"))
    )
    is_keyword = serve is None and "serving_default" in signatures
    function = signatures["serving_default"] if is_keyword else serve or call
    if function is None:
        raise InputError(
            f"model {path}: this SavedModel has neither serve, serving_default nor __call__ "
            f"(its signatures: {', '.join(signatures) or 'none'})"
        )
    concrete = function if is_keyword else function.concrete_functions[0]
    positional, named = concrete.structured_input_signature
    specs = [spec for spec in tf.nest.flatten((positional, named)) if isinstance(spec, tf.TensorSpec)]
    if len(specs) != 1:
        raise InputError(f"model {path}: takes {len(specs)} tensors; a classifier takes one image batch")
    if is_keyword:
        return function, tf.TensorSpec(specs[0].shape, specs[0].dtype, name=next(iter(named))), True
    return function, specs[0], False


def _floating(dtype: tf.DType, name: str) -> tf.DType:
    if not dtype.is_floating:
        raise InputError(
            f"model {name}: takes {dtype.name} inputs, with respect to which there is no gradient; "
            "save it with a float32 input"
        )
    return dtype


def _image_shape(shape: Any, name: str) -> tuple[int | None, ...]:
    """Reads ``(height, width, channels)``, or ``(features,)``, off an input signature."""
    shape = tf.TensorShape(shape)
    if shape.rank is None:
        return (None, None, None)
    if shape.rank not in (2, 4):
        raise InputError(
            f"model {name}: takes inputs of shape {tuple(shape)}, neither image batches "
            "(batch, height, width, channels) nor rows of a table (batch, features)"
        )
    if shape[0] is not None:
        raise InputError(
            f"model {name}: takes batches of exactly {shape[0]}; save it with an open batch size (None)"
        )
    return tuple(shape[1:])


def _probe(classifier: Classifier, image_shape: tuple[int, ...] | None) -> Classifier:
    """Calls the model once, on grey, where the image size is known, and notes the number of classes."""
    known = classifier.image_shape
    shape = image_shape if None in known else known
    # Rows where images are wanted, or the other way round, is for the check against the records to say.
    if shape is None or len(shape) != len(known):
        return classifier
    try:
        num_classes = int(classifier.logits(tf.fill((2, *shape), 0.5)).shape[1])
    except InputError:
        raise
    except Exception as error:  # whatever a foreign function raises
        raise InputError(
            f"model {classifier.name} cannot be called on images of {shape} ({first_line(error)})"
        ) from error
    classifier.endpoint = dataclasses.replace(classifier.endpoint, num_classes=num_classes)
    return classifier


def _fingerprint(path: Path) -> str:
    """Hashes the files that the classifier was read from."""
    folder = path / "saved_model" if (path / "saved_model" / "saved_model.pb").exists() else path
    folder = path / MODEL_FILE if _is_member(path) else folder
    files = [folder] if folder.is_file() else sorted(file for file in folder.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
