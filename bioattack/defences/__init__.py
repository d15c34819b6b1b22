"""What is done to pictures before a model sees them: JPEG compression, fewer bits per channel, a median.

JPEG and fewer bits are exactly what a saved picture holds; each has a gradient for attackers who know of it.
"""

from bioattack.defences.bit_depth import BitDepth
from bioattack.defences.defence import GRADIENTS, Defence
from bioattack.defences.defended import defend, parse_defence
from bioattack.defences.jpeg import JpegCompression
from bioattack.defences.median import MedianSmoothing

__all__ = [
    "GRADIENTS",
    "BitDepth",
    "Defence",
    "JpegCompression",
    "MedianSmoothing",
    "defend",
    "parse_defence",
]
