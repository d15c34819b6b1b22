"""What is done to pictures before a model sees them: JPEG compression and fewer bits per channel.

Each is exactly what a saved picture holds, and has a gradient for attackers who know of it.
"""

from bioattack.defences.bit_depth import BitDepth
from bioattack.defences.defence import GRADIENTS, Defence
from bioattack.defences.defended import defend, parse_defence
from bioattack.defences.jpeg import JpegCompression

__all__ = ["GRADIENTS", "BitDepth", "Defence", "JpegCompression", "defend", "parse_defence"]
