"""All pictures of an attack, as PNG files: every saved picture is the one that ``success_8bit`` judges."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bioattack.evaluation.examples import safe_name, save_png


def image_folder(folder: Path, *, model: str, attack: str, norm: str, epsilon: float) -> Path:
    """Names, in a folder, that of the pictures of one model under one attack at one epsilon.

    >>> image_folder(Path("images"), model="my model", attack="pgd", norm="linf", epsilon=0.01).as_posix()
    'images/my-model/pgd-linf-0.01'
    """
    return folder / safe_name(model) / f"{safe_name(attack)}-{norm}-{epsilon!r}"


def image_path(folder: Path, image_id: str) -> Path:
    """Names the file of a picture, whatever is in its name.

    >>> image_path(Path("images"), "test/bee/../0001.jpg").as_posix()
    'images/test/bee/0001.jpg.png'
    """
    parts = [part for part in PurePosixPath(image_id).parts if part not in ("/", ".", "..")]
    path = folder.joinpath(*parts)
    return path if path.suffix == ".png" else path.with_name(path.name + ".png")


class PictureWriter:
    """Saves every picture of one model as it comes by, also those that were not attacked, as they are.

    So a folder holds the whole set, and accuracy on it is adversarial accuracy.

    Args:
        folder: Where.
        model: The model's display name.
    """

    def __init__(self, folder: Path, *, model: str) -> None:
        self.folder = folder
        self.model = model

    def write(
        self,
        batch: Mapping[str, Any],
        adversarial_images: np.ndarray,
        *,
        attack: str,
        norm: str,
        epsilon: float,
    ) -> None:
        """Saves a batch."""
        folder = image_folder(self.folder, model=self.model, attack=attack, norm=norm, epsilon=epsilon)
        for image_id, image in zip(batch["image_id"], adversarial_images, strict=True):
            path = image_path(folder, str(image_id))
            path.parent.mkdir(parents=True, exist_ok=True)
            save_png(image, path)
