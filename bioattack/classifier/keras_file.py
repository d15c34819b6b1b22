"""Reading ``.keras`` files, our own layers included, with one sentence for those that cannot be read."""

import importlib
import json
import pkgutil
import zipfile
from pathlib import Path

import keras

from bioattack.classifier.classifier import first_line
from bioattack.errors import InputError
from bioattack.models import layers


def read_keras_file(path: Path, *, subject: str, if_unfit: str, if_other_version: str) -> keras.Model:
    """Reads a model from a ``.keras`` file.

    Args:
        path: The file.
        subject: What a message begins with: ``"model runs/a.keras:"``.
        if_unfit: What to do where the file was written by this version of Keras and is of another kind.
        if_other_version: What to do where another version of Keras has written it.

    Raises:
        InputError: If the file is damaged, or Keras cannot read it.
        OSError: If it may not be read.
    """
    # Keras says of a file that is no archive, or may not be read, that it was not found.
    with path.open("rb") as content:
        if not zipfile.is_zipfile(content):
            raise InputError(f"{subject} damaged, for a .keras file is a zip archive; copy or save it again")
    # The classes of our own layers must be registered.
    for module in pkgutil.iter_modules(layers.__path__, f"{layers.__name__}."):
        importlib.import_module(module.name)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever a damaged or foreign file raises
        remedy = _remedy(path, if_unfit=if_unfit, if_other_version=if_other_version)
        raise InputError(f"{subject} Keras cannot read this file ({first_line(error)}); {remedy}") from error
    if not isinstance(model, keras.Model):
        raise InputError(f"{subject} holds a {type(model).__name__}, not a model")
    return model


def _remedy(path: Path, *, if_unfit: str, if_other_version: str) -> str:
    try:
        with zipfile.ZipFile(path) as content:
            version = json.loads(content.read("metadata.json"))["keras_version"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return "copy or save it again"
    if version == keras.__version__:
        return if_unfit
    return f"it was saved by Keras {version} and this is Keras {keras.__version__}: {if_other_version}"
