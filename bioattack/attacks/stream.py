"""Images as they come in: checked, and with what the model makes of them before they are attacked."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from bioattack.attacks.attack import AttackedModel
from bioattack.attacks.row_bounds import RowBounds
from bioattack.classifier import Classifier
from bioattack.classifier.checks import size_words
from bioattack.errors import InputError

# In float32 a step of 1/255 is known to about a 30,000th of itself.
_GRID_SLACK = 1e-3

_TAKEN = ("image", "features", "label", "image_id", "clean_logits", "fallen_at")


# Of images and labels, the logits and the gradients.
Opening: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass
class Image:
    """One image of a stream.

    Args:
        image_id: Its name; what is random about an attack on it is drawn from this.
        label: True class.
        pixels: ``(height, width, channels)``, float32, [0, 1]; of a row of a table ``(features,)``.
        clean_logits: ``(classes,)``.
        fallen_at: Epsilon at which it is known to fall already; infinite by default.
        extra: What else came with it.
        opening: The gradient at the image, where the attack that it waits for begins there; else None.
        index: Its place in the stream.
    """

    image_id: str
    label: int
    pixels: np.ndarray
    clean_logits: np.ndarray
    fallen_at: float = math.inf
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    opening: np.ndarray | None = None
    index: int = -1

    @property
    def is_correct(self) -> bool:
        """Whether the model is right about it before it is attacked."""
        return int(self.clean_logits.argmax()) == self.label


def read_stream(
    stream: Iterable[Mapping[str, Any]],
    model: AttackedModel,
    *,
    first_batch: int = 0,
    open_images: Opening | None = None,
    needs_8_bits: bool = False,
    bounds: RowBounds | None = None,
) -> Iterator[list[Image]]:
    """Reads, checks and classifies batch after batch.

    Args:
        stream: As ``Engine.run`` takes it.
        model: The model.
        first_batch: Number of batches to leave out, having been read before.
        open_images: Where the attack opens at the image, what gives logits and gradients in one pass.
        needs_8_bits: Whether every value must be ``k / 255``.
        bounds: Where rows of a table are attacked, what may be moved.

    Raises:
        InputError: If there are no images at all, or some cannot be attacked.
    """
    is_empty = True
    for number, batch in enumerate(stream):
        is_empty = False
        if number < first_batch:
            continue
        images = np.asarray(batch["features"] if "features" in batch else batch["image"])
        labels, image_ids = np.asarray(batch["label"]), _texts(batch["image_id"])
        check_inputs(images, image_ids, model.classifier, bounds=bounds)
        if needs_8_bits:
            _check_8_bits(images, image_ids)
        _check_labels(labels, images)
        openings: Any = [None] * len(labels)
        if "clean_logits" in batch:
            logits = np.asarray(batch["clean_logits"], np.float32)
        elif open_images is not None and len(labels):
            logits, openings = open_images(images, labels)
        else:
            logits = np.asarray(model.logits(images), np.float32)
        _check_logits(logits, labels, image_ids=image_ids, model=model)
        fallen_at = np.asarray(batch.get("fallen_at", np.full(len(labels), math.inf)), np.float64)
        extra = {name: values for name, values in batch.items() if name not in _TAKEN}
        yield [
            Image(
                image_ids[row],
                int(labels[row]),
                images[row],
                logits[row],
                float(fallen_at[row]),
                {name: values[row] for name, values in extra.items()},
                openings[row],
            )
            for row in range(len(labels))
        ]
    if is_empty:
        raise InputError("there are no images to attack: the stream is empty")


def _texts(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in np.asarray(values)]


def check_inputs(
    inputs: np.ndarray, image_ids: list[str], classifier: Classifier, *, bounds: RowBounds | None = None
) -> None:
    """Checks images, or rows of a table, in themselves and against what the model takes.

    Args:
        inputs: As they come in.
        image_ids: Their names.
        classifier: The model.
        bounds: Where rows of a table are attacked, what may be moved.

    Raises:
        InputError: If they cannot be attacked.
    """
    if bounds is None:
        _check_images(inputs, image_ids)
    else:
        _check_rows(inputs, image_ids, bounds)
    taken, held = classifier.image_shape, inputs.shape[1:]
    if len(taken) != len(held) or any(
        size not in (None, here) for size, here in zip(taken, held, strict=True)
    ):
        raise InputError(
            f"model {classifier.name} takes inputs of {size_words(taken)}, and these are of "
            f"{size_words(held)}; bring them to its size, or give a model that was trained on such ones"
        )


def _check_images(images: np.ndarray, image_ids: list[str]) -> None:
    if images.dtype != np.float32:
        hint = "; divide by 255" if np.issubdtype(images.dtype, np.integer) else "; convert them"
        raise InputError(f"images must be float32 in [0, 1]. Received: {images.dtype}{hint}")
    if images.ndim == 2:
        raise InputError(
            f"these are rows of a table, of shape {images.shape}, and no images: an attack on rows is told "
            "what it may move (bounds=row_bounds(records.table))"
        )
    if images.ndim != 4 or len(images) != len(image_ids):
        raise InputError(
            "images must be (batch, height, width, channels), with one image_id each. "
            f"Received: shape {images.shape} and {len(image_ids)} names"
        )
    low, high = float(images.min(initial=math.inf)), float(images.max(initial=-math.inf))
    if math.isnan(low) or math.isnan(high):
        place = int(np.flatnonzero(np.isnan(images).any((1, 2, 3)))[0])
        raise InputError(f"image {image_ids[place]} holds NaN")
    if len(images) and (low < 0 or high > 1):
        cause = (
            "divide by 255"
            if high > 2 and low >= 0
            else "they look standardised: do that inside the model, and attack the pictures in [0, 1]"
            if low < 0
            else "clip them"
        )
        raise InputError(f"images must lie in [0, 1]; these span [{low:g}, {high:g}]: {cause}")


def _check_rows(rows: np.ndarray, row_ids: list[str], bounds: RowBounds) -> None:
    if rows.dtype != np.float32:
        raise InputError(
            f"rows must be float32, on the attributes' own scales. Received: {rows.dtype}; convert them"
        )
    if rows.ndim != 2 or rows.shape[1] != bounds.num_features or len(rows) != len(row_ids):
        raise InputError(
            f"rows must be (batch, {bounds.num_features}), with one image_id each. "
            f"Received: shape {rows.shape} and {len(row_ids)} names"
        )
    is_fractional = np.array(bounds.is_whole) & (rows != np.round(rows))
    for is_bad, words in ((~np.isfinite(rows), "NaN or infinity"), (is_fractional, "no whole number")):
        if is_bad.any():
            place, column = (int(number) for number in np.argwhere(is_bad)[0])
            raise InputError(
                f"row {row_ids[place]} holds {words} for {bounds.names[column]}: {rows[place, column]:g}; "
                "mend the records"
            )


def _check_8_bits(images: np.ndarray, image_ids: list[str]) -> None:
    levels = images.astype(np.float64) * 255
    is_off = (np.abs(levels - np.round(levels)) > _GRID_SLACK).any((1, 2, 3))
    if is_off.any():
        name = image_ids[int(np.flatnonzero(is_off)[0])]
        raise InputError(
            f"image {name} has values between the steps of 8 bits, and a "
            "quantised search must begin at a picture that can be saved; round the images to k / 255 first"
        )


def _check_labels(labels: np.ndarray, images: np.ndarray) -> None:
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
        raise InputError(
            f"labels must be one class index for each image. Received: {labels.dtype} {labels.shape}"
        )


def _check_logits(
    logits: np.ndarray, labels: np.ndarray, *, image_ids: list[str], model: AttackedModel
) -> None:
    num_classes = logits.shape[1]
    is_outside = (labels < 0) | (labels >= num_classes)
    if is_outside.any():
        place = int(np.flatnonzero(is_outside)[0])
        raise InputError(
            f"image {image_ids[place]} has label {labels[place]}, but model {model.name} tells {num_classes} "
            f"classes apart (0 to {num_classes - 1})"
        )
    is_broken = ~np.isfinite(logits).all(1)
    if is_broken.any():
        raise InputError(
            f"model {model.name} gives NaN or infinite logits for image "
            f"{image_ids[int(np.flatnonzero(is_broken)[0])]}"
        )
