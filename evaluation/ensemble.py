"""Tables of many models of one kind: their accuracies, by country where there are some, and their slopes.

The output folder of ``bioattack-train --models``::

    OUTPUT/
      NAME-seed-7/    a run folder for each model, with test_probabilities.npy
      models.csv      model, seed, epochs, train_accuracy, test_accuracy, num_test, weights_sha256 and, where
                      the records have countries, slope, slope_low, slope_high, p_value (per unit of the
                      natural logarithm of GDP per capita, covariance 1/sqrt(n))
      countries.csv   model, country, accuracy, n: what bioattack-fairness income takes as --results
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from bioattack.errors import InputError
from bioattack.evaluation.income_facts import world_facts
from bioattack.fairness.country_sample import make_country_sample
from bioattack.fairness.country_tables import read_country_counts
from bioattack.fairness.income_regression import regress_on_income
from bioattack.files import replacing
from bioattack.tfrecords_builder import schema
from bioattack.tfrecords_builder.reading import Records, open_records
from bioattack.tfrecords_builder.selection import read_names
from bioattack.training.many import ManyResult, no_preparation, tell_nobody, train_many
from bioattack.training.many_config import ManyConfig, Member, check_many, ensemble_members
from bioattack.training.many_folder import PROBABILITIES

MODELS, COUNTRIES = "models.csv", "countries.csv"
COUNTRY = "country"

Tables: TypeAlias = tuple[tuple[Path, ...], tuple[str, ...]]


def train_ensemble(
    config: ManyConfig,
    *,
    prepare: Callable[[], None] = no_preparation,
    tell: Callable[[str], None] = tell_nobody,
) -> ManyResult:
    """Trains models that differ in their seed, and writes their tables; goes on where it was killed.

    Args:
        config: With ``models``.
        prepare: As for ``train_many``.
        tell: As for ``train_many``.

    Raises:
        InputError: If the settings or the folder cannot be used; a model that fails is in the result.
        RecordsError: If the records cannot be read.
    """
    check_many(config)

    def write(names: Sequence[str]) -> Tables:
        return write_ensemble_tables(config.output, names, data=config.data)

    return train_members(config, ensemble_members(config), write=write, prepare=prepare, tell=tell)


def train_members(
    config: ManyConfig,
    members: Sequence[Member],
    *,
    write: Callable[[Sequence[str]], Tables],
    prepare: Callable[[], None],
    tell: Callable[[str], None],
) -> ManyResult:
    """Trains many models and writes the tables of those that are finished.

    Args:
        config: Where to, and how many at a time.
        members: The models.
        write: From the names of the finished ones to their tables, and sentences on them.
        prepare: As for ``train_many``.
        tell: As for ``train_many``.

    Raises:
        InputError: As ``train_many``.
    """
    outcomes = train_many(members, output=config.output, jobs=config.num_jobs, prepare=prepare, tell=tell)
    result = ManyResult(tuple(outcomes))
    if not result.finished:
        return result
    tables, notes = write(result.finished)
    return dataclasses.replace(result, tables=tables, notes=notes)


def write_ensemble_tables(output: Path, names: Sequence[str], *, data: Path) -> Tables:
    """Writes ``models.csv`` and, where the records have countries, ``countries.csv``.

    Args:
        output: Folder of the models.
        names: Of those that are finished.
        data: The records they were trained and tested on.

    Returns:
        The files, and sentences on what could not be computed.

    Raises:
        InputError: If a model was tested on other records.
        RecordsError: If the records cannot be read.
    """
    table = model_table(output, names)
    tables, notes = [output / MODELS], []
    records = open_records(data)
    if COUNTRY in records.groups and "test" in records.splits and records.num_examples("test"):
        write_table(output / COUNTRIES, country_table(output, names, records=records))
        tables.append(output / COUNTRIES)
        try:
            table = table.merge(slope_table(output / COUNTRIES), on="model", how="left")
        except InputError as error:
            notes.append(f"there are no slopes: {error}")
    write_table(output / MODELS, table)
    return tuple(tables), tuple(notes)


def model_table(output: Path, names: Sequence[str]) -> pd.DataFrame:
    """Reads the cards of models.

    Args:
        output: Folder of the models.
        names: Of those that are finished.

    Returns:
        ``model, seed, epochs, train_accuracy, test_accuracy, num_test, weights_sha256``, a row per model.
    """
    rows = []
    for name in names:
        card = json.loads((output / name / "model_card.json").read_text())
        accuracy = card["accuracy"]
        rows.append(
            {
                "model": name,
                "seed": card["seed"],
                "epochs": card["epochs"],
                "train_accuracy": accuracy["train"],
                "test_accuracy": accuracy["test"],
                "num_test": accuracy["num_test"],
                "weights_sha256": card["weights_sha256"],
            }
        )
    return pd.DataFrame(rows)


def country_table(output: Path, names: Sequence[str], *, records: Records) -> pd.DataFrame:
    """Counts what each model gets right in each country of the test split.

    Args:
        output: Folder of the models.
        names: Of those that are finished.
        records: With a group column ``country``.

    Returns:
        ``model, country, accuracy, n``; countries in alphabetical order.

    Raises:
        InputError: If a model was tested on another number of pictures.
    """
    countries, labels = read_names(records, "test", field=schema.group_field(COUNTRY))
    parts = []
    for name in names:
        answers = np.load(output / name / PROBABILITIES, mmap_mode="r").argmax(axis=1)
        if len(answers) != len(labels):
            raise InputError(
                f"{output / name} was tested on {len(answers)} pictures and {records.directory} has"
                f" {len(labels)}; give the records it was trained on"
            )
        rows = pd.DataFrame({"country": countries, "is_right": answers == labels})
        counted = rows.groupby("country", sort=True)["is_right"].agg(accuracy="mean", n="size").reset_index()
        parts.append(counted.assign(model=name)[["model", "country", "accuracy", "n"]])
    return pd.concat(parts, ignore_index=True)


def slope_table(countries: Path) -> pd.DataFrame:
    """Regresses each model's accuracy on the income of countries.

    Args:
        countries: A table ``model, country, accuracy, n``.

    Returns:
        ``model, slope, slope_low, slope_high, p_value``, a row per model.

    Raises:
        InputError: If there are fewer than three countries with GDP, or nothing to explain.
    """
    facts, _ = world_facts()
    sample = make_country_sample(read_country_counts(countries), facts)
    rows = []
    for model in sample.models:
        fitted = regress_on_income(sample.countries_of(model))
        rows.append(
            {
                "model": model,
                "slope": fitted.slope,
                "slope_low": fitted.low,
                "slope_high": fitted.high,
                "p_value": fitted.p_value,
            }
        )
    return pd.DataFrame(rows)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a CSV, whole or not at all; numbers in full, so that equal runs give equal files."""
    with replacing(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
