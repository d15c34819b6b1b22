"""The figures of an evaluation, computed from its long table and nothing else."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from bioattack.distances import DISTANCES
from bioattack.evaluation.results import COLUMNS, epsilon_words

_ATTACK_KEYS = ["model", "attack", "norm", "epsilon", "judged"]
_ADVERSARIAL_COLUMNS = (
    *("model", "attack", "norm", "epsilon", "epsilon_words", "judged"),
    *("num_images", "num_misclassified", "num_success", "accuracy", "low", "high"),
    *("num_success_8bit", "accuracy_8bit", "low_8bit", "high_8bit"),
    *("mean_l1", "mean_l2", "mean_linf", "mean_steps", "num_zero_gradient", "seconds"),
)
_CLASS_COLUMNS = (
    *("model", "attack", "norm", "epsilon", "label", "class_name"),
    *("num_images", "num_correct", "accuracy", "low", "high"),
)


def clean_table(results: pd.DataFrame) -> pd.DataFrame:
    """Computes each model's accuracy on the pictures as they are.

    Args:
        results: The long table (see ``bioattack.evaluation.results``).

    Returns:
        One row per model, in the table's order: ``model, num_images, num_correct, accuracy, low, high``, the
        last two being the ends of the 95 % Wilson interval.
    """
    clean = results[results["attack"] == "none"]
    grouped = clean.groupby("model", sort=False)["correct_clean"]
    counts = grouped.agg(num_images="size", num_correct="sum").reset_index()
    return _with_accuracy(counts)


def adversarial_table(results: pd.DataFrame, *, of_rows: bool = False) -> pd.DataFrame:
    """Computes the adversarial accuracy ``1 - (M + A) / N`` per model, norm and epsilon.

    Rows of a search for the least epsilon, which have an epsilon each, are left to ``least_epsilon_table``.

    Args:
        results: The long table.
        of_rows: Whether it is of rows of a table, whose epsilons are in the attributes' own units.

    Returns:
        One row per model, attack, norm and epsilon, with the columns that
        ``bioattack.evaluation.results`` lists under ``adversarial``; means over no success are NaN. An
        attack without a radius has an infinite epsilon.
    """
    attacked = results[(results["attack"] != "none") & results["epsilon_high"].isna()]
    judges = [name for name in results.columns if name in DISTANCES and name not in COLUMNS]
    attacked = attacked.assign(is_misclassified=~attacked["correct_clean"])
    grouped = attacked.groupby(_ATTACK_KEYS, sort=False)
    table = grouped.agg(
        num_images=("success", "size"),
        num_misclassified=("is_misclassified", "sum"),
        num_success=("success", "sum"),
        num_success_8bit=("success_8bit", "sum"),
        num_zero_gradient=("has_zero_gradient", "sum"),
        seconds=("seconds", "sum"),
    ).reset_index()
    fallen = attacked[attacked["success"]].groupby(_ATTACK_KEYS, sort=False)
    means = fallen.agg(
        mean_l1=("l1", "mean"),
        mean_l2=("l2", "mean"),
        mean_linf=("linf", "mean"),
        mean_steps=("steps", "mean"),
        **{f"mean_{name}": (name, "mean") for name in judges},
    ).reset_index()
    table = table.merge(means, on=_ATTACK_KEYS, how="left", sort=False)
    standing = table["num_images"] - table["num_misclassified"]
    table = _with_accuracy(table.assign(num_correct=standing - table["num_success"]))
    table = _with_accuracy(table.assign(num_correct=standing - table["num_success_8bit"]), suffix="_8bit")
    pairs = zip(table["epsilon"].tolist(), table["norm"].tolist(), strict=True)
    table["epsilon_words"] = [epsilon_words(epsilon, norm=norm, of_rows=of_rows) for epsilon, norm in pairs]
    return table[[*_ADVERSARIAL_COLUMNS, *(f"mean_{name}" for name in judges)]]


def per_class_table(results: pd.DataFrame, *, class_names: Sequence[str]) -> pd.DataFrame:
    """Computes clean and adversarial accuracy class by class.

    Args:
        results: The long table.
        class_names: Names by label.

    Returns:
        One row per model, attack (``"none"`` for clean), norm, epsilon and class that has pictures.
    """
    results = results[results["epsilon_high"].isna()]
    results = results.assign(is_correct=results["correct_clean"] & ~results["success"])
    keys = ["model", "attack", "norm", "epsilon"]
    order = results[keys].drop_duplicates().reset_index(drop=True)
    order["_place"] = np.arange(len(order))
    counts = results.groupby([*keys, "label"], sort=False)["is_correct"].agg(
        num_images="size", num_correct="sum"
    )
    table = counts.reset_index().merge(order, on=keys).sort_values(["_place", "label"], ignore_index=True)
    table["class_name"] = [class_names[label] for label in table["label"].tolist()]
    return _with_accuracy(table)[list(_CLASS_COLUMNS)]


def least_epsilon_table(results: pd.DataFrame) -> pd.DataFrame:
    """Summarises the least epsilons, over the images that were right before they were attacked.

    Args:
        results: The long table.

    Returns:
        One row per model, attack and norm that was searched: ``num_images`` (right before, and not of the
        class that was aimed at), ``num_fallen``, ``num_censored`` (withstood the largest epsilon tried),
        ``largest`` (that epsilon; NaN where all fell), ``mean``, ``median`` and ``mean_of_fallen``. An image
        that withstood counts with the largest epsilon in mean and median, which are then at most the true
        ones; the mean of the fallen is the robustness of the third paper's section 2.2. A model that was
        right about no image has no row.
    """
    searched = results[results["epsilon_high"].notna() & results["correct_clean"]]
    is_censored = np.isinf(searched["epsilon_high"])
    searched = searched.assign(
        is_censored=is_censored,
        least=np.where(is_censored, searched["epsilon"], searched["epsilon_high"]),
        tried=searched["epsilon"].where(is_censored),
        fallen=searched["epsilon_high"].where(~is_censored),
    )
    # Nothing was tried on images of the class that was aimed at: they withstood 0, and that is all.
    searched = searched[~(is_censored & (searched["epsilon_low"] == 0))]
    grouped = searched.groupby(["model", "attack", "norm"], sort=False)
    table = grouped.agg(
        num_images=("least", "size"),
        num_censored=("is_censored", "sum"),
        largest=("tried", "max"),
        mean=("least", "mean"),
        median=("least", "median"),
        mean_of_fallen=("fallen", "mean"),
    ).reset_index()
    table.insert(4, "num_fallen", table["num_images"] - table["num_censored"])
    return table


def _with_accuracy(table: pd.DataFrame, *, suffix: str = "") -> pd.DataFrame:
    """Adds ``accuracy``, ``low`` and ``high`` for ``num_correct`` of ``num_images``."""
    low, high = proportion_confint(
        table["num_correct"].to_numpy(), table["num_images"].to_numpy(), alpha=0.05, method="wilson"
    )
    accuracy = table["num_correct"] / table["num_images"]
    # At 0 and 1 rounding puts an end of the interval a hair beyond the fraction itself.
    return table.assign(
        **{
            f"accuracy{suffix}": accuracy,
            f"low{suffix}": np.clip(np.minimum(low, accuracy), 0, 1),
            f"high{suffix}": np.clip(np.maximum(high, accuracy), 0, 1),
        }
    )
