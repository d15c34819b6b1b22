"""Small pictures made on the spot, for the tests of whatever reads picture files."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def made_up_image(seed: int, *, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Image.Image:
    """A smooth random picture, different for every seed.

    Args:
        seed: Any whole number.
        size: ``(width, height)`` in pixels.
        mode: Pillow's, such as ``"RGB"``, ``"L"``, ``"CMYK"``.
    """
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return image if mode == "RGB" else image.convert(mode)


def picture_bytes(seed: int, *, file_format: str = "PNG", **how: Any) -> bytes:
    """The bytes of an image file; ``how`` goes to ``made_up_image``."""
    buffer = io.BytesIO()
    made_up_image(seed, **how).save(buffer, file_format)
    return buffer.getvalue()


def write_files(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Writes files, each by its path below ``folder``, and returns the folder."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def class_pictures(counts: Mapping[str, int], *, seed: int = 0, **how: Any) -> dict[str, bytes]:
    """Files for ``write_files``: in each folder a number of pictures, no two the same.

    >>> sorted(class_pictures({"train/ant": 2, "train/bee": 1}))
    ['train/ant/0.png', 'train/ant/1.png', 'train/bee/0.png']
    """
    names = [f"{folder}/{number}.png" for folder, count in counts.items() for number in range(count)]
    return {name: picture_bytes(seed + position, **how) for position, name in enumerate(names)}
