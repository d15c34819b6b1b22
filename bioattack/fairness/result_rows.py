"""Reads what scores are made of, model by model and setting by setting, from results tables and others."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioattack.errors import InputError
from bioattack.fairness.country_tables import NO_ATTACK, Setting
from bioattack.fairness.row_tables import CLASS_COLUMNS, class_words, is_results_table, read_row_table, truths

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"
EMPTY = "(empty)"


@dataclasses.dataclass(frozen=True)
class ModelRows:
    """What one model made of the images.

    Args:
        model: Its name.
        source: The file.
        class_names: All classes that it can predict, as far as the file tells.
        clean: One row per image as it is: ``label`` and ``group`` (categories), ``is_right``, and, where the
            file has them, ``image_id``, ``predicted`` (place in ``class_names``), ``p0, p1, ...``.
        attacked: By setting, the same with ``is_fooled`` and ``is_right_after``; ``predicted`` is that after.
        searched: By setting without epsilon, where the least epsilon was searched: ``least_epsilon`` (0 where
            wrong already, the largest tried where ``is_censored``).
    """

    model: str
    source: Path
    class_names: tuple[str, ...]
    clean: "pd.DataFrame"
    attacked: dict[Setting, "pd.DataFrame"]
    searched: dict[Setting, "pd.DataFrame"]

    @property
    def probabilities(self) -> np.ndarray | None:
        """Of the images as they are, ``(images, classes)``; ``None`` where the file has none."""
        names = [f"p{place}" for place in range(len(self.class_names))]
        return self.clean[names].to_numpy(float) if set(names) <= set(self.clean) else None


def read_model_rows(
    path: Path, *, column: str = LABEL, class_names: Sequence[str] = (), setting: Setting | None = None
) -> list[ModelRows]:
    r"""Reads one table.

    Args:
        path: A folder with ``results.csv.gz``, that file, a CSV, or an NPZ of columns of equal length. Other
            than results tables have a row per image: ``label``, and ``predicted``, ``correct`` or
            probabilities ``p0, p1, ...`` (in an NPZ, one array ``probabilities``).
        column: The column that says of which group an image is; ``"label"`` is the class.
        class_names: Names by label; without, the labels themselves.
        setting: Read this attack only; norm and epsilon may be ``None`` for all.

    Returns:
        One entry per model, in the order of the file; a file without models is one, named after the file.

    Raises:
        InputError: If there is no such file or column, or a value is none of those that its column takes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "answers.csv"
    ...     _ = path.write_text("label,predicted,sex\n0,0,f\n0,1,m\n1,1,f\n1,1,m\n")
    ...     rows = read_model_rows(path, column="sex")[0]
    >>> rows.model, rows.class_names, rows.clean.groupby("group", observed=True)["is_right"].mean().tolist()
    ('answers', ('0', '1'), [1.0, 0.5])
    """
    table, file = read_row_table(path, column=column)
    table = class_words(table)
    classes = _classes(table, class_names, file)
    table = table.assign(group=_groups(table, column, classes, file), label=_labels(table, classes, file))
    if not is_results_table(table):
        clean = _plain(table, classes, file)
        name = file.name.split(".")[0]
        parts = clean.groupby("model", sort=False, observed=True) if "model" in clean else [(name, clean)]
        return [
            ModelRows(str(model), file, classes, own.reset_index(drop=True), {}, {}) for model, own in parts
        ]
    table["is_right"] = truths(table["correct_clean"], "correct_clean", file=file)
    table["is_fooled"] = truths(table["success"], "success", file=file)
    return [
        _model(str(model), own, classes, file, setting)
        for model, own in table.groupby("model", sort=False, observed=True)
    ]


def _model(
    model: str, table: "pd.DataFrame", classes: tuple[str, ...], file: Path, asked: Setting | None
) -> ModelRows:
    is_clean = table["attack"] == NO_ATTACK
    clean = _predicted(table[is_clean], "predicted_clean", classes, file)
    if clean.empty:
        raise InputError(f"{file} has no rows of {model} with attack none: the images as they are")
    _check_once(clean, model, file)
    attacked: dict[Setting, pd.DataFrame] = {}
    searched: dict[Setting, pd.DataFrame] = {}
    others = table[~is_clean]
    was_searched = others["epsilon_high"].notna() if "epsilon_high" in others else others["is_right"] & False
    keys = ["attack", "norm", "epsilon"]
    for (attack, norm, _), own in others[~was_searched].groupby(keys, sort=False, observed=True):
        key = Setting(str(attack), str(norm), float(own["epsilon"].iloc[0]))
        if _is_asked(key, asked):
            own = _predicted(own, "predicted_adversarial", classes, file)
            attacked[key] = own.assign(is_right_after=own["is_right"] & ~own["is_fooled"])
            _check_once(own, model, file)
    for (attack, norm), own in others[was_searched].groupby(keys[:2], sort=False, observed=True):
        key = Setting(str(attack), str(norm))
        if _is_asked(key, asked):
            searched[key] = _least_epsilons(own)
            _check_once(searched[key], model, file)
    return ModelRows(model, file, classes, clean, attacked, searched)


def _is_asked(key: Setting, asked: Setting | None) -> bool:
    if asked is None:
        return True
    is_near = asked.epsilon is None or key.epsilon is None or abs(asked.epsilon - key.epsilon) <= 1e-9
    return asked.attack == key.attack and asked.norm in (None, key.norm) and is_near


def _least_epsilons(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Where none fooled, ``epsilon`` is the largest tried; rows on which nothing was tried are dropped."""
    is_censored = np.isinf(rows["epsilon_high"])
    rows = rows.assign(
        is_censored=is_censored, least_epsilon=rows["epsilon"].where(is_censored, rows["epsilon_high"])
    )
    return rows[~(is_censored & (rows["epsilon_low"] == 0))].reset_index(drop=True)


def _check_once(rows: "pd.DataFrame", model: str, file: Path) -> None:
    if "image_id" in rows and rows["image_id"].duplicated().any():
        name = rows["image_id"][rows["image_id"].duplicated()].iloc[0]
        raise InputError(f"{file} has picture {name!r} of {model} twice; give each picture once")


def _plain(table: "pd.DataFrame", classes: tuple[str, ...], file: Path) -> "pd.DataFrame":
    """Rows of a table that is no results table: the answers, or the truth of them."""
    probabilities = [f"p{place}" for place in range(len(classes))]
    has_probabilities = set(probabilities) <= set(table)
    if "predicted" not in table and has_probabilities:
        places = table[probabilities].to_numpy(float).argmax(axis=1)
        table = table.assign(predicted=places)
    elif "predicted" in table:
        table = _predicted(table, "predicted", classes, file)
    if "predicted" in table:
        return table.assign(is_right=table["predicted"] == table["label"].cat.codes)
    if "correct" in table:
        return table.assign(is_right=truths(table["correct"], "correct", file=file))
    raise InputError(
        f"{file} says nothing of what the model answered; give a column predicted or correct, or the "
        "probabilities p0, p1, ..."
    )


def _classes(table: "pd.DataFrame", class_names: Sequence[str], file: Path) -> tuple[str, ...]:
    if LABEL not in table:
        has = ", ".join(str(name) for name in table.columns)
        raise InputError(f"{file} has no column {LABEL!r} that says the true class; it has {has}")
    number = 0
    while f"p{number}" in table:
        number += 1
    if class_names:
        if number not in (0, len(class_names)):
            raise InputError(
                f"{file} has the probabilities of {number} classes, and there are {len(class_names)} names: "
                f"{_listed(class_names)}"
            )
        return tuple(class_names)
    if number:
        return tuple(str(place) for place in range(number))
    words = {name: set(map(str, table[name].cat.categories)) for name in CLASS_COLUMNS if name in table}
    for name, own in words.items():
        if own.isdisjoint(words[LABEL]) and any(map(_is_number, own)) != any(map(_is_number, words[LABEL])):
            raise InputError(
                f"{file} has the class {min(words[LABEL])!r} in {LABEL} and {min(own)!r} in {name}: give "
                "both as names or both as numbers, or say with --class-names which name each number has"
            )
    return tuple(sorted(set().union(*words.values()), key=_in_order))


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:12]) + (", …" if len(words) > 12 else "")


def _is_number(word: str) -> bool:
    return re.fullmatch("-?[0-9]+", word) is not None


def _in_order(word: str) -> tuple[int, float, str]:
    return (0, float(word), "") if _is_number(word) else (1, 0.0, word)


def _labels(table: "pd.DataFrame", classes: tuple[str, ...], file: Path) -> "pd.Series[Any]":
    import pandas as pd

    places = _places(table[LABEL], classes, file)
    labels = pd.Categorical.from_codes(places.tolist(), categories=pd.Index(classes))
    return pd.Series(labels, index=table.index)


def _places(values: "pd.Series[Any]", classes: tuple[str, ...], file: Path) -> np.ndarray:
    """The places of classes that are given by name or by number."""
    known = {str(place): place for place in range(len(classes))}
    by_name = {name: place for place, name in enumerate(classes)}
    words = [str(word) for word in values.cat.categories]
    lookup = by_name if any(word in by_name for word in words) else known
    unknown = [word for word in words if word not in lookup]
    if unknown:
        raise InputError(
            f"{file} has class {unknown[0]!r}, which is none of its {len(classes)} classes "
            f"({_listed(classes)}); number them from 0 on, or say with --class-names which name each "
            "number has"
        )
    return np.array([lookup[word] for word in words], np.int64)[values.cat.codes.to_numpy()]


def _predicted(table: "pd.DataFrame", name: str, classes: tuple[str, ...], file: Path) -> "pd.DataFrame":
    table = table.reset_index(drop=True)
    return table.assign(predicted=_places(table[name], classes, file)) if name in table else table


def _groups(table: "pd.DataFrame", column: str, classes: tuple[str, ...], file: Path) -> "pd.Series[Any]":
    if column == LABEL:
        return _labels(table, classes, file)
    groups = table[column]
    names = {word: str(word).strip() or EMPTY for word in groups.cat.categories}
    merged = groups.map(names).astype("category")
    ordered = sorted(map(str, merged.cat.categories), key=_in_order)
    return merged.cat.set_categories(ordered)
