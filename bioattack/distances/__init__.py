"""How far two images are apart, differentiable, by name: ``make_distance("ssim")(reference, images)``.

Nothing heavy is imported before ``Distance`` is asked for or one is made: names can be listed at once.
"""

from typing import TYPE_CHECKING, Any

from bioattack.distances.registry import DISTANCES, distance_names, make_distance

if TYPE_CHECKING:
    from bioattack.distances.distance import Distance

__all__ = ["DISTANCES", "Distance", "distance_names", "make_distance"]


def __getattr__(name: str) -> Any:
    if name == "Distance":
        from bioattack.distances.distance import Distance

        return Distance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
