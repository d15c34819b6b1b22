"""Models that each lack one record: which records, what the models answer, and the scores of that.

The output folder of ``bioattack-train --leave-one-out``::

    OUTPUT/
      full/             run folder of the model with all records
      published-007/    of one without the eighth drawn record, with another seed
      paired-007/       of one without it, with the full model's initial weights and order of the others
      noise-007/        of one with all records, with the seed of published-007
      models.csv        model, way, left_out, and the columns of an ensemble's models.csv
      leave_one_out.csv   way, score (LUF, LUF_t, LUF_l), value, low, high, confidence, num_images,
                        num_left_out

Each run folder has ``test_probabilities.npy``: float32 ``(test images, classes)``, in the stored order.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bioattack.errors import InputError
from bioattack.evaluation.ensemble import MODELS, Tables, model_table, train_members, write_table
from bioattack.fairness.leave_one_out import LeaveOneOut, LeaveOneOutScore
from bioattack.fairness.score_intervals import Drawing
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.selection import read_names
from bioattack.training.many import ManyResult, no_preparation, tell_nobody
from bioattack.training.many_config import FULL, WAYS, ManyConfig, check_many, left_out_members
from bioattack.training.many_folder import PROBABILITIES, read_member_card

SCORES = "leave_one_out.csv"

# Another stream of random numbers than those that the same seed gives elsewhere.
_STREAM = 101


def train_left_out(
    config: ManyConfig,
    *,
    prepare: Callable[[], None] = no_preparation,
    tell: Callable[[str], None] = tell_nobody,
) -> ManyResult:
    """Trains a model and those without one record each, and writes their tables; goes on where it was killed.

    Args:
        config: With ``leave_one_out``.
        prepare: As for ``train_many``.
        tell: As for ``train_many``.

    Raises:
        InputError: If the settings or the folder cannot be used; a model that fails is in the result.
        RecordsError: If the records cannot be read.
    """
    check_many(config)
    members = left_out_members(config, draw_left_out(config))

    def write(names: Sequence[str]) -> Tables:
        return write_left_out_tables(config.output, names)

    return train_members(config, members, write=write, prepare=prepare, tell=tell)


def draw_left_out(config: ManyConfig) -> tuple[str, ...]:
    """Draws the records that are left out, by the seed of the full model.

    The first so many of a larger draw are a smaller draw: a hundred go on from twenty.

    Args:
        config: With ``leave_one_out``.

    Returns:
        Their names.

    Raises:
        InputError: If there are not so many, or there is no test split to compare the models on.
        RecordsError: If the records cannot be read.
    """
    records = open_records(config.data)
    if "test" not in records.splits or not records.num_examples("test"):
        raise InputError(f"--leave-one-out compares models on a split named test, which {config.data} lacks")
    names, _ = read_names(records, "train", limit=config.limit)
    number = config.leave_one_out or 0
    if number >= len(names):
        raise InputError(
            f"--leave-one-out must be below the number of training records, which is {len(names)}."
            f" Received: {number}"
        )
    places = np.random.default_rng([config.seed, _STREAM]).permutation(len(names))
    return tuple(str(names[place]) for place in places[:number])


def full_probabilities(output: Path) -> np.ndarray:
    """Maps the full model's answers into memory.

    Args:
        output: As ``bioattack-train --leave-one-out`` wrote it.

    Returns:
        float32 ``(images, classes)``.

    Raises:
        InputError: If it is not finished.
    """
    if read_member_card(output / FULL) is None:
        raise InputError(
            f"{output} has no finished model {FULL}; give the folder of a bioattack-train --leave-one-out,"
            " or its command again to go on with it"
        )
    probabilities: np.ndarray = np.load(output / FULL / PROBABILITIES, mmap_mode="r")
    return probabilities


def left_out_probabilities(output: Path, way: str) -> Iterator[tuple[str, np.ndarray]]:
    """Gives the answers of the finished models of one way, one by one.

    Args:
        output: As ``bioattack-train --leave-one-out`` wrote it.
        way: One of ``WAYS``.

    Yields:
        The model's name and float32 ``(images, classes)``, mapped into memory.
    """
    for folder in sorted(output.glob(f"{way}-*")):
        if read_member_card(folder) is not None:
            yield folder.name, np.load(folder / PROBABILITIES, mmap_mode="r")


def gather_left_out(output: Path) -> dict[str, LeaveOneOut]:
    """Gathers the answers of all finished models by way, ready for scores and comparisons.

    Args:
        output: As ``bioattack-train --leave-one-out`` wrote it.

    Returns:
        The ways that have a finished model, in the order of ``WAYS``.

    Raises:
        InputError: If the full model is not finished, or answers are no probabilities of the same images.
    """
    full = full_probabilities(output)
    gathered = {}
    for way in WAYS:
        answers = LeaveOneOut(full)
        num_models = 0
        for _, probabilities in left_out_probabilities(output, way):
            answers.add(probabilities)
            num_models += 1
        if num_models:
            gathered[way] = answers
    return gathered


def score_left_out(output: Path, drawing: Drawing | None = None) -> dict[str, list[LeaveOneOutScore]]:
    """Makes LUF, LUF_t and LUF_l of the published way and of its two controls, with intervals.

    Args:
        output: As ``bioattack-train --leave-one-out`` wrote it.
        drawing: How intervals are made.

    Returns:
        The three scores by way.

    Raises:
        InputError: As ``gather_left_out``.

    Source:
        Sooksatra and Rivas 2022, definition 3 and section IV.D; the controls are ours.
    """
    return {way: answers.scores(drawing) for way, answers in gather_left_out(output).items()}


def write_left_out_tables(output: Path, names: Sequence[str]) -> Tables:
    """Writes ``models.csv`` and ``leave_one_out.csv``.

    Args:
        output: Folder of the models.
        names: Of those that are finished.

    Returns:
        The files, and a line on each way.

    Raises:
        InputError: As ``gather_left_out``.
    """
    table = model_table(output, names)
    ways = [name.rpartition("-")[0] or FULL for name in names]
    left_out = [", ".join(_left_out_of(output / name)) for name in names]
    table.insert(1, "way", ways)
    table.insert(2, "left_out", left_out)
    write_table(output / MODELS, table)
    if FULL not in names or len(names) < 2:
        return (output / MODELS,), ("there are no scores: a model is missing to compare with",)
    scores = score_left_out(output)
    write_table(output / SCORES, _score_table(scores))
    return (output / MODELS, output / SCORES), tuple(_words(way, found) for way, found in scores.items())


def _left_out_of(run: Path) -> list[str]:
    names: list[str] = json.loads((run / "model_card.json").read_text())["data"]["left_out"]
    return names


def _score_table(scores: dict[str, list[LeaveOneOutScore]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "way": way,
            "score": score.name,
            "value": score.value,
            "low": score.low,
            "high": score.high,
            "confidence": score.confidence,
            "num_images": score.num_images,
            "num_left_out": score.num_left_out,
        }
        for way, found in scores.items()
        for score in found
    )


def _words(way: str, scores: list[LeaveOneOutScore]) -> str:
    parts = [f"{score.name} {score.value:.4g} ({score.low:.4g} to {score.high:.4g})" for score in scores]
    return f"{way}, {scores[0].num_left_out} models: {', '.join(parts)}"
