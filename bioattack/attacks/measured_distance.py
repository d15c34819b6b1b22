"""The image distance that an attack goes by: made from its name, differentiated on some rows of a batch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from bioattack.attacks.attack import State, rows_where
from bioattack.classifier import Classifier
from bioattack.classifier.keras_file import read_keras_file
from bioattack.distances import make_distance
from bioattack.errors import InputError

if TYPE_CHECKING:
    from bioattack.distances import Distance

# What a distance remembers of the originals stands in an attack's state under this.
_PREPARED = "prepared/"
FEATURES = "nptm"


def choose_distance(
    distance: "str | Distance",
    options: Sequence[tuple[str, Any]] = (),
    *,
    classifier: Classifier | None = None,
) -> "Distance":
    """Makes a distance from its name, with one sentence for whatever is wrong with it.

    Args:
        distance: A name of ``bioattack.distances``, or a distance, which is returned as it is.
        options: Arguments of its class as ``(name, value)``. A ``trunk`` may be the path of a ``.keras``
            file.
        classifier: Gives the trunk of the distance ``nptm`` where the options name none: its own features.

    Raises:
        InputError: If there is no such distance or option, or its weights cannot be read.
    """
    if not isinstance(distance, str):
        return distance
    given = dict(options)
    trunk = given.get("trunk")
    if isinstance(trunk, str | Path) and Path(trunk).suffix == ".keras":
        given["trunk"] = _read_model(Path(trunk), subject=f"distance {distance}: {trunk}")
    elif distance == FEATURES and trunk is None:
        given["trunk"] = _own_model(classifier)
    try:
        return make_distance(distance, **given)
    except (ValueError, OSError) as error:
        raise InputError(_sentence(distance, error)) from error
    except TypeError as error:
        names = ", ".join(given)
        raise InputError(f"distance {distance} does not take the options {names}: {error}") from error


def _own_model(classifier: Classifier | None) -> keras.Model:
    """The attacked model, whose features are the distance of Laidlaw et al. 2021 unless another is named."""
    remedy = "name a network or a .keras file with the distance's option trunk"
    if classifier is None:
        raise InputError(f"distance {FEATURES} needs a network that gives the features; {remedy}")
    if classifier.input_range != (0.0, 1.0):
        raise InputError(
            f"distance {FEATURES} shows its model pictures in [0, 1], which {classifier.name} does not take; "
            f"{remedy}"
        )
    owner = classifier.endpoint.owner
    if isinstance(owner, keras.Model):
        return owner
    path = classifier.source and Path(classifier.source) / "model.keras"
    if path and path.is_file():
        return _read_model(path, subject=f"distance {FEATURES}: {path}")
    raise InputError(
        f"distance {FEATURES} takes the features of the attacked model itself, and {classifier.name} shows "
        f"none, being no Keras model; {remedy}"
    )


def _read_model(path: Path, *, subject: str) -> keras.Model:
    if not path.is_file():
        raise InputError(f"{subject}: there is no such .keras file")
    remedy = "save it again as .keras"
    return read_keras_file(path, subject=f"{subject} is", if_unfit=remedy, if_other_version=remedy)


def check_distance_fits(distance: "Distance", image_shape: Sequence[int | None]) -> None:
    """Refuses a distance that cannot measure images of this size, without measuring any.

    Args:
        distance: The distance.
        image_shape: ``(height, width, channels)``.

    Raises:
        InputError: If it cannot; the sentence is the distance's own.
    """
    images = tf.TensorSpec((None, *image_shape), tf.float32)
    try:
        # Without AutoGraph errors keep their one sentence.
        tf.function(distance, autograph=False).get_concrete_function(images, images)
    except ValueError as error:
        raise InputError(_sentence(distance.name, error)) from error


def prepared_state(distance: "Distance", originals: tf.Tensor) -> State:
    """Computes what the distance remembers of the originals, as entries of an attack's state.

    Raises:
        InputError: If it cannot measure such images.
    """
    try:
        prepared = distance.prepare(originals)
    except ValueError as error:
        raise InputError(_sentence(distance.name, error)) from error
    return {f"{_PREPARED}{name}": rows for name, rows in prepared.items()}


def distances_and_gradients(
    distance: "Distance", state: State, images: tf.Tensor, is_wanted: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Measures some images of a batch, and differentiates; the others cost nothing.

    Args:
        distance: The distance.
        state: Holds what was prepared of the originals.
        images: ``(slots, height, width, channels)``.
        is_wanted: ``(slots,)``: which of them.

    Returns:
        Distances ``(slots,)`` and their gradients, shaped like the images; 0 for those that were not wanted.
    """
    prepared = _prepared_rows(state)

    def measure(images: tf.Tensor, *rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            distances = distance.compare(dict(zip(prepared, rows, strict=True)), images)
        # Left to itself the tape asks the distances for their shape, and so for their values, wanted or not.
        ones = tf.ones(tf.shape(images)[:1], images.dtype)
        return distances, tape.gradient(distances, images, output_gradients=ones)

    distances, gradients = on_rows(measure, is_wanted, images, *prepared.values())
    return distances, gradients


def distances_only(distance: "Distance", state: State, images: tf.Tensor, is_wanted: tf.Tensor) -> tf.Tensor:
    """Measures some images of a batch, as ``distances_and_gradients`` does."""
    prepared = _prepared_rows(state)

    def measure(images: tf.Tensor, *rows: tf.Tensor) -> tuple[tf.Tensor]:
        return (distance.compare(dict(zip(prepared, rows, strict=True)), images),)

    return on_rows(measure, is_wanted, images, *prepared.values())[0]


def on_rows(
    function: Callable[..., tuple[tf.Tensor, ...]], is_wanted: tf.Tensor, *tensors: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Calls a function on the wanted rows of a batch alone.

    Args:
        function: Takes tensors with one row for each image and gives such tensors.
        is_wanted: ``(slots,)``.
        tensors: ``(slots, ...)``.

    Returns:
        What the function gave, ``(slots, ...)``; zeros in the other rows.
    """
    places = tf.where(is_wanted)
    # No function has to put up with an empty batch: where nothing is wanted, the first row stands in.
    places = tf.cond(tf.size(places) > 0, lambda: places, lambda: tf.zeros((1, 1), tf.int64))
    # Mostly all are wanted, and nothing has to be copied to and fro.
    are_all = tf.reduce_all(is_wanted)
    chosen = tf.cond(
        are_all, lambda: tensors, lambda: tuple(tf.gather_nd(tensor, places) for tensor in tensors)
    )
    found = function(*(_like(rows, tensor) for rows, tensor in zip(chosen, tensors, strict=True)))
    number = tf.cast(tf.shape(is_wanted), tf.int64)

    def spread(rows: tf.Tensor) -> tf.Tensor:
        whole = tf.scatter_nd(places, rows, tf.concat([number, tf.shape(rows, tf.int64)[1:]], 0))
        return rows_where(is_wanted, whole, tf.zeros_like(whole))

    # Each by itself: of what is then not used, such as a distance beside its gradient, nothing is computed.
    every = (tf.cond(are_all, lambda rows=rows: rows, lambda rows=rows: spread(rows)) for rows in found)
    return tuple(_like(rows, some) for rows, some in zip(every, found, strict=True))


def _like(rows: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Restores what the branches forgot of a static shape."""
    return tf.ensure_shape(rows, (None, *other.shape[1:]))


def _sentence(name: str, error: Exception) -> str:
    """What a distance says of itself, with its name before it unless it has that already."""
    return str(error) if str(error).startswith(name) else f"distance {name}: {error}"


def _prepared_rows(state: State) -> dict[str, tf.Tensor]:
    return {name.removeprefix(_PREPARED): rows for name, rows in state.items() if name.startswith(_PREPARED)}
