"""LUF: how much a model's answers hang on single samples of its training set.

Probabilities come one leave-one-out model at a time, so that 100 models, 10,000 images and 10 classes need
not be in memory together.
"""

import dataclasses

import numpy as np

from bioattack.errors import InputError
from bioattack.fairness.cells import make_cells
from bioattack.fairness.group_sample import GroupSample
from bioattack.fairness.odd_unfairness import check_probabilities
from bioattack.fairness.score_intervals import Drawing

LUF, LUF_T, LUF_L = "LUF", "LUF_t", "LUF_l"


@dataclasses.dataclass(frozen=True)
class LeaveOneOutScore:
    """One of the three scores.

    Args:
        name: ``"LUF"``, ``"LUF_t"`` or ``"LUF_l"``.
        value: LUF is a difference of confidence in 0 to 1; LUF_t is a number of models; LUF_l is a number of
            images.
        low: Lower end of the percentile interval.
        high: Upper end.
        confidence: Of the interval.
        num_images: Images that were asked.
        num_left_out: Leave-one-out models.
    """

    name: str
    value: float
    low: float
    high: float
    confidence: float
    num_images: int
    num_left_out: int


@dataclasses.dataclass(frozen=True)
class LeaveOneOutDifference:
    """How a leave-one-out score differs between two families of models on the same images.

    Args:
        name: Of the score.
        first: The first family's.
        second: The second family's.
        difference: ``second - first``.
        low: Lower end of its percentile interval.
        high: Upper end.
        confidence: Of the interval.
        p_value: Of the permutation test that exchanges the families image by image (for LUF_l: left-out model
            by left-out model); two-sided.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    confidence: float
    p_value: float


class LeaveOneOut:
    """Gathers what the leave-one-out models answer.

    Args:
        full: Probabilities of the model that is trained on everything, ``(images, classes)``.

    Raises:
        InputError: If they are no probabilities.

    Source:
        Sooksatra and Rivas 2022, definition 3 and section IV.D; Black and Fredrikson 2021.

    >>> gathered = LeaveOneOut(np.array([[0.75, 0.25], [0.5, 0.5]]))
    >>> gathered.add(np.array([[0.25, 0.75], [0.5, 0.5]]))
    >>> [score.value for score in gathered.scores()]
    [0.25, 0.5, 1.0]
    """

    def __init__(self, full: np.ndarray) -> None:
        if np.ndim(full) != 2 or 0 in np.shape(full):
            raise InputError(
                f"the full model's probabilities must be (images, classes). Received: {np.shape(full)}"
            )
        check_probabilities(full)
        self._full = np.asarray(full, float)
        self._answers = self._full.argmax(axis=1)
        self._largest = np.zeros(len(self._full))
        self._num_changed_by_image = np.zeros(len(self._full), np.int64)
        self._num_changed_by_model: list[int] = []

    def add(self, probabilities: np.ndarray) -> None:
        """Takes the probabilities of one more leave-one-out model.

        Args:
            probabilities: ``(images, classes)``, of the same images as the full model's.

        Raises:
            InputError: If they have another shape, or are no probabilities.
        """
        if np.shape(probabilities) != self._full.shape:
            raise InputError(
                f"a leave-one-out model's probabilities must be {self._full.shape}, as the full model's. "
                f"Received: {np.shape(probabilities)}"
            )
        check_probabilities(probabilities)
        answers = np.asarray(probabilities, float)
        np.maximum(self._largest, np.abs(answers - self._full).max(axis=1), out=self._largest)
        has_changed = answers.argmax(axis=1) != self._answers
        self._num_changed_by_image += has_changed
        self._num_changed_by_model.append(int(has_changed.sum()))

    @property
    def by_image(self) -> dict[str, np.ndarray]:
        """LUF and LUF_t of each image, ``(images,)``."""
        return {LUF: self._largest.copy(), LUF_T: self._num_changed_by_image.copy()}

    @property
    def by_left_out(self) -> np.ndarray:
        """Images predicted differently by each leave-one-out model, ``(left out,)``."""
        return np.array(self._num_changed_by_model)

    def parts(self) -> dict[str, np.ndarray]:
        """Gives the values whose means are the three scores, by their names.

        Raises:
            InputError: If there is no leave-one-out model yet.
        """
        if not self._num_changed_by_model:
            raise InputError("leave-one-out unfairness needs at least one leave-one-out model; there is none")
        return {**self.by_image, LUF_L: self.by_left_out}

    def scores(self, drawing: Drawing | None = None) -> list[LeaveOneOutScore]:
        """Makes the three scores; ``LUF_t * images == LUF_l * left out`` holds by their definition.

        LUF and LUF_t scatter with the choice of images, LUF_l with the choice of the left-out samples.

        Args:
            drawing: How intervals are made.
        """
        how = drawing or Drawing()
        found = []
        for name, values in self.parts().items():
            sample = _one_group(values[:, None])
            drawn = sample.resample(how.num_draws, how.generator())[:, 0, 0, 0]
            low, high = np.quantile(drawn, ((1 - how.confidence) / 2, (1 + how.confidence) / 2))
            found.append(
                LeaveOneOutScore(
                    name=name,
                    value=float(values.mean()),
                    low=float(low),
                    high=float(high),
                    confidence=how.confidence,
                    num_images=len(self._full),
                    num_left_out=len(self._num_changed_by_model),
                )
            )
        return found


def leave_one_out(full: np.ndarray, left_out: np.ndarray) -> LeaveOneOut:
    """Gathers the answers of all leave-one-out models at once.

    Args:
        full: ``(images, classes)``.
        left_out: ``(left out, images, classes)``.

    Raises:
        InputError: If shapes differ or there are no probabilities.

    >>> full = np.array([[0.75, 0.25]])
    >>> leave_one_out(full, full[None]).scores()[0].value
    0.0
    """
    gathered = LeaveOneOut(full)
    for probabilities in left_out:
        gathered.add(probabilities)
    return gathered


def compare_leave_one_out(
    first: LeaveOneOut, second: LeaveOneOut, drawing: Drawing | None = None
) -> list[LeaveOneOutDifference]:
    """Compares two families of models, such as a robust one's with a standard one's, or with its control.

    Args:
        first: One family's answers.
        second: The other's, on the same images, with the same samples left out.
        drawing: How intervals and tests are made.

    Raises:
        InputError: If the numbers of images or of left-out samples differ.

    >>> full, other = np.array([[0.75, 0.25]] * 8), np.array([[[0.25, 0.75]] * 8])
    >>> same, changed = leave_one_out(full, full[None]), leave_one_out(full, other)
    >>> [round(found.difference, 6) for found in compare_leave_one_out(same, changed)]
    [0.5, 1.0, 8.0]
    """
    how = drawing or Drawing()
    ours, others = first.parts(), second.parts()
    found = []
    for name, values in ours.items():
        if len(values) != len(others[name]):
            what = "left-out samples" if name == LUF_L else "images"
            raise InputError(
                f"the two families have {len(values)} and {len(others[name])} {what}; they must be the same"
            )
        found.append(_difference(name, np.stack([values, others[name]], axis=1), how))
    return found


def _difference(name: str, pairs: np.ndarray, how: Drawing) -> LeaveOneOutDifference:
    sample, generator = _one_group(pairs), how.generator()
    drawn = sample.resample(how.num_draws, generator)[:, 0, :, 0]
    swapped = sample.exchange(how.num_draws, generator)[:, 0, :, 0]
    first, second = (float(mean) for mean in pairs.mean(axis=0))
    low, high = np.quantile(drawn[:, 1] - drawn[:, 0], ((1 - how.confidence) / 2, (1 + how.confidence) / 2))
    as_large = np.abs(swapped[:, 1] - swapped[:, 0]) >= abs(second - first) - 1e-12
    return LeaveOneOutDifference(
        name=name,
        first=first,
        second=second,
        difference=second - first,
        low=float(low),
        high=float(high),
        confidence=how.confidence,
        p_value=float((1 + as_large.sum()) / (1 + how.num_draws)),
    )


def _one_group(values: np.ndarray) -> GroupSample:
    return GroupSample(("all",), (make_cells(values.astype(float)),), (values.shape[1], 1))
