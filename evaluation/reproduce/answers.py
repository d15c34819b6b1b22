"""From the long tables of several networks and seeds to accuracies, their spread, and paired comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from bioattack.evaluation.paired import PairedDifference, compare_over_seeds

#: Label -> seed -> one row per picture and one column per epsilon (0 as it is): whether the answer is right.
Answers: TypeAlias = Mapping[str, Mapping[int, pd.DataFrame]]

# Below this a difference is called one, after Holm's correction.
SIGNIFICANCE = 0.05


def right_answers(results: pd.DataFrame, *, attack: str = "pgd", norm: str = "linf") -> pd.DataFrame:
    """Reads off a long table of one network which pictures are right, as they are and attacked.

    Args:
        results: The long table.
        attack: As the table calls it.
        norm: Of the attack.

    Returns:
        One row per picture (``image_id``), one column per epsilon, rising; 0 for the pictures as they are.
    """
    clean = results[results["attack"] == "none"].assign(epsilon=0.0)
    attacked = results[(results["attack"] == attack) & (results["norm"] == norm) & (results["epsilon"] > 0)]
    rows = pd.concat([clean, attacked])
    rows = rows.assign(is_right=rows["correct_clean"] & ~rows["success"])
    return rows.pivot(index="image_id", columns="epsilon", values="is_right").astype(bool)


def accuracy_table(answers: Answers) -> pd.DataFrame:
    """Computes the accuracy of each network after each seed.

    Returns:
        One row per label, epsilon and seed: ``num_images, num_right, accuracy, low, high``, the last two are
        the ends of the 95 % Wilson interval.
    """
    rows = [
        {"label": label, "epsilon": float(epsilon), "seed": seed, "num_images": len(right)}
        | {"num_right": int(right[epsilon].sum())}
        for label, by_seed in answers.items()
        for seed, right in by_seed.items()
        for epsilon in right.columns
    ]
    table = pd.DataFrame(rows).sort_values(["label", "epsilon", "seed"], kind="stable")
    order = {label: place for place, label in enumerate(answers)}
    table = table.sort_values("label", key=lambda labels: labels.map(order), kind="stable", ignore_index=True)
    return _with_interval(table.assign(accuracy=table["num_right"] / table["num_images"]))


def mean_table(accuracies: pd.DataFrame) -> pd.DataFrame:
    """Computes means and spread over the seeds.

    Args:
        accuracies: As ``accuracy_table`` gives it.

    Returns:
        One row per label and epsilon: ``num_seeds, num_images, accuracy`` (the mean), ``sd`` (over the seeds,
        NaN for one), ``least``, ``greatest``, ``low`` and ``high``. The last two are Wilson's interval of the
        mean for as many pictures as there are, not times the seeds: the same pictures are shown each time.
    """
    grouped = accuracies.groupby(["label", "epsilon"], sort=False)
    table = grouped.agg(
        num_seeds=("seed", "size"),
        num_images=("num_images", "first"),
        sd=("accuracy", "std"),
        least=("accuracy", "min"),
        greatest=("accuracy", "max"),
        accuracy=("accuracy", "mean"),
    ).reset_index()
    return _with_interval(table)


def _with_interval(table: pd.DataFrame) -> pd.DataFrame:
    accuracy, number = table["accuracy"].to_numpy(), table["num_images"].to_numpy()
    low, high = proportion_confint(accuracy * number, number, alpha=0.05, method="wilson")
    # Rounding puts an end a hair beyond 0, 1 or the fraction itself.
    return table.assign(low=low.clip(0, accuracy), high=high.clip(accuracy, 1))


def paired_table(answers: Answers, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Compares networks pair by pair on the same pictures, at every epsilon.

    Args:
        answers: Those with the seeds that both of a pair have.
        pairs: Labels.

    Returns:
        One row per pair and epsilon with the fields of ``PairedDifference``, ``p_holm`` (corrected for the
        number of comparisons in this table, without those where no picture speaks for either) and
        ``verdict``: ``"higher"``, ``"lower"`` or ``"not told apart"``. Only where ``p_holm`` is below 0.05,
        the interval leaves out 0 and all seeds agree on who is ahead, a difference is called one.

    Source:
        Holm 1979; Tarone 1990 for leaving out comparisons that could not come out otherwise.
    """
    found: list[tuple[float, PairedDifference]] = []
    for first, second in pairs:
        seeds = [seed for seed in answers[first] if seed in answers[second]]
        epsilons = list(answers[first][seeds[0]].columns) if seeds else []
        found += [
            (
                float(epsilon),
                compare_over_seeds(
                    *(
                        pd.DataFrame({seed: answers[label][seed][epsilon] for seed in seeds}).sort_index()
                        for label in (first, second)
                    ),
                    names=(first, second),
                ),
            )
            for epsilon in epsilons
        ]
    if not found:
        return pd.DataFrame()
    corrected = _correct([pair for _, pair in found])
    return pd.DataFrame(
        [
            _paired_row(epsilon, pair, p_holm=p_holm)
            for (epsilon, pair), p_holm in zip(found, corrected, strict=True)
        ]
    )


def _correct(pairs: Sequence[PairedDifference]) -> list[float]:
    corrected = [1.0] * len(pairs)
    places = [place for place, pair in enumerate(pairs) if pair.num_more_first + pair.num_more_second]
    if places:
        p_values = multipletests([pairs[place].p_value for place in places], method="holm")[1]
        for place, p_value in zip(places, p_values.tolist(), strict=True):
            corrected[place] = p_value
    return corrected


def _paired_row(epsilon: float, pair: PairedDifference, *, p_holm: float) -> dict[str, Any]:
    is_told = p_holm < SIGNIFICANCE and not pair.low <= 0 <= pair.high and pair.is_of_one_sign
    verdict = "not told apart" if not is_told else "higher" if pair.difference > 0 else "lower"
    by_seed = " ".join(f"{one:+.4f}" for one in pair.by_seed)
    return {
        "epsilon": epsilon,
        **pair._asdict(),
        "by_seed": by_seed,
        "num_seeds": len(pair.by_seed),
        "p_holm": p_holm,
        "verdict": verdict,
    }
