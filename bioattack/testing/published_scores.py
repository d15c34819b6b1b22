"""Pairs of pictures whose scores have been published, in the folder of real data."""

import csv
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

# As Matlab's rgb2gray weighs red, green and blue.
_GREY_WEIGHTS = (0.298936021293776, 0.587043074451121, 0.114020904255103)


class PublishedPair(NamedTuple):
    """A picture, a damaged copy of it and what a metric says of them.

    Args:
        name: Of the damaged copy.
        reference: ``(1, height, width, 3)``, float32, [0, 1].
        distorted: The same.
        score: As published.
    """

    name: str
    reference: np.ndarray
    distorted: np.ndarray
    score: float


def published_pairs(folder: Path, metric: str) -> list[PublishedPair]:
    """Reads the five calibration pairs of IQA-PyTorch with the published scores of one metric.

    Args:
        folder: The folder of real data.
        metric: Such as ``"ssim"``, ``"ms_ssim"``, ``"psnr"``, ``"lpips"``.

    Source:
        C. Chen and J. Mo, IQA-PyTorch, ``ResultsCalibra``; pictures of TID2013.
    """
    with (folder / "iqa" / "reference_scores.csv").open() as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["metric"] == metric and row["source"].startswith("chaofengc/IQA-PyTorch")
        ]
    with zipfile.ZipFile(folder / "iqa" / "iqa_pairs.zip") as archive:
        return [
            PublishedPair(
                row["distorted"],
                _picture(archive, row["reference"]),
                _picture(archive, row["distorted"]),
                float(row["published_value"]),
            )
            for row in rows
        ]


def rounded_greys(images: np.ndarray) -> np.ndarray:
    """Turns RGB of 8 bits, in [0, 1], into greys of 8 bits ``(..., 1)``, as Matlab's rgb2gray does."""
    greys = np.round(255.0 * images.astype(np.float64) @ np.array(_GREY_WEIGHTS))
    return (greys[..., None] / 255.0).astype(np.float32)


def _picture(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with Image.open(io.BytesIO(archive.read(name))) as image:
        return np.asarray(image.convert("RGB"))[None] / np.float32(255)
