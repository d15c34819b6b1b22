"""The sections that show pictures: of the classes, of what is seen of them, and of where networks look."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from bioattack.evaluation.architecture_diagram import draw_architecture
from bioattack.evaluation.reproduce.experiment import Experiment, Variant
from bioattack.evaluation.reproduce.page import Figure, Section
from bioattack.evaluation.reproduce.rebuilt import build_trained
from bioattack.evaluation.reproduce.workplace import FIGURES, Workplace
from bioattack.evaluation.vision_figures import (
    CORNER_SHARE,
    draw_checkerboard,
    draw_fixations,
    draw_gazes,
    draw_samples,
    draw_transformer_boxes,
)
from bioattack.evaluation.vision_views import chosen_gazes
from bioattack.models.registry import build_model

_NUM_GAZED = 200
_NUM_CLASSES = 10


def samples_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Draws pictures of every class."""
    draw_samples(workplace.figure(experiment.name), workplace.pictures)
    return _section(experiment, {experiment.name: "The first pictures of each class, in the stored order."})


def checkerboard_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Draws the checkerboard."""
    draw_checkerboard(workplace.figure(experiment.name))
    return _section(experiment, {experiment.name: "Flat, discrete, bilinear; below, a part magnified."})


def fixations_section(
    workplace: Workplace, experiment: Experiment, *, variants: Sequence[Variant]
) -> Section:
    """Draws a picture and what networks see of it, whose looks do not depend on their weights."""
    images, names = one_of_each(workplace)
    captions = {}
    for variant in variants:
        name = f"{experiment.name}-{variant.label}"
        draw_fixations(workplace.figure(name), _build(workplace, variant), images[0])
        captions[name] = f"A picture of the class {names[0]}, as {variant.label} sees it."
    return _section(experiment, captions)


def architectures_section(
    workplace: Workplace, experiment: Experiment, *, variants: Sequence[Variant]
) -> Section:
    """Draws the networks themselves, in the sizes of the preset."""
    captions = {}
    for variant in variants:
        name = f"{experiment.name}-{variant.label}"
        draw_architecture(workplace.figure(name), _build(workplace, variant))
        captions[name] = variant.label
    return _section(experiment, captions)


def _build(workplace: Workplace, variant: Variant) -> keras.Model:
    """A network that is not trained."""
    scale, records = workplace.scale, workplace.records
    return build_model(
        variant.model,
        image_shape=records.image_shape if records else (scale.image_size, scale.image_size, 3),
        num_classes=records.num_classes if records else _NUM_CLASSES,
        preset=scale.model_preset,
        options=variant.options_at(scale),
        seed=0,
    )


def boxes_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Draws the windows of the trained transformer."""
    images, names = one_of_each(workplace)
    captions = {}
    for row, model, name in _trained(workplace, experiment):
        draw_transformer_boxes(workplace.figure(name), model, images, names)
        captions[name] = f"{row.title}: its windows on test pictures."
    return _section(experiment, captions)


def gazes_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Draws the gazes of the trained networks, and counts those in the corners."""
    images = first_pictures(workplace, _NUM_GAZED)
    captions, lines, values = {}, [], {}
    for row, model, name in _trained(workplace, experiment):
        draw_gazes(workplace.figure(name), model, images)
        captions[name] = f"{row.title}: where it looks."
        gazes, reach = chosen_gazes(model, images), model.get_layer("gazes").reach
        in_corners = float((np.abs(gazes) >= CORNER_SHARE * reach).all(-1).mean())
        spread = float(gazes.std(axis=0).mean() / reach)
        values[row.variant.label] = {"share_in_corners": in_corners, "spread_over_pictures": spread}
        lines.append(
            f"{row.title}: {100 * in_corners:.0f} % of its gazes at {len(images)} pictures are within a "
            "tenth of a corner of the box that they cannot leave; from picture to picture they move by "
            f"{100 * spread:.1f} % of its half side (deviation)."
        )
    return _section(experiment, captions, lines=lines, values=values)


def _trained(workplace: Workplace, experiment: Experiment) -> Any:
    """The networks of an experiment with the weights of the first seed, and a name for each one's figure."""
    seed = workplace.config.seed
    for row in workplace.rows(experiment):
        model = build_trained(workplace, row.variant, seed)
        yield row, model, f"{experiment.name}-{row.variant.label}"


def one_of_each(workplace: Workplace) -> tuple[np.ndarray, list[str]]:
    """Returns the first test picture of each class that has one, and the classes' names."""
    found: dict[int, np.ndarray] = {}
    for images, labels in workplace.pictures.dataset("test", batch_size=64):
        for image, label in zip(images.numpy(), labels.numpy().tolist(), strict=True):
            found.setdefault(label, image)
        if len(found) == workplace.pictures.num_classes:
            break
    labels = sorted(found)
    return np.stack([found[label] for label in labels]), [
        workplace.pictures.class_names[one] for one in labels
    ]


def first_pictures(workplace: Workplace, number: int) -> np.ndarray:
    """Returns the first test pictures in the stored order."""
    dataset = workplace.pictures.dataset("test", batch_size=64, limit=number)
    return np.concatenate([images.numpy() for images, _ in dataset])


def _section(
    experiment: Experiment, captions: dict[str, str], *, lines: Any = (), values: Any = None
) -> Section:
    keras.utils.clear_session(free_memory=True)
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, *lines),
        figures=[Figure(f"{FIGURES}/{name}.png", caption) for name, caption in captions.items()],
        values=values or {},
    )
