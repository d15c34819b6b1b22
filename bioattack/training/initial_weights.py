"""Weights to start from: another run's, Keras' own files, or published ones."""

import warnings
from pathlib import Path

import keras
import numpy as np

from bioattack.classifier.keras_file import read_keras_file
from bioattack.errors import InputError
from bioattack.models.weights import load_published_weights

_KINDS = "a run folder, a .keras file, a .weights.h5 file or published weights in a .npz file"

_LONGEST_REASON = 300


def load_initial_weights(classifier: keras.Model, path: Path) -> None:
    """Fills a network with the weights of a file; the states of its random layers stay.

    Args:
        classifier: Built network.
        path: A run folder (its ``model.keras``), a ``.keras`` file, a ``.weights.h5`` file or a ``.npz`` file
            as ``load_published_weights`` reads it.

    Raises:
        InputError: If there is no such file, it is damaged, of another network, number of classes or image
            size, or holds values that are not finite.
        OSError: If it may not be read.
    """
    file = path / "model.keras" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"--initial-weights: there is no file {file}; give {_KINDS}")
    try:
        if file.name.endswith(".keras"):
            _copy_weights(classifier, file)
        elif file.name.endswith(".weights.h5"):
            _load_weights_file(classifier, file)
        elif file.suffix == ".npz":
            load_published_weights(classifier, file)
        else:
            raise InputError(f"--initial-weights: {file} has another ending; give {_KINDS}")
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(
            f"--initial-weights: {file} does not fit the network to be trained: {_first_sentence(error)}"
        ) from error
    _check_finite(classifier, file)


def _load_weights_file(classifier: keras.Model, file: Path) -> None:
    with warnings.catch_warnings():
        # Keras only warns when a file lacks some of the layers, and leaves those as they were.
        warnings.simplefilter("error", UserWarning)
        try:
            classifier.load_weights(file)
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning


def _first_sentence(error: Exception) -> str:
    # Keras puts whole arrays into its messages.
    return " ".join(str(error).split()).partition(". ")[0][:_LONGEST_REASON]


def _copy_weights(classifier: keras.Model, file: Path) -> None:
    other = read_keras_file(
        file,
        subject=f"--initial-weights: {file}:",
        if_unfit=f"give {_KINDS}",
        if_other_version="save its weights there as a .weights.h5 file and start from those",
    )
    if other.input_shape[1:] != classifier.input_shape[1:]:
        raise InputError(
            f"--initial-weights: {file} takes images of shape {other.input_shape[1:]}, the records hold"
            f" {classifier.input_shape[1:]}; build the records in that size or start from other weights"
        )
    if other.output_shape[1:] != classifier.output_shape[1:]:
        raise InputError(
            f"--initial-weights: {file} tells {other.output_shape[-1]} classes apart, the records have"
            f" {classifier.output_shape[-1]}; start from weights for as many classes"
        )
    if len(other.weights) != len(classifier.weights):
        raise ValueError(f"it has {len(other.weights)} weights and not {len(classifier.weights)}")
    for source, target in zip(other.weights, classifier.weights, strict=True):
        if source.shape != target.shape:
            raise ValueError(f"{target.path} has shape {tuple(source.shape)} and not {tuple(target.shape)}")
    for source, target in zip(other.weights, classifier.weights, strict=True):
        target.assign(source)


def _check_finite(classifier: keras.Model, file: Path) -> None:
    for variable in classifier.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise InputError(
                f"--initial-weights: {file} holds NaN or infinite values in {variable.path}; start from"
                " weights that are finite"
            )
