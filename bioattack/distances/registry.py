"""The distances by name; nothing heavy is imported before one is made."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioattack.distances.distance import Distance

DISTANCES: dict[str, str] = {
    "l1": "bioattack.distances.lp:L1",
    "l2": "bioattack.distances.lp:L2",
    "linf": "bioattack.distances.lp:Linf",
    "rms": "bioattack.distances.lp:RootMeanSquare",
    "psnr": "bioattack.distances.psnr:PeakSignalToNoise",
    "ssim": "bioattack.distances.ssim:StructuralSimilarity",
    "ms-ssim": "bioattack.distances.ms_ssim:MultiScaleStructuralSimilarity",
    "ciede2000": "bioattack.distances.ciede2000:ColourDifference",
    "pieapp": "bioattack.distances.pieapp:PieApp",
    "pieapp-mini": "bioattack.distances.pieapp_mini:PieAppMini",
    "lpips": "bioattack.distances.lpips:LearnedPatchSimilarity",
    "dists": "bioattack.distances.dists:StructureAndTexture",
    "nptm": "bioattack.distances.nptm:FeatureDistance",
}


def distance_names() -> list[str]:
    """Returns all names."""
    return list(DISTANCES)


def make_distance(name: str, **options: Any) -> "Distance":
    """Makes a distance.

    Args:
        name: A name in the table.
        options: Arguments of its class, such as ``weights`` (a path) where it needs trained ones.

    Raises:
        ValueError: If there is no such distance.
        TypeError: If it has no such option.
    """
    if name not in DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(DISTANCES)}. Received: distance={name!r}")
    module, _, class_name = DISTANCES[name].partition(":")
    distance: Distance = getattr(importlib.import_module(module), class_name)(**options)
    return distance
