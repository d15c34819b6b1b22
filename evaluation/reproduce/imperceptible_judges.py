"""The distances that attacks are compared by: none of them is what one of these attacks keeps small."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from bioattack.distances import Distance, make_distance
from bioattack.errors import InputError
from bioattack.evaluation.reproduce.workplace import Workplace

LPIPS, DISTS, FEATURES, MS_SSIM, SSIM = "lpips", "dists", "nptm", "ms-ssim", "ssim"
LPIPS_HEADS, DISTS_WEIGHTS = "lpips_v0.1_heads.npz", "dists_alpha_beta.npz"
SQUEEZENET_WEIGHTS = "squeezenet_v10_imagenet.npz"
_VGG_TRUNK = "vgg16*.pth"
# Files, the trunks in them, and what tables call these; the first that is there is taken.
_LPIPS_TRUNKS = (
    ("alexnet*.pth", "alexnet", "AlexNet"),
    (_VGG_TRUNK, "vgg16", "VGG-16"),
    ("squeezenet1_1*.pth", "squeezenet-1.1", "SqueezeNet 1.1"),
    (SQUEEZENET_WEIGHTS, "squeezenet-1.0", "SqueezeNet 1.0, a stand-in for 1.1"),
)
_CLASSICAL = ((MS_SSIM, "1 - MS-SSIM"), (SSIM, "1 - SSIM"))


@dataclasses.dataclass(frozen=True)
class Judge:
    """A distance to compare by.

    Args:
        name: Of its column.
        title: Above the column, with the trunk that it stands on.
        distance: The distance.
        scale: By which tables multiply it, as the paper's do.
    """

    name: str
    title: str
    distance: Distance
    scale: float = 1.0


@dataclasses.dataclass(frozen=True)
class Panel:
    """All of them.

    Args:
        by_name: In the order of the columns.
        missing: What could not be had, and what it takes; a sentence each.
    """

    by_name: Mapping[str, Judge]
    missing: tuple[str, ...]

    @property
    def distances(self) -> dict[str, Distance]:
        """By the names of their columns."""
        return {name: judge.distance for name, judge in self.by_name.items()}

    def chosen(self, *wanted: str) -> Judge | None:
        """Gives the first of these that there is, or else the first of all; None where there is none."""
        for name in (*wanted, *self.by_name):
            if name in self.by_name:
                return self.by_name[name]
        return None


def find_judges(workplace: Workplace, *, image_shape: Sequence[int]) -> Panel:
    """Finds what can be measured with the weights at hand, once for all experiments.

    Args:
        workplace: Says where the weights are.
        image_shape: ``(height, width, channels)`` of the pictures.

    Raises:
        InputError: If a file of weights is damaged.
    """
    weights = workplace.config.weights
    found: Panel = workplace.keep("judges", lambda: _find(weights, min(image_shape[:2])))
    return found


def _find(weights: Path | None, size: int) -> Panel:
    judges: list[Judge] = []
    missing: list[str] = []
    for name, find in (("LPIPS", _lpips), ("DISTS", _dists)):
        found = find(weights)
        if isinstance(found, Judge):
            judges.append(found)
        else:
            missing.append(f"{name} is not measured: --weights names no folder with {found}.")
    if weights and (weights / SQUEEZENET_WEIGHTS).is_file():
        title = "feature distance of SqueezeNet 1.0"
        judges.append(_made(FEATURES, title, trunk="squeezenet-1.0", weights=weights / SQUEEZENET_WEIGHTS))
    judges += [Judge(name, title, make_distance(name)) for name, title in _CLASSICAL]
    fitting = [judge for judge in judges if judge.distance.least_size <= size]
    # Of the two classical ones the finer is enough, where the pictures are large enough for it.
    if MS_SSIM in {judge.name for judge in fitting}:
        fitting = [judge for judge in fitting if judge.name != SSIM]
    return Panel({judge.name: judge for judge in fitting}, tuple(missing))


def _lpips(weights: Path | None) -> Judge | str:
    """The judge, or the files that it takes."""
    if weights and (weights / LPIPS_HEADS).is_file():
        heads = weights / LPIPS_HEADS
        for pattern, trunk, title in _LPIPS_TRUNKS:
            if path := next(iter(sorted(weights.glob(pattern))), None):
                return _made(LPIPS, f"LPIPS x 1000 ({title})", trunk=trunk, weights=path, heads=heads)
    trunks = ", ".join(pattern for pattern, *_ in _LPIPS_TRUNKS)
    return f"{LPIPS_HEADS} and a trunk ({trunks}; the .pth are torchvision's)"


def _dists(weights: Path | None) -> Judge | str:
    trunk = next(iter(sorted(weights.glob(_VGG_TRUNK))), None) if weights else None
    if weights and trunk and (weights / DISTS_WEIGHTS).is_file():
        return _made(DISTS, "DISTS x 1000 (VGG-16)", weights=trunk, alpha_beta=weights / DISTS_WEIGHTS)
    return f"{DISTS_WEIGHTS} and torchvision's {_VGG_TRUNK}"


def _made(name: str, title: str, **options: object) -> Judge:
    try:
        distance = make_distance(name, **options)
    except (ValueError, OSError) as error:
        raise InputError(f"--weights: {error}") from error
    return Judge(name, title, distance, scale=1000 if name in (LPIPS, DISTS) else 1)
