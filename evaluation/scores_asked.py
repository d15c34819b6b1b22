"""Which scores are asked of which rows: by class or by group, as the images are and under each attack."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bioattack.errors import InputError
from bioattack.evaluation.scores_config import GroupsConfig, ScoresConfig
from bioattack.fairness.country_tables import Setting
from bioattack.fairness.equal_treatment import demographic_parity, equal_opportunity, equalized_odds
from bioattack.fairness.group_scores import ScoreInput
from bioattack.fairness.odd_unfairness import EOU, check_probabilities, equalized_odd_unfairness
from bioattack.fairness.result_rows import ModelRows
from bioattack.fairness.unfairness import (
    CAU,
    accuracy_unfairness,
    epsilon_unfairness,
    success_unfairness,
    worst_accuracy,
)

if TYPE_CHECKING:
    import pandas as pd

AS_THEY_ARE = Setting()


class Asked(NamedTuple):
    """A score of one setting; ``problem`` says why the model's answers allow none, where they do not."""

    setting: Setting
    score: ScoreInput | None
    name: str
    problem: str = ""


def ask(models: Sequence[ModelRows], config: ScoresConfig) -> Iterator[Asked]:
    """Asks for all scores of one model, or of two on the same images, in the order of the tables.

    Args:
        models: One, or two that are aligned.
        config: What is asked for.

    Raises:
        InputError: If a class or group has no images and none may be left out.
    """
    first = models[0]
    yield from _of_answers([rows.clean for rows in models], AS_THEY_ARE, "is_right", config)
    if isinstance(config, GroupsConfig):
        yield from _of_treatment(models, AS_THEY_ARE, config)
        yield from _of_confidence(models, config)
    for setting in first.attacked:
        frames = [rows.attacked[setting] for rows in models]
        yield from _of_answers(frames, setting, "is_right_after", config)
        yield from _of_successes(frames, setting, config)
        if isinstance(config, GroupsConfig):
            yield from _of_treatment(models, setting, config)
    for setting in first.searched:
        frames = [rows.searched[setting] for rows in models]
        named = _named(config)
        score = epsilon_unfairness(_columns(frames, "least_epsilon"), frames[0]["group"], **named)
        yield Asked(setting, score, score.name)


def _named(config: ScoresConfig) -> dict[str, Any]:
    what = "group" if isinstance(config, GroupsConfig) else "class"
    return {"minimum_count": config.minimum_count, "what": what}


def _columns(frames: "Sequence[pd.DataFrame]", name: str) -> np.ndarray:
    """``(rows,)`` of one model, ``(rows, 2)`` of two."""
    columns = [frame[name].to_numpy() for frame in frames]
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def _of_answers(
    frames: "Sequence[pd.DataFrame]", setting: Setting, column: str, config: ScoresConfig
) -> Iterator[Asked]:
    is_right, groups = _columns(frames, column), frames[0]["group"]
    gap = accuracy_unfairness(is_right, groups, **_named(config))
    name = CAU if not isinstance(config, GroupsConfig) else "accuracy difference"
    yield Asked(setting, dataclasses.replace(gap, name=name), name)
    worst = worst_accuracy(is_right, groups, **_named(config))
    name = worst.name if isinstance(config, GroupsConfig) else "worst-class accuracy"
    yield Asked(setting, dataclasses.replace(worst, name=name), name)


def _of_successes(
    frames: "Sequence[pd.DataFrame]", setting: Setting, config: ScoresConfig
) -> Iterator[Asked]:
    rows = _columns(frames, "is_fooled"), _columns(frames, "is_right"), frames[0]["group"]
    everything = success_unfairness(*rows, denominator="all", **_named(config))
    try:
        correct = success_unfairness(*rows, **_named(config))
        yield Asked(setting, correct, correct.name)
    except InputError as error:
        yield Asked(setting, None, "CRU_s", str(error))
    yield Asked(setting, everything, everything.name)


def _of_treatment(models: Sequence[ModelRows], setting: Setting, config: GroupsConfig) -> Iterator[Asked]:
    frames = [rows.clean if setting == AS_THEY_ARE else rows.attacked[setting] for rows in models]
    if not all("predicted" in frame for frame in frames):
        return
    names = models[0].class_names
    predicted, groups = _columns(frames, "predicted"), frames[0]["group"]
    labels = frames[0]["label"].cat.codes.to_numpy(np.int64)
    named: dict[str, Any] = {"class_names": names, "minimum_count": config.minimum_count}
    one: dict[str, Any] = {"positive": positive_place(config, names)}
    makers: dict[str, Callable[..., ScoreInput]] = {
        "demographic parity difference": partial(demographic_parity, predicted, groups, **one),
        "demographic parity ratio": partial(demographic_parity, predicted, groups, measure="ratio", **one),
        "equalised odds difference": partial(equalized_odds, predicted, labels, groups, **one),
        "equal opportunity difference": partial(equal_opportunity, predicted, labels, groups),
    }
    for name, make in makers.items():
        try:
            yield Asked(setting, make(**named), name)
        except InputError as error:
            yield _undefined(setting, name, error, config)


def _undefined(setting: Setting, name: str, error: InputError, config: ScoresConfig) -> Asked:
    """A score for which too few groups are left; where none may be left out, that is the user's to decide.

    Raises:
        InputError: Where none may be left out.
    """
    if config.minimum_count < 1:
        raise error
    return Asked(setting, None, name, str(error))


def positive_place(config: GroupsConfig, names: Sequence[str]) -> int | None:
    """Gives the place of the positive class.

    Raises:
        InputError: If there is no such class.
    """
    if config.positive is None:
        return None
    if config.positive not in names:
        listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise InputError(f"--positive: there is no class {config.positive!r}; there is {listed}")
    return list(names).index(config.positive)


def _of_confidence(models: Sequence[ModelRows], config: GroupsConfig) -> Iterator[Asked]:
    arrays = [rows.probabilities for rows in models]
    given = [array for array in arrays if array is not None]
    if len(given) < len(models):
        return
    frame = models[0].clean
    try:
        scores = equalized_odd_unfairness(
            given[0] if len(given) == 1 else np.stack(given, axis=1),
            frame["label"].cat.codes.to_numpy(np.int64),
            frame["group"],
            class_names=models[0].class_names,
            has_all_pairs=config.all_pairs,
            minimum_count=config.minimum_count,
        )
    except InputError as error:
        # What are no probabilities are none whichever groups are left out.
        check_probabilities(np.concatenate(given))
        yield _undefined(AS_THEY_ARE, EOU, error, config)
        return
    for score in scores:
        yield Asked(AS_THEY_ARE, score, score.name)
