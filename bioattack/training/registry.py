"""The ways of training; a name is looked up here and nothing is imported until it is asked for."""

import importlib
from typing import Any

# Each a subclass of ClassifierTraining, in a module of its own; reading this table imports no Keras.
TRAININGS: dict[str, str] = {
    "standard": "bioattack.training.standard:StandardTraining",
    "pgd": "bioattack.training.pgd:PgdTraining",
    "trades": "bioattack.training.trades:TradesTraining",
    "merged": "bioattack.training.merged:MergedTraining",
    "dro": "bioattack.training.dro:DroTraining",
    "wasserstein": "bioattack.training.wasserstein:WassersteinTraining",
}


def training_class(name: str) -> Any:
    """Returns the class of a way of training, a ``ClassifierTraining``.

    Raises:
        KeyError: If the table has no such name.
    """
    module, _, attribute = TRAININGS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
