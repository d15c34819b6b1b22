"""What came of an adversarial dataset: cost, radius and loss of each round, and lambda against radius."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bioattack.training.dataset_chunks import Chunk
from bioattack.training.options import DroOptions

# Counts and sums over a chunk, which are added up.
SUMS = (
    *("samples", "correct", "fooled", "fooled_8bit", "attack_steps"),
    *("cost", "drawn_cost", "weight", "weighted_cost", "loss", "seconds"),
)


@dataclasses.dataclass(frozen=True)
class SweepPoint:
    """One lambda of a sweep, in the last round of its dataset.

    Args:
        distance_weight: Lambda.
        implied_radius: Mean distance of the attacked pictures from their origins: the delta of equation 3.2
            to which that lambda belongs.
        worst_case_loss: Mean cross-entropy at the attacked pictures.
        robust_surrogate: Mean of that loss less lambda times the distance (equation 3.3).
        success_rate: Share of the right answers that the attack turned.

    Source:
        Hua et al. 2022, equations 3.2 and 3.3.
    """

    distance_weight: float
    implied_radius: float
    worst_case_loss: float
    robust_surrogate: float
    success_rate: float


def summarise(
    notes: Sequence[tuple[Chunk, dict[str, float]]], *, options: DroOptions, cost: str, num_clean: int
) -> dict[str, Any]:
    """Adds up what was noted of the chunks of a dataset.

    Args:
        notes: Each chunk with its sums.
        options: What it was made with.
        cost: Name of the distance of the costs.
        num_clean: Clean records.

    Returns:
        The content of ``summary.json``. ``mean_cost`` is what the attack keeps small: the distance from the
        clean pictures or, with ``reference="drawn"``, from those that were drawn; ``implied_radius`` is that
        from the clean pictures, which equation 3.2 is about. In ``weighted_cost`` every record counts by its
        weight, clean ones with a cost of 0: that is how far what the second algorithm learns from is from the
        clean records.
    """
    rounds = [
        _summarise_round(number, [sums for chunk, sums in notes if chunk.round == number], options)
        for number in range(1, options.rounds + 1)
    ]
    total = _added([sums for _, sums in notes])
    return {
        "attack": options.attack,
        "distance": cost,
        "distance_weight": options.distance_weight if options.attack == "lagrangian" else None,
        "num_clean": num_clean,
        "num_attacked": int(total["samples"]),
        "num_records": num_clean + int(total["samples"]),
        "implied_radius": rounds[-1]["implied_radius"],
        "worst_case_loss": rounds[-1]["worst_case_loss"],
        "weighted_cost": total["weighted_cost"] / (total["weight"] + num_clean),
        "seconds": total["seconds"],
        "rounds": rounds,
    }


def summary_words(summary: dict[str, Any]) -> str:
    """Says what came of a dataset in a sentence.

    Args:
        summary: As ``summarise`` gives it.

    >>> last = {"success_rate": 0.5, "success_rate_8bit": 0.25, "implied_radius": 0.087}
    >>> summary_words({"distance": "ssim", "num_attacked": 64, "worst_case_loss": 1.25, "rounds": [last] * 2})
    ... # doctest: +NORMALIZE_WHITESPACE
    'adversarial dataset: 64 attacked pictures in 2 rounds; in the last one 50.0 % of the right answers were
    turned (25.0 % with 8 bits), the mean ssim from the clean pictures (the radius delta) was 0.087, the
    worst-case loss 1.25'
    """
    last = summary["rounds"][-1]
    turned = "no answer was right before"
    if last["success_rate"] is not None:
        turned = (
            f"{100 * last['success_rate']:.1f} % of the right answers were turned"
            f" ({100 * last['success_rate_8bit']:.1f} % with 8 bits)"
        )
    return (
        f"adversarial dataset: {summary['num_attacked']:,} attacked pictures in {len(summary['rounds'])}"
        f" rounds; in the last one {turned}, the mean {summary['distance']} from the clean pictures (the"
        f" radius delta) was {last['implied_radius']:.4g}, the worst-case loss"
        f" {summary['worst_case_loss']:.4g}"
    )


def sweep_point(summary: dict[str, Any]) -> SweepPoint:
    """Takes a point of a sweep from the summary of its dataset."""
    last = summary["rounds"][-1]
    return SweepPoint(
        distance_weight=summary["distance_weight"],
        **{
            name: last[name]
            for name in ("implied_radius", "worst_case_loss", "robust_surrogate", "success_rate")
        },
    )


def _summarise_round(number: int, sums: Sequence[dict[str, float]], options: DroOptions) -> dict[str, Any]:
    total = _added(sums)
    num_samples, num_correct = total["samples"], total["correct"]
    cost = total["cost" if options.reference == "origin" else "drawn_cost"] / num_samples
    loss = total["loss"] / num_samples
    is_weighed = options.attack == "lagrangian"
    return {
        "round": number,
        "samples": int(num_samples),
        "accuracy_before": num_correct / num_samples,
        "success_rate": total["fooled"] / num_correct if num_correct else None,
        "success_rate_8bit": total["fooled_8bit"] / num_correct if num_correct else None,
        "mean_attack_steps": total["attack_steps"] / num_samples,
        "attack_steps": int(total["attack_steps"]),
        "mean_cost": cost,
        "implied_radius": total["cost"] / num_samples,
        "worst_case_loss": loss,
        "robust_surrogate": loss - options.distance_weight * cost if is_weighed else None,
        "seconds": total["seconds"],
    }


def _added(sums: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: math.fsum(one.get(name, 0.0) for one in sums) for name in SUMS}
