"""What the streaming engine keeps of its images: on their way, in their slots, and done."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bioattack.attacks.searches import Finding, Outcome
from bioattack.attacks.stream import Image


@dataclasses.dataclass
class Statistics:
    """What a run did.

    Args:
        num_images: Images that came in.
        num_passes: Forward and backward passes over the batch.
        num_looks: Forward passes over the batch that judged only.
        slot_passes: Sum of the batch's sizes over all passes.
        idle_slot_passes: Of these, slots without an image while there were images left.
        idle_slot_passes_dry: Of these, slots without an image after the last one had come in.
    """

    num_images: int = 0
    num_passes: int = 0
    num_looks: int = 0
    slot_passes: int = 0
    idle_slot_passes: int = 0
    idle_slot_passes_dry: int = 0


@dataclasses.dataclass
class Task:
    """An image on its way through the engine.

    Args:
        image: The image and what came with it.
        attempts: ``(restart, target)`` in the order in which they are tried at one epsilon.
        findings: What was found so far.
    """

    image: Image
    attempts: list[tuple[int, int]]
    findings: list[Finding] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Progress:
    """How far the trial in each slot has got; one entry per slot.

    Args:
        steps: Moves made.
        seconds: Time spent.
        is_judged: Whether the present iterate has been looked at already.
    """

    steps: np.ndarray
    seconds: np.ndarray
    is_judged: np.ndarray

    @classmethod
    def none(cls, num_slots: int) -> "Progress":
        """That of trials which begin."""
        return cls(np.zeros(num_slots, np.int64), np.zeros(num_slots), np.zeros(num_slots, bool))

    def begin(self, places: Sequence[int], num_slots: int, *, steps: np.ndarray, seconds: float) -> None:
        """Begins anew in some slots, with more slots if there are fewer than that."""
        for name, values in vars(self).items():
            values = np.pad(values, (0, num_slots - len(values)))
            values[places] = 0
            setattr(self, name, values)
        self.steps[places], self.seconds[places] = steps, seconds

    def keep(self, places: np.ndarray) -> None:
        """Forgets all other slots."""
        for name, values in vars(self).items():
            setattr(self, name, values[places])


@dataclasses.dataclass(frozen=True)
class ImageResult:
    """What came of one image.

    Args:
        image: The image and what came with it, its clean logits included.
        outcomes: One for each epsilon; none where the image was not attacked, being wrong before.
    """

    image: Image
    outcomes: tuple[Outcome, ...]

    @property
    def first_finding(self) -> Finding | None:
        """What the attack at the first radius found; none where there was no attack."""
        return self.outcomes[0].finding if self.outcomes else None

    @property
    def adversarial_image(self) -> np.ndarray:
        """What the attack at the first radius made of it; the image itself where there was no attack."""
        finding = self.first_finding
        return self.image.pixels if finding is None else finding.required_image()
