"""The tables and figures that can be made again, by name; reading this table imports none of them."""

import dataclasses
import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bioattack.evaluation.reproduce.config import Scale
    from bioattack.evaluation.reproduce.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the table.

    Args:
        name: What the user types after ``bioattack-reproduce``.
        summary: One line for ``--help``.
        target: ``"module:function"``: a function from a ``Scale`` to the experiments to be done.
    """

    name: str
    summary: str
    target: str

    @property
    def is_biological(self) -> bool:
        """Whether it is of the paper on biologically inspired models, whose sizes are those of ``Scale``."""
        return self.target.startswith(_BIO)


def make_table(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Indexes entries by name.

    Raises:
        ValueError: If two have the same name, or a target has another form.
    """
    table: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in table:
            raise ValueError(f"name must be in the table once. Received: name={entry.name!r} twice")
        if entry.target.count(":") != 1:
            raise ValueError(f"target must look like 'module:function'. Received: target={entry.target!r}")
        table[entry.name] = entry
    return table


_BIO = "bioattack.evaluation.reproduce.biologically_inspired"
_SEEN = "bioattack.evaluation.reproduce.imperceptible"
_INCOME = "bioattack.evaluation.reproduce.income"
_FAIR = "bioattack.evaluation.reproduce.fairness"
EXPERIMENTS = make_table(
    [
        Entry(
            "fixations",
            "the biologically inspired paper in one go: all that follows but its outlook",
            f"{_BIO}:fixations",
        ),
        Entry("comparison", "its nine networks side by side", f"{_BIO}:comparison"),
        Entry("table1", "Table 1: baseline, coarse, retinal and cortical fixations", f"{_BIO}:table1"),
        Entry("table2", "Table 2: discrete against bilinear retinal sampling", f"{_BIO}:table2"),
        Entry(
            "figure5",
            "Figure 5: coarse, retinal and cortical fixations on a picture",
            f"{_BIO}_figures:figure5",
        ),
        Entry("figure7", "Figure 7: a picture of each class", f"{_BIO}_figures:figure7"),
        Entry(
            "figure8",
            "Figure 8: a checkerboard as it is, discretely and bilinearly sampled",
            f"{_BIO}_figures:figure8",
        ),
        Entry("figure9", "Figure 9: the curves of Table 2", f"{_BIO}:figure9"),
        Entry("figure12", "Figure 12: the windows that the transformer chooses", f"{_BIO}_figures:figure12"),
        Entry("figure14", "Figure 14: a picture and what a gaze makes of it", f"{_BIO}_figures:figure14"),
        Entry("figure15", "Figure 15: where the multi-gaze network looks", f"{_BIO}_figures:figure15"),
        Entry("figure16", "Figure 16: parallel transformers and multi-gaze networks", f"{_BIO}:figure16"),
        Entry(
            "shared-weights",
            "section 3.4: distinct against shared weights of the branches",
            f"{_BIO}:shared_weights",
        ),
        Entry("memory", "section 3.4: all pictures in memory against records", f"{_BIO}:memory"),
        Entry(
            "architectures",
            "Figures 6, 10, 11, 13: the networks, drawn from themselves",
            f"{_BIO}_figures:architectures",
        ),
        Entry("branches", "outlook: 1, 3, 5 and 9 branches or gazes", f"{_BIO}:branches"),
        Entry("merges", "outlook: how the branches are merged", f"{_BIO}:merges"),
        Entry("combinations", "outlook: two mechanisms in one network", f"{_BIO}:combinations"),
        Entry(
            "honest",
            "stronger attacks on the nine networks, and warnings where an attack fails",
            f"{_BIO}:honest",
        ),
        Entry(
            "imperceptible",
            "the paper on attacks that people cannot see: its section 3 in one go",
            f"{_SEEN}:imperceptible",
        ),
        Entry("table3.1", "its Table 3.1: success, distances and time of each attack", f"{_SEEN}:table3_1"),
        Entry("table3.2", "its Table 3.2: how far each attack shifts saliency", f"{_SEEN}:table3_2"),
        Entry("figure3.1", "its Figure 3.1: one step by SSIM against one step by L2", f"{_SEEN}:figure3_1"),
        Entry("figure3.2", "its Figure 3.2: pictures, attacked and magnified", f"{_SEEN}:figure3_2"),
        Entry("figure3.3", "its Figure 3.3: how the distances are spread", f"{_SEEN}:figure3_3"),
        Entry("figure3.3-lpips", "the same for LPIPS, as in its supplement", f"{_SEEN}:figure3_3_lpips"),
        Entry("figure3.4", "its Figure 3.4: saliency maps side by side", f"{_SEEN}:figure3_4"),
        Entry("figure3.5", "its Figure 3.5: success after JPEG and with fewer bits", f"{_SEEN}:figure3_5"),
        Entry("ablation-lambda", "what the weight of the distance does", f"{_SEEN}:ablation_lambda"),
        Entry("ablation-epsilon", "what the length of a step does", f"{_SEEN}:ablation_epsilon"),
        Entry("income", "its section 4, accuracy and income, in one go", f"{_INCOME}:income"),
        Entry("images-per-country", "how many images are of each country", f"{_INCOME}:images_per_country"),
        Entry("figure4.1", "its Figure 4.1: accuracy of each country by income", f"{_INCOME}:figure4_1"),
        Entry("figure4.2", "its Figure 4.2: slopes after two kinds of training", f"{_INCOME}:figure4_2"),
        Entry("transport", "worst-case loss against transport cost, over lambda", f"{_INCOME}:transport"),
        Entry("known-bias", "whether a bias that was put in is found, and no other", f"{_INCOME}:known_bias"),
        Entry(
            "fairness",
            "the paper on adversarial training and fairness in one go: all that follows but the last two",
            f"{_FAIR}:fairness",
        ),
        Entry("fairness-accuracy", "its section IV.A: standard and robust accuracies", f"{_FAIR}:accuracy"),
        Entry("fairness-classes", "its Figure 1: accuracy of each class, and CAU", f"{_FAIR}:classes"),
        Entry(
            "fairness-least-epsilon",
            "its Figure 2: least epsilon of each class, and CRU_eps",
            f"{_FAIR}:least_epsilon",
        ),
        Entry(
            "fairness-success",
            "its Tables I and II, Figures 3 and 4: success rate of each class, and CRU_s",
            f"{_FAIR}:success",
        ),
        Entry(
            "fairness-groups",
            "its Tables IV and V, Figures 5 and 6: confidences by attribute, and EOU",
            f"{_FAIR}:groups",
        ),
        Entry(
            "fairness-leave-one-out",
            "its Table III: leave-one-out unfairness, with two controls",
            f"{_FAIR}:leave_one_out",
        ),
        Entry(
            "fairness-methods",
            "its outlook: the same scores after PGD, TRADES, Wasserstein training and retraining",
            f"{_FAIR}:methods",
        ),
    ]
)


def load_experiments(name: str, scale: "Scale") -> "tuple[Experiment, ...]":
    """Returns the experiments behind a name.

    Args:
        name: A name in the table.
        scale: How large everything is.

    Raises:
        KeyError: If there is no such name.
    """
    module, _, function = EXPERIMENTS[name].target.partition(":")
    found: tuple[Experiment, ...] = getattr(importlib.import_module(module), function)(scale)
    return found
