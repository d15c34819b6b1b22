"""The attacks of Tables 3.1 and 3.2, measured once for whatever table or figure asks."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.imperceptible_attacks import Contender, Cost, contenders, find_cost
from bioattack.evaluation.reproduce.imperceptible_judges import Panel, find_judges
from bioattack.evaluation.reproduce.imperceptible_measure import (
    Attacked,
    check_contenders,
    measure_contender,
    originals,
)
from bioattack.evaluation.reproduce.imperceptible_sizes import Sizes, sizes_of
from bioattack.evaluation.reproduce.imperceptible_subject import Subject, open_subject
from bioattack.evaluation.reproduce.workplace import Workplace

PIXEL_NORMS = ("l1", "l2", "linf")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All attacks on the same network and pictures.

    Args:
        subject: What was attacked.
        sizes: How hard.
        cost: What our attack kept small.
        judges: What the attacks are compared by.
        contenders: The attacks, in the paper's order.
        attacked: What came of each.
    """

    subject: Subject
    sizes: Sizes
    cost: Cost
    judges: Panel
    contenders: tuple[Contender, ...]
    attacked: tuple[Attacked, ...]

    @property
    def results(self) -> pd.DataFrame:
        """The rows of all attacks, ``attack`` being a contender's key."""
        return pd.concat([one.results for one in self.attacked], ignore_index=True)

    @property
    def measures(self) -> tuple[str, ...]:
        """The columns of distances."""
        return (*PIXEL_NORMS, *self.judges.by_name)

    def shown(self, number: int) -> list[str]:
        """Chooses the pictures that figures show: the first that the most attacks have fooled with."""
        results = self.results
        fooled = results[results["success_8bit"]].groupby("image_id")["attack"].nunique()
        order = self.attacked[0].results["image_id"]
        counts = fooled.reindex(order).fillna(0)
        most = counts.sort_values(ascending=False, kind="stable")
        return [str(name) for name in most.index[:number]]

    def fallen(self, key: str) -> pd.DataFrame:
        """The rows of an attack on pictures that it fooled the network with."""
        rows = next(one.results for one in self.attacked if one.key == key)
        return rows[rows["success"]]

    def pictures(self, image_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Reads originals with their labels."""
        return originals(self.subject, image_ids)


def compare_attacks(workplace: Workplace) -> Comparison:
    """Runs all attacks, or reads what they have left, once for all experiments of a command."""
    comparison: Comparison = workplace.keep("comparison", lambda: _compare(workplace))
    return comparison


def _compare(workplace: Workplace) -> Comparison:
    subject, sizes = open_subject(workplace), sizes_of(workplace.config)
    cost = find_cost(workplace.config.weights)
    judges = find_judges(workplace, image_shape=subject.records.image_shape)
    _check_same_judges(workplace, judges)
    all_contenders = contenders(sizes, cost)
    check_contenders(workplace, subject, all_contenders)
    # The slow ones last, so that a run that is stopped has left most of the table.
    measured = {
        contender.key: measure_contender(
            workplace,
            subject,
            contender,
            num_images=sizes.num_rival_pictures if contender.is_slow else sizes.num_pictures,
            judges=judges.distances,
        )
        for contender in sorted(all_contenders, key=lambda contender: contender.is_slow)
    }
    attacked = tuple(measured[contender.key] for contender in all_contenders)
    return Comparison(subject, sizes, cost, judges, all_contenders, attacked)


def _check_same_judges(workplace: Workplace, judges: Panel) -> None:
    """Refuses to go on with other judges: another trunk gives other numbers under the same name."""
    titles = {name: judge.title for name, judge in judges.by_name.items()}
    before = workplace.remember("judges", lambda: titles)
    if before != titles:
        raise InputError(
            f"--output: the attacks in {workplace.output} were judged by {', '.join(before.values())}, and "
            f"with these --weights it would be {', '.join(titles.values())}; give another --output, or "
            "--overwrite"
        )
