"""What the report shows of how models look: a picture for each model that can be opened in Keras."""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from bioattack.classifier import Classifier
    from bioattack.evaluation.robustness import Pictures

FIGURES = "figures"
# Over so many pictures it is shown where gazes fall.
NUM_PICTURES = 200

# The kinds of pictures, each with its words for the report and for a screen reader.
_WORDS = {
    "windows": (
        "Each colour is a branch: the window through which it looks at the picture. Below, what the branches "
        "are shown of the first one.",
        "Pictures with the windows through which the branches of {name} look",
    ),
    "gazes": (
        "Each mark is a gaze that a network chose for this picture; beside it, what is seen there. The last "
        "panel has the gazes in many pictures.",
        "Pictures with the points that {name} looks at, and what it sees there",
    ),
    "fixations": (
        "The marks are the points looked at; below, what the network is shown instead of the picture.",
        "A picture with the points that {name} looks at, and what it sees there",
    ),
}


def write_vision_figures(
    output: Path, classifiers: "Sequence[Classifier]", pictures: "Pictures", *, class_names: Sequence[str]
) -> list[Path]:
    """Draws what models look at and see, into ``figures/windows-MODEL.png`` and the like.

    That needs the Keras model: a ``.keras`` file, or a run folder with one. Of a bare SavedModel, of a model
    that Keras cannot open or that sees the pictures as they are, and of one that expects pixels other than
    [0, 1], nothing is drawn.

    Args:
        output: An evaluation's folder.
        classifiers: The models, with the names that they have in the report.
        pictures: The first of them are shown.
        class_names: By label.

    Returns:
        The files written.

    Raises:
        OSError: If one cannot be written.
    """
    from bioattack.errors import InputError
    from bioattack.evaluation.vision_views import has_looks

    written = []
    for classifier in classifiers:
        try:
            model = _open_keras(classifier)
            if model is not None and classifier.input_range == (0.0, 1.0) and has_looks(model):
                images, labels = _first_pictures(pictures)
                names = [class_names[label] for label in labels]
                written.append(_draw(output / FIGURES, classifier.name, model, images, names))
        except InputError:
            continue
    return written


def looks_content(output: Path, model_names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns what the report shows: the pictures that ``write_vision_figures`` has left.

    Args:
        output: An evaluation's folder.
        model_names: In the order of the report.
    """
    found = []
    for place, name in enumerate(model_names):
        for kind, (words, alternative) in _WORDS.items():
            path = output / FIGURES / _file_name(kind, name)
            if path.is_file():
                content = base64.b64encode(path.read_bytes()).decode("ascii")
                found.append(
                    {
                        "place": place,
                        "name": name,
                        "words": words,
                        "alternative": alternative.format(name=name),
                        "picture": f"data:image/png;base64,{content}",
                    }
                )
    return found


def _open_keras(classifier: "Classifier") -> "keras.Model | None":
    """The Keras model behind a classifier, if there is one."""
    import keras

    from bioattack.classifier import load_classifier

    if isinstance(classifier.endpoint.owner, keras.Model):
        return classifier.endpoint.owner
    file = classifier.source / "model.keras" if classifier.source else None
    if file is None or not file.is_file():
        return None
    owner = load_classifier(file).endpoint.owner
    return owner if isinstance(owner, keras.Model) else None


def _first_pictures(pictures: "Pictures") -> tuple[Any, Any]:
    import numpy as np

    images: list[Any] = []
    labels: list[Any] = []
    for batch in pictures.batches():
        images += list(batch["image"])
        labels += list(batch["label"])
        if len(images) >= NUM_PICTURES:
            break
    return np.stack(images[:NUM_PICTURES]), np.stack(labels[:NUM_PICTURES])


def _draw(folder: Path, name: str, model: "keras.Model", images: Any, labels: Sequence[str]) -> Path:
    """Draws the kind of picture that tells most about a model."""
    from bioattack.evaluation.vision_figures import draw_fixations, draw_gazes, draw_transformer_boxes
    from bioattack.evaluation.vision_views import look_through

    looks = look_through(model, images[:1])
    folder.mkdir(exist_ok=True)
    if looks.transforms is not None:
        return draw_transformer_boxes(folder / _file_name("windows", name), model, images, labels)
    if looks.choice == "chosen":
        return draw_gazes(folder / _file_name("gazes", name), model, images)
    return draw_fixations(folder / _file_name("fixations", name), model, images[0])


def _file_name(kind: str, name: str) -> str:
    safe = re.sub(r"[^\w.-]", "-", name)
    return f"{kind}-{safe}.png"
