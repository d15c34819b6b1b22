"""The few pictures an evaluation shows: originals, their adversarial images and the difference."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from bioattack.evaluation.config import PlannedAttack
from bioattack.evaluation.results import epsilon_words
from bioattack.files import replacing

NUM_EXAMPLES = 6
_LEAST_SCALE = 1e-12


def choose_examples(clean: pd.DataFrame) -> list[str]:
    """Chooses pictures by a rule that leaves nothing to taste.

    Args:
        clean: The first model's clean rows of the long table, in the stored order.

    Returns:
        The names of the first correctly classified picture of each class, at most six.
    """
    correct = clean[clean["correct_clean"]]
    return list(correct.drop_duplicates("label")["image_id"][:NUM_EXAMPLES])


def original_name(place: int) -> str:
    """Names the file of the original at a place in the list of examples."""
    return f"{place:02d}-original.png"


def adversarial_name(place: int, *, model: str, attack: str, norm: str, epsilon: float) -> str:
    """Names the file of an adversarial image.

    >>> adversarial_name(3, model="my model", attack="pgd", norm="linf", epsilon=0.01)
    '03-my-model-pgd-linf-0.01.png'
    """
    return f"{place:02d}-{safe_name(model)}-{safe_name(attack)}-{norm}-{epsilon!r}.png"


def safe_name(text: str) -> str:
    """Makes a text fit to be part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in text)


def difference_name(adversarial: str) -> str:
    """Names the file of a difference after its adversarial image."""
    return adversarial.removesuffix(".png") + "-difference.png"


def example_epsilons(epsilons: Sequence[float]) -> list[float]:
    """Chooses at which epsilons example pictures are saved: a third, two thirds of the way, and the largest.

    >>> example_epsilons((0.001, 0.005, 0.01, 0.02, 0.05, 0.1))
    [0.01, 0.02, 0.1]
    """
    last = len(epsilons) - 1
    return [epsilons[place] for place in sorted({(last + 1) // 3, (last + 2) // 2, last}) if place <= last]


class ExampleWriter:
    """Saves the chosen pictures of one model as they come by.

    Args:
        folder: Where.
        model: The model's display name.
        image_ids: The chosen pictures.
        attacks: Of each, some epsilons are shown.
    """

    def __init__(
        self, folder: Path, *, model: str, image_ids: Sequence[str], attacks: Sequence[PlannedAttack]
    ) -> None:
        self.shown = {
            (attack.name, attack.norm, epsilon)
            for attack in attacks
            for epsilon in example_epsilons(attack.reported_epsilons)
        }
        self.folder = folder
        self.model = model
        self.image_ids = list(image_ids)

    def write(
        self,
        batch: Mapping[str, Any],
        adversarial_images: np.ndarray,
        *,
        attack: str,
        norm: str,
        epsilon: float,
    ) -> None:
        """Saves those of a batch that were chosen, if this epsilon is shown."""
        if (attack, norm, epsilon) not in self.shown:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for image_id, image, adversarial_image in zip(
            batch["image_id"], np.asarray(batch["image"]), adversarial_images, strict=True
        ):
            if image_id not in self.image_ids:
                continue
            place = self.image_ids.index(image_id)
            name = adversarial_name(place, model=self.model, attack=attack, norm=norm, epsilon=epsilon)
            perturbation = adversarial_image - image
            scale = max(float(np.abs(perturbation).max()), _LEAST_SCALE)
            save_png(image, self.folder / original_name(place))
            save_png(adversarial_image, self.folder / name)
            # 128 is no change, 1 and 255 the largest.
            save_png((128 + 127 * perturbation / scale) / 255, self.folder / difference_name(name))


def list_examples(results: pd.DataFrame, *, folder: Path, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Describes the saved pictures, read off the long table.

    Args:
        results: The long table.
        folder: Where the pictures were saved.
        class_names: Names by label.

    Returns:
        What ``examples/index.json`` holds (see ``bioattack.evaluation.results``).
    """
    clean = results[results["attack"] == "none"]
    chosen = choose_examples(clean[clean["model"] == results["model"].iloc[0]])
    attacked = results[(results["attack"] != "none") & results["image_id"].isin(chosen)]
    entries = []
    for row in attacked.to_dict("records"):
        place = chosen.index(row["image_id"])
        name = adversarial_name(place, **{key: row[key] for key in ("model", "attack", "norm", "epsilon")})
        if (folder / name).exists():
            entries.append((place, _describe(row, place=place, name=name, class_names=class_names)))
    # The sort is stable: within a picture the table's own order of model, norm and epsilon stays.
    return [entry for _, entry in sorted(entries, key=lambda pair: pair[0])]


def _describe(row: Mapping[Any, Any], *, place: int, name: str, class_names: Sequence[str]) -> dict[str, Any]:
    copied = ("image_id", "label", "model", "attack", "norm", "epsilon", "predicted_clean")
    measured = ("success", "success_8bit", "l1", "l2", "linf", "margin_clean", "margin_adversarial")
    return {
        **{column: row[column] for column in copied},
        "class_name": class_names[row["label"]],
        "epsilon_words": epsilon_words(row["epsilon"], norm=row["norm"]),
        "original": original_name(place),
        "adversarial": name,
        "difference": difference_name(name),
        "difference_scale": max(row["linf"], _LEAST_SCALE),
        "predicted_clean_name": class_names[row["predicted_clean"]],
        "predicted_adversarial": row["predicted_adversarial"],
        "predicted_adversarial_name": class_names[row["predicted_adversarial"]],
        **{column: row[column] for column in measured},
    }


def save_png(image: np.ndarray, path: Path) -> None:
    """Saves ``(height, width, channels)`` in [0, 1], rounded to 8 bits per channel; beyond is clipped."""
    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    with replacing(path) as partial:
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(partial, format="PNG")
