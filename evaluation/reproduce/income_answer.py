"""Accuracy by country of the networks of a reproduction, and the regressions and tests made of it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.evaluation.income import IncomeAnswer, answer_income
from bioattack.evaluation.income_config import IncomeConfig
from bioattack.evaluation.income_output import write_income
from bioattack.evaluation.reproduce.income_countries import COUNTRY, Countries, open_countries
from bioattack.evaluation.reproduce.income_networks import (
    METHODS,
    PRETRAINED,
    Method,
    own_folder,
    pretrained_run,
    trained_models,
)
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.files import replacing
from bioattack.tfrecords_builder.reading import explain_read_errors

ANSWER = "answer"
_COUNTRY_TABLES = "countries"
_BATCH_SIZE = 64


def pretrained_answer(workplace: Workplace) -> IncomeAnswer:
    """Regresses the pretrained network's accuracies on income, once for all experiments of a command.

    Raises:
        InputError: If no line can be fitted to them.
    """

    def make() -> IncomeAnswer:
        config = _config(workplace, (pretrained_table(workplace),))
        return _answer(workplace, config)

    found: IncomeAnswer = workplace.keep("pretrained answer", make)
    return found


def sets_answer(workplace: Workplace) -> IncomeAnswer:
    """Trains both sets of networks and compares their slopes, once for all experiments of a command.

    What ``bioattack-fairness income`` writes of it lies in ``income/seed-N/answer/``.

    Raises:
        InputError: If no line can be fitted to some network's accuracies, or the slopes of a set are equal.
    """

    def make() -> IncomeAnswer:
        first, second = (models_table(workplace, method) for method in METHODS)
        config = _config(
            workplace,
            (first,),
            against=(second,),
            pretrained=pretrained_table(workplace),
            set_names=tuple(method.title for method in METHODS),
        )
        answer = _answer(workplace, config)
        write_income(config.output, answer)
        return answer

    found: IncomeAnswer = workplace.keep("sets answer", make)
    return found


def _config(workplace: Workplace, results: tuple[Path, ...], **changes: object) -> IncomeConfig:
    settings: dict[str, object] = {
        "results": results,
        "output": own_folder(workplace) / ANSWER,
        "seed": workplace.config.seed,
        "simulations": 0,
    }
    return IncomeConfig(**settings | changes)  # type: ignore[arg-type]


def _answer(workplace: Workplace, config: IncomeConfig) -> IncomeAnswer:
    try:
        return answer_income(config)
    except InputError as error:
        raise InputError(f"{workplace.config.name}: {error}") from error


def pretrained_table(workplace: Workplace) -> Path:
    """Measures the pretrained network by country, unless that is done; returns the table.

    Returns:
        A CSV as ``bioattack-fairness income`` takes it: ``model, country, accuracy, n`` and, where the
        records carry it, ``gdp_per_capita``.
    """
    run, countries = pretrained_run(workplace), open_countries(workplace)
    path = _table_path(workplace, PRETRAINED)
    if not path.is_file():
        write_countries(path, count_right(run, countries).assign(model=PRETRAINED), countries.gdp)
    return path


def models_table(workplace: Workplace, method: Method) -> Path:
    """Trains a set of networks unless they are trained, and gives its table, as ``pretrained_table``.

    Args:
        workplace: Where they are.
        method: How they are trained.
    """
    found = pd.read_csv(trained_models(workplace, method), keep_default_na=False)
    path = _table_path(workplace, method.label)
    write_countries(path, found, open_countries(workplace).gdp)
    return path


def _table_path(workplace: Workplace, name: str) -> Path:
    return own_folder(workplace) / _COUNTRY_TABLES / f"{name}.csv"


def write_countries(path: Path, table: pd.DataFrame, gdp: Mapping[str, float]) -> None:
    """Writes accuracies by country, with the GDP per capita that the records carry.

    Args:
        path: The CSV.
        table: ``model, country, accuracy, n``.
        gdp: By country as spelled; may be empty.
    """
    columns = ["model", COUNTRY, "accuracy", "n"]
    if gdp:
        table = table.assign(gdp_per_capita=table[COUNTRY].map(gdp))
        columns = [*columns, "gdp_per_capita"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        table[columns].to_csv(partial, index=False, lineterminator="\n")


def count_right(run: Path, countries: Countries) -> pd.DataFrame:
    """Counts which share of each country's test pictures a network gets right.

    Args:
        run: Its run folder.
        countries: The pictures.

    Returns:
        ``country, accuracy, n``, by country as spelled.
    """
    classifier = load_classifier(run)
    parts = []
    with explain_read_errors(countries.records):
        for batch in countries.records.examples("test", batch_size=_BATCH_SIZE):
            predicted = np.asarray(classifier.logits(batch["image"])).argmax(axis=1)
            words = [word.decode() for word in batch[f"group_{COUNTRY}"].numpy()]
            is_right = predicted == batch["label"].numpy()
            parts.append(pd.DataFrame({COUNTRY: words, "correct": is_right}))
    groups = pd.concat(parts).groupby(COUNTRY)["correct"]
    return groups.agg(accuracy="mean", n="size").reset_index()
