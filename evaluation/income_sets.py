"""The sets of models of a question about income: read, named, checked and paired."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from bioattack.errors import InputError
from bioattack.evaluation.income_config import IncomeConfig
from bioattack.fairness.country_tables import CountryCounts, Setting, read_country_counts

PRETRAINED = "pretrained"


@dataclasses.dataclass(frozen=True)
class ModelSets:
    """Models by set, under names that differ between the sets.

    Args:
        counts: All of them, the first set's first, the pretrained one last.
        sets: The models' names by set, in their order.
        paired_by: How the two sets are paired: ``"number"`` at the end of the names, or ``"order"``;
            ``None`` where they cannot be, or there is one set.
    """

    counts: tuple[CountryCounts, ...]
    sets: dict[str, tuple[str, ...]]
    paired_by: str | None


def read_sets(config: IncomeConfig) -> ModelSets:
    """Reads the tables of a command.

    Args:
        config: The command's options.

    Raises:
        InputError: If a table cannot be used, or a model stands in both sets.
    """
    setting = Setting(config.attack, config.norm, config.epsilon)

    def read(paths: Sequence[Path]) -> list[CountryCounts]:
        return [
            entry
            for path in paths
            for entry in read_country_counts(path, column=config.column, setting=setting)
        ]

    first, second = read(config.results), read(config.against)
    pretrained = read([config.pretrained] if config.pretrained else [])
    if len(pretrained) > 1:
        raise InputError(f"--pretrained: {config.pretrained} holds {len(pretrained)} models; give one of one")
    _check_not_shared(first, second)
    paired_by = None
    if second and len(first) == len(second):
        second, paired_by = _in_pairs(first, second)
    named = {name: part for name, part in zip(config.set_names, (first, second), strict=True) if part}
    if pretrained:
        named[PRETRAINED] = pretrained
    counts = {
        name: [_renamed(entry, name, is_only_set=len(named) == 1) for entry in part]
        for name, part in named.items()
    }
    return ModelSets(
        counts=tuple(entry for part in counts.values() for entry in part),
        sets={name: tuple(entry.model for entry in part) for name, part in counts.items()},
        paired_by=paired_by,
    )


def _renamed(entry: CountryCounts, set_name: str, *, is_only_set: bool) -> CountryCounts:
    if is_only_set or set_name == PRETRAINED:
        return entry
    return dataclasses.replace(entry, model=f"{set_name}/{entry.model}")


def _check_not_shared(first: Sequence[CountryCounts], second: Sequence[CountryCounts]) -> None:
    others = {entry.model: entry for entry in second}
    for entry in first:
        other = others.get(entry.model)
        if other is not None and entry.rows.equals(other.rows):
            raise InputError(
                f"model {entry.model!r} gives the same answers in {entry.source} and in {other.source}: the "
                "same model stands in both sets"
            )


def _in_pairs(
    first: Sequence[CountryCounts], second: Sequence[CountryCounts]
) -> tuple[list[CountryCounts], str]:
    """Puts the second set in the order of the first where both number their models, as ``dro-seed-7``."""
    ours, others = ([_number(entry.model) for entry in part] for part in (first, second))
    is_numbered = None not in ours and len(set(ours)) == len(ours) and set(ours) == set(others)
    if not is_numbered or len(set(others)) != len(others):
        return list(second), "order"
    places = dict(zip(others, second, strict=True))
    return [places[number] for number in ours], "number"


def _number(name: str) -> int | None:
    found = re.search(r"(\d+)$", name)
    return int(found[1]) if found else None
