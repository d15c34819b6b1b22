"""Reads how many images of each country each model gets right, from a results table or from any CSV."""

import dataclasses
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bioattack.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.csv.gz"
NO_ATTACK = "none"

TRUE_WORDS, FALSE_WORDS = ("true", "1", "1.0"), ("false", "0", "0.0")
_NUMBER_COLUMNS = ("n", "num_images")
_GDP_COLUMNS = ("gdp", "gdp_per_capita")


@dataclasses.dataclass(frozen=True)
class Setting:
    """Which rows of a results table count.

    Args:
        attack: ``"none"`` for the pictures as they are.
        norm: Of the attack; ``None`` where the table has one only.
        epsilon: Of the attack; likewise.
    """

    attack: str = NO_ATTACK
    norm: str | None = None
    epsilon: float | None = None


@dataclasses.dataclass(frozen=True)
class CountryCounts:
    """What a model got right, as read, before countries are known by their codes.

    Args:
        model: Its name.
        source: The file.
        rows: One row per country as spelled: ``country``, ``num_images``, ``num_correct``, and
            ``gdp_per_capita``, which is NaN where the file says nothing.
        pictures: A checksum of the names of the pictures; ``None`` where the file has none.
    """

    model: str
    source: Path
    rows: "pd.DataFrame"
    pictures: str | None


def read_country_counts(
    path: Path, *, column: str = "country", setting: Setting | None = None
) -> list[CountryCounts]:
    """Reads one table, whichever of its three layouts it has.

    Args:
        path: The folder of an evaluation or attack, its ``results.csv.gz``, or a CSV with the columns
            ``country,correct`` (a row per image) or ``country,accuracy,n`` (a row per country); the two
            latter may also have ``model`` and ``gdp`` (GDP per capita). Other columns are not looked at.
        column: The name of the country's column.
        setting: Of a results table; by default the pictures as they are.

    Returns:
        One entry per model, in the order of the file; a CSV without models is one, named after the file.

    Raises:
        InputError: If there is no such file or column, or a value is none of those that its column takes.
    """
    import pandas as pd

    file = path / RESULTS if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"there is no table {file}; give a folder with {RESULTS}, or a CSV file")
    try:
        columns = list(pd.read_csv(file, nrows=0).columns)
        wanted = _wanted_columns(columns, column=column, file=file)
        table = pd.read_csv(file, usecols=wanted, dtype=str, keep_default_na=False)
    except (ValueError, EOFError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} cannot be read as CSV ({' '.join(str(error).split())})") from error
    table = table.rename(columns={column: "country"})
    if table.empty:
        raise InputError(f"{file} has no rows")
    table["country"] = table["country"].str.strip()
    if "correct_clean" in table:
        return _from_results(table, file=file, setting=setting or Setting())
    counted = _per_image if "correct" in table else _per_country
    if "model" not in table:
        table["model"] = file.name.split(".")[0]
    return [
        CountryCounts(str(model), file, counted(rows, file=file), None)
        for model, rows in table.groupby("model", sort=False)
    ]


def _wanted_columns(columns: Sequence[str], *, column: str, file: Path) -> list[str]:
    present = set(columns)
    if column not in present:
        raise InputError(
            f"{file} has no column {column!r} that says of which country a picture is; it has "
            f"{', '.join(columns)}; name the column, or give each row its country"
        )
    if "correct_clean" in present:
        wanted = {column, "image_id", "model", "attack", "norm", "epsilon", "correct_clean", "success"}
        if missing := sorted(wanted - present):
            raise InputError(f"{file} looks like a results table but has no column {', '.join(missing)}")
        return sorted(wanted)
    optional = present & {"model", *_GDP_COLUMNS}
    if "correct" in present:
        return sorted({column, "correct"} | optional)
    numbers = present & set(_NUMBER_COLUMNS)
    if "accuracy" in present and numbers:
        return sorted({column, "accuracy", min(numbers)} | optional)
    raise InputError(
        f"{file} has neither a column correct (a row per picture) nor accuracy and n (a row per country); "
        f"it has {', '.join(columns)}"
    )


def _from_results(table: "pd.DataFrame", *, file: Path, setting: Setting) -> list[CountryCounts]:
    rows = _rows_at(table, setting, file=file)
    is_correct = _truths(rows["correct_clean"], "correct_clean", file=file)
    is_fooled = _truths(rows["success"], "success", file=file)
    rows = rows.assign(correct=is_correct & ~is_fooled)
    found = []
    for model, own in rows.groupby("model", sort=False):
        names = own["image_id"].sort_values()
        if names.duplicated().any():
            raise InputError(f"{file} has picture {names[names.duplicated()].iloc[0]!r} of {model} twice")
        checksum = hashlib.sha256("\n".join(names).encode()).hexdigest()
        found.append(CountryCounts(str(model), file, _count(own), checksum))
    return found


def _rows_at(table: "pd.DataFrame", setting: Setting, *, file: Path) -> "pd.DataFrame":
    rows = table[table["attack"] == setting.attack]
    if setting.norm is not None:
        rows = rows[rows["norm"] == setting.norm]
    if setting.epsilon is not None:
        rows = rows[(rows["epsilon"].astype(float) - setting.epsilon).abs() <= 1e-9]
    present = rows[["norm", "epsilon"]].drop_duplicates()
    if len(present) == 1:
        return rows
    offered = table if rows.empty else rows
    settings = offered[["attack", "norm", "epsilon"]].drop_duplicates().itertuples(index=False)
    words = "; ".join(f"{row.attack} {row.norm} {row.epsilon}" for row in settings)
    asked = "nothing" if rows.empty else f"{len(present)} settings"
    raise InputError(
        f"{file} has {asked} of attack {setting.attack!r} with this norm and epsilon; there is {words}"
    )


def _truths(values: "pd.Series[str]", name: str, *, file: Path) -> "pd.Series[bool]":
    words = values.str.strip().str.lower()
    is_odd = ~words.isin([*TRUE_WORDS, *FALSE_WORDS])
    if is_odd.any():
        raise InputError(
            f"{file}: {name} must be true or false (1 or 0). Received: {values[is_odd].iloc[0]!r}"
        )
    return words.isin(TRUE_WORDS)


def _numbers(values: "pd.Series[str]", name: str, *, file: Path) -> "pd.Series[float]":
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        raise InputError(f"{file}: {name} must be a number. Received: {values[numbers.isna()].iloc[0]!r}")
    return numbers.astype(float)


def _per_image(rows: "pd.DataFrame", *, file: Path) -> "pd.DataFrame":
    counted = rows.assign(correct=_truths(rows["correct"], "correct", file=file))
    return _count(counted.assign(gdp_per_capita=_gdp(rows, file=file)))


def _count(rows: "pd.DataFrame") -> "pd.DataFrame":
    groups = rows.groupby("country", sort=True)
    table = groups["correct"].agg(num_images="size", num_correct="sum").reset_index()
    if "gdp_per_capita" not in rows:
        return table.assign(gdp_per_capita=float("nan"))
    spread = groups["gdp_per_capita"].agg(lambda values: values.nunique())
    if (spread > 1).any():
        raise InputError(f"country {spread.idxmax()!r} has {spread.max()} different values of GDP per capita")
    return table.assign(gdp_per_capita=groups["gdp_per_capita"].first().to_numpy())


def _per_country(rows: "pd.DataFrame", *, file: Path) -> "pd.DataFrame":
    import pandas as pd

    accuracy = _numbers(rows["accuracy"], "accuracy", file=file)
    if not accuracy.between(0, 1).all():
        odd = accuracy[~accuracy.between(0, 1)].iloc[0]
        raise InputError(f"{file}: accuracy must be a fraction from 0 to 1. Received: {odd:g}")
    name = next(name for name in _NUMBER_COLUMNS if name in rows)
    number = _numbers(rows[name], name, file=file)
    if not ((number >= 1) & (number == number.round())).all():
        odd = number[(number < 1) | (number != number.round())].iloc[0]
        raise InputError(f"{file}: {name} must be a whole number of images from 1. Received: {odd:g}")
    twice = rows["country"].duplicated()
    if twice.any():
        raise InputError(
            f"{file} has country {rows['country'][twice].iloc[0]!r} twice; give each country one row, and a "
            "column model where there are several"
        )
    columns = {"country": rows["country"], "num_images": number.astype(int), "num_correct": accuracy * number}
    return pd.DataFrame(columns).assign(gdp_per_capita=_gdp(rows, file=file)).reset_index(drop=True)


def _gdp(rows: "pd.DataFrame", *, file: Path) -> "pd.Series[float]":
    import pandas as pd

    name = next((name for name in _GDP_COLUMNS if name in rows), None)
    if name is None:
        return pd.Series(float("nan"), index=rows.index)
    is_given = rows[name].str.strip() != ""
    return _numbers(rows[name].where(is_given, "0"), name, file=file).where(is_given)
