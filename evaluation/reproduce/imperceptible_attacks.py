"""The attacks of Hua et al. 2022 side by side, with what is printed of each."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bioattack.attacks.request import AttackRequest
from bioattack.evaluation.reproduce.imperceptible_sizes import Sizes

OURS, PGD = "ours", "pgd"
CONFIDENCES = (0, 1, 5)
STEP_LENGTH = 0.1
#: The ablations of the paper's supplement.
LAMBDAS = (0.0, 0.1, 1.0, 10.0, 100.0)
STEP_LENGTHS = (0.01, 0.05, 0.1, 0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Cost:
    """The distance that our attack keeps small.

    Args:
        name: In ``bioattack.distances``.
        options: Of it.
        words: What it is, for the reader.
    """

    name: str
    options: tuple[tuple[str, Any], ...]
    words: str


@dataclasses.dataclass(frozen=True)
class Contender:
    """An attack in the comparison.

    Args:
        key: Its name in tables for programs and in folders.
        title: What the paper calls it.
        request: What is run.
        is_slow: Whether it meets fewer pictures.
        published: What Table 3.1 prints: ``rate`` in percent, ``l1, l2, linf``, ``lpips`` and ``dists``
            times 1000; empty where the paper has no such line.
        saliency: What Table 3.2 prints: ``l1, l2, linf, ssim``; likewise.
    """

    key: str
    title: str
    request: AttackRequest
    is_slow: bool = False
    published: Mapping[str, float] = dataclasses.field(default_factory=dict)
    saliency: Mapping[str, float] = dataclasses.field(default_factory=dict)


_MEASURES = ("rate", "l1", "l2", "linf", "lpips", "dists")
_SHIFTS = ("l1", "l2", "linf", "ssim")
# Tables 3.1 and 3.2, 1,000 ImageNet-compatible pictures, ResNet-50.
_PRINTED = {
    "perc-al": ((100, 633.12, 2.22, 0.085, 33.96, 33.82), (1129.92, 10.80, 0.319, 0.093)),
    "pgd": ((100, 592.74, 1.56, 0.005, 7.82, 8.77), (385.70, 3.88, 0.132, 0.020)),
    "ppgd": ((95.75, 2544.21, 6.60, 0.115, 81.57, 51.08), (946.39, 9.07, 0.276, 0.086)),
    "lpa": ((99.78, 2157.77, 5.31, 0.049, 51.64, 35.92), (522.03, 5.34, 0.188, 0.036)),
    "ours-0": ((100, 783.86, 1.91, 0.006, 7.30, 8.17), (325.73, 3.34, 0.118, 0.016)),
    "ours-1": ((100, 1965.10, 4.45, 0.014, 22.24, 21.47), (654.57, 6.42, 0.205, 0.045)),
    "ours-5": ((100, 3925.55, 8.53, 0.029, 44.89, 40.05), (1061.57, 10.21, 0.310, 0.087)),
}


def contenders(sizes: Sizes, cost: Cost) -> tuple[Contender, ...]:
    """Lists the attacks of Tables 3.1 and 3.2 in their order.

    Args:
        sizes: How hard they try.
        cost: The distance that ours keeps small.
    """
    colour_steps = AttackRequest("perc-al", num_steps=sizes.num_colour_steps)
    return (
        _contender("perc-al", "PerC_AL", colour_steps, is_slow=True),
        _contender(
            PGD,
            "PGD (L2)",
            AttackRequest("pgd-unbounded", num_steps=sizes.num_steps, step_length=STEP_LENGTH),
        ),
        _contender("ppgd", "NPTM (PPGD)", AttackRequest("ppgd"), is_slow=True),
        _contender("lpa", "NPTM (LPA)", AttackRequest("lpa"), is_slow=True),
        *(
            _contender(
                f"{OURS}-{confidence}",
                f"Ours (a = {confidence})",
                our_request(sizes, cost, confidence=confidence),
            )
            for confidence in CONFIDENCES
        ),
        # Not in the paper: steps this short are lost when a picture is saved, unless they are taken among
        # pictures that can be.
        Contender(
            f"{OURS}-0-8bit",
            "Ours (a = 0, 8 bits)",
            dataclasses.replace(our_request(sizes, cost), is_quantised=True),
        ),
    )


def our_request(
    sizes: Sizes,
    cost: Cost,
    *,
    confidence: float = 0,
    weight: float = 1.0,
    step_length: float = STEP_LENGTH,
) -> AttackRequest:
    """Says how Algorithm 3.1 is run."""
    return AttackRequest(
        "lagrangian",
        num_steps=sizes.num_steps,
        distance=cost.name,
        distance_options=cost.options,
        distance_weight=weight,
        confidence=float(confidence),
        step_length=step_length,
    )


def _contender(key: str, title: str, request: AttackRequest, *, is_slow: bool = False) -> Contender:
    measures, shifts = _PRINTED[key]
    return Contender(
        key,
        title,
        request,
        is_slow=is_slow,
        published=dict(zip(_MEASURES, measures, strict=True)),
        saliency=dict(zip(_SHIFTS, shifts, strict=True)),
    )


def find_cost(weights: Path | None) -> Cost:
    """Chooses what our attack keeps small: PieAPP with its published weights, or the one that is shipped.

    Args:
        weights: Folder of published weights.
    """
    for name in ("PieAPPv0.1.pth", "PieAPP_model_v0.1.ckpt.index"):
        if weights and (weights / name).is_file():
            path = str(weights / name).removesuffix(".index")
            return Cost("pieapp", (("weights", path),), f"PieAPP with the weights of {Path(path).name}")
    return Cost("pieapp-mini", (), "pieapp-mini, a small stand-in for PieAPP whose weights come along")
