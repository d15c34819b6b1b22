"""Whether accuracy depends on income: what ``bioattack-fairness income`` computes, and what it leaves.

The output folder::

    OUTPUT/
      summary.json          everything below, the settings and where it came from
      tables/countries.csv  model, country, name, income_group, spellings, num_images, accuracy,
                            gdp_per_capita
      tables/left_out.csv   country, name, spellings, num_images, reason
      tables/regressions.csv   a row per model: the fields of ``IncomeRegression``, p_holm, power
      tables/sensitivity.csv   the drawn models again, under every covariance and without single countries
      tables/influence.csv  of the drawn models: residual, leverage, cooks_distance, slope_without
      tables/comparison.csv a row per test of the two sets
      tables/simulation.csv how often the F test finds a slope in tables drawn without one and with one
      tables/income_groups.csv   images and accuracy of each of the World Bank's income groups
      figures/*.png
      report.html

``summary.json`` has ``format_version, kind ("income"), identity, settings, inputs, data, sets, drawn,
regressions, sensitivity, comparison`` (null for one set), ``simulation, income_groups, left_out, merged,
notes, versions, git_commit``; accuracies are fractions, slopes are per unit of the logarithm that the
settings name.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from bioattack.errors import InputError
from bioattack.evaluation.income_config import IncomeConfig
from bioattack.evaluation.income_facts import world_facts
from bioattack.evaluation.income_sets import PRETRAINED, ModelSets, read_sets
from bioattack.evaluation.income_tests import (
    comparison_of,
    how_fitted,
    regression_rows,
    sensitivity_rows,
    simulation_rows,
)
from bioattack.evaluation.income_words import notes
from bioattack.fairness.country_sample import CountrySample, check_same_countries, make_country_sample
from bioattack.fairness.country_tables import RESULTS
from bioattack.fairness.income_regression import country_influence

FORMAT_VERSION = 1
KIND = "income"
MAX_DRAWN = 4


@dataclasses.dataclass(frozen=True)
class IncomeAnswer:
    """All that was found.

    Args:
        summary: What ``summary.json`` holds.
        sample: The countries.
        influence: Of each drawn model, by name.
    """

    summary: dict[str, Any]
    sample: CountrySample
    influence: dict[str, pd.DataFrame]


def answer_income(config: IncomeConfig) -> IncomeAnswer:
    """Reads the tables of a command and makes all regressions and tests; writes nothing.

    Args:
        config: The command's options.

    Raises:
        InputError: If a table cannot be used; the message says which and why.
    """
    sets = read_sets(config)
    facts, gdp_source = world_facts(config.gdp, year=config.year)
    sample = make_country_sample(sets.counts, facts, minimum_images=config.minimum_images)
    _check_column(sets, sample, column=config.column)
    check_same_countries(sample)
    rows = regression_rows(sets.sets, sample, config)
    drawn = drawn_models(sets)
    influence = {
        model: country_influence(sample.countries_of(model), **how_fitted(config)) for model in drawn
    }
    first = next(row for row in rows if row["model"] == drawn[0])
    summary = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "identity": _identity(config),
        "settings": config.settings(),
        "inputs": config.inputs(),
        "data": _data(sets, sample, gdp_source),
        "sets": {name: list(models) for name, models in sets.sets.items()},
        "drawn": drawn,
        "regressions": rows,
        "sensitivity": [
            row for model in drawn for row in sensitivity_rows(sample, model, influence[model], config)
        ],
        "comparison": comparison_of(rows, sets.paired_by, config),
        "simulation": simulation_rows(sample.countries_of(drawn[0]), first, config),
        "income_groups": _income_groups(sample, drawn),
        "left_out": _left_out(sample),
        "merged": {code: list(spellings) for code, spellings in sample.merged.items()},
    }
    return IncomeAnswer(summary | {"notes": notes(summary)}, sample, influence)


def drawn_models(sets: ModelSets) -> list[str]:
    """Gives the models that are drawn one by one: the pretrained one, or the few of a single set.

    Args:
        sets: All models.
    """
    if PRETRAINED in sets.sets:
        return list(sets.sets[PRETRAINED])
    models = [entry.model for entry in sets.counts]
    return models if len(models) <= MAX_DRAWN else models[:1]


def _check_column(sets: ModelSets, sample: CountrySample, *, column: str) -> None:
    if sample.table.empty and not any(sample.left_out["country"]):
        first = sets.counts[0]
        words = ", ".join(repr(text) for text in first.rows["country"].head(3))
        raise InputError(
            f"column {column!r} of {first.source} holds no country's code or English name, but {words}; name "
            "another --column"
        )


def _identity(config: IncomeConfig) -> str:
    """A checksum of everything that decides the answer."""
    digest = hashlib.sha256(repr(sorted(config.settings().items())).encode())
    for role, paths in config.inputs().items():
        for path in map(Path, paths):
            file = path / RESULTS if path.is_dir() else path
            digest.update(f"{role} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()


def _data(sets: ModelSets, sample: CountrySample, gdp_source: str) -> dict[str, Any]:
    first = sample.countries_of(sample.models[0])
    has_own = sets.counts[0].rows["gdp_per_capita"].notna()
    if has_own.any():
        column = f"column of {sets.counts[0].source.name}"
        gdp_source = column if has_own.all() else f"{column}; where that is empty: {gdp_source}"
    return {
        "sources": list(dict.fromkeys(str(entry.source) for entry in sets.counts)),
        "pictures": sets.counts[0].pictures,
        "num_countries": len(first),
        "num_images": int(first["num_images"].sum()),
        "least_images": int(first["num_images"].min()),
        "most_images": int(first["num_images"].max()),
        "num_single": int((first["num_images"] == 1).sum()),
        "gdp_source": gdp_source,
    }


def _income_groups(sample: CountrySample, drawn: list[str]) -> list[dict[str, Any]]:
    rows = []
    for model in drawn:
        table = sample.countries_of(model)
        table = table.assign(num_correct=table["accuracy"] * table["num_images"])
        for group, part in table[table["income_group"] != ""].groupby("income_group"):
            number = int(part["num_images"].sum())
            rows.append(
                {
                    "model": model,
                    "income_group": str(group),
                    "num_countries": len(part),
                    "num_images": number,
                    "accuracy": float(part["num_correct"].sum()) / number,
                    "median_gdp_per_capita": float(part["gdp_per_capita"].median()),
                }
            )
    return sorted(rows, key=lambda row: (drawn.index(row["model"]), row["median_gdp_per_capita"]))


def _left_out(sample: CountrySample) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(sample.left_out.to_json(orient="records"))
    return rows
