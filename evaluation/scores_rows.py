"""The models of a question about classes or groups: read, named, checked, and brought to the same images."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioattack.errors import InputError
from bioattack.evaluation.scores_config import ScoresConfig
from bioattack.fairness.country_tables import RESULTS, Setting
from bioattack.fairness.result_rows import ModelRows, read_model_rows

if TYPE_CHECKING:
    import pandas as pd

MAX_GROUPS = 500


def read_models(config: ScoresConfig) -> list[ModelRows]:
    """Reads the tables of a command.

    Args:
        config: The command's options.

    Raises:
        InputError: If a table cannot be used, a model comes twice, the attack that is asked for is in no
            table, or there are too many groups to be groups.
    """
    asked = None if config.attack is None else Setting(config.attack, config.norm, config.epsilon)
    found = [
        rows
        for path in config.results
        for rows in read_model_rows(
            path,
            column=config.grouped_by,
            class_names=config.class_names or class_names_beside(path),
            setting=asked,
        )
    ]
    _check_models(found)
    _check_files(config.results)
    if asked is not None and not any(rows.attacked or rows.searched for rows in found):
        raise InputError(f"no table has an attack {config.attack!r} with this norm and epsilon")
    number = len(found[0].clean["group"].cat.categories)
    if number > MAX_GROUPS:
        raise InputError(
            f"column {config.grouped_by!r} of {found[0].source} has {number:,} different values: these are "
            "hardly groups; name another --column"
        )
    return found


def class_names_beside(path: Path) -> tuple[str, ...]:
    """Gives the names of the classes from the summary beside an evaluation's table, if there is one."""
    summary = (path if path.is_dir() else path.parent) / "summary.json"
    if path.is_file() and path.name != "results.csv.gz":
        return ()
    try:
        names = json.loads(summary.read_text())["data"]["class_names"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    # Names are how classes are told apart here: where two are the same, their numbers are.
    return tuple(map(str, names)) if len(set(names)) == len(names) else ()


def _check_models(found: Sequence[ModelRows]) -> None:
    names: dict[str, ModelRows] = {}
    for rows in found:
        other = names.setdefault(rows.model, rows)
        if other is not rows:
            raise InputError(
                f"model {rows.model!r} comes twice, from {other.source} and {rows.source}; give each model "
                "once, under a name of its own"
            )
        if rows.class_names != found[0].class_names:
            raise InputError(
                f"{rows.source} has {len(rows.class_names)} classes and {found[0].source} has "
                f"{len(found[0].class_names)}, or under other names; give tables of the same images"
            )


def _check_files(paths: Sequence[Path]) -> None:
    """Refuses the same table under two names, which would be a model beside itself."""
    seen: dict[str, Path] = {}
    for path in paths:
        file = path / RESULTS if path.is_dir() else path
        other = seen.setdefault(hashlib.sha256(file.read_bytes()).hexdigest(), file)
        if other is not file:
            raise InputError(
                f"{other} and {file} are the same table: the same model beside itself; give each model once"
            )


def aligned(first: ModelRows, second: ModelRows) -> tuple[ModelRows, ModelRows]:
    """Brings two models' rows into the same order of images, for the settings that both have.

    Args:
        first: One model.
        second: The other.

    Raises:
        InputError: If they were not given the same images.
    """
    words = f"{first.model} ({first.source}) and {second.model} ({second.source})"
    parts: list[dict[str, Any]] = [{}, {}]
    for name in ("attacked", "searched"):
        ours, others = getattr(first, name), getattr(second, name)
        shared = [key for key in ours if key in others]
        pairs = {key: _in_one_order(ours[key], others[key], words) for key in shared}
        for place, part in enumerate(parts):
            part[name] = {key: pair[place] for key, pair in pairs.items()}
    clean = _in_one_order(first.clean, second.clean, words)
    return (
        dataclasses.replace(first, clean=clean[0], **parts[0]),
        dataclasses.replace(second, clean=clean[1], **parts[1]),
    )


def _in_one_order(
    first: "pd.DataFrame", second: "pd.DataFrame", words: str
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    both = [first, second]
    has_names = all("image_id" in rows for rows in both)
    if has_names and not _agree(first["image_id"], second["image_id"]):
        both = [rows.sort_values("image_id").reset_index(drop=True) for rows in both]
    for name in (*(["image_id"] if has_names else []), "label", "group"):
        if not _agree(both[0][name], both[1][name]):
            raise InputError(
                f"{words} differ in the images' {name.replace('image_id', 'names')}; models are compared on "
                "the same images only"
            )
    return both[0], both[1]


def _agree(first: "pd.Series[Any]", second: "pd.Series[Any]") -> bool:
    return len(first) == len(second) and bool(np.array_equal(first.to_numpy(), second.to_numpy()))
