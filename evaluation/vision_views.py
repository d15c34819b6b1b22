"""What a model looks at and what it sees there, read out of the model itself."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from bioattack.errors import InputError

GAZES, TRANSFORMS, VIEWS = "gazes", "transforms", "views"
# What lies behind the layer of the views and changes them once more, the last one first.
_LAST_VIEWS = ("retinal_views", VIEWS)
_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class Looks:
    """What a model looks at in some pictures.

    Args:
        gazes: ``(images, looks, 2)``, pixels from the image centre, row first; None without gazes.
        transforms: ``(images, looks, 2, 3)``, in normalised (x, y) coordinates; None without any.
        views: One array ``(images, looks, height, width, channels)`` for each scale, in [0, 1].
        outlines: One array ``(images, looks, 4, 2)`` for each scale: corners of what a view covers, column
            and row in pixels, the view's top left first and then clockwise. Empty where views cover the
            whole picture.
        choice: Who says where to look: ``"chosen"`` by a network, so that it depends on the picture,
            ``"random"``, ``"fixed"``, or ``"none"`` where there is one view only, of the whole picture.
        reach: How far from the centre a chosen gaze can be on each axis, in pixels; None where nothing says.
    """

    gazes: np.ndarray | None
    transforms: np.ndarray | None
    views: tuple[np.ndarray, ...]
    outlines: tuple[np.ndarray, ...] = ()
    choice: str = "none"
    reach: float | None = None

    @property
    def num_looks(self) -> int:
        """How many views of each picture there are."""
        return int(self.views[0].shape[1])


def has_looks(model: keras.Model) -> bool:
    """Tells whether a model has layers that say what it looks at and sees: ``views``, or more than that.

    Args:
        model: Any model; the layers' outputs must have the forms that ``Looks`` describes.
    """
    try:
        views = _outputs(model, VIEWS)
        folded = [_outputs(model, name)[0] for name in (GAZES, TRANSFORMS) if _has_layer(model, name)]
    except InputError:
        return False
    forms = {2: 3, 3: 4}
    return all(len(view.shape) == 4 and None not in view.shape[1:] for view in views) and all(
        len(tensor.shape) == forms.get(tensor.shape[-1]) for tensor in folded
    )


def look_through(model: keras.Model, images: Any) -> Looks:
    """Runs a model on pictures as in a test, and reads what it looks at and sees.

    Args:
        model: With a layer ``views`` and, where it looks several times, one called ``gazes`` or
            ``transforms``; at random gazes, those of this one call.
        images: ``(images, height, width, channels)``, float, [0, 1].

    Raises:
        InputError: If the model has no such layers.
    """
    if not has_looks(model):
        raise InputError(f"model {model.name} has no layer 'views' that shows what it sees")
    images = np.asarray(images, np.float32)
    name = next(name for name in _LAST_VIEWS if _has_layer(model, name))
    places = {name: _outputs(model, name)[0] for name in (GAZES, TRANSFORMS) if _has_layer(model, name)}
    found = _run(model, [*places.values(), *_outputs(model, name)], images)
    by_name = dict(zip(places, found, strict=False))
    if any(not len(view) or len(view) % len(images) for view in found[len(places) :]):
        raise InputError(
            f"model {model.name}: its layer {name!r} does not give as many views of each picture"
        )
    views = tuple(
        np.clip(view.reshape(len(images), -1, *view.shape[1:]), 0, 1) for view in found[len(places) :]
    )
    gazes, transforms = by_name.get(GAZES), by_name.get(TRANSFORMS)
    layer = model.get_layer(VIEWS)
    size = (images.shape[1], images.shape[2])
    if transforms is not None:
        outlines = [
            window_corners(transforms, size, align_corners=bool(getattr(layer, "align_corners", True)))
        ]
    elif gazes is not None and name == VIEWS and not _has_layer(model, "retina"):
        outlines = [crop_corners(gazes, size, crop=crop) for crop in _crops(layer)]
    else:
        outlines = []
    return Looks(gazes, transforms, views, tuple(outlines), **_choice(model))


def chosen_gazes(model: keras.Model, images: Any) -> np.ndarray:
    """Reads where a model looks in many pictures, without running what comes after.

    Args:
        model: With a layer ``gazes``.
        images: ``(images, height, width, channels)``, float, [0, 1].

    Returns:
        ``(images, looks, 2)``, pixels from the image centre, row first.

    Raises:
        InputError: If there is no such layer.
    """
    return _run(model, _outputs(model, GAZES)[:1], np.asarray(images, np.float32))[0]


def window_corners(matrices: Any, size: tuple[int, int], *, align_corners: bool = True) -> np.ndarray:
    """Gives the corners of a spatial transformer's windows in the picture.

    Args:
        matrices: ``(..., 2, 3)``, from the output's normalised (x, y) to the picture's.
        size: Height and width of the picture in pixels.
        align_corners: Whether -1 and 1 are the centres of the outermost pixels, or their outer edges.

    Returns:
        ``(..., 4, 2)``: column and row in pixels, 0 the centre of the first one; the output's top left first,
        then clockwise.

    >>> window_corners([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.5]]], (5, 5)).tolist()
    [[[1.0, 2.0], [3.0, 2.0], [3.0, 4.0], [1.0, 4.0]]]
    """
    corners = np.array([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    places = np.einsum("...ij,kj->...ki", np.asarray(matrices, np.float64), corners)
    sides = np.array(size[::-1])
    half = (sides - 1) / 2 if align_corners else sides / 2
    return places * half + (sides - 1) / 2


def crop_corners(gazes: Any, size: tuple[int, int], *, crop: int) -> np.ndarray:
    """Gives the corners of crops around gazes: their outermost pixels' outer edges.

    Args:
        gazes: ``(..., 2)``, pixels from the image centre, row first.
        size: Height and width of the picture in pixels.
        crop: Side of the crop in pixels.

    Returns:
        ``(..., 4, 2)``: column and row in pixels, top left first, then clockwise.

    >>> crop_corners([0.0, 1.0], (8, 8), crop=4).tolist()
    [[2.5, 1.5], [6.5, 1.5], [6.5, 5.5], [2.5, 5.5]]
    """
    first = np.asarray(gazes, np.float64) + np.array([side // 2 - crop // 2 for side in size]) - 0.5
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]]) * crop
    return (first[..., None, :] + corners)[..., ::-1]


def gaze_points(gazes: Any, size: tuple[int, int]) -> np.ndarray:
    """Gives the places of gazes in the picture.

    Args:
        gazes: ``(..., 2)``, pixels from the image centre, row first.
        size: Height and width of the picture in pixels.

    Returns:
        ``(..., 2)``: column and row in pixels, 0 the centre of the first one.

    >>> gaze_points([[-10.0, 4.0]], (33, 33)).tolist()
    [[20.0, 6.0]]
    """
    return (np.asarray(gazes, np.float64) + (np.array(size) - 1) / 2)[..., ::-1]


def _choice(model: keras.Model) -> dict[str, Any]:
    """Who says where to look, and how far a chosen gaze can be."""
    if _has_layer(model, TRANSFORMS):
        return {"choice": "chosen"}
    if not _has_layer(model, GAZES):
        return {"choice": "none"}
    layer = model.get_layer(GAZES)
    if hasattr(layer, "when_tested"):
        return {"choice": layer.when_tested}
    return {"choice": "chosen", "reach": getattr(layer, "reach", None)}


def _crops(layer: Any) -> list[int]:
    """Sides of the crops that a layer cuts out; none where it shows the whole picture."""
    if hasattr(layer, "crops"):
        return list(layer.crops)
    return [layer.crop] if hasattr(layer, "crop") else []


def _has_layer(model: keras.Model, name: str) -> bool:
    return any(layer.name == name for layer in model.layers)


def _outputs(model: keras.Model, name: str) -> list[Any]:
    """The symbolic outputs of a layer."""
    try:
        output = model.get_layer(name).output
        (_,) = model.inputs
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"model {model.name} has no layer {name!r} whose output can be read") from error
    return list(output) if isinstance(output, list | tuple) else [output]


def _run(model: keras.Model, outputs: Sequence[Any], images: np.ndarray) -> list[np.ndarray]:
    """Computes tensors of a model's graph, a batch after the other."""
    # By name: of a list with a single output Keras gives that output itself.
    part = keras.Model(model.inputs[0], {str(index): output for index, output in enumerate(outputs)})
    batches = [
        part(images[start : start + _BATCH_SIZE], training=False)
        for start in range(0, len(images), _BATCH_SIZE)
    ]
    return [
        np.concatenate([keras.ops.convert_to_numpy(batch[str(index)]) for batch in batches])
        for index in range(len(outputs))
    ]
