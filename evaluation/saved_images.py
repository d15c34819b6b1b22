"""All pictures of an attack, as PNG files: every saved picture is the one that ``success_8bit`` judges.

Rows of a table are saved as they were found, a NumPy file each, until records are made of them.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bioattack.evaluation.examples import safe_name, save_png
from bioattack.files import replacing


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


class _FileWriter:
    """Saves everything of one model as it comes by, also what was not attacked, a file each.

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
        """Saves a batch; a later attack of the same list replaces those that it betters."""
        folder = image_folder(self.folder, model=self.model, attack=attack, norm=norm, epsilon=epsilon)
        for image_id, values in zip(batch["image_id"], adversarial_images, strict=True):
            path = self._path(folder, str(image_id))
            path.parent.mkdir(parents=True, exist_ok=True)
            self._save(values, path)

    def _path(self, folder: Path, image_id: str) -> Path:
        raise NotImplementedError

    def _save(self, values: np.ndarray, path: Path) -> None:
        raise NotImplementedError


class RowWriter(_FileWriter):
    """Saves every row of one model, for records of them; arguments are those of ``PictureWriter``."""

    def _path(self, folder: Path, image_id: str) -> Path:
        return row_path(folder, image_id)

    def _save(self, values: np.ndarray, path: Path) -> None:
        with replacing(path) as partial, partial.open("wb") as file:
            np.save(file, values)


def row_path(folder: Path, image_id: str) -> Path:
    """Names the file of a row, whatever is in its name.

    >>> row_path(Path("images"), "test/00042").as_posix()
    'images/test/00042.npy'
    """
    path = image_path(folder, image_id)
    return path.with_name(path.name.removesuffix(".png") + ".npy")


class PictureWriter(_FileWriter):
    """Saves every picture of one model as it comes by, also those that were not attacked, as they are.

    So a folder holds the whole set, and accuracy on it is adversarial accuracy.

    Args:
        folder: Where.
        model: The model's display name.
    """

    def _path(self, folder: Path, image_id: str) -> Path:
        return image_path(folder, image_id)

    def _save(self, values: np.ndarray, path: Path) -> None:
        save_png(values, path)
