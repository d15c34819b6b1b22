"""The pictures of the experiments on income, drawn with a bias or given, and their countries."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from bioattack.errors import InputError
from bioattack.evaluation.income_facts import world_facts
from bioattack.evaluation.reproduce.income_sizes import Sizes, sizes_of
from bioattack.evaluation.reproduce.workplace import INCOME, Workplace
from bioattack.fairness.country_sample import CountrySample, make_country_sample
from bioattack.fairness.country_tables import CountryCounts
from bioattack.fairness.income_regression import LEAST_COUNTRIES
from bioattack.tfrecords_builder import schema
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.reading import Records, explain_read_errors, open_records
from bioattack.tfrecords_builder.synthetic import SyntheticOptions

COUNTRY, GDP = "country", "gdp_per_capita"
_AT_ONCE = 512


@dataclasses.dataclass(frozen=True)
class Countries:
    """Pictures, and the countries that they are from.

    Args:
        records: The pictures, in the splits ``train`` and ``test``.
        table: A row per country in the regression, the most pictures first: ``country, name, income_group,
            gdp_per_capita, train, test, num_images`` (of both splits).
        left_out: ``country, name, spellings, num_images, reason``: what of the test pictures is not in it.
        gdp: GDP per capita by country as spelled, where the records carry it.
        words: What the pictures are, for the reader.
    """

    records: Records
    table: pd.DataFrame
    left_out: pd.DataFrame
    gdp: Mapping[str, float]
    words: str


def open_countries(workplace: Workplace) -> Countries:
    """Draws or opens the pictures, once for all experiments of a command, and counts them by country.

    Raises:
        InputError: If there are none, or a regression on income cannot be made of them.
        RecordsError: If they cannot be read.
    """
    found: Countries = workplace.keep("countries", lambda: _open_countries(workplace))
    return found


def _open_countries(workplace: Workplace) -> Countries:
    config, sizes = workplace.config, sizes_of(workplace.config)
    if config.data is None and config.preset != "demo":
        raise InputError(
            f"--data: the preset {config.preset} needs real pictures with countries; give a folder made by "
            "bioattack-build-records geo"
        )
    if config.data is None:
        records = draw_biased(workplace, sizes, bias=sizes.bias)
        return count_countries(records, words=f"pictures drawn with bias {sizes.bias:g}")
    records = workplace.records or open_records(config.data)
    return count_countries(records, words=f"{records.manifest.kind} pictures")


def draw_biased(workplace: Workplace, sizes: Sizes, *, bias: float) -> Records:
    """Draws pictures that are the worse, the poorer their country is, or goes on drawing them.

    Args:
        workplace: Where they go.
        sizes: How many and how large.
        bias: How much worse, from 0 to 1.
    """
    folder = workplace.output / INCOME / f"records-bias-{bias:g}"
    folder.parent.mkdir(exist_ok=True)
    workplace.say(f"pictures with bias {bias:g}")
    options = SyntheticOptions(
        output=folder,
        num_train=sizes.num_train,
        num_test=sizes.num_test,
        size=sizes.image_size,
        bias=bias,
        workers=1,  # a second process would load TensorFlow again
        quiet=workplace.config.quiet,
    )
    build("synthetic", options)
    return open_records(folder)


def count_countries(records: Records, *, words: str = "") -> Countries:
    """Counts pictures by country, and refuses what would only turn out useless once all is trained.

    Args:
        records: The pictures.
        words: What they are, for the reader.

    Raises:
        InputError: If they have no countries, no training or test pictures, or fewer than three countries
            with known GDP among the test pictures.
        RecordsError: If they cannot be read.
    """
    if COUNTRY not in records.groups:
        raise InputError(
            f"--data: the records in {records.directory} do not say of which country a picture is; build "
            "them with bioattack-build-records geo, whose manifest has a column country"
        )
    for split in ("train", "test"):
        if split not in records.splits or not records.num_examples(split):
            raise InputError(f"--data: the records in {records.directory} have no split {split!r}")
    train, test = (_pictures(records, split) for split in ("train", "test"))
    gdp = _gdp_by_spelling(pd.concat([train, test]))
    sample = _sample(test, gdp, records.directory)
    if len(sample.table) < LEAST_COUNTRIES:
        reasons = sample.left_out["reason"].value_counts()
        left_out = "".join(f"; {number} left out: {reason}" for reason, number in reasons.items())
        raise InputError(
            f"--data: a regression on income needs at least {LEAST_COUNTRIES} countries with GDP per capita "
            f"among the test pictures of {records.directory}, and there are {len(sample.table)}{left_out}"
        )
    learned = _sample(train, gdp, records.directory).table.set_index("country")["num_images"]
    table = sample.table.drop(columns=["model", "spellings", "accuracy"])
    table = table.rename(columns={"num_images": "test"})
    table["train"] = table["country"].map(learned).fillna(0).astype(int)
    table["num_images"] = table["train"] + table["test"]
    table = table.sort_values(["num_images", "country"], ascending=[False, True], ignore_index=True)
    return Countries(records, table, sample.left_out, gdp, words)


def _pictures(records: Records, split: str) -> pd.DataFrame:
    """Country and GDP of each picture, as they are stored; no picture is decoded."""
    names = [name for name in (COUNTRY, GDP) if name in records.groups]
    fields = {schema.group_field(name): tf.io.FixedLenFeature([], tf.string) for name in names}
    parts = []
    with explain_read_errors(records):
        for some in records.serialised(split).batch(_AT_ONCE):
            parsed = tf.io.parse_example(some, fields)
            parts.append({name: parsed[schema.group_field(name)].numpy() for name in names})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return pd.DataFrame({name: [word.decode() for word in words] for name, words in columns.items()})


def _gdp_by_spelling(pictures: pd.DataFrame) -> dict[str, float]:
    """What the records say of GDP; what they do not say, or say twice, is left to the built-in table."""
    if GDP not in pictures:
        return {}
    stated = pictures.assign(number=pd.to_numeric(pictures[GDP], errors="coerce")).dropna(subset=["number"])
    by_country = stated.groupby(COUNTRY)["number"]
    number, kinds = by_country.first(), by_country.nunique()
    return {str(country): float(number[country]) for country in number.index if kinds[country] == 1}


def _sample(pictures: pd.DataFrame, gdp: Mapping[str, float], folder: Path) -> CountrySample:
    rows = pictures.groupby(COUNTRY).size().rename("num_images").reset_index()
    rows = rows.assign(num_correct=0, gdp_per_capita=rows[COUNTRY].map(gdp).astype(float))
    return make_country_sample([CountryCounts("pictures", folder, rows, None)], world_facts()[0])
