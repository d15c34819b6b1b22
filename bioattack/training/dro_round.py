"""What a round of Algorithm 4.1 draws, batch by batch, with the clean pictures that it goes back to."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from bioattack.tfrecords_builder.drawing import draw_places, expected_weight
from bioattack.tfrecords_builder.weighted_reading import WeightedRecords
from bioattack.training.batch_attack import AttackedBatch
from bioattack.training.options import DroOptions

# Beside the seed, where the draws of this algorithm come from; those of the second one have the epoch there.
_DRAWS = 1


@dataclasses.dataclass(frozen=True)
class DrawnBatch:
    """What is learned from and attacked at a time.

    Args:
        images: ``(batch, height, width, channels)`` float32, in [0, 1].
        labels: ``(batch,)``.
        shares: ``(batch,)``: weights over the expected one; None where weights do not count in the loss.
        origins: The clean pictures, in the shape of ``images``.
        origin_places: ``(batch,)``, where these are in the index.
        records: ``(batch,)``: their records as they are stored.
    """

    images: np.ndarray
    labels: np.ndarray
    shares: np.ndarray | None
    origins: np.ndarray
    origin_places: np.ndarray
    records: np.ndarray


@dataclasses.dataclass(frozen=True)
class AttackedDraws:
    """What came of a batch.

    Args:
        names: Of the new records.
        attacked: The pictures, in the order of the batch.
        weights: ``(batch,)``, of the new records.
        costs: ``(batch,)``: distances from the clean pictures.
        drawn_costs: ``(batch,)``: distances from the pictures that the attack measured from.
    """

    names: list[str]
    attacked: AttackedBatch
    weights: np.ndarray
    costs: np.ndarray
    drawn_costs: np.ndarray

    def sums(self) -> dict[str, float]:
        """Adds up what ``dro_summary.SUMS`` names, but for the seconds."""
        costs = self.costs.astype(np.float64)
        return {
            "samples": len(costs),
            "correct": int(self.attacked.is_correct.sum()),
            "fooled": int(self.attacked.is_fooled.sum()),
            "fooled_8bit": int(self.attacked.is_fooled_8bit.sum()),
            "attack_steps": int(self.attacked.num_steps.sum()),
            "cost": float(costs.sum()),
            "drawn_cost": float(self.drawn_costs.astype(np.float64).sum()),
            "loss": float(self.attacked.losses.astype(np.float64).sum()),
            "weight": float(self.weights.sum()),
            "weighted_cost": float((self.weights * costs).sum()),
        }


class RoundDraws:
    """All that a round draws: with replacement, from the dataset as it was when the round began.

    Args:
        dataset: As it was then.
        options: Whose ``weighting`` says what the weights do.
        num_samples: Draws of the round.
        seeds: The seed and the number of the round.

    Raises:
        RecordsError: If nothing can be drawn by the weights.

    Source:
        Hua et al. 2022, Algorithm 4.1, line 3.
    """

    def __init__(
        self, dataset: WeightedRecords, options: DroOptions, *, num_samples: int, seeds: tuple[int, int]
    ) -> None:
        self._dataset = dataset
        self._is_loss_weighted = options.is_loss_weighted
        self._scale = expected_weight(dataset.weights, is_proportional=options.is_proportional)
        self.places = draw_places(
            dataset.weights,
            num_samples,
            seeds=(seeds[0], _DRAWS, seeds[1]),
            is_proportional=options.is_proportional,
        )

    def batches(self, first: int, stop: int, *, batch_size: int) -> Iterator[DrawnBatch]:
        """Reads some of the draws.

        Args:
            first: The first one, from 0.
            stop: The one after the last.
            batch_size: Pictures in a batch; the last one may be smaller.

        Raises:
            RecordsError: If a shard is damaged, within ``weighted_reading.explain_damage``.
        """
        dataset, places = self._dataset, self.places[first:stop]
        origins = dataset.index["origin"][places].astype(np.int64)
        cuts = range(batch_size, len(places), batch_size)
        parts = zip(
            np.array_split(places, cuts),
            np.array_split(origins, cuts),
            dataset.dataset_at(places, batch_size=batch_size).as_numpy_iterator(),
            dataset.dataset_at(origins, batch_size=batch_size).as_numpy_iterator(),
            dataset.serialised_at(origins, batch_size=batch_size).as_numpy_iterator(),
            strict=True,
        )
        for its_places, its_origins, (images, labels, _), (clean, _, _), stored in parts:
            shares = dataset.weights[its_places] / self._scale if self._is_loss_weighted else None
            yield DrawnBatch(images, labels, shares, clean, its_origins, stored)
