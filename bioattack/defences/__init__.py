"""What is done to pictures before a model sees them: JPEG compression, fewer bits per channel, a median.

JPEG and fewer bits are exactly what a saved picture holds; each has a gradient for attackers who know of it.
Nothing heavy is imported before a defence is made: names can be checked at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bioattack.defences.registry import DEFENCES, read_defence

if TYPE_CHECKING:
    from bioattack.defences.bit_depth import BitDepth
    from bioattack.defences.defence import GRADIENTS, Defence
    from bioattack.defences.defended import defend, parse_defence
    from bioattack.defences.jpeg import JpegCompression
    from bioattack.defences.median import MedianSmoothing

__all__ = [
    "DEFENCES",
    "GRADIENTS",
    "BitDepth",
    "Defence",
    "JpegCompression",
    "MedianSmoothing",
    "defend",
    "parse_defence",
    "read_defence",
]

_MODULES = {
    "BitDepth": "bit_depth",
    "Defence": "defence",
    "GRADIENTS": "defence",
    "JpegCompression": "jpeg",
    "MedianSmoothing": "median",
    "defend": "defended",
    "parse_defence": "defended",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
